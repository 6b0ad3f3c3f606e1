//! What is known of one step of a run.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::approval::Question;
use crate::plan::LeftOut;
use crate::run::event::{AttemptEnd, Fact, NotRun, Seen};
use crate::step_error::StepError;

/// Where a step stands, with what the next decision needs.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// Its stage has not come: undo, or a handler.
    Dormant,
    /// It needs steps that are not done.
    Pending,
    /// It may start.
    Ready,
    /// A person is asked.
    Waiting(Box<Question>),
    /// An attempt runs.
    Running,
    /// An attempt ended, or was looked at; what follows is decided next.
    Undecided(Option<Seen>),
    /// The attempt's effect is to be looked for at that time.
    LookDue(Timestamp),
    /// The attempt's effect is looked for now.
    Looking,
    /// The next attempt may start at that time.
    Retrying(Timestamp),
    /// Done.
    Succeeded,
    /// Failed for good.
    Failed,
    /// Out of time, and no attempt left.
    TimedOut,
    /// It was left out; `skip` of its state says why.
    Skipped,
    /// It was done, and its effect was taken back.
    Undone,
    /// A person must say whether it happened.
    InDoubt,
    /// It was started, and a cancellation of the run stopped it.
    Stopped,
    /// It will not start.
    NotRun(NotRun),
}

/// The word for where a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// It needs steps that are not done.
    Pending,
    /// It may start.
    Ready,
    /// A person is asked.
    Waiting,
    /// An attempt runs, or its effect is looked for.
    Running,
    /// The next attempt waits for its time.
    Retrying,
    /// Done.
    Succeeded,
    /// Failed for good, or stopped by a cancellation after it was started.
    Failed,
    /// Out of time, and no attempt left.
    TimedOut,
    /// Its `if` did not hold, the run leaves it out, or a person skipped it.
    Skipped,
    /// It was done, and its effect was taken back.
    Undone,
    /// A person must say whether it happened.
    InDoubt,
    /// It was never started, and will not be.
    NotRun,
}

/// Why a step was skipped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Skip {
    /// Its `if` did not hold.
    Condition,
    /// The run leaves it out.
    LeftOut(LeftOut),
    /// Somebody, or the run itself, decided so.
    Decided {
        /// Who; nothing when the run itself did.
        by: Option<String>,
        /// Why.
        reason: String,
    },
}

/// One step of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct StepState {
    /// Where it stands.
    pub phase: Phase,
    /// The last attempt that was started; 0 before the first.
    pub attempt: u32,
    /// Retries that count against `retry.limit`: not those after a crash or by a person's word.
    pub retries: u32,
    /// When the first attempt started; `deadline` counts from here.
    pub first_started: Option<Timestamp>,
    /// How the current attempt ended; nothing while it runs, and when its process died.
    pub end: Option<AttemptEnd>,
    /// Looks at the current attempt that saw it in progress or failed.
    pub looks: u32,
    /// What was learnt in the middle, all attempts, oldest first.
    pub facts: Vec<Fact>,
    /// What later steps may reference.
    pub output: Option<Value>,
    /// The error it ended with, or is in doubt with.
    pub error: Option<StepError>,
    /// Why it was skipped.
    pub skip: Option<Skip>,
    /// What it asked people, when that is closed.
    pub asked: Option<Box<Question>>,
    /// Steps it still waits for.
    pub(super) unmet: usize,
    /// Its place among the steps that have ended, from 1.
    pub(super) ended: usize,
    /// When the running attempt is to be called slow.
    pub(super) slow_at: Option<Timestamp>,
    /// What the sets hold it under.
    pub(super) due: Option<Timestamp>,
}

impl StepState {
    pub(super) fn new(phase: Phase, unmet: usize) -> Self {
        Self {
            phase,
            attempt: 0,
            retries: 0,
            first_started: None,
            end: None,
            looks: 0,
            facts: Vec::new(),
            output: None,
            error: None,
            skip: None,
            asked: None,
            unmet,
            ended: 0,
            slow_at: None,
            due: None,
        }
    }

    /// Forgets how it ended, so that it may run again; attempts go on counting, facts are kept.
    pub(super) fn forget(&mut self, unmet: usize) {
        (self.retries, self.looks, self.unmet) = (0, 0, unmet);
        (self.first_started, self.end, self.skip) = (None, None, None);
        (self.output, self.error) = (None, None);
    }

    /// The word for where it stands.
    pub fn status(&self) -> StepStatus {
        match self.phase {
            Phase::Dormant | Phase::Pending => StepStatus::Pending,
            Phase::Ready => StepStatus::Ready,
            Phase::Waiting(_) => StepStatus::Waiting,
            Phase::Running | Phase::Undecided(_) | Phase::LookDue(_) | Phase::Looking => {
                StepStatus::Running
            }
            Phase::Undone => StepStatus::Undone,
            Phase::Retrying(_) => StepStatus::Retrying,
            Phase::Succeeded => StepStatus::Succeeded,
            Phase::Failed | Phase::Stopped => StepStatus::Failed,
            Phase::TimedOut => StepStatus::TimedOut,
            Phase::Skipped => StepStatus::Skipped,
            Phase::InDoubt => StepStatus::InDoubt,
            Phase::NotRun(_) => StepStatus::NotRun,
        }
    }

    /// A step of undo or of a handler that nothing has called for.
    pub fn is_uncalled(&self) -> bool {
        matches!(self.phase, Phase::Dormant | Phase::NotRun(NotRun::NotNeeded))
    }

    /// What it asks people now, or asked them.
    pub fn question(&self) -> Option<&Question> {
        match &self.phase {
            Phase::Waiting(question) => Some(question),
            _ => self.asked.as_deref(),
        }
    }

    /// The newest fact of that name.
    pub fn fact(&self, name: &str) -> Option<&Value> {
        self.facts.iter().rev().find(|fact| fact.name == name).map(|fact| &fact.data)
    }
}

impl Phase {
    /// Nothing more happens to the step.
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Succeeded
                | Self::Failed
                | Self::TimedOut
                | Self::Skipped
                | Self::Undone
                | Self::Stopped
                | Self::NotRun(_)
        )
    }

    /// It does not hold the end of its stage up.
    pub(super) fn is_closed(&self) -> bool {
        self.is_final() || *self == Self::Dormant
    }

    /// An attempt runs or is looked at.
    pub(super) fn is_running(&self) -> bool {
        matches!(self, Self::Running | Self::Looking | Self::LookDue(_))
    }

    /// A finished run that is opened again for what failed runs the step again.
    pub(super) fn may_run_again(&self) -> bool {
        matches!(
            self,
            Self::Failed | Self::TimedOut | Self::Stopped | Self::Undone | Self::NotRun(_)
        )
    }

    /// Steps that need it may start.
    pub(super) fn satisfies(&self) -> bool {
        matches!(self, Self::Succeeded | Self::Skipped)
    }

    /// Not begun in the sense that a stop of the run ends it without an attempt to settle.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self, Self::Pending | Self::Ready | Self::Waiting(_))
    }

    /// When something is due, if it is a matter of time.
    pub(super) fn due(&self) -> Option<Timestamp> {
        match self {
            Self::LookDue(at) | Self::Retrying(at) => Some(*at),
            Self::Waiting(question) => question.until,
            _ => None,
        }
    }
}
