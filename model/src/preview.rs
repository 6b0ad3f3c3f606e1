//! What a plan shows before a run: every input as far as it is known now.

use std::collections::HashMap;

use indexmap::IndexMap;
use serde::Serialize;
use serde_json::{Value, json};

use crate::footprint::Footprint;
use crate::ids::StepId;
use crate::plan::{Group, Included, Item, Objectives, Plan, PlanStep, Retry, Source};
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
    /// Its steps in the order of the document.
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
}

/// The preview of a plan. Pure: nothing is read but the plan.
pub fn preview(plan: &Plan) -> Preview {
    let own = known(plan, &plan.params, &plan.vars);
    let of_part =
        |(id, part): (&String, &Included)| (id.clone(), known(plan, &part.params, &part.vars));
    let of_parts: HashMap<String, Value> = plan.included.iter().map(of_part).collect();
    let known = |step: &PlanStep| step.scope.as_ref().and_then(|part| of_parts.get(part));
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
        steps: plan
            .steps
            .iter()
            .map(|step| preview_of(step, known(step).unwrap_or(&own)))
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

fn preview_of(step: &PlanStep, known: &Value) -> StepPreview {
    let Some(item) = &step.item else { return step_preview(step, known) };
    let mut known = known.clone();
    known[item.name.as_str()] = item.value.clone();
    step_preview(step, &known)
}

fn step_preview(step: &PlanStep, known: &Value) -> StepPreview {
    StepPreview {
        id: step.id.to_string(),
        name: step.name.clone(),
        phase: step.phase.clone(),
        uses: step.uses.clone(),
        after: step.needs.iter().map(ToString::to_string).collect(),
        item: step.item.clone(),
        condition: step.condition.clone(),
        with: show(&step.with, known),
        footprint: step.footprint.clone(),
        retry: step.retry.clone(),
        timeout: step.timeout,
        deadline: step.deadline,
        restores_service: step.restores_service,
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
    let at_start = |reference: &&Reference| reference.root == "run" && reference.path != ["name"];
    references.iter().find(at_start).map(|_| "(known at the start)".to_owned())
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
