//! The steps of a plan.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::footprint::Footprint;
use crate::ids::StepId;
use crate::units::Span;

/// One step of the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanStep {
    /// Unique in the plan.
    pub id: StepId,
    /// For people; the id when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// RTO is broken down by phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// The kind: `pg.dump`.
    pub uses: String,
    /// The kind's version when the plan was made.
    pub kind_version: u32,
    /// The input, templates unrendered.
    pub with: Value,
    /// Every step this one runs after: written, implied by order, or by a reference.
    pub needs: Vec<StepId>,
    /// Steps whose outputs or results `with` and `if` refer to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<StepId>,
    /// Secrets that `with` refers to, also through connections.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// The `if` expression.
    #[serde(default, rename = "if", skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Automatic retries of transient failures.
    pub retry: Retry,
    /// Per attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// No progress for so long ends the attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stall_timeout: Option<Span>,
    /// Over all attempts, from the first start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Span>,
    /// RTO stops when this step has succeeded.
    #[serde(default)]
    pub restores_service: bool,
    /// What it is part of.
    #[serde(default, skip_serializing_if = "Role::is_main")]
    pub role: Role,
    /// Why it is left out of this run: it is skipped, whatever its `if` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<LeftOut>,
    /// Its failure lets the steps after it run and ends the run with warnings.
    #[serde(default, skip_serializing_if = "is_false")]
    pub continue_on_failure: bool,
    /// An attempt that takes longer is warned of, once; it changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_after: Option<Span>,
    /// An objective inside the run, reached when this step has succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub milestone: Option<Milestone>,
    /// The included runbook whose names its templates read: a key of [`super::Plan::included`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The item of a `foreach` that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<Item>,
    /// What the step touches, as far as known before the run.
    pub footprint: Footprint,
}

impl PlanStep {
    /// A step of the main part that waits for nothing and is never retried.
    pub fn new(id: StepId, uses: impl Into<String>, footprint: Footprint) -> Self {
        Self {
            id,
            name: None,
            phase: None,
            uses: uses.into(),
            kind_version: 1,
            with: Value::Object(serde_json::Map::new()),
            needs: Vec::new(),
            references: Vec::new(),
            secrets: Vec::new(),
            condition: None,
            retry: Retry { limit: 0, ..Retry::default() },
            timeout: None,
            stall_timeout: None,
            deadline: None,
            restores_service: false,
            role: Role::Main,
            left_out: None,
            continue_on_failure: false,
            slow_after: None,
            milestone: None,
            scope: None,
            item: None,
            footprint,
        }
    }
}

/// What a step is part of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The steps of the runbook.
    #[default]
    Main,
    /// Takes the effect of a finished step back: `restore.undo`.
    Undo(StepId),
    /// Asks a person whether finished steps are undone: `rollback: ask`.
    Consent,
    /// Told when something happens to the run: `failure.alarm`.
    Handler(Occasion),
}

impl Role {
    /// One of the steps of the runbook.
    pub fn is_main(&self) -> bool {
        *self == Self::Main
    }
}

/// When the steps of a handler run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Occasion {
    /// The run succeeded, with or without warnings.
    Success,
    /// The run failed.
    Failure,
    /// The run was cancelled.
    Abort,
    /// Nothing goes on without a person: once per wait.
    Waiting,
    /// Last, however the run ended.
    Exit,
}

/// Why a step is left out of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftOut {
    /// `ungraceful: skip`, and the run is ungraceful.
    Ungraceful,
    /// `drill.skip` names it, and the run is a drill.
    Drill,
}

/// An objective inside a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Milestone {
    /// What has been reached.
    pub name: String,
    /// The time from the incident, else from the start of the run, to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rto: Option<Span>,
}

/// One item of a `foreach`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// The step as it is written: a key of [`super::Plan::groups`].
    pub group: StepId,
    /// The name that templates read it by.
    pub name: String,
    /// The item.
    pub value: Value,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// How transient failures are retried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Attempts after the first; 0 is no retry.
    pub limit: u32,
    /// Before the first retry.
    pub interval: Span,
    /// Each interval is the one before times this.
    pub backoff: f64,
    /// No interval is longer, before jitter.
    pub max_interval: Span,
    /// Each interval is lengthened or shortened by at most this share of it, 0.0 to 1.0.
    pub jitter: f64,
}

impl Default for Retry {
    /// Twice, after 2 s and 4 s, give or take a fifth.
    fn default() -> Self {
        let span = |seconds| Span::from(std::time::Duration::from_secs(seconds));
        Self { limit: 2, interval: span(2), backoff: 2.0, max_interval: span(60), jitter: 0.2 }
    }
}
