//! What the cloud holds, and how time passes in it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Pace;
use super::effects::{Effect, Effects};
use super::faults::Faults;
use super::iam::Policies;
use super::rds::Rds;
use super::route53::Zone;
use super::secrets::Secret;
use super::ssm::Parameter;

/// The regions' things, by region and name.
pub(super) type ByRegion<T> = BTreeMap<(String, String), T>;

/// What is in the cloud. Clones are the same world.
#[derive(Clone)]
pub struct World(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    pace: Pace,
    s3: Option<String>,
    state: Mutex<State>,
    turned: Condvar,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

pub(super) struct State {
    pub(super) ended: bool,
    pub(super) effects: Effects,
    pub(super) faults: Faults,
    pub(super) rds: Rds,
    pub(super) zone: Zone,
    pub(super) parameters: ByRegion<Parameter>,
    pub(super) secrets: ByRegion<Secret>,
    pub(super) policies: Policies,
}

/// The world has ended while somebody waited.
#[derive(Debug, thiserror::Error)]
#[error("the laboratory has ended")]
pub(super) struct Ended;

impl World {
    pub(super) fn new(folder: PathBuf, pace: Pace, s3: Option<String>) -> io::Result<Self> {
        let state = State {
            ended: false,
            effects: Effects::in_folder(&folder)?,
            faults: Faults::default(),
            rds: Rds::default(),
            zone: Zone::new(),
            parameters: BTreeMap::new(),
            secrets: BTreeMap::new(),
            policies: Policies::default(),
        };
        Ok(Self(Arc::new(Inner {
            folder,
            pace,
            s3,
            state: Mutex::new(state),
            turned: Condvar::new(),
            tasks: Mutex::default(),
        })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn pace(&self) -> Pace {
        self.0.pace
    }

    /// The folder of the effect log and the backups.
    pub(super) fn folder(&self) -> &Path {
        &self.0.folder
    }

    /// The server of S3.
    pub(super) fn s3(&self) -> Option<&str> {
        self.0.s3.as_deref()
    }

    /// What took effect so far, in order.
    pub fn effects(&self) -> Vec<Effect> {
        self.lock().effects.all().to_vec()
    }

    /// The effects of one action, in order.
    pub fn effects_of(&self, action: &str) -> Vec<Effect> {
        self.effects().into_iter().filter(|effect| effect.action == action).collect()
    }

    /// Records what took effect.
    pub(super) fn record(&self, of: (&str, &str), action: &str, resource: &str, detail: Value) {
        self.lock().effects.record(of, action, resource, detail);
    }

    /// Lets time pass.
    pub(super) fn pause(&self, time: Duration) -> Result<(), Ended> {
        let until = Instant::now() + time;
        let mut state = self.lock();
        loop {
            if state.ended {
                return Err(Ended);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            let waited = self.0.turned.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Does something beside the requests; the world's end waits for it.
    pub(super) fn begin_task(&self, task: impl FnOnce(&Self) + Send + 'static) {
        let world = self.clone();
        let handle = std::thread::spawn(move || task(&world));
        let mut tasks = self.tasks();
        tasks.retain(|task| !task.is_finished());
        tasks.push(handle);
    }

    fn tasks(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends what goes on and removes the instances.
    pub(super) fn end_all(&self) {
        self.lock().ended = true;
        self.0.turned.notify_all();
        loop {
            let Some(task) = self.tasks().pop() else { break };
            // Its panic has been reported.
            drop(task.join());
        }
        // The lock is not held while the servers stop.
        let rds = std::mem::take(&mut self.lock().rds);
        drop(rds);
    }
}
