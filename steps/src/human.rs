//! Steps that people answer. The driver asks; the kinds say what is asked.

pub mod approve;
pub mod task;

use model::approval::OnTimeout;
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::step_error::StepError;
use model::units::Span;

fn footprint(timeout: Option<Span>) -> Footprint {
    let mut footprint = Footprint::new(Effect::Read, Repeat::Idempotent).gives_up_after(timeout);
    footprint.waits_for_person = true;
    footprint
}

/// What is wrong with any question.
fn problems(
    prompt: &str,
    approvers: &[String],
    timeout: Option<Span>,
    on_timeout: OnTimeout,
) -> Vec<InputProblem> {
    let mut problems = Vec::new();
    if prompt.trim().is_empty() {
        problems.push(InputProblem::at("prompt", "the question is empty"));
    }
    for (number, entry) in approvers.iter().enumerate() {
        if approvers[..number].contains(entry) {
            problems.push(InputProblem::at("approvers", format!("`{entry}` stands twice")));
        }
    }
    if timeout.is_some_and(|timeout| timeout.duration().is_zero()) {
        let problem = InputProblem::at("timeout", "`timeout` must be above 0");
        problems.push(problem.help("remove `timeout` to set no limit"));
    }
    if on_timeout == OnTimeout::Escalate && timeout.is_none() {
        let message = "`on_timeout: escalate` without a `timeout`";
        problems.push(InputProblem::at("on_timeout", message).help("add `timeout: 15m`"));
    }
    problems
}

/// The kinds themselves ask nobody.
fn nobody() -> StepError {
    let message = "nobody can be asked here: people are asked by the run itself";
    let hint = "answer with `runbook approve`, then `runbook resume`";
    StepError::needs_operator("RB0740", message).hint(hint)
}
