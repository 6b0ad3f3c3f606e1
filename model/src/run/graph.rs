//! The steps of a plan by number, who waits for whom, and which steps look at failures.

use std::collections::HashMap;

use crate::ids::StepId;
use crate::plan::{Plan, PlanStep};
use crate::template::Condition;

/// The fixed part of a run's state, made once from the plan.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Graph {
    index: HashMap<StepId, usize>,
    /// The steps that need this one.
    pub(super) dependents: Vec<Vec<usize>>,
    /// How many steps this one needs.
    pub(super) needs: Vec<usize>,
    /// Its `if` asks for failures, so that it may start after one.
    pub(super) aware: Vec<bool>,
}

impl Graph {
    /// Numbers the steps; refuses what no checked plan holds.
    pub(super) fn new(plan: &Plan) -> Result<Self, String> {
        let count = plan.steps.len();
        let mut graph = Self {
            index: HashMap::with_capacity(count),
            dependents: vec![Vec::new(); count],
            needs: vec![0; count],
            aware: plan.steps.iter().map(is_aware).collect(),
        };
        for (number, step) in plan.steps.iter().enumerate() {
            if graph.index.insert(step.id.clone(), number).is_some() {
                return Err(format!("two steps have the id `{}`", step.id));
            }
        }
        for (number, step) in plan.steps.iter().enumerate() {
            for need in &step.needs {
                let needed = graph.find(need);
                let needed = needed.ok_or_else(|| format!("there is no step `{need}`"))?;
                graph.dependents[needed].push(number);
                graph.needs[number] += 1;
            }
        }
        if graph.has_cycle() {
            return Err("the steps need each other in a circle".to_owned());
        }
        Ok(graph)
    }

    /// The number of a step.
    pub(super) fn find(&self, step: &StepId) -> Option<usize> {
        self.index.get(step).copied()
    }

    fn has_cycle(&self) -> bool {
        let mut unmet = self.needs.clone();
        let mut free: Vec<usize> = (0..unmet.len()).filter(|step| unmet[*step] == 0).collect();
        let mut reached = 0;
        while let Some(step) = free.pop() {
            reached += 1;
            for dependent in &self.dependents[step] {
                unmet[*dependent] -= 1;
                if unmet[*dependent] == 0 {
                    free.push(*dependent);
                }
            }
        }
        reached < unmet.len()
    }
}

fn is_aware(step: &PlanStep) -> bool {
    let parsed = step.condition.as_deref().map(Condition::parse);
    matches!(parsed, Some(Ok(condition)) if condition.runs_after_failure())
}
