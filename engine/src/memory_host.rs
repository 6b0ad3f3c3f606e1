//! A step host that keeps everything in memory: facts, log and progress. Step tests and benches
//! run on it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use model::ids::{RunId, StepId};
use model::step_error::StepError;
use tokio_util::sync::CancellationToken;

use crate::context::{AttemptId, Fact, HostFuture, Progress, StepContext, StepHost};
use crate::settings::{ConnectionSettings, StoreKeys, StoreSettings};

/// What a step left behind.
#[derive(Debug, Default)]
struct Left {
    facts: Vec<Fact>,
    log: Vec<u8>,
    progress: Option<Progress>,
}

/// A step host in memory.
pub struct MemoryHost {
    connections: HashMap<String, ConnectionSettings>,
    stores: HashMap<String, StoreSettings>,
    keys: HashMap<String, StoreKeys>,
    scratch: PathBuf,
    now: Timestamp,
    left: Mutex<Left>,
}

impl MemoryHost {
    /// A host whose clock stands at `now` and whose scratch folder is `scratch`, which exists.
    pub fn new(now: Timestamp, scratch: PathBuf) -> Self {
        let (connections, stores, keys) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { connections, stores, keys, scratch, now, left: Mutex::default() }
    }

    /// Adds a connection.
    #[must_use]
    pub fn with_connection(mut self, connection: ConnectionSettings) -> Self {
        self.connections.insert(connection.name.clone(), connection);
        self
    }

    /// Adds a store.
    #[must_use]
    pub fn with_store(mut self, store: StoreSettings) -> Self {
        self.stores.insert(store.name.clone(), store);
        self
    }

    /// Adds what opens the sets of a store.
    #[must_use]
    pub fn with_store_keys(mut self, store: &str, keys: StoreKeys) -> Self {
        self.keys.insert(store.to_owned(), keys);
        self
    }

    /// A context for attempt `attempt` of `step` of a run with the nil id.
    pub fn context(
        self: &Arc<Self>,
        step: &str,
        attempt: u32,
        cancel: CancellationToken,
    ) -> StepContext {
        let id = AttemptId {
            run: RunId::from(ulid::Ulid::nil()),
            run_name: "memory".to_owned(),
            run_started: self.now,
            step: step.parse::<StepId>().expect("the test names a valid step id"),
            attempt,
        };
        StepContext::new(id, Arc::clone(self) as Arc<dyn StepHost>, cancel)
    }

    /// The log so far.
    pub fn logged(&self) -> String {
        String::from_utf8_lossy(&self.left().log).into_owned()
    }

    /// The newest progress.
    pub fn last_progress(&self) -> Option<Progress> {
        self.left().progress.clone()
    }

    fn left(&self) -> std::sync::MutexGuard<'_, Left> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn undefined(what: &str, name: &str) -> StepError {
    StepError::permanent("RB0402", format!("{what} `{name}` is not defined"))
}

impl StepHost for MemoryHost {
    fn record(&self, fact: Fact) -> HostFuture<'_, Result<(), StepError>> {
        self.left().facts.push(fact);
        Box::pin(std::future::ready(Ok(())))
    }

    fn facts(&self) -> Vec<Fact> {
        self.left().facts.clone()
    }

    fn log(&self, bytes: &[u8]) {
        self.left().log.extend_from_slice(bytes);
    }

    fn progress(&self, progress: Progress) {
        self.left().progress = Some(progress);
    }

    fn connection<'a>(
        &'a self,
        name: &'a str,
    ) -> HostFuture<'a, Result<ConnectionSettings, StepError>> {
        let found =
            self.connections.get(name).cloned().ok_or_else(|| undefined("connection", name));
        Box::pin(std::future::ready(found))
    }

    fn store<'a>(&'a self, name: &'a str) -> HostFuture<'a, Result<StoreSettings, StepError>> {
        let found = self.stores.get(name).cloned().ok_or_else(|| undefined("store", name));
        Box::pin(std::future::ready(found))
    }

    fn store_keys<'a>(
        &'a self,
        name: &'a str,
    ) -> HostFuture<'a, Result<Option<StoreKeys>, StepError>> {
        Box::pin(std::future::ready(Ok(self.keys.get(name).cloned())))
    }

    fn scratch_folder(&self) -> Result<PathBuf, StepError> {
        Ok(self.scratch.clone())
    }

    fn now(&self) -> Timestamp {
        self.now
    }
}
