//! What the outside brings to a run: someone who answers, someone who watches, someone who stops.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use model::approval::{self, Answer, Asked, Refusal};
use model::ids::{RunId, StepId};
use model::journal::Record;
use model::run::event::RunCreated;
use model::run::state::RunState;

use crate::context::Progress;

/// A question to a person.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The run.
    pub created: Arc<RunCreated>,
    /// The step.
    pub step: StepId,
    /// What is asked, and what has been answered.
    pub asked: approval::Question,
    /// Why the answer before did not count.
    pub refused: Option<Refusal>,
    /// How many answers in a row did not count.
    pub refusals: usize,
}

impl Question {
    /// The question with all that decides who may answer it.
    pub fn context(&self) -> Asked<'_> {
        Asked {
            run: self.created.run,
            step: &self.step,
            starter: &self.created.starter,
            people: self.created.approvers.as_ref(),
            question: &self.asked,
        }
    }
}

/// An answer to come.
pub type AnswerFuture<'a> = Pin<Box<dyn Future<Output = Option<Answer>> + Send + 'a>>;

/// Answers questions: a terminal, or nobody.
pub trait Approver: Send + Sync {
    /// Asks; nothing when no answer can be had here. After three answers that do not count the
    /// question stays open for others. Dropped when the question is closed or has changed.
    fn ask<'a>(&'a self, question: &'a Question) -> AnswerFuture<'a>;

    /// Lets the person choose how it goes on after a Ctrl-C; nothing when no choice can be had
    /// here, which cancels the run.
    fn choose<'a>(&'a self, offer: &'a Offer) -> ChoiceFuture<'a> {
        let _ = offer;
        Box::pin(std::future::ready(None))
    }
}

/// Put to the person at the terminal who wanted the run to stop, when the steps have ended that
/// cannot be taken back. Nothing starts meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The run.
    pub run: RunId,
    /// The steps that were waited for.
    pub ended: Vec<StepId>,
}

/// What that person may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The run goes on as if nobody had said anything.
    GoOn,
    /// The run stays as it is; `runbook resume` goes on.
    Pause,
    /// The run is cancelled.
    Cancel,
}

/// A choice to come.
pub type ChoiceFuture<'a> = Pin<Box<dyn Future<Output = Option<Choice>> + Send + 'a>>;

/// Sees a run; cannot change it.
pub trait Observer: Send {
    /// A record is durable; `state` is the state after its whole batch.
    fn event(&mut self, record: &Record, state: &RunState);
    /// A step shows progress.
    fn progress(&mut self, step: &StepId, progress: &Progress) {
        let _ = (step, progress);
    }
    /// The run has not begun: it waits for another one of its concurrency group. Told every few
    /// seconds.
    fn queued(&mut self, group: &str, behind: &str) {
        let _ = (group, behind);
    }
}

/// A cancellation from this process: a signal, a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelWish {
    /// Who wants it.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
    /// Stop also what cannot be taken back.
    pub force: bool,
    /// They are at the terminal: when a step runs that cannot be taken back, its end is awaited,
    /// and then they choose how it goes on.
    pub offer: bool,
}
