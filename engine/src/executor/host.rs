//! What a running step is offered: durable facts, its log, progress, settings, scratch space.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use model::run::event::{Fact, LogDigest};
use model::step_error::StepError;
use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::context::{HostFuture, Progress, StepHost};
use crate::executor::{FactMessage, Job};
use crate::files;
use crate::log::StepLog;
use crate::redact::Redactor;
use crate::rendering::Renderer;
use crate::settings::{ConnectionSettings, StoreKeys, StoreSettings};

/// The host of one attempt.
pub(super) struct AttemptHost {
    job: Job,
    renderer: Renderer,
    redactor: Redactor,
    clock: Arc<dyn Clock>,
    scratch: PathBuf,
    log: Mutex<Option<StepLog>>,
    facts: Mutex<Vec<Fact>>,
    /// It only looks at an attempt that has ended: no fact of it can be journaled any more, and
    /// none needs to be, because a look has no effect.
    looks: bool,
    /// The machine's milliseconds at the last sign of life.
    active: AtomicU64,
}

impl AttemptHost {
    pub(super) fn new(
        job: &Job,
        renderer: Renderer,
        redactor: Redactor,
        clock: Arc<dyn Clock>,
        scratch: PathBuf,
        log: StepLog,
    ) -> Self {
        let active = AtomicU64::new(clock.mono_ms());
        let (facts, log) = (Mutex::new(job.facts.clone()), Mutex::new(Some(log)));
        let job = job.clone();
        Self { job, renderer, redactor, clock, scratch, log, facts, looks: false, active }
    }

    /// The host of a look at what an attempt did.
    pub(super) fn that_looks(self) -> Self {
        Self { looks: true, ..self }
    }

    /// Milliseconds since the last sign of life.
    pub(super) fn silent_ms(&self) -> u64 {
        self.clock.mono_ms().saturating_sub(self.active.load(Ordering::Relaxed))
    }

    /// What renders the step's input.
    pub(super) fn renderer(&self) -> &Renderer {
        &self.renderer
    }

    fn alive(&self) {
        self.active.store(self.clock.mono_ms(), Ordering::Relaxed);
    }

    /// Ends the log and removes the scratch folder.
    pub(super) fn close(&self) -> Option<LogDigest> {
        files::remove_folder(&self.scratch).ok();
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner).take();
        log.and_then(StepLog::finish)
    }

    async fn journaled(&self, fact: Fact) -> Result<(), StepError> {
        if self.looks {
            return Ok(());
        }
        let (durable, answer) = oneshot::channel();
        let (step, attempt) = (self.job.step.id.clone(), self.job.attempt);
        let message = FactMessage { step, attempt, fact: fact.clone(), durable };
        self.job.link.facts.send(message).map_err(|_| not_journaled())?;
        answer.await.map_err(|_| not_journaled())??;
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).push(fact);
        Ok(())
    }
}

impl StepHost for AttemptHost {
    fn record(&self, fact: Fact) -> HostFuture<'_, Result<(), StepError>> {
        self.alive();
        let fact = Fact { data: self.redactor.value(&fact.data), ..fact };
        Box::pin(self.journaled(fact))
    }

    fn facts(&self) -> Vec<Fact> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn log(&self, bytes: &[u8]) {
        self.alive();
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(log) = log.as_mut() {
            log.write(bytes);
        }
    }

    fn progress(&self, progress: Progress) {
        self.alive();
        let progress = Progress { activity: self.redactor.text(&progress.activity), ..progress };
        // A full channel means that the view is behind: the next call brings it up to date.
        self.job.link.progress.try_send((self.job.step.id.clone(), progress)).ok();
    }

    fn connection<'a>(
        &'a self,
        name: &'a str,
    ) -> HostFuture<'a, Result<ConnectionSettings, StepError>> {
        Box::pin(self.renderer.connection(name))
    }

    fn store<'a>(&'a self, name: &'a str) -> HostFuture<'a, Result<StoreSettings, StepError>> {
        Box::pin(self.renderer.store(name))
    }

    fn store_keys<'a>(
        &'a self,
        name: &'a str,
    ) -> HostFuture<'a, Result<Option<StoreKeys>, StepError>> {
        Box::pin(self.renderer.store_keys(name))
    }

    fn scratch_folder(&self) -> Result<PathBuf, StepError> {
        files::create_folder(&self.scratch).map_err(|error| no_scratch(&error))?;
        Ok(self.scratch.clone())
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

fn not_journaled() -> StepError {
    StepError::needs_operator("RB0407", "the run stopped before the fact was journaled")
        .hint("`runbook status` says why")
}

fn no_scratch(error: &std::io::Error) -> StepError {
    StepError::transient("RB0408", "the scratch folder cannot be created").caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_state_folder_does_not_take_is_said() {
        shown::case("RB0407", not_journaled().told());
        let error = files::create_folder(std::path::Path::new("/proc/no/scratch")).unwrap_err();
        shown::case("RB0408", no_scratch(&error).told());
    }
}
