//! What the templates of a step may read, secrets aside. Each part of a plan, the runbook itself
//! and every runbook it includes, has its own params, vars and steps.

use indexmap::IndexMap;
use model::ids::StepId;
use model::plan::{Occasion, Plan, PlanStep, Role, qualified};
use model::run::event::RunCreated;
use model::run::stage::WaitCause;
use model::run::state::{RunState, RunStatus};
use model::step_error::StepError;
use model::template;
use serde_json::{Map, Value, json};

use crate::rendering::refused;

/// The vars of every part, under the names they have in the plan, rendered in their order over
/// the params and vars of their part and the run.
pub fn vars(plan: &Plan, run: &Value) -> Result<IndexMap<String, Value>, StepError> {
    let included = plan.included.iter();
    let parts = included.map(|(name, part)| (Some(name.as_str()), &part.params, &part.vars));
    let mut all = IndexMap::new();
    for (part, params, vars) in std::iter::once((None, &plan.params, &plan.vars)).chain(parts) {
        let mut rendered = Map::new();
        for (name, value) in vars {
            let scope = json!({"params": params, "run": run, "vars": rendered});
            let value = template::render(value, &scope);
            let value = value.map_err(|error| refused(&format!("var `{name}`"), &error))?;
            all.insert(qualified(part, name), value.clone());
            rendered.insert(name.clone(), value);
        }
    }
    Ok(all)
}

/// The step that reads, and how the run stands meanwhile.
pub type Reader<'a> = (&'a RunState, &'a PlanStep);

/// `run.` as templates see it; what only the run knows is empty before it begins.
pub fn run_facts(created: &RunCreated, reader: Option<Reader<'_>>) -> Value {
    let state = reader.map(|(state, _)| state);
    let waiting = reader.filter(|(_, step)| step.role == Role::Handler(Occasion::Waiting));
    let wait = waiting.and_then(|(state, _)| state.told());
    json!({
        "id": created.run,
        "name": created.plan.name,
        "mode": created.mode,
        "stamp": created.started_at.strftime("%Y%m%dT%H%M%SZ").to_string(),
        "started_at": created.started_at,
        "failed_step": state.and_then(RunState::failed_step).map_or("", StepId::as_str),
        "failed_reason": state.and_then(RunState::failed_reason).map_or("", |error| &error.message),
        "waiting_step": wait.and_then(|wait| wait.step.as_ref()).map_or("", StepId::as_str),
        "waiting_reason": wait.map_or("", |wait| &wait.reason),
        "status": reader.map(status),
    })
}

/// How the run stands as the step tells of it: a handler tells how it ended, or what it waits for.
fn status((state, step): Reader<'_>) -> RunStatus {
    match (&step.role, state.told().map(|wait| wait.cause)) {
        (Role::Handler(Occasion::Waiting), Some(WaitCause::Approval)) => {
            RunStatus::WaitingForApproval
        }
        (Role::Handler(Occasion::Waiting), Some(WaitCause::InDoubt)) => RunStatus::InDoubt,
        (Role::Handler(Occasion::Waiting), Some(WaitCause::Paused)) => RunStatus::Paused,
        (Role::Handler(Occasion::Waiting) | Role::Main, _) => RunStatus::Running,
        _ => state.outcome().into(),
    }
}

/// What is settled for a part before its first step.
pub fn settled(created: &RunCreated, part: Option<&str>, reader: Option<Reader<'_>>) -> Value {
    let plan = &created.plan;
    let included = part.and_then(|part| plan.included.get(part));
    let (params, vars) =
        included.map_or((&plan.params, &plan.vars), |included| (&included.params, &included.vars));
    let value = |name: &String| Some((name.clone(), created.vars.get(&qualified(part, name))?));
    let vars: IndexMap<_, _> = vars.keys().filter_map(value).collect();
    json!({
        "params": params,
        "vars": vars,
        "run": run_facts(created, reader),
        "steps": {},
    })
}

/// What a step may read before any other has run.
pub fn first(created: &RunCreated, step: &PlanStep) -> Value {
    with_item(settled(created, step.scope.as_deref(), None), step)
}

/// What a step may read now.
pub fn scope(state: &RunState, created: &RunCreated, step: &PlanStep) -> Value {
    let mut steps = Map::new();
    for id in &step.references {
        let value = match created.plan.groups.get(id) {
            Some(group) => {
                json!({"outputs": group.steps.iter().map(|id| output(state, id)).collect::<Vec<_>>()})
            }
            None => json!({
                "outputs": output(state, id),
                "status": state.step(id).map(model::run::step_state::StepState::status),
            }),
        };
        let prefix = step.scope.as_ref().and_then(|part| id.as_str().strip_prefix(part.as_str()));
        let name = prefix.map_or(id.as_str(), |name| name.trim_start_matches('.'));
        insert(&mut steps, name, value);
    }
    let mut scope = settled(created, step.scope.as_deref(), Some((state, step)));
    scope["steps"] = Value::Object(steps);
    with_item(scope, step)
}

fn with_item(mut scope: Value, step: &PlanStep) -> Value {
    if let Some(item) = &step.item {
        scope[item.name.as_str()] = item.value.clone();
    }
    scope
}

/// What a step gave; nothing when it gave nothing.
fn output(state: &RunState, id: &StepId) -> Value {
    state.step(id).and_then(|step| step.output.clone()).unwrap_or_else(|| json!({}))
}

/// Adds the members of `value` under a name whose parts, joined by dots, are nested.
fn insert(into: &mut Map<String, Value>, name: &str, value: Value) {
    let (first, rest) =
        name.split_once('.').map_or((name, None), |(first, rest)| (first, Some(rest)));
    let inner = into.entry(first).or_insert_with(|| json!({}));
    let Value::Object(inner) = inner else { return };
    match (rest, value) {
        (Some(rest), value) => insert(inner, rest, value),
        (None, Value::Object(members)) => inner.extend(members),
        (None, _) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_name_are_nested_and_meet() {
        let mut steps = Map::new();
        insert(&mut steps, "dump.users", json!({"outputs": 1}));
        insert(&mut steps, "dump", json!({"outputs": [1, 2]}));
        insert(&mut steps, "dump.orders", json!({"outputs": 2}));
        let expected = json!({"dump": {
            "outputs": [1, 2], "users": {"outputs": 1}, "orders": {"outputs": 2},
        }});
        assert_eq!(Value::Object(steps), expected);
    }
}
