//! What is said of any new instance.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::context::StepContext;
use model::catalog::InputProblem;
use model::units::Span;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::aws::rds::{Copied, Tag};

/// The tags by which a step knows again what it made.
pub(crate) const RUN: &str = "runbook:run";
const STEP: &str = "runbook:step";

/// How a new instance is made. AWS would take defaults for the groups, which let in whom they like.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// The subnet group: the network it lies in.
    subnet_group: String,
    /// The security groups: who gets in.
    pub(super) security_groups: Vec<String>,
    /// The parameter group: the settings of PostgreSQL.
    parameter_group: String,
    /// The class: `db.r6g.large`. Without it, that of the source.
    #[serde(default)]
    class: Option<String>,
    /// Whether it gets a synchronous standby in another zone.
    #[serde(default)]
    multi_az: Option<bool>,
    /// Whether it has an address of the internet.
    #[serde(default)]
    publicly_accessible: bool,
    /// Whether it cannot be deleted until that is lifted.
    #[serde(default)]
    deletion_protection: bool,
    /// Tags besides those of the run.
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

impl Settings {
    pub(super) fn problems(&self) -> Vec<InputProblem> {
        if self.security_groups.is_empty() {
            return vec![InputProblem::at("settings", "`security_groups` names no group")];
        }
        Vec::new()
    }

    /// The part of a request that says it.
    pub(super) fn copied<'a>(&'a self, instance: &'a str, ctx: &StepContext) -> Copied<'a> {
        Copied {
            instance,
            class: self.class.as_deref(),
            subnet_group: &self.subnet_group,
            security_groups: &self.security_groups,
            parameter_group: &self.parameter_group,
            multi_az: self.multi_az,
            publicly_accessible: self.publicly_accessible,
            deletion_protection: self.deletion_protection,
            tags: tags(&self.tags, ctx),
        }
    }
}

/// The tags of what this step makes.
pub(super) fn tags(more: &BTreeMap<String, String>, ctx: &StepContext) -> Vec<Tag> {
    let tag = |key: &str, value: &str| Tag { key: key.to_owned(), value: value.to_owned() };
    let own = [tag(RUN, &ctx.id().run.to_string()), tag(STEP, ctx.id().step.as_str())];
    let more = more.iter().map(|(key, value)| tag(key, value));
    own.into_iter().chain(more).collect()
}

/// Whether this run made it.
pub(super) fn of_this_run(tags: &BTreeMap<String, String>, ctx: &StepContext) -> bool {
    tags.get(RUN).is_some_and(|run| *run == ctx.id().run.to_string())
}

/// Whether this step of this run made it.
pub(super) fn of_this_step(tags: &BTreeMap<String, String>, ctx: &StepContext) -> bool {
    let step = tags.get(STEP).is_some_and(|step| step == ctx.id().step.as_str());
    step && of_this_run(tags, ctx)
}

pub(super) fn two_minutes() -> Span {
    Duration::from_mins(2).into()
}

pub(super) fn two_hours() -> Span {
    Duration::from_hours(2).into()
}

pub(super) fn ten_seconds() -> Span {
    Duration::from_secs(10).into()
}
