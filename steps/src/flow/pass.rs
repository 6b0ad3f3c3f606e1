//! `flow.pass`: does nothing and hands on what it was given.

use engine::context::StepContext;
use engine::step::{Observation, Step};
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::step_error::StepError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Does nothing and succeeds.
///
/// ## What it does
/// It succeeds at once and hands on `values` as its output, so that later steps can reference
/// them in one place.
///
/// ## When to use it
/// In a drill, in the place of a step that must not happen there; to join parallel branches; to
/// name values that several steps use.
///
/// ## What it changes
/// Nothing.
///
/// ## How it can fail
/// It cannot.
///
/// ## Example
/// ```yaml
/// - id: chosen
///   uses: flow.pass
///   with:
///     values: {region: us-west-2, tables: [users, orders]}
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Any values, by name; later steps reference `outputs.values.<name>`.
    #[serde(default)]
    values: Map<String, Value>,
}

/// What was given.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// The values of the input, unchanged.
    values: Map<String, Value>,
}

/// The step kind.
pub struct Pass;

impl Step for Pass {
    const KIND: &'static str = "flow.pass";
    const SUMMARY: &'static str = "does nothing and hands on the values it was given";
    type Input = Input;
    type Output = Output;

    fn footprint(_input: &Input) -> Footprint {
        Footprint::new(Effect::Read, Repeat::Idempotent)
    }

    fn example() -> Output {
        Output { values: Map::new() }
    }

    async fn observe(_input: &Input, _ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        Ok(Observation::NotDone)
    }

    async fn run(input: &Input, _ctx: &StepContext) -> Result<Output, StepError> {
        Ok(Output { values: input.values.clone() })
    }
}

#[cfg(test)]
mod tests {
    use model::runbook::Runbook;

    use super::*;
    use crate::testing;

    #[tokio::test]
    async fn the_values_pass() {
        let values = serde_json::json!({"a": 1, "b": ["x"]});
        let input = Input { values: values.as_object().unwrap().clone() };
        let output = Pass::run(&input, &testing::context()).await.unwrap();
        assert_eq!(Value::from(output.values), values);
    }

    #[test]
    fn later_steps_may_reference_any_value() {
        let text = "version: 1
name: names
connections: {prod: {}}
steps:
  - {id: v, uses: flow.pass, with: {values: {n: 3, table: users}}}
  - id: q
    uses: pg.query
    with: {connection: prod, sql: \"select $1\", params: [\"{{ steps.v.outputs.values.table }}\"], max_rows: \"{{ steps.v.outputs.values.n }}\"}
  - {id: w, uses: flow.pass, with: {values: {name: \"{{ steps.q.outputs.rows[0].name }}\"}}}
";
        assert_eq!(Runbook::check(text, &crate::REGISTRY).problems, []);
    }
}
