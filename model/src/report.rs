//! What a run did and how long it took: a pure projection of its records.

mod build;
mod timing;

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::approval::{Answer, Escalation, Item};
use crate::ids::{RunId, StepId};
use crate::plan::{Role, Source};
use crate::run::event::{LogDigest, Mode, NotRun, Verdict};
use crate::run::stage::Reopening;
use crate::run::state::RunStatus;
use crate::run::step_state::{Skip, StepStatus};
use crate::step_error::StepError;

pub use build::report;

/// The report of a run. Durations are in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The run.
    pub run: RunId,
    /// The runbook's name.
    pub name: String,
    /// The runbook's description.
    pub description: Option<String>,
    /// Who owns the runbook.
    pub owner: Option<String>,
    /// Its labels.
    pub labels: IndexMap<String, String>,
    /// The file it was read from.
    pub source: Source,
    /// Its parameters.
    pub params: IndexMap<String, Value>,
    /// What the run was for.
    pub mode: Mode,
    /// The program's version.
    pub tool: String,
    /// The login that started it.
    pub starter: String,
    /// Where the run stands.
    pub status: RunStatus,
    /// The first step that failed.
    pub failed_step: Option<StepId>,
    /// Finished steps whose effect stands, where they were to be undone.
    pub left_standing: Vec<StepId>,
    /// Why it is paused.
    pub paused: Option<StepError>,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// When the incident happened, when somebody said so.
    pub incident_at: Option<Timestamp>,
    /// The machines it ran on, in order, each once.
    pub hosts: Vec<String>,
    /// Every takeover by another process.
    pub resumes: Vec<Resume>,
    /// What the preflight looked at.
    pub checks: Vec<String>,
    /// How long until the service was back.
    pub rto: Rto,
    /// How much was lost.
    pub rpo: Rpo,
    /// What was promised, and whether it was kept.
    pub objectives: Vec<Objective>,
    /// Time by phase, in the order of their first step; steps without a phase are not counted.
    pub phases: Vec<Phase>,
    /// The chain of steps that took the longest, first to last.
    pub critical_path: Vec<CriticalStep>,
    /// The steps in the order of the document.
    pub steps: Vec<Step>,
    /// What people were asked and answered.
    pub approvals: Vec<Approval>,
    /// What people said of steps in doubt.
    pub resolutions: Vec<Resolution>,
    /// What a person should know.
    pub warnings: Vec<Warning>,
    /// Records in the journal.
    pub records: u64,
}

/// A takeover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Resume {
    /// When.
    pub at: Timestamp,
    /// The login.
    pub by: String,
    /// The machine.
    pub host: String,
    /// What a run that had ended was opened again for.
    pub what: Option<Reopening>,
}

/// The time until the service was back, measured three ways.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rto {
    /// When it was back; nothing when it is not, or not yet.
    pub ended_at: Option<Timestamp>,
    /// The step that brought it back.
    pub ended_by: Option<StepId>,
    /// From the incident.
    pub from_incident_ms: Option<i64>,
    /// From the start of the run.
    pub from_start_ms: Option<i64>,
    /// From the start, without the time in which only people were waited for.
    pub machine_ms: Option<i64>,
    /// The time in which only people were waited for, until then or until now.
    pub people_ms: i64,
}

/// How much was lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rpo {
    /// The last `recovery_point` that a step reported until the service was back.
    pub recovery_point: Option<Timestamp>,
    /// The step that reported it.
    pub reported_by: Option<StepId>,
    /// From there to the incident; unknown without either.
    pub loss_ms: Option<i64>,
}

/// A promise and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Objective {
    /// `rto` or `rpo`.
    pub name: &'static str,
    /// What was promised.
    pub target_ms: i64,
    /// What was measured: for `rto` from the incident when it is known, else from the start.
    pub actual_ms: Option<i64>,
    /// Whether it was kept; unknown when nothing was measured.
    pub met: Option<bool>,
}

/// A phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// When its first step began.
    pub started_at: Timestamp,
    /// When its last step ended.
    pub ended_at: Timestamp,
    /// The time in which at least one of its steps was at work or waited for a person.
    pub busy_ms: i64,
}

/// A step on the critical path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CriticalStep {
    /// The step.
    pub step: StepId,
    /// From its begin to its end.
    pub ms: i64,
    /// Between the end of the step before it (or the start of the run) and its begin.
    pub waited_ms: i64,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// Its id.
    pub id: StepId,
    /// Its name for people.
    pub name: Option<String>,
    /// Its phase.
    pub phase: Option<String>,
    /// Its kind.
    pub uses: String,
    /// What it is part of.
    pub role: Role,
    /// Where it stands.
    pub status: StepStatus,
    /// Why it was skipped.
    pub skipped: Option<Skip>,
    /// Why it did not run.
    pub not_run: Option<NotRun>,
    /// When it began: its first attempt, or its question.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// From its begin to its end.
    pub ms: Option<i64>,
    /// Its attempts.
    pub attempts: Vec<Attempt>,
    /// Success was observed after an attempt had ended without an answer.
    pub adopted: bool,
    /// The error it ended with, or is in doubt with.
    pub error: Option<StepError>,
    /// Its output.
    pub output: Option<Value>,
}

/// An attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// Its number, from 1.
    pub attempt: u32,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended; nothing while it runs, and when its process died.
    pub ended_at: Option<Timestamp>,
    /// How it ended: `succeeded`, `failed`, `timed_out`, `stalled`.
    pub end: Option<&'static str>,
    /// The error it ended with.
    pub error: Option<StepError>,
    /// Its log.
    pub log: Option<LogDigest>,
}

/// A question and its answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Approval {
    /// The step.
    pub step: StepId,
    /// What was asked.
    pub prompt: String,
    /// When.
    pub asked_at: Timestamp,
    /// The items of a checklist, in order.
    pub items: Vec<Item>,
    /// The answers, and when they came. One that is signed was verified again: a journal with a
    /// signature that does not hold tells no run.
    pub answers: Vec<(Timestamp, Answer)>,
    /// Nobody answered in time, and others were called.
    pub escalations: Vec<Escalation>,
}

/// What a person said of a step in doubt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Resolution {
    /// The step.
    pub step: StepId,
    /// When.
    pub at: Timestamp,
    /// What they said.
    pub verdict: Verdict,
    /// Who.
    pub by: String,
    /// Why they believed so.
    pub reason: String,
}

/// Something a person should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// When.
    pub at: Timestamp,
    /// Its code.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// The step it concerns.
    pub step: Option<StepId>,
}

#[cfg(test)]
mod tests;
