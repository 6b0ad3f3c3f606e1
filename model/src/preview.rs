//! What a plan shows before a run: every input as far as it is known now.

use std::collections::HashMap;

use indexmap::IndexMap;
use serde::Serialize;
use serde_json::{Value, json};

use crate::footprint::Footprint;
use crate::ids::StepId;
use crate::plan::{
    Concurrency, Contact, Group, Included, Item, LeftOut, Milestone, Objectives, Plan, PlanStep,
    Retry, Review, Role, Rollback, Schedule, Source,
};
use crate::region::{Places, RegionUse};
use crate::template::{self, Reference, Template};
use crate::units::Span;

/// A plan as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Preview {
    /// The runbook's name.
    pub name: String,
    /// The runbook's description.
    pub description: Option<String>,
    /// Where it was read from.
    pub source: Source,
    /// What it is measured against.
    pub objectives: Objectives,
    /// Its parameters.
    pub params: IndexMap<String, Value>,
    /// At most so many steps run at once.
    pub max_parallel: usize,
    /// The runbooks that are part of it, by the id of the step that includes them.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub included: IndexMap<String, IncludedPreview>,
    /// The steps that were written once with `foreach`, by their id there.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub groups: IndexMap<StepId, Group>,
    /// Runs beside which this one does not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// Whether finished steps are undone after a failure.
    #[serde(skip_serializing_if = "Rollback::is_never")]
    pub rollback: Rollback,
    /// Whom to call, in this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<Contact>,
    /// When the runbook is to be looked at again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review: Option<Review>,
    /// Regions in which steps may act; empty means any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_regions: Vec<String>,
    /// When runs start by themselves.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub schedule: Vec<Schedule>,
    /// Its steps in the order of the document; those of handlers and undos behind the others.
    pub steps: Vec<StepPreview>,
}

/// An included runbook as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IncludedPreview {
    /// Where it was read from.
    pub source: Source,
    /// Its parameters.
    pub params: IndexMap<String, Value>,
}

/// A step as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepPreview {
    /// The step's id.
    pub id: String,
    /// The step's name for people.
    pub name: Option<String>,
    /// The phase it counts toward.
    pub phase: Option<String>,
    /// The step's kind.
    pub uses: String,
    /// What it runs after.
    pub after: Vec<String>,
    /// The item of a `foreach` that it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<Item>,
    /// The `if` expression.
    #[serde(rename = "if", skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Its input: templates rendered, or `(known after dump)`, `(known at the start)`, `(secret)`.
    pub with: Value,
    /// What it touches.
    pub footprint: Footprint,
    /// What it needs, and in which region.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<RegionUse>,
    /// Automatic retries.
    pub retry: Retry,
    /// Per attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// Over all attempts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Span>,
    /// RTO stops when this step has succeeded.
    pub restores_service: bool,
    /// What it is part of.
    #[serde(skip_serializing_if = "Role::is_main")]
    pub role: Role,
    /// Why it is left out of this run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_out: Option<LeftOut>,
    /// Its failure lets the steps after it run.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub continue_on_failure: bool,
    /// An attempt that takes longer is warned of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_after: Option<Span>,
    /// An objective inside the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub milestone: Option<Milestone>,
}

/// What is known before the run, to a plan and to those it includes.
struct Known {
    own: Value,
    of_parts: HashMap<String, Value>,
}

impl Known {
    fn new(plan: &Plan) -> Self {
        let of_part =
            |(id, part): (&String, &Included)| (id.clone(), known(plan, &part.params, &part.vars));
        let of_parts = plan.included.iter().map(of_part).collect();
        Self { own: known(plan, &plan.params, &plan.vars), of_parts }
    }

    fn of_part(&self, part: Option<&str>) -> &Value {
        part.and_then(|part| self.of_parts.get(part)).unwrap_or(&self.own)
    }

    /// What is known to whoever declared something of that name.
    fn of_declared(&self, name: &str) -> &Value {
        self.of_part(name.rsplit_once('.').map(|(part, _)| part))
    }
}

/// Where the connections, stores and secrets of a plan lie, as far as it tells.
pub fn places(plan: &Plan) -> Places {
    places_of(plan, &Known::new(plan))
}

fn places_of(plan: &Plan, known: &Known) -> Places {
    let mut places = Places::default();
    let fill = |name: &str, text: &str| {
        let filled = Template::parse(text).ok()?.render(&template::scope(known.of_declared(name)));
        filled.ok()?.as_str().map(str::to_owned)
    };
    for (name, declared) in &plan.connections {
        places.connection(name.clone(), declared, &|text| fill(name, text));
    }
    for (name, declared) in &plan.stores {
        places.store(name.clone(), declared, &|text| fill(name, text));
    }
    for (name, source) in &plan.secrets {
        places.secret(name.clone(), source, &|text| fill(name, text));
    }
    places
}

/// The preview of a plan. Pure: nothing is read but the plan.
pub fn preview(plan: &Plan) -> Preview {
    let known = Known::new(plan);
    let places = places_of(plan, &known);
    let included = |(id, part): (&String, &Included)| {
        let (source, params) = (part.source.clone(), part.params.clone());
        (id.clone(), IncludedPreview { source, params })
    };
    Preview {
        name: plan.name.clone(),
        description: plan.description.clone(),
        source: plan.source.clone(),
        objectives: plan.objectives.clone(),
        params: plan.params.clone(),
        max_parallel: plan.max_parallel,
        included: plan.included.iter().map(included).collect(),
        groups: plan.groups.clone(),
        concurrency: plan.concurrency.clone(),
        rollback: plan.rollback,
        contacts: plan.contacts.clone(),
        review: plan.review.clone(),
        allowed_regions: plan.allowed_regions.clone(),
        schedule: plan.schedule.clone(),
        steps: plan
            .steps
            .iter()
            .map(|step| preview_of(step, known.of_part(step.scope.as_deref()), &places))
            .collect(),
    }
}

/// What is known before the run to one part of the plan.
fn known(plan: &Plan, params: &IndexMap<String, Value>, vars: &IndexMap<String, Value>) -> Value {
    let mut known = json!({"params": params, "run": {"name": plan.name}});
    let vars = vars.iter().map(|(name, value)| (name.clone(), show(value, &known)));
    let vars: serde_json::Map<String, Value> = vars.collect();
    known["vars"] = Value::Object(vars);
    known
}

fn preview_of(step: &PlanStep, known: &Value, places: &Places) -> StepPreview {
    let Some(item) = &step.item else { return step_preview(step, known, places) };
    let mut known = known.clone();
    known[item.name.as_str()] = item.value.clone();
    step_preview(step, &known, places)
}

fn step_preview(step: &PlanStep, known: &Value, places: &Places) -> StepPreview {
    let with = show(&step.with, known);
    StepPreview {
        regions: places.needs(step, &with),
        id: step.id.to_string(),
        name: step.name.clone(),
        phase: step.phase.clone(),
        uses: step.uses.clone(),
        after: step.needs.iter().map(ToString::to_string).collect(),
        item: step.item.clone(),
        condition: step.condition.clone(),
        with,
        footprint: step.footprint.clone(),
        retry: step.retry.clone(),
        timeout: step.timeout,
        deadline: step.deadline,
        restores_service: step.restores_service,
        role: step.role.clone(),
        left_out: step.left_out,
        continue_on_failure: step.continue_on_failure,
        slow_after: step.slow_after,
        milestone: step.milestone.clone(),
    }
}

fn show(value: &Value, known: &Value) -> Value {
    match value {
        Value::String(text) if template::is_template(text) => show_text(text, known),
        Value::Array(items) => items.iter().map(|item| show(item, known)).collect(),
        Value::Object(map) => {
            map.iter().map(|(key, value)| (key.clone(), show(value, known))).collect()
        }
        other => other.clone(),
    }
}

fn show_text(text: &str, known: &Value) -> Value {
    let rendered = Template::parse(text).and_then(|template| {
        match unknown(&template.references()) {
            None => template.render(&template::scope(known)),
            // A text with unknown parts keeps its templates: they name what it waits for.
            Some(when) if template.is_whole() => Ok(when.into()),
            Some(when) => Ok(format!("{text} {when}").into()),
        }
    });
    rendered.unwrap_or_else(|_| text.into())
}

/// When everything that is referred to will be known, unless it is known now.
fn unknown(references: &[Reference]) -> Option<String> {
    if references.iter().any(|reference| reference.root == "secrets") {
        return Some("(secret)".to_owned());
    }
    let steps = references.iter().filter(|reference| reference.root == "steps");
    let mut steps: Vec<String> = steps.map(Reference::step).collect();
    steps.dedup();
    if !steps.is_empty() {
        return Some(format!("(known after {})", steps.join(", ")));
    }
    let of_run = |reference: &&Reference| reference.root == "run" && reference.path != ["name"];
    let of_run: Vec<&Reference> = references.iter().filter(of_run).collect();
    let changes = |reference: &&Reference| {
        let field = reference.path.first().map_or("", String::as_str);
        field == "status" || field.starts_with("failed_") || field.starts_with("waiting_")
    };
    let when = if of_run.iter().any(changes) { "when it runs" } else { "at the start" };
    (!of_run.is_empty()).then(|| format!("(known {when})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Value {
        show(
            &text.into(),
            &json!({"params": {"jobs": 4, "label": "daily"}, "run": {"name": "nightly"}, "vars": {}}),
        )
    }

    #[test]
    fn what_is_known_is_rendered_and_keeps_its_type() {
        assert_eq!(shown("{{ params.jobs }}"), json!(4));
        assert_eq!(shown("{{ params.label }}-{{ run.name }}"), json!("daily-nightly"));
        assert_eq!(shown("plain"), json!("plain"));
    }

    #[test]
    fn what_is_not_known_says_when_it_will_be() {
        assert_eq!(shown("{{ steps.dump.outputs.set }}"), json!("(known after dump)"));
        assert_eq!(shown("{{ run.id }}"), json!("(known at the start)"));
        assert_eq!(shown("{{ run.failed_step }}"), json!("(known when it runs)"));
        assert_eq!(
            shown("set {{ steps.dump.outputs.set }}"),
            json!("set {{ steps.dump.outputs.set }} (known after dump)")
        );
    }

    #[test]
    fn a_secret_is_never_more_than_its_place() {
        assert_eq!(shown("{{ secrets.slack }}"), json!("(secret)"));
        assert_eq!(
            shown("x {{ secrets.slack }} {{ steps.a.outputs.b }}"),
            json!("x {{ secrets.slack }} {{ steps.a.outputs.b }} (secret)")
        );
    }
}
