//! The real thing: renders, reads secrets, runs the step within its limits, or looks for the
//! effect of an attempt that ended without an answer.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use model::effect::Effect;
use model::run::event::{AttemptEnd, LogDigest, Seen};
use model::step_error::StepError;
use model::units::Span;
use serde_json::Value;

use crate::clock::{Clock, pause};
use crate::context::{AttemptId, StepContext, StepHost};
use crate::executor::host::AttemptHost;
use crate::executor::{Ended, Executor, Job, Work};
use crate::log::StepLog;
use crate::orphans::{self, Orphans};
use crate::redact::Redactor;
use crate::registry::{DynStep, Registry};
use crate::rendering::Renderer;
use crate::secrets::{SecretProvider, SecretReader};
use crate::step::Observation;

/// After a limit passed, the attempt has this long to stop by itself.
const GRACE: Duration = Duration::from_secs(20);

/// Between two looks at whether a step is alive.
const STALL_CHECK: Duration = Duration::from_millis(250);

/// Performs attempts.
#[derive(Clone)]
pub struct Perform {
    /// The step kinds.
    pub registry: Registry,
    /// The run's folder: logs and scratch space.
    pub folder: PathBuf,
    /// Reads secrets that others keep.
    pub provider: Arc<dyn SecretProvider>,
    /// Masks what leaves a step.
    pub redactor: Redactor,
    /// The run's clock.
    pub clock: Arc<dyn Clock>,
    /// What becomes of children that outlived an earlier process.
    pub orphans: Orphans,
}

impl Executor for Perform {
    fn run(&self, job: Job) -> Work<Ended> {
        let this = self.clone();
        Box::pin(async move { this.attempt(job).await })
    }

    fn observe(&self, job: Job) -> Work<Seen> {
        let this = self.clone();
        Box::pin(async move {
            match this.look(&job).await {
                Ok(seen) => seen,
                Err(error) => Seen::Failed { error: this.redactor.error(error) },
            }
        })
    }
}

impl Perform {
    async fn attempt(&self, job: Job) -> Ended {
        let log =
            StepLog::create(&self.folder, job.step.id.as_str(), job.attempt, self.redactor.clone());
        let host = match self.host(&job, log).await {
            Ok(host) => Arc::new(host),
            Err(error) => return self.ended(Err(AttemptEnd::Failed { error }), None),
        };
        let result = self.limited(&job, &host).await;
        let log = host.close();
        self.ended(result, log)
    }

    fn ended(&self, result: Result<Value, AttemptEnd>, log: Option<LogDigest>) -> Ended {
        let result = match result {
            Ok(output) => Ok(self.redactor.value(&output)),
            Err(AttemptEnd::Failed { error }) => {
                Err(AttemptEnd::Failed { error: self.redactor.error(error) })
            }
            Err(other) => Err(other),
        };
        Ended { result, log }
    }

    async fn host(&self, job: &Job, log: StepLog) -> Result<AttemptHost, StepError> {
        let reader = SecretReader::new(Arc::clone(&self.provider), self.redactor.clone());
        let (created, scope) = (Arc::clone(&job.created), job.scope.clone());
        let renderer = Renderer::new(created, scope, &job.step, reader);
        let scratch = self.folder.join("scratch").join(format!("{}.{}", job.step.id, job.attempt));
        let (redactor, clock) = (self.redactor.clone(), Arc::clone(&self.clock));
        Ok(AttemptHost::new(job, renderer.await?, redactor, clock, scratch, log))
    }

    /// Runs the step until it ends, its limit passes, or it gives no sign of life.
    async fn limited(&self, job: &Job, host: &Arc<AttemptHost>) -> Result<Value, AttemptEnd> {
        let failed = |error| AttemptEnd::Failed { error };
        let kind = self.kind(job).map_err(failed)?;
        let input = host.renderer().input(&job.step).await.map_err(failed)?;
        let ctx = context(job, host);
        let mut run = std::pin::pin!(caught(kind.run(&input, &ctx)));
        let limit = job.limit.unwrap_or(Duration::MAX);
        let stall = job.step.stall_timeout.map_or(Duration::MAX, Span::duration);
        let end = tokio::select! {
            biased;
            result = &mut run => return result.map_err(failed),
            () = pause(limit) => AttemptEnd::TimedOut { limit: limit.into() },
            () = silence(host, stall) => AttemptEnd::Stalled { limit: stall.into() },
        };
        job.cancel.cancel();
        match tokio::time::timeout(GRACE, run).await {
            Ok(Ok(output)) => Ok(output),
            _ => Err(end),
        }
    }

    async fn look(&self, job: &Job) -> Result<Seen, StepError> {
        let children = orphans::living(job.created.run, &job.step.id, &job.facts);
        if !children.is_empty() {
            let stops = self.orphans == Orphans::Stop || job.step.footprint.stops_stragglers;
            if !(stops && orphans::stop(&children).await) {
                return Ok(Seen::InProgress);
            }
        }
        if job.step.footprint.effect == Effect::Read {
            return Ok(Seen::NotDone);
        }
        let kind = self.kind(job)?;
        let log = StepLog::none(self.redactor.clone());
        let host = Arc::new(self.host(job, log).await?.that_looks());
        let input = host.renderer().input(&job.step).await?;
        let ctx = context(job, &host);
        let seen = caught(kind.observe(&input, &ctx)).await;
        host.close();
        Ok(match seen? {
            Observation::NotDone => Seen::NotDone,
            Observation::InProgress => Seen::InProgress,
            Observation::Done(output) => Seen::Done { output: self.redactor.value(&output) },
            Observation::Unknown => Seen::Unknown,
        })
    }

    fn kind(&self, job: &Job) -> Result<&'static dyn DynStep, StepError> {
        let uses = &job.step.uses;
        let kind = self.registry.step(uses).ok_or_else(|| {
            StepError::permanent("RB0403", format!("there is no step `{uses}`"))
                .hint("resume with the version of the program that the run was started with")
        })?;
        if kind.version() == job.step.kind_version {
            return Ok(kind);
        }
        let message = format!(
            "the plan was made for version {} of `{uses}`, and this program has {}",
            job.step.kind_version,
            kind.version()
        );
        Err(StepError::needs_operator("RB0409", message)
            .hint("resume with the version of the program that the run was started with"))
    }
}

fn context(job: &Job, host: &Arc<AttemptHost>) -> StepContext {
    let id = AttemptId {
        run: job.created.run,
        run_name: job.created.plan.name.clone(),
        run_started: job.created.started_at,
        step: job.step.id.clone(),
        attempt: job.attempt,
    };
    StepContext::new(id, Arc::clone(host) as Arc<dyn StepHost>, job.cancel.clone())
}

/// Ends when the step gave no sign of life for `limit`.
async fn silence(host: &AttemptHost, limit: Duration) {
    while u128::from(host.silent_ms()) < limit.as_millis() {
        pause(STALL_CHECK.min(limit)).await;
    }
}

/// A step that panics may have had its effect.
async fn caught<T>(work: impl Future<Output = Result<T, StepError>>) -> Result<T, StepError> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(result) => result,
        Err(panic) => {
            let message = format!("the step ended in a bug: {}", words(panic.as_ref()));
            Err(StepError::ambiguous("RB0499", message).hint("please report it"))
        }
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}
