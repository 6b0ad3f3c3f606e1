//! `human.approve`: a person says go, or stop.

use engine::context::StepContext;
use engine::step::{Observation, Step};
use jiff::Timestamp;
use model::approval::{Approve as Question, Decision};
use model::catalog::InputProblem;
use model::footprint::Footprint;
use model::step_error::StepError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Asks people, and goes on only when enough of them approve.
///
/// ## What it does
/// The run asks on the terminal it was started from and waits. Anybody who is asked may also
/// answer from another process or another machine with the state folder: `runbook approve RUN
/// STEP`, `runbook reject RUN STEP`. Every answer is journaled with who gave it before it has an
/// effect. Where `approvers.yaml` knows the keys of the people who are asked, an answer counts
/// only with their SSH signature over the plan, the run, the step, the question and the decision;
/// otherwise the name is recorded as claimed. Without a terminal the run stays
/// `waiting_for_approval` and ends with exit status 5; `runbook resume` goes on once it is
/// approved.
///
/// `required: 2` takes two different persons. Who started the run may not approve it unless
/// `allow_self: true`. The end of `timeout` is an instant that survives a resume. With
/// `on_timeout: escalate` the contacts of the runbook are then named and get the same time again;
/// after that whoever is there may break the glass: `runbook approve RUN STEP --break-glass
/// --reason "..."`, which every report shows as that.
///
/// ## When to use it
/// Before every step that cannot be taken back: a promotion, a restore over a live database, a
/// deletion.
///
/// ## What it changes
/// Nothing. Machine time stands still while the question is open.
///
/// ## How it can fail
/// A rejection fails the step, and so does the end of `timeout`, unless it escalates.
///
/// ## Example
/// ```yaml
/// - id: confirm
///   uses: human.approve
///   with:
///     prompt: Promote the standby? This cannot be taken back.
///     approvers: [dba]
///     required: 2
///     timeout: 15m
///     on_timeout: escalate
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Input(Question);

/// Who decided.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// What was answered.
    decision: Decision,
    /// Who answered, separated by commas.
    by: String,
    /// When the last of them did.
    #[schemars(with = "String", extend("format" = "date-time"))]
    at: Timestamp,
    /// No key proves one of the names.
    claimed: bool,
    /// Whoever was there approved, because nobody who was asked did.
    break_glass: bool,
}

/// The step kind. The driver asks in its place, because a question outlives the process.
pub struct Approve;

impl Step for Approve {
    const KIND: &'static str = "human.approve";
    const SUMMARY: &'static str = "asks people, and goes on only when enough of them approve";
    type Input = Input;
    type Output = Output;

    fn validate(Input(question): &Input) -> Result<(), Vec<InputProblem>> {
        let mut problems = super::problems(
            &question.prompt,
            &question.approvers,
            question.timeout,
            question.on_timeout,
        );
        if question.required == 0 {
            let problem = InputProblem::at("required", "no approval is needed");
            problems.push(problem.help("leave the step out, or ask for at least 1"));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(Input(question): &Input) -> Footprint {
        super::footprint(question.timeout)
    }

    fn example() -> Output {
        let (decision, at) = (Decision::Approved, Timestamp::UNIX_EPOCH);
        Output { decision, by: "dana".to_owned(), at, claimed: true, break_glass: false }
    }

    async fn observe(_input: &Input, _ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        Ok(Observation::NotDone)
    }

    async fn run(_input: &Input, _ctx: &StepContext) -> Result<Output, StepError> {
        Err(super::nobody())
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
        shown::case("RB0740", error.told());
        assert_eq!(error.class, model::step_error::ErrorClass::NeedsOperator);
    }

    #[test]
    fn an_empty_question_and_no_approval_are_refused() {
        let problems = Approve::validate(&input(" ", 0)).unwrap_err();
        let keys: Vec<_> = problems.iter().map(|problem| problem.path[0].as_str()).collect();
        assert_eq!(keys, ["prompt", "required"]);
        assert!(Approve::validate(&input("Go?", 2)).is_ok());
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let refused = |with: serde_json::Value| {
            let problems = Approve::validate(&serde_json::from_value(with).unwrap()).unwrap_err();
            problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>()
        };
        let with = serde_json::json!({"prompt": "Go?", "on_timeout": "escalate"});
        assert_eq!(refused(with), ["`on_timeout: escalate` without a `timeout`"]);
        let with = serde_json::json!({"prompt": "Go?", "timeout": "0s"});
        assert_eq!(refused(with), ["`timeout` must be above 0"]);
        let with = serde_json::json!({"prompt": "Go?", "approvers": ["dba", "dba"]});
        assert_eq!(refused(with), ["`dba` stands twice"]);
    }
}
