//! Plans for tests.

use serde_json::json;

use crate::effect::{Effect, Repeat};
use crate::footprint::Footprint;
use crate::ids::StepId;
use crate::plan::{Plan, PlanStep};

pub(crate) fn id(text: &str) -> StepId {
    text.parse().unwrap()
}

/// A reversible step that is not retried.
pub(crate) fn step(name: &str, needs: &[&str]) -> PlanStep {
    PlanStep {
        with: json!({}),
        needs: needs.iter().map(|need| id(need)).collect(),
        ..PlanStep::new(
            id(name),
            "test.act",
            Footprint::new(Effect::Reversible, Repeat::Observable),
        )
    }
}

pub(crate) fn plan(steps: Vec<PlanStep>) -> Plan {
    Plan::new("test", steps)
}
