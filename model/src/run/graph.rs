//! The steps of a plan by number, who waits for whom, and what a step is part of.

use std::collections::HashMap;

use crate::ids::StepId;
use crate::plan::{Occasion, Plan, PlanStep, Role};
use crate::template::Condition;

/// What decides when a step starts, and what its end means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// The steps of the runbook.
    Main,
    /// Undo steps, one after the other.
    Undo,
    /// The question whether finished steps are undone.
    Consent,
    /// The steps of a handler.
    Handler(Occasion),
}

/// How many lanes there are.
pub(super) const LANES: usize = 8;

impl Lane {
    fn of(role: &Role) -> Self {
        match role {
            Role::Main => Self::Main,
            Role::Undo(_) => Self::Undo,
            Role::Consent => Self::Consent,
            Role::Handler(on) => Self::Handler(*on),
        }
    }

    /// Its number, below [`LANES`].
    pub(super) fn index(self) -> usize {
        match self {
            Self::Main => 0,
            Self::Undo => 1,
            Self::Consent => 2,
            Self::Handler(on) => 3 + on as usize,
        }
    }
}

/// What is fixed of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    /// What it is part of.
    pub(super) lane: Lane,
    /// Its `if` asks for failures, so that it may start after one.
    pub(super) aware: bool,
    /// The `foreach` it belongs to, when that has a limit of its own.
    pub(super) group: Option<usize>,
}

/// The fixed part of a run's state, made once from the plan.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Graph {
    index: HashMap<StepId, usize>,
    /// The steps of the same lane that need this one.
    pub(super) dependents: Vec<Vec<usize>>,
    /// How many steps of its lane this one needs.
    pub(super) needs: Vec<usize>,
    /// What is fixed of each step.
    pub(super) places: Vec<Place>,
    /// How many steps of a `foreach` run at once, for those that say.
    pub(super) limits: Vec<usize>,
    lanes: [Vec<usize>; LANES],
    undo_of: HashMap<usize, usize>,
    target_of: HashMap<usize, usize>,
}

impl Graph {
    /// Numbers the steps; refuses what no checked plan holds.
    pub(super) fn new(plan: &Plan) -> Result<Self, String> {
        let count = plan.steps.len();
        let mut graph = Self {
            index: HashMap::with_capacity(count),
            dependents: vec![Vec::new(); count],
            needs: vec![0; count],
            places: plan.steps.iter().map(place).collect(),
            ..Self::default()
        };
        for (number, step) in plan.steps.iter().enumerate() {
            if graph.index.insert(step.id.clone(), number).is_some() {
                return Err(format!("two steps have the id `{}`", step.id));
            }
            graph.lanes[graph.places[number].lane.index()].push(number);
        }
        for (number, step) in plan.steps.iter().enumerate() {
            graph.connect(number, step)?;
        }
        if graph.has_cycle() {
            return Err("the steps need each other in a circle".to_owned());
        }
        graph.limit(plan);
        Ok(graph)
    }

    /// Adds what a step needs. Undo steps follow the order in which their steps ended; the steps
    /// of a handler follow each other and nothing else.
    fn connect(&mut self, number: usize, step: &PlanStep) -> Result<(), String> {
        for need in &step.needs {
            let needed = self.known(need)?;
            let (from, to) = (self.places[needed].lane, self.places[number].lane);
            if from == to && to != Lane::Undo {
                self.dependents[needed].push(number);
                self.needs[number] += 1;
            }
        }
        if let Role::Undo(target) = &step.role {
            let target = self.known(target)?;
            if self.undo_of.insert(target, number).is_some() {
                return Err(format!("`{}` has two undo steps", step.id));
            }
            self.target_of.insert(number, target);
        }
        Ok(())
    }

    fn known(&self, step: &StepId) -> Result<usize, String> {
        self.find(step).ok_or_else(|| format!("there is no step `{step}`"))
    }

    fn limit(&mut self, plan: &Plan) {
        for group in plan.groups.values() {
            let Some(limit) = group.max_parallel else { continue };
            for step in group.steps.iter().filter_map(|step| self.index.get(step)) {
                self.places[*step].group = Some(self.limits.len());
            }
            self.limits.push(limit.max(1));
        }
    }

    /// The number of a step.
    pub(super) fn find(&self, step: &StepId) -> Option<usize> {
        self.index.get(step).copied()
    }

    /// The steps of a lane, in the order of the document.
    pub(super) fn lane(&self, lane: Lane) -> &[usize] {
        &self.lanes[lane.index()]
    }

    /// The step that undoes `step`.
    pub(super) fn undo_of(&self, step: usize) -> Option<usize> {
        self.undo_of.get(&step).copied()
    }

    /// The step that `undo` takes back.
    pub(super) fn target_of(&self, undo: usize) -> Option<usize> {
        self.target_of.get(&undo).copied()
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

fn place(step: &PlanStep) -> Place {
    let parsed = step.condition.as_deref().map(Condition::parse);
    let aware = matches!(parsed, Some(Ok(condition)) if condition.runs_after_failure());
    Place { lane: Lane::of(&step.role), aware, group: None }
}
