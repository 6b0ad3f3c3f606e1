//! Plans for tests.

use indexmap::IndexMap;
use serde_json::json;

use crate::effect::{Effect, Repeat};
use crate::footprint::Footprint;
use crate::ids::StepId;
use crate::plan::{Objectives, Plan, PlanStep, Retry, Source};

pub(crate) fn id(text: &str) -> StepId {
    text.parse().unwrap()
}

/// A reversible step that is not retried.
pub(crate) fn step(name: &str, needs: &[&str]) -> PlanStep {
    PlanStep {
        id: id(name),
        name: None,
        phase: None,
        uses: "test.act".to_owned(),
        kind_version: 1,
        with: json!({}),
        needs: needs.iter().map(|need| id(need)).collect(),
        references: Vec::new(),
        secrets: Vec::new(),
        condition: None,
        retry: Retry { limit: 0, ..Retry::default() },
        timeout: None,
        stall_timeout: None,
        deadline: None,
        restores_service: false,
        footprint: Footprint::new(Effect::Reversible, Repeat::Observable),
    }
}

pub(crate) fn plan(steps: Vec<PlanStep>) -> Plan {
    Plan {
        version: 1,
        name: "test".to_owned(),
        description: None,
        owner: None,
        labels: IndexMap::new(),
        source: Source { file: "test.yaml".to_owned(), sha256: "0".repeat(64) },
        objectives: Objectives::default(),
        params: IndexMap::new(),
        vars: IndexMap::new(),
        secrets: IndexMap::new(),
        connections: IndexMap::new(),
        stores: IndexMap::new(),
        max_parallel: 4,
        steps,
    }
}
