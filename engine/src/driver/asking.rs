//! Questions to people: put, put again after a resume, answered, closed.

use model::approval::{Answer, plan_digest};
use model::ids::StepId;
use model::run::decide::later;
use model::run::event::Event;

use crate::driver::{Driver, Heard, Question, Then};
use crate::error::EngineError;
use crate::staffing;

/// Answers that do not count, before a question is left to others.
const REFUSALS: usize = 3;

impl Driver {
    pub(super) fn put_question(&mut self, step: &StepId) -> Result<(), EngineError> {
        let scope = self.scope_of(step);
        if !self.admitted(step, &scope)? {
            return Ok(());
        }
        let request = staffing::request(&self.step(step), &scope).and_then(|request| {
            staffing::staffed(step, &request, &self.created)?;
            Ok(request)
        });
        let request = match request {
            Ok(request) => request,
            Err(error) => return self.fail(step, error),
        };
        let until = request.timeout.map(|limit| later(self.stamp().at, limit.duration()));
        let (id, plan) = (step.clone(), Some(plan_digest(&self.created.plan)));
        self.stage(Event::ApprovalRequested { step: id, request, until, plan })?;
        self.ask_anew(step);
        Ok(())
    }

    /// Puts the questions again that an earlier process left open.
    pub(super) fn ask_again(&mut self) {
        let waiting: Vec<StepId> = self.state.waiting().map(|step| step.id.clone()).collect();
        for step in &waiting {
            self.ask_anew(step);
        }
    }

    /// Puts a question, in place of what was asked about it before.
    pub(super) fn ask_anew(&mut self, step: &StepId) {
        if let Some(asking) = self.asking.remove(step) {
            asking.abort();
        }
        let Some(asked) = self.state.question(step).filter(|asked| asked.is_open()) else { return };
        let (created, asked) = (self.created.clone(), asked.clone());
        let (step, refused, refusals) = (step.clone(), None, 0);
        self.batch.then.push(Then::Ask(Question { created, step, asked, refused, refusals }));
    }

    /// Puts a question to whoever is there.
    pub(super) fn ask(&mut self, question: Question) {
        let Some(approver) = self.parts.approver.clone() else { return };
        let step = question.step.clone();
        let asking = self.tasks.spawn(async move {
            let answer = approver.ask(&question).await;
            Heard::Answered(Box::new(question), answer)
        });
        self.asking.insert(step, asking);
    }

    /// Takes the answer of whoever is there; one that does not count is asked for again.
    pub(super) fn answered(&mut self, mut question: Question, answer: Option<Answer>) {
        self.asking.remove(&question.step);
        let (Some(answer), at) = (answer, self.stamp().at) else { return };
        let step = question.step.clone();
        let Some(asked) = self.state.asked(&step) else { return };
        if let Some(refusal) = asked.refusal(at, &answer) {
            question.asked = asked.question.clone();
            (question.refused, question.refusals) = (Some(refusal), question.refusals + 1);
            if question.refusals < REFUSALS {
                self.batch.then.push(Then::Ask(question));
            }
            return;
        }
        if self.stage_if_legal(Event::ApprovalAnswered { step: step.clone(), answer }) {
            self.ask_anew(&step);
        }
    }

    /// Stops asking what is not open any more.
    pub(super) fn stop_asking(&mut self) {
        let state = &self.state;
        self.asking.retain(|step, asking| {
            let open = state.question(step).is_some();
            if !open {
                asking.abort();
            }
            open
        });
    }
}
