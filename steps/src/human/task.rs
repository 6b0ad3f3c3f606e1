//! `human.task`: a checklist that people tick, each item signed with who and when.

use engine::context::StepContext;
use engine::step::{Observation, Step};
use jiff::Timestamp;
use model::approval::{Decision, Task as Checklist};
use model::catalog::InputProblem;
use model::footprint::Footprint;
use model::step_error::StepError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Asks people to do things that no step can do, and goes on when every item is ticked.
///
/// ## What it does
/// The run shows the checklist and waits. Each item is ticked on its own, on the terminal of the
/// run or with `runbook approve RUN STEP --item N`, from any machine with the state folder. A
/// tick is journaled as it comes, with who gave it, when, and what they noted; what is ticked
/// stays ticked over a kill and a resume. Signatures, roles, `timeout` and `on_timeout` work as
/// for `human.approve`. `runbook reject RUN STEP` gives the task up.
///
/// ## When to use it
/// For what happens outside: power off a machine, call the provider, look at the shop in a
/// browser. An item with `evidence: true` takes a note of what was seen.
///
/// ## What it changes
/// Nothing itself. Machine time stands still while people work.
///
/// ## How it can fail
/// A rejection fails the step, and so does the end of `timeout`, unless it escalates.
///
/// ## Example
/// ```yaml
/// - id: fence
///   uses: human.task
///   with:
///     prompt: Make sure that the old primary cannot come back
///     approvers: [dba, oncall]
///     items:
///       - text: Power off the old primary
///       - text: Look at the console of the provider
///         evidence: true
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Input(Checklist);

/// Who did what.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// What was answered.
    decision: Decision,
    /// Who ticked, separated by commas.
    by: String,
    /// When the last item was ticked.
    #[schemars(with = "String", extend("format" = "date-time"))]
    at: Timestamp,
    /// No key proves one of the names.
    claimed: bool,
    /// Whoever was there ticked, because nobody who was asked did.
    break_glass: bool,
    /// The items in order, each with who and when.
    items: Vec<Tick>,
    /// Everybody who ticked, each once.
    participants: Vec<String>,
}

/// A ticked item.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct Tick {
    /// Its number, from 1.
    item: u32,
    /// What was to be done.
    text: String,
    /// Who ticked it.
    by: String,
    /// When.
    #[schemars(with = "String", extend("format" = "date-time"))]
    at: Timestamp,
    /// No key proves the name.
    claimed: bool,
    /// What was seen.
    note: Option<String>,
}

/// The step kind. The driver asks in its place, because a checklist outlives the process.
pub struct Task;

impl Step for Task {
    const KIND: &'static str = "human.task";
    const SUMMARY: &'static str = "a checklist, each item ticked and signed by a person";
    type Input = Input;
    type Output = Output;

    fn validate(Input(list): &Input) -> Result<(), Vec<InputProblem>> {
        let mut problems =
            super::problems(&list.prompt, &list.approvers, list.timeout, list.on_timeout);
        if list.items.is_empty() {
            let problem = InputProblem::at("items", "the checklist is empty");
            problems.push(problem.help("write `items: [{text: ...}]`, or use `human.approve`"));
        }
        for (number, item) in list.items.iter().enumerate() {
            if item.text.trim().is_empty() {
                let path = ["items".to_owned(), number.to_string(), "text".to_owned()].into();
                let message = "the item says nothing".to_owned();
                problems.push(InputProblem { path, message, help: None });
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(Input(list): &Input) -> Footprint {
        super::footprint(list.timeout)
    }

    fn example() -> Output {
        let (at, by) = (Timestamp::UNIX_EPOCH, "dana".to_owned());
        let tick = Tick {
            item: 1,
            text: "Power off the old primary".to_owned(),
            by: by.clone(),
            at,
            claimed: true,
            note: None,
        };
        Output {
            decision: Decision::Approved,
            by: by.clone(),
            at,
            claimed: true,
            break_glass: false,
            items: vec![tick],
            participants: vec![by],
        }
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
    use serde_json::json;

    use super::*;
    use crate::testing;

    #[tokio::test]
    async fn the_step_itself_asks_nobody() {
        let input = json!({"prompt": "Fence", "items": [{"text": "Power off"}]});
        let input = serde_json::from_value(input).unwrap();
        let error = Task::run(&input, &testing::context()).await.err().unwrap();
        assert_eq!(error.code, "RB0740");
    }

    #[test]
    fn a_list_without_items_and_an_item_without_text_are_refused() {
        let paths = |items: serde_json::Value| {
            let input = json!({"prompt": "Fence", "items": items});
            let problems = Task::validate(&serde_json::from_value(input).unwrap()).err();
            problems.unwrap_or_default().into_iter().map(|p| p.path.join(".")).collect::<Vec<_>>()
        };
        assert_eq!(paths(json!([])), ["items"]);
        assert_eq!(paths(json!([{"text": "a"}, {"text": " "}])), ["items.1.text"]);
        assert_eq!(paths(json!([{"text": "a", "evidence": true}])), [""; 0]);
    }
}
