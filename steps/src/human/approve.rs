//! `human.approve`: a person says go, or stop.

use engine::context::StepContext;
use engine::step::{Observation, Step};
use jiff::Timestamp;
use model::approval::{Decision, Request};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::step_error::StepError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Asks a person, and goes on only when they approve.
///
/// ## What it does
/// The run asks on the terminal it was started from, shows what it is about to do, and waits. The
/// answer is journaled with who gave it. Without a terminal the run stays
/// `waiting_for_approval` and ends with exit status 5; `runbook approve` and `runbook resume` go
/// on from there. A name that no key proves is recorded as claimed.
///
/// ## When to use it
/// Before every step that cannot be taken back: a promotion, a restore over a live database, a
/// deletion.
///
/// ## What it changes
/// Nothing. Machine time stands still while the question is open.
///
/// ## How it can fail
/// A rejection and the end of `timeout` both fail the step.
///
/// ## Example
/// ```yaml
/// - id: confirm
///   uses: human.approve
///   with:
///     prompt: Promote the standby? This cannot be taken back.
///     approvers: [dba]
///     timeout: 15m
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Input(Request);

/// Who decided.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// What was answered.
    decision: Decision,
    /// Who answered.
    by: String,
    /// When.
    #[schemars(with = "String", extend("format" = "date-time"))]
    at: Timestamp,
    /// No key proves the name.
    claimed: bool,
}

/// The step kind. The driver asks in its place, because a question outlives the process.
pub struct Approve;

impl Step for Approve {
    const KIND: &'static str = "human.approve";
    const SUMMARY: &'static str = "asks a person, and goes on only when they approve";
    type Input = Input;
    type Output = Output;

    fn validate(Input(request): &Input) -> Result<(), Vec<InputProblem>> {
        let mut problems = Vec::new();
        if request.prompt.trim().is_empty() {
            problems.push(InputProblem::at("prompt", "the question is empty"));
        }
        if request.required == 0 {
            let problem = InputProblem::at("required", "no approval is needed");
            problems.push(problem.help("leave the step out, or ask for at least 1"));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(_input: &Input) -> Footprint {
        let mut footprint = Footprint::new(Effect::Read, Repeat::Idempotent);
        footprint.waits_for_person = true;
        footprint
    }

    fn example() -> Output {
        let (decision, at) = (Decision::Approved, Timestamp::UNIX_EPOCH);
        Output { decision, by: "dana".to_owned(), at, claimed: true }
    }

    async fn observe(_input: &Input, _ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        Ok(Observation::NotDone)
    }

    async fn run(_input: &Input, _ctx: &StepContext) -> Result<Output, StepError> {
        let message = "nobody can be asked here: approvals are asked for by the run itself";
        let hint = "answer with `runbook approve`, then `runbook resume`";
        Err(StepError::needs_operator("RB0740", message).hint(hint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn input(prompt: &str, required: u32) -> Input {
        let json = serde_json::json!({"prompt": prompt, "required": required});
        serde_json::from_value(json).unwrap()
    }

    #[tokio::test]
    async fn the_step_itself_asks_nobody() {
        let error = Approve::run(&input("Go?", 1), &testing::context()).await.err().unwrap();
        assert_eq!(error.code, "RB0740");
        assert_eq!(error.class, model::step_error::ErrorClass::NeedsOperator);
    }

    #[test]
    fn an_empty_question_and_no_approval_are_refused() {
        let problems = Approve::validate(&input(" ", 0)).unwrap_err();
        let keys: Vec<_> = problems.iter().map(|problem| problem.path[0].as_str()).collect();
        assert_eq!(keys, ["prompt", "required"]);
        assert!(Approve::validate(&input("Go?", 2)).is_ok());
    }
}
