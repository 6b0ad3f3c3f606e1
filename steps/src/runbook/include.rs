//! `runbook.include`: the steps of another runbook in the place of one step.

use engine::context::StepContext;
use engine::step::{Observation, Step};
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::runbook::INCLUDE_KIND;
use model::step_error::StepError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Stands for the steps of another runbook.
///
/// ## What it does
/// Before the run, the steps of the other runbook take its place. Their ids begin with the id of
/// this step: `failback.promote`. They start when what this step needs is done; `needs:
/// [failback]` waits for all of them, and `steps.failback.promote.outputs.<name>` reads their
/// outputs. The other runbook reads its own params, vars, secrets, connections and stores; its
/// `defaults` hold for its steps. Its handlers, rollback, schedule, objectives and drill do not
/// come along.
///
/// ## When to use it
/// When several runbooks share a procedure that is also run by itself: a failover that ends with
/// a failback, a release that begins with a backup.
///
/// ## What it changes
/// Nothing by itself: `runbook plan` shows what each of the steps changes. It takes `id`, `name`,
/// `phase`, `uses`, `with`, `needs` and `if`; `phase` holds for steps that have none of their own.
/// `if` reads parameters only: before the run they say whether the steps are part of the plan. The
/// outputs of steps that may be left out in this way are not read from outside.
///
/// ## How it can fail
/// It never runs. `runbook validate` says when the file cannot be read, leaves the folder of the
/// runbook, includes itself, or does not take the parameters, and checks the steps in it.
///
/// ## Example
/// ```yaml
/// - id: failback
///   uses: runbook.include
///   with:
///     file: failback.yaml
///     params: {region: us-east-1}
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The other runbook, relative to the folder of this one; not above the folder of the runbook
    /// that is run.
    #[schemars(extend("x-no-templates" = true))]
    file: String,
    /// Its parameters: literals, or templates over the parameters of this runbook.
    #[serde(default)]
    #[expect(dead_code, reason = "read to see that it fits; the plan binds the parameters")]
    params: Map<String, Value>,
}

/// Nothing: the outputs are those of the steps in its place.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct Output {}

/// The step kind.
pub struct Include;

impl Step for Include {
    const KIND: &'static str = INCLUDE_KIND;
    const SUMMARY: &'static str = "stands for the steps of another runbook";
    type Input = Input;
    type Output = Output;

    fn footprint(input: &Input) -> Footprint {
        Footprint::new(Effect::Read, Repeat::Idempotent)
            .reads(format!("the runbook `{}`", input.file))
    }

    fn example() -> Output {
        Output {}
    }

    async fn observe(_input: &Input, _ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        Ok(Observation::NotDone)
    }

    /// A plan has its steps in its place, so that this is never called in a run.
    async fn run(_input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        if ctx.cancel().is_cancelled() {
            return Err(StepError::cancelled());
        }
        Ok(Output {})
    }
}
