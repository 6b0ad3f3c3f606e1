//! What a running step may use: everything it does to the world goes through here.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use model::ids::{RunId, StepId};
pub use model::run::event::Fact;
use model::step_error::StepError;
use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::settings::{ConnectionSettings, StoreKeys, StoreSettings};

/// A boxed future of the host.
pub type HostFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Which attempt of which step of which run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptId {
    /// The run.
    pub run: RunId,
    /// The runbook's name.
    pub run_name: String,
    /// When the run started.
    pub run_started: Timestamp,
    /// The step.
    pub step: StepId,
    /// The attempt, from 1.
    pub attempt: u32,
}

/// How far a step is. Any call counts as progress for `stall_timeout`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// What is done now: `copy public.orders`.
    pub activity: String,
    /// Done so far.
    pub done: u64,
    /// All there is to do, when known.
    pub total: Option<u64>,
    /// `done` and `total` are bytes, else things.
    pub bytes: bool,
}

/// What the driver offers to a running step; tests offer their own.
pub trait StepHost: Send + Sync {
    /// Makes a fact durable.
    fn record(&self, fact: Fact) -> HostFuture<'_, Result<(), StepError>>;
    /// Facts of this step so far, all attempts, oldest first.
    fn facts(&self) -> Vec<Fact>;
    /// Writes to the step's log, redacted.
    fn log(&self, bytes: &[u8]);
    /// Shows progress.
    fn progress(&self, progress: Progress);
    /// Renders a connection and reads its secrets.
    fn connection<'a>(
        &'a self,
        name: &'a str,
    ) -> HostFuture<'a, Result<ConnectionSettings, StepError>>;
    /// Renders a store and reads its secrets.
    fn store<'a>(&'a self, name: &'a str) -> HostFuture<'a, Result<StoreSettings, StepError>>;
    /// Renders what opens the sets of a store and reads its secrets; nothing when the store does
    /// not say.
    fn store_keys<'a>(
        &'a self,
        name: &'a str,
    ) -> HostFuture<'a, Result<Option<StoreKeys>, StepError>>;
    /// A private folder (0700) that is removed when the attempt ends.
    fn scratch_folder(&self) -> Result<PathBuf, StepError>;
    /// The time, by the run's clock.
    fn now(&self) -> Timestamp;
}

/// Handed to `observe` and `run`.
#[derive(Clone)]
pub struct StepContext {
    id: Arc<AttemptId>,
    host: Arc<dyn StepHost>,
    cancel: CancellationToken,
}

impl StepContext {
    /// A context over `host`; cancelled through `cancel`.
    pub fn new(id: AttemptId, host: Arc<dyn StepHost>, cancel: CancellationToken) -> Self {
        Self { id: Arc::new(id), host, cancel }
    }

    /// Which attempt this is.
    pub fn id(&self) -> &AttemptId {
        &self.id
    }

    /// Cancelled when the step should stop; it then ends with [`StepError::cancelled`].
    pub fn cancel(&self) -> &CancellationToken {
        &self.cancel
    }

    /// The same attempt without its cancellation: to clear up after one.
    #[must_use]
    pub fn uncancelled(&self) -> Self {
        Self { cancel: CancellationToken::new(), ..self.clone() }
    }

    /// Makes a fact durable before the effect it announces.
    pub async fn record(&self, name: &str, data: impl Serialize + Send) -> Result<(), StepError> {
        let data = serde_json::to_value(data).expect("a fact is plain data");
        self.host.record(Fact { name: name.to_owned(), data }).await
    }

    /// The newest fact of that name, of any attempt.
    pub fn fact(&self, name: &str) -> Option<Value> {
        self.host.facts().into_iter().rev().find(|fact| fact.name == name).map(|fact| fact.data)
    }

    /// All facts of this step so far, oldest first.
    pub fn facts(&self) -> Vec<Fact> {
        self.host.facts()
    }

    /// Writes one line to the step's log.
    pub fn log(&self, line: impl AsRef<str>) {
        self.host.log(format!("{}\n", line.as_ref()).as_bytes());
    }

    /// Writes raw output to the step's log.
    pub fn log_bytes(&self, bytes: &[u8]) {
        self.host.log(bytes);
    }

    /// Shows progress.
    pub fn progress(&self, progress: Progress) {
        self.host.progress(progress);
    }

    /// A connection, rendered, with its secrets read now.
    pub async fn connection(&self, name: &str) -> Result<ConnectionSettings, StepError> {
        self.host.connection(name).await
    }

    /// A store, rendered.
    pub async fn store(&self, name: &str) -> Result<StoreSettings, StepError> {
        self.host.store(name).await
    }

    /// What opens the sets of a store, with its secrets read now.
    pub async fn store_keys(&self, name: &str) -> Result<Option<StoreKeys>, StepError> {
        self.host.store_keys(name).await
    }

    /// A private folder (0700) that is removed when the attempt ends.
    pub fn scratch_folder(&self) -> Result<PathBuf, StepError> {
        self.host.scratch_folder()
    }

    /// The time, by the run's clock.
    pub fn now(&self) -> Timestamp {
        self.host.now()
    }

    /// Waits, unless the step is cancelled first.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the home of cancellable waiting in a step"
    )]
    pub async fn sleep(&self, duration: Duration) -> Result<(), StepError> {
        tokio::select! {
            () = self.cancel.cancelled() => Err(StepError::cancelled()),
            () = tokio::time::sleep(duration) => Ok(()),
        }
    }
}
