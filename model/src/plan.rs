//! The resolved plan: what a run does, frozen. It is the first record of the journal, so that a
//! resume needs nothing else; it never holds a secret.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::footprint::Footprint;
use crate::ids::StepId;
use crate::units::Span;

/// The version of the plan's form in the journal.
pub const PLAN_VERSION: u32 = 1;

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
    /// The steps in the order of the document.
    pub steps: Vec<PlanStep>,
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

/// Where a secret is read from, each time a step that uses it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretSource {
    /// An environment variable.
    Env(String),
    /// A file, one trailing newline removed.
    File(String),
    /// The standard output of a command, one trailing newline removed.
    Command(Vec<String>),
}

/// A named PostgreSQL target. Text fields may hold templates over params, vars, run and secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connection {
    /// `postgresql://...`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Host name, address, or the folder of a unix socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Port, as text because it may be a template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// Database name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dbname: Option<String>,
    /// Role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Password, a template over secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// libpq's `sslmode`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sslmode: Option<String>,
    /// A target that is not scratch. Default true.
    #[serde(default = "protected")]
    pub protected: bool,
}

fn protected() -> bool {
    true
}

/// A named backup store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// `file:///path`, a template over params, vars and run.
    pub url: String,
    /// The lowest proof level at which a set counts as proven. Default `identical`.
    #[serde(default = "min_proof")]
    pub min_proof: crate::proof::Level,
}

fn min_proof() -> crate::proof::Level {
    crate::proof::Level::Identical
}

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
    /// What the step touches, as far as known before the run.
    pub footprint: Footprint,
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
