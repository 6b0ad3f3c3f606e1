//! The resolved plan: what a run does, frozen. It is the first record of the journal, so that a
//! resume needs nothing else; it never holds a secret.

mod conduct;
mod source;
mod step;
mod target;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::effect::{Effect, Repeat};
use crate::footprint::Footprint;
use crate::ids::StepId;
use crate::units::Span;

pub use conduct::{
    Concurrency, Contact, Group, OnConflict, Overlap, Review, Rollback, Schedule, ScheduledMode,
};
pub use source::{ManagedSecret, Parameter};
pub use step::{Item, LeftOut, Milestone, Occasion, PlanStep, Retry, Role};
pub use target::{Aws, Connection, Decrypt, Encrypt, LockMode, ObjectLock, SecretSource, Store};

/// The version of the plan's form in the journal.
pub const PLAN_VERSION: u32 = 1;

/// The most steps that run at once when a runbook does not say.
pub const MAX_PARALLEL: usize = 4;

/// The id that a run has while a runbook is checked.
pub const SAMPLE_RUN: &str = "01JD0000000000000000000000";

/// When a run starts while a runbook is checked.
pub const SAMPLE_START: &str = "2026-01-01T00:00:00Z";

/// A checked runbook with its parameters, ready to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`PLAN_VERSION`] when written.
    pub version: u32,
    /// The runbook's `name`.
    pub name: String,
    /// The runbook's `description`.
    pub description: Option<String>,
    /// Who owns the runbook.
    pub owner: Option<String>,
    /// Free labels.
    pub labels: IndexMap<String, String>,
    /// Where the runbook was read from.
    pub source: Source,
    /// What the run is measured against.
    pub objectives: Objectives,
    /// Parameters, resolved.
    pub params: IndexMap<String, Value>,
    /// Vars as templates over `params`, `run` and earlier `vars`; rendered when the run starts.
    pub vars: IndexMap<String, Value>,
    /// Where each secret is read from; never its value.
    pub secrets: IndexMap<String, SecretSource>,
    /// Named PostgreSQL targets, templates unrendered.
    pub connections: IndexMap<String, Connection>,
    /// Named backup stores, templates unrendered.
    pub stores: IndexMap<String, Store>,
    /// At most so many steps run at once.
    pub max_parallel: usize,
    /// Runs beside which this one does not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// Whether finished steps are undone after a failure.
    #[serde(default, skip_serializing_if = "Rollback::is_never")]
    pub rollback: Rollback,
    /// Whom to call, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<Contact>,
    /// When the runbook is to be looked at again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<Review>,
    /// Regions in which steps may act; empty means any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_regions: Vec<String>,
    /// When runs start by themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedule: Vec<Schedule>,
    /// The steps that were written once with `foreach`, by their id there.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub groups: IndexMap<StepId, Group>,
    /// Runbooks that are part of this one, by the id of the step that includes them. Their
    /// secrets, connections and stores stand among those of the plan as `<id>.<name>`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub included: IndexMap<String, Included>,
    /// The steps in the order of the document; those of handlers and undos behind the others.
    pub steps: Vec<PlanStep>,
}

impl Plan {
    /// A plan with these steps and nothing else.
    pub fn new(name: impl Into<String>, steps: Vec<PlanStep>) -> Self {
        Self {
            version: PLAN_VERSION,
            name: name.into(),
            description: None,
            owner: None,
            labels: IndexMap::new(),
            source: Source { file: String::new(), sha256: String::new() },
            objectives: Objectives::default(),
            params: IndexMap::new(),
            vars: IndexMap::new(),
            secrets: IndexMap::new(),
            connections: IndexMap::new(),
            stores: IndexMap::new(),
            max_parallel: MAX_PARALLEL,
            concurrency: None,
            rollback: Rollback::Never,
            contacts: Vec::new(),
            review: None,
            allowed_regions: Vec::new(),
            schedule: Vec::new(),
            groups: IndexMap::new(),
            included: IndexMap::new(),
            steps,
        }
    }
}

impl Plan {
    /// With `rollback: ask`, adds the question whether finished steps are undone, a step of the
    /// role [`Role::Consent`] named `rollback`. Nothing to undo is nothing to ask.
    pub fn ask_before_undo(&mut self) {
        let undoes = self.steps.iter().any(|step| matches!(step.role, Role::Undo(_)));
        let asks = self.steps.iter().any(|step| step.role == Role::Consent);
        if self.rollback != Rollback::Ask || !undoes || asks {
            return;
        }
        let free = |id: &StepId| self.steps.iter().all(|step| step.id != *id);
        let numbered = (2..).map(|number| format!("rollback_{number}"));
        let names = std::iter::once("rollback".to_owned()).chain(numbered);
        let ids = names.map(|name| name.parse().expect("the name is a step id"));
        let id = ids.into_iter().find(free).expect("some name is free");
        let mut footprint = Footprint::new(Effect::Read, Repeat::Observable);
        footprint.waits_for_person = true;
        let prompt = format!("Undo the finished steps of `{}`, newest first?", self.name);
        self.steps.push(PlanStep {
            role: Role::Consent,
            with: serde_json::json!({"prompt": prompt, "allow_self": true}),
            ..PlanStep::new(id, "human.approve", footprint)
        });
    }
}

/// The name in a plan of something that a runbook declares: `failback.prod` for the `prod` of the
/// runbook that the step `failback` includes.
pub fn qualified(part: Option<&str>, name: &str) -> String {
    part.map_or_else(|| name.to_owned(), |part| format!("{part}.{name}"))
}

/// A runbook that is part of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Included {
    /// Where it was read from.
    pub source: Source,
    /// Its parameters, resolved.
    pub params: IndexMap<String, Value>,
    /// Its vars, rendered when the run starts; those of the run stand among its vars as
    /// `<id>.<name>`.
    pub vars: IndexMap<String, Value>,
}

/// The file a plan was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The path as given on the command line.
    pub file: String,
    /// SHA-256 of the file's bytes, lower-case hex.
    pub sha256: String,
}

/// Recovery objectives.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Objectives {
    /// Recovery time objective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rto: Option<Span>,
    /// Recovery point objective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo: Option<Span>,
}
