//! Whether the people whom a run knows could answer what it will ask.

use model::approval::Request;
use model::ids::StepId;
use model::node::Node;
use model::plan::PlanStep;
use model::run::event::RunCreated;
use model::step_error::StepError;
use model::template::render;
use serde_json::Value;

use crate::error::{EngineError, Obstacle};
use crate::rendering::refused;
use crate::scope;

/// The question of a step, rendered.
pub(crate) fn request(step: &PlanStep, scope: &Value) -> Result<Request, StepError> {
    let with = render(&step.with, scope).map_err(|error| refused("`with`", &error))?;
    Request::read(&Node::from_json(&with)).map_err(|error| {
        StepError::permanent("RB0401", format!("the question is not valid: {error}"))
    })
}

/// Refuses a question that not enough people could answer.
pub(crate) fn staffed(
    step: &StepId,
    request: &Request,
    created: &RunCreated,
) -> Result<(), StepError> {
    let people = created.approvers.as_ref();
    match people.and_then(|people| people.lacks(request, &created.starter)) {
        None => Ok(()),
        Some(lack) => {
            let message = format!("step `{step}`: {lack}");
            Err(StepError::permanent(lack.code(), message).hint(lack.hint()))
        }
    }
}

/// Refuses a run with a question that not enough people could answer, as far as that is known
/// before it starts.
pub(crate) fn check(created: &RunCreated) -> Result<(), EngineError> {
    let asking = created.plan.steps.iter().filter(|step| step.footprint.waits_for_person);
    let problems: Vec<EngineError> = asking
        .filter_map(|step| {
            let request = request(step, &scope::first(created, step)).ok()?;
            let error = staffed(&step.id, &request, created).err()?;
            let hint = error.hint.unwrap_or_default();
            Some(EngineError::new(error.code, Obstacle::Preflight, error.message).hint(hint))
        })
        .collect();
    let mut problems = problems.into_iter();
    let Some(mut first) = problems.next() else { return Ok(()) };
    first.problems = problems.collect();
    Err(first)
}
