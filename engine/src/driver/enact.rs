//! From a command to the events it becomes and the effects that follow them.

use model::ids::StepId;
use model::plan::PlanStep;
use model::run::decide::{Command, later};
use model::run::event::Event;
use model::step_error::StepError;
use model::template::condition;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use crate::driver::{Driver, Then};
use crate::error::EngineError;
use crate::executor::Job;
use crate::random;
use crate::rendering::refused;
use crate::scope::scope;

impl Driver {
    pub(super) fn enact(&mut self, command: Command) -> Result<(), EngineError> {
        match command {
            Command::Start { step, attempt, limit } => self.start(&step, attempt, limit),
            Command::Ask { step } => self.put_question(&step),
            Command::Observe { step, attempt } => {
                let job = self.job(&step, attempt, None, self.scope_of(&step));
                self.stage(Event::StepObserving { step, attempt })?;
                self.batch.then.push(Then::Observe(job));
                Ok(())
            }
            Command::DrawRetry { step, attempt, base, jitter } => {
                let at = later(self.stamp().at, random::jittered(base, jitter));
                self.stage(Event::StepRetryScheduled { step, attempt, at })
            }
            Command::Record(event) => self.record(event),
            Command::Finish { status, failed_step } => {
                self.stage(Event::RunFinished { status, failed_step })
            }
            Command::WaitUntil(_) | Command::Rest(_) => Ok(()),
        }
    }

    fn record(&mut self, event: Event) -> Result<(), EngineError> {
        let changed = match &event {
            Event::ApprovalEscalated { step, .. } => Some(step.clone()),
            _ => None,
        };
        self.stage(event)?;
        if let Some(step) = changed {
            self.ask_anew(&step);
        }
        Ok(())
    }

    pub(super) fn step(&self, step: &StepId) -> Arc<PlanStep> {
        Arc::clone(self.steps.get(step).expect("decisions name steps of the plan"))
    }

    pub(super) fn scope_of(&self, step: &StepId) -> Value {
        scope(&self.state, &self.created, &self.step(step))
    }

    pub(super) fn job(
        &self,
        step: &StepId,
        attempt: u32,
        limit: Option<Duration>,
        scope: Value,
    ) -> Job {
        let facts = self.state.step(step).map(|step| step.facts.clone()).unwrap_or_default();
        Job {
            created: Arc::clone(&self.created),
            step: self.step(step),
            attempt,
            facts,
            scope,
            limit,
            cancel: CancellationToken::new(),
            link: self.link.clone(),
        }
    }

    fn start(
        &mut self,
        step: &StepId,
        attempt: u32,
        limit: Option<Duration>,
    ) -> Result<(), EngineError> {
        let scope = self.scope_of(step);
        let fresh = self.state.step(step).is_none_or(|state| state.first_started.is_none());
        if fresh && !self.admitted(step, &scope)? {
            return Ok(());
        }
        let job = self.job(step, attempt, limit, scope);
        self.stage(Event::StepStarted { step: step.clone(), attempt })?;
        self.batch.then.push(Then::Run(job));
        Ok(())
    }

    /// Whether the step's `if` holds; otherwise the step is skipped, or fails with it.
    pub(super) fn admitted(&mut self, step: &StepId, scope: &Value) -> Result<bool, EngineError> {
        let plan = self.step(step);
        let Some(text) = &plan.condition else { return Ok(true) };
        match condition(text, scope, &self.state) {
            Ok(true) => return Ok(true),
            Ok(false) => {
                let (left_out, by, reason) = (None, None, None);
                self.stage(Event::StepSkipped { step: step.clone(), left_out, by, reason })?;
            }
            Err(error) => self.fail(step, refused("`if`", &error))?,
        }
        Ok(false)
    }

    pub(super) fn fail(&mut self, step: &StepId, error: StepError) -> Result<(), EngineError> {
        let error = self.parts.redactor.error(error);
        let attempt = self.state.step(step).map_or(0, |state| state.attempt);
        self.stage(Event::StepFailed { step: step.clone(), attempt, error })
    }
}
