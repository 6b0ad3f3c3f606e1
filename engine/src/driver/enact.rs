//! From a command to the events it becomes and the effects that follow them.

use jiff::Timestamp;
use model::approval;
use model::ids::StepId;
use model::node_de;
use model::plan::PlanStep;
use model::run::decide::{Command, later};
use model::run::event::Event;
use model::run::step_state::Phase;
use model::step_error::StepError;
use model::template::{condition, render};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use crate::driver::{Driver, Heard, Question, Then};
use crate::error::EngineError;
use crate::executor::Job;
use crate::random;
use crate::rendering::refused;
use crate::scope::scope;

/// Answers that do not count, before a question is left to others.
const REFUSALS: usize = 3;

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
            Command::Record(event) => self.stage(event),
            Command::Finish { status, failed_step } => {
                self.stage(Event::RunFinished { status, failed_step })
            }
            Command::WaitUntil(_) | Command::Rest(_) => Ok(()),
        }
    }

    fn step(&self, step: &StepId) -> Arc<PlanStep> {
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
    fn admitted(&mut self, step: &StepId, scope: &Value) -> Result<bool, EngineError> {
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

    fn fail(&mut self, step: &StepId, error: StepError) -> Result<(), EngineError> {
        let error = self.parts.redactor.error(error);
        let attempt = self.state.step(step).map_or(0, |state| state.attempt);
        self.stage(Event::StepFailed { step: step.clone(), attempt, error })
    }

    fn put_question(&mut self, step: &StepId) -> Result<(), EngineError> {
        let scope = self.scope_of(step);
        if !self.admitted(step, &scope)? {
            return Ok(());
        }
        let rendered = render(&self.step(step).with, &scope).map_err(|e| refused("`with`", &e));
        let request = rendered.and_then(|with| read_request(&with));
        let request = match request {
            Ok(request) => request,
            Err(error) => return self.fail(step, error),
        };
        let until = request.timeout.map(|limit| later(self.stamp().at, limit.duration()));
        let (id, asked) = (step.clone(), request.clone());
        self.stage(Event::ApprovalRequested { step: id, request: asked, until })?;
        let question = self.question(step, request, until);
        self.batch.then.push(Then::Ask(question));
        Ok(())
    }

    fn question(
        &self,
        step: &StepId,
        request: approval::Request,
        until: Option<Timestamp>,
    ) -> Question {
        Question { run: self.created.run, step: step.clone(), request, until, refused: None }
    }

    /// Puts the questions again that an earlier process left open.
    pub(super) fn ask_again(&mut self) {
        let open = |(plan, state): (&PlanStep, &model::run::step_state::StepState)| {
            let Phase::Waiting(asked) = &state.phase else { return None };
            Some(self.question(&plan.id, asked.request.clone(), asked.until))
        };
        let questions: Vec<Question> = self.state.steps().filter_map(open).collect();
        self.batch.then.extend(questions.into_iter().map(Then::Ask));
    }

    /// Puts the question again when more than one approval is needed.
    pub(super) fn ask_for_more(&mut self, step: &StepId) {
        if let Some(asked) = self.state.question(step).filter(|asked| asked.is_open()) {
            let question = self.question(step, asked.request.clone(), asked.until);
            self.batch.then.push(Then::Ask(question));
        }
    }

    /// Puts a question to whoever is there.
    pub(super) fn ask(&mut self, mut question: Question) {
        let Some(approver) = self.parts.approver.clone() else { return };
        let starter = self.created.starter.clone();
        self.asking += 1;
        self.tasks.spawn(async move {
            for _ in 0..REFUSALS {
                let answer = approver.ask(&question).await;
                let refusal = answer.as_ref().and_then(|a| question.request.refuses(a, &starter));
                if refusal.is_none() {
                    return Heard::Answered(question.step, answer);
                }
                question.refused = refusal;
            }
            Heard::Answered(question.step, None)
        });
    }
}

fn read_request(with: &Value) -> Result<approval::Request, StepError> {
    node_de::read(&model::node::Node::from_json(with)).map_err(|error| {
        StepError::permanent("RB0401", format!("the question is not valid: {error}"))
    })
}
