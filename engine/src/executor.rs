//! Who carries a decision out: [`Perform`] for real, [`Assume`] with examples for plans. The
//! driver knows only the trait, so that other places to run steps can be added here.

mod assume;
mod host;
mod perform;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use model::ids::StepId;
use model::plan::PlanStep;
use model::run::event::{AttemptEnd, Fact, LogDigest, RunCreated, Seen};
use model::step_error::StepError;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

pub use assume::{Assume, AssumeApproval};
pub use perform::Perform;

use crate::context::Progress;

/// What an executor hands back when it is done.
pub type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// One attempt to run or to look at.
#[derive(Clone)]
pub struct Job {
    /// How the run began.
    pub created: Arc<RunCreated>,
    /// The step.
    pub step: Arc<PlanStep>,
    /// The attempt.
    pub attempt: u32,
    /// Facts of the step so far, oldest first.
    pub facts: Vec<Fact>,
    /// What its templates may read, secrets aside.
    pub scope: Value,
    /// What `timeout` and `deadline` leave.
    pub limit: Option<Duration>,
    /// Stops it.
    pub cancel: CancellationToken,
    /// Back to the driver.
    pub link: Link,
}

/// How an attempt ended.
#[derive(Debug)]
pub struct Ended {
    /// Its output, or how it ended without one.
    pub result: Result<Value, AttemptEnd>,
    /// Its log.
    pub log: Option<LogDigest>,
}

/// From a running step back to the driver.
#[derive(Clone)]
pub struct Link {
    pub(crate) facts: mpsc::UnboundedSender<FactMessage>,
    pub(crate) progress: mpsc::Sender<(StepId, Progress)>,
}

/// A fact on its way to the journal.
pub(crate) struct FactMessage {
    pub(crate) step: StepId,
    pub(crate) attempt: u32,
    pub(crate) fact: Fact,
    pub(crate) durable: oneshot::Sender<Result<(), StepError>>,
}

/// Carries attempts out.
pub trait Executor: Send + Sync {
    /// Runs an attempt; its start is durable.
    fn run(&self, job: Job) -> Work<Ended>;
    /// Looks for the effect of an attempt, read-only.
    fn observe(&self, job: Job) -> Work<Seen>;
}
