//! What happened in a run: one record of the journal each. `docs/formats/journal.md` is the
//! reference for people; names and fields are frozen.

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::approval::{Answer, People, Request};
use crate::ids::{RunId, StepId};
use crate::plan::{Contact, LeftOut, Occasion, Plan};
use crate::run::stage::{Reopening, UndoCause, WaitCause};
use crate::step_error::StepError;
use crate::units::Span;

/// One thing that happened. The record carries the name as `type` and the fields as `data`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// The first record: everything a resume needs.
    RunCreated(Box<RunCreated>),
    /// Another process took the run over. What was running is observed before anything else.
    RunResumed {
        /// Counted up from 1, the epoch of the first process; the record's own epoch.
        epoch: u32,
        /// The login that resumed.
        by: String,
    },
    /// Everything the plan needs was found.
    PreflightPassed {
        /// What was looked at, in words.
        checks: Vec<String>,
    },
    /// An attempt begins. Durable before its effect.
    StepStarted {
        /// The step.
        step: StepId,
        /// The attempt, from 1.
        attempt: u32,
    },
    /// Something learnt in the middle of a step. Durable before the effect it announces.
    StepFact {
        /// The step.
        step: StepId,
        /// The attempt.
        attempt: u32,
        /// The fact.
        fact: Fact,
    },
    /// An attempt ended without success; what follows from it is decided next.
    StepAttemptEnded {
        /// The step.
        step: StepId,
        /// The attempt.
        attempt: u32,
        /// How it ended.
        end: AttemptEnd,
        /// Its log.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        log: Option<LogDigest>,
    },
    /// A read-only look for the completion mark of an attempt begins.
    StepObserving {
        /// The step.
        step: StepId,
        /// The attempt.
        attempt: u32,
    },
    /// What the look found.
    StepObserved {
        /// The step.
        step: StepId,
        /// The attempt.
        attempt: u32,
        /// What was seen.
        seen: Seen,
    },
    /// The attempt had no effect and there will be another one.
    StepRetryScheduled {
        /// The step.
        step: StepId,
        /// The attempt that had no effect.
        attempt: u32,
        /// When the next attempt may start; jitter is included and never drawn again.
        at: Timestamp,
    },
    /// The step is done.
    StepSucceeded {
        /// The step.
        step: StepId,
        /// The attempt.
        attempt: u32,
        /// What later steps may reference.
        output: Value,
        /// Success was observed after the attempt had ended without an answer.
        #[serde(default, skip_serializing_if = "is_false")]
        adopted: bool,
        /// Its log.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        log: Option<LogDigest>,
    },
    /// The step failed for good.
    StepFailed {
        /// The step.
        step: StepId,
        /// The last attempt; 0 when none was started.
        attempt: u32,
        /// Why.
        error: StepError,
    },
    /// The step ran out of time, and no attempt is left.
    StepTimedOut {
        /// The step.
        step: StepId,
        /// The last attempt; 0 when none was started.
        attempt: u32,
        /// Which limit it was.
        error: StepError,
    },
    /// Nothing can tell whether the attempt happened: a person must say.
    StepInDoubt {
        /// The step.
        step: StepId,
        /// The attempt.
        attempt: u32,
        /// What is known.
        error: StepError,
    },
    /// A person said whether an attempt in doubt happened.
    StepResolved {
        /// The step.
        step: StepId,
        /// The attempt.
        attempt: u32,
        /// What they said.
        verdict: Verdict,
        /// Who.
        by: String,
        /// Why they believe so.
        reason: String,
        /// The output, when applied and known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<Value>,
    },
    /// The step is left out; without a reason, because its `if` did not hold.
    StepSkipped {
        /// The step.
        step: StepId,
        /// The run leaves it out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        left_out: Option<LeftOut>,
        /// Who skipped it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
        /// Why it was skipped.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The attempt takes longer than the step's `slow_after`; it goes on.
    StepSlow {
        /// The step.
        step: StepId,
        /// The attempt.
        attempt: u32,
        /// The limit.
        after: Span,
    },
    /// The step will not start (again) in this run.
    StepNotRun {
        /// The step.
        step: StepId,
        /// Why.
        reason: NotRun,
    },
    /// A started attempt was stopped by a cancellation; its effect was not found done.
    StepCancelled {
        /// The step.
        step: StepId,
        /// The attempt.
        attempt: u32,
    },
    /// A person is asked.
    ApprovalRequested {
        /// The step.
        step: StepId,
        /// The question.
        request: Request,
        /// When the question closes, or is escalated.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
        /// SHA-256 of the plan, which signatures bind. With it, every answer is checked again
        /// by whoever reads the journal.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        plan: Option<String>,
    },
    /// Nobody answered in time: others are called, and the question stays open.
    ApprovalEscalated {
        /// The step.
        step: StepId,
        /// Whom to call.
        contacts: Vec<Contact>,
        /// When their time ends.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
        /// Whoever is there may answer now, with a reason.
        #[serde(default, skip_serializing_if = "is_false")]
        break_glass: bool,
    },
    /// A person answered.
    ApprovalAnswered {
        /// The step.
        step: StepId,
        /// The answer.
        answer: Answer,
    },
    /// The run is to stop.
    CancelRequested {
        /// Who wants it.
        by: String,
        /// Why, in their words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// Running steps that cannot be taken back are stopped too.
        #[serde(default, skip_serializing_if = "is_false")]
        force: bool,
    },
    /// No step starts until the run is resumed.
    RunPaused {
        /// The step that cannot go on, which then waits for its next attempt.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<StepId>,
        /// Why, and what a person must do.
        error: StepError,
    },
    /// Somebody at the terminal wants the run to stop while a step runs that cannot be taken back:
    /// nothing starts until they have chosen.
    RunHeld {
        /// Who.
        by: String,
    },
    /// Somebody at the terminal lets the run go on that was held.
    RunContinued {
        /// Who.
        by: String,
    },
    /// Finished steps are undone, in this order.
    UndoStarted {
        /// Why.
        cause: UndoCause,
        /// The steps whose effect is taken back, newest first.
        steps: Vec<StepId>,
    },
    /// The steps of a handler begin.
    HandlersStarted {
        /// Which handler.
        on: Occasion,
        /// For `waiting`: what is waited for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<WaitCause>,
        /// For `waiting`: the step that waits.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<StepId>,
        /// For `waiting`: what is asked, or why it waits.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The machine slept, the clock was set, or the process was stopped.
    ClockJumped {
        /// What happened.
        how: ClockJump,
        /// By how many milliseconds; negative when the clock was set back.
        ms: i64,
    },
    /// The run holds its concurrency group.
    GroupTaken {
        /// The group.
        group: String,
        /// The open run that held it before, whose process had died.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<RunId>,
    },
    /// Another run took the group over, because the process of this one had died.
    GroupLost {
        /// The group.
        group: String,
        /// The run that holds it now.
        to: RunId,
    },
    /// A finished run is opened again by a person.
    RunReopened {
        /// Counted up as by `run_resumed`.
        epoch: u32,
        /// The login.
        by: String,
        /// For what.
        what: Reopening,
    },
    /// The last record of a run, unless it is opened again.
    RunFinished {
        /// How it ended.
        status: FinalStatus,
        /// The first step that failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failed_step: Option<StepId>,
    },
    /// The last record had been written in part; it was cut and kept aside.
    JournalRepaired {
        /// Bytes cut.
        cut_bytes: u64,
        /// The file beside the journal that keeps them.
        kept_as: String,
    },
    /// Something a person should know that changes nothing in the run.
    Warning {
        /// Stable code with a page.
        code: String,
        /// What is wrong.
        message: String,
        /// The step it concerns.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<StepId>,
    },
}

/// How a run began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunCreated {
    /// The run's id.
    pub run: RunId,
    /// The version of the tool that wrote it.
    pub tool: String,
    /// What the run is for.
    pub mode: Mode,
    /// The login that started it; nobody has proved it.
    pub starter: String,
    /// `run.started_at`, and the source of `run.stamp`.
    pub started_at: Timestamp,
    /// When the incident happened, when somebody said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident_at: Option<Timestamp>,
    /// No person was there when it began: what a person would put right fails its step, so that
    /// the steps that tell of failures run, where otherwise the run would pause.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unattended: bool,
    /// The people whom the run knows, as they were when it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvers: Option<People>,
    /// The plan's vars, rendered.
    pub vars: IndexMap<String, Value>,
    /// What is to be done.
    pub plan: Plan,
}

/// What a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It acts.
    Live,
    /// It acts, with the parameters and the replaced steps of `drill`.
    Drill,
    /// It only shows what it would do.
    Plan,
}

/// Something learnt in the middle of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    /// What kind of fact: `set`, `child`, `database`.
    pub name: String,
    /// The fact.
    pub data: Value,
}

/// How an attempt ended without success.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case", deny_unknown_fields)]
pub enum AttemptEnd {
    /// The step reported an error.
    Failed {
        /// The error.
        error: StepError,
    },
    /// It took longer than `timeout`, or than what `deadline` left.
    TimedOut {
        /// The limit.
        limit: Span,
    },
    /// It made no progress for `stall_timeout`.
    Stalled {
        /// The limit.
        limit: Span,
    },
}

/// What an observation saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case", deny_unknown_fields)]
pub enum Seen {
    /// It was not found done, and may be repeated: nothing happened, or the step is idempotent.
    NotDone,
    /// It is still happening.
    InProgress,
    /// It happened.
    Done {
        /// What the step would have returned.
        output: Value,
    },
    /// Nothing can tell.
    Unknown,
    /// The look itself failed; transient failures are looked at again a few times.
    Failed {
        /// Why.
        error: StepError,
    },
}

/// What a person says of an attempt in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It happened: the step counts as succeeded.
    Applied,
    /// It did not happen: the next attempt may start.
    NotApplied,
}

/// Why a step will not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotRun {
    /// Another step failed before.
    RunFailed,
    /// The run was cancelled.
    Cancelled,
    /// An undo step failed before.
    UndoFailed,
    /// The run ended without a need for it.
    NotNeeded,
}

/// What made the clock jump.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockJump {
    /// The machine was suspended.
    Slept,
    /// The wall clock was set.
    Set,
    /// The process was stopped, or got no time.
    Stopped,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinalStatus {
    /// Every step succeeded or was skipped.
    Succeeded,
    /// The same, and something is to be looked at.
    SucceededWithWarnings,
    /// A step failed.
    Failed,
    /// It was cancelled before its end.
    Cancelled,
}

/// The fingerprint of a step's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogDigest {
    /// The file below the run's folder.
    pub file: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256, lower-case hex.
    pub sha256: String,
    /// The step wrote more than the log may hold.
    #[serde(default, skip_serializing_if = "is_false")]
    pub truncated: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl Event {
    /// The step it is about.
    pub fn step(&self) -> Option<&StepId> {
        match self {
            Self::StepStarted { step, .. }
            | Self::StepFact { step, .. }
            | Self::StepAttemptEnded { step, .. }
            | Self::StepObserving { step, .. }
            | Self::StepObserved { step, .. }
            | Self::StepRetryScheduled { step, .. }
            | Self::StepSucceeded { step, .. }
            | Self::StepFailed { step, .. }
            | Self::StepTimedOut { step, .. }
            | Self::StepInDoubt { step, .. }
            | Self::StepResolved { step, .. }
            | Self::StepSkipped { step, .. }
            | Self::StepSlow { step, .. }
            | Self::StepNotRun { step, .. }
            | Self::StepCancelled { step, .. }
            | Self::ApprovalRequested { step, .. }
            | Self::ApprovalEscalated { step, .. }
            | Self::ApprovalAnswered { step, .. } => Some(step),
            Self::RunPaused { step, .. } | Self::Warning { step, .. } => step.as_ref(),
            Self::RunCreated(_)
            | Self::RunResumed { .. }
            | Self::PreflightPassed { .. }
            | Self::CancelRequested { .. }
            | Self::RunHeld { .. }
            | Self::RunContinued { .. }
            | Self::UndoStarted { .. }
            | Self::HandlersStarted { .. }
            | Self::ClockJumped { .. }
            | Self::GroupTaken { .. }
            | Self::GroupLost { .. }
            | Self::RunReopened { .. }
            | Self::RunFinished { .. }
            | Self::JournalRepaired { .. } => None,
        }
    }
}
