//! A plan as a picture: what runs after what, by phase.

mod dot;
mod mermaid;
mod svg;

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;

use crate::effect::Effect;
use crate::ids::StepId;
use crate::plan::{Occasion, Plan, PlanStep, Role};

pub use dot::dot;
pub use mermaid::mermaid;
pub use svg::svg;

/// What a picture of a plan shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    /// The runbook's name.
    pub title: String,
    /// Phases in the order in which they begin, then handlers.
    pub clusters: Vec<Cluster>,
    /// The steps in the order of the plan.
    pub nodes: Vec<Node>,
    /// Orders; one that follows from others is left out.
    pub edges: Vec<Edge>,
}

/// Steps that are drawn in one box.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cluster {
    /// The phase or the handler; steps without a phase have none.
    pub label: Option<String>,
    /// Steps that stand alone, by their place in [`Graph::nodes`].
    pub nodes: Vec<usize>,
    /// The instances of each `foreach`, by its id.
    pub groups: IndexMap<String, Vec<usize>>,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The step's id.
    pub id: String,
    /// The step's kind.
    pub uses: String,
    /// The step's name for people.
    pub name: Option<String>,
    /// How far it reaches.
    pub effect: Effect,
    /// It runs only when its `if` holds.
    pub condition: Option<String>,
}

/// An order of two steps, by their places in [`Graph::nodes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// What comes first.
    pub from: usize,
    /// What comes after it, or takes it back.
    pub to: usize,
    /// `to` is the undo of `from`.
    pub undo: bool,
}

impl Graph {
    /// The picture of a plan.
    pub fn of(plan: &Plan) -> Self {
        let places: HashMap<&StepId, usize> =
            plan.steps.iter().enumerate().map(|(at, step)| (&step.id, at)).collect();
        Self {
            title: plan.name.clone(),
            clusters: clusters(plan, &places),
            nodes: plan.steps.iter().map(node).collect(),
            edges: edges(plan, &places),
        }
    }
}

fn node(step: &PlanStep) -> Node {
    Node {
        id: step.id.to_string(),
        uses: step.uses.clone(),
        name: step.name.clone(),
        effect: step.footprint.effect,
        condition: step.condition.clone(),
    }
}

fn clusters(plan: &Plan, places: &HashMap<&StepId, usize>) -> Vec<Cluster> {
    let mut clusters: IndexMap<(bool, Option<String>), Cluster> = IndexMap::new();
    for (at, step) in plan.steps.iter().enumerate() {
        let key = label(plan, step, places);
        let new = || Cluster { label: key.1.clone(), ..Cluster::default() };
        let cluster = clusters.entry(key.clone()).or_insert_with(new);
        match &step.item {
            Some(item) => cluster.groups.entry(item.group.to_string()).or_default().push(at),
            None => cluster.nodes.push(at),
        }
    }
    clusters.sort_by(|a, _, b, _| a.0.cmp(&b.0));
    clusters.into_values().collect()
}

/// Whether the step belongs to a handler, and the label of its box. An undo stands beside the
/// step that it takes back.
fn label(plan: &Plan, step: &PlanStep, places: &HashMap<&StepId, usize>) -> (bool, Option<String>) {
    match &step.role {
        Role::Handler(occasion) => (true, Some(format!("on {}", word(*occasion)))),
        Role::Undo(of) => {
            let undone = places.get(of).map(|at| &plan.steps[*at]);
            (false, undone.and_then(|undone| undone.phase.clone()))
        }
        Role::Main => (false, step.phase.clone()),
        Role::Consent => (false, None),
    }
}

fn word(occasion: Occasion) -> &'static str {
    match occasion {
        Occasion::Success => "success",
        Occasion::Failure => "failure",
        Occasion::Abort => "abort",
        Occasion::Waiting => "waiting",
        Occasion::Exit => "exit",
    }
}

fn edges(plan: &Plan, places: &HashMap<&StepId, usize>) -> Vec<Edge> {
    let mut edges = Vec::new();
    let mut before: Vec<HashSet<usize>> = vec![HashSet::new(); plan.steps.len()];
    for at in in_order(plan, places) {
        let step = &plan.steps[at];
        let needs: Vec<usize> =
            step.needs.iter().filter_map(|id| places.get(id).copied()).collect();
        let implied = |from: &usize| needs.iter().any(|other| before[*other].contains(from));
        edges.extend(needs.iter().filter(|from| !implied(from)).map(|from| Edge {
            from: *from,
            to: at,
            undo: false,
        }));
        let all: HashSet<usize> =
            needs.iter().flat_map(|need| before[*need].iter().chain([need])).copied().collect();
        before[at] = all;
        if let Role::Undo(of) = &step.role
            && let Some(from) = places.get(of)
        {
            edges.push(Edge { from: *from, to: at, undo: true });
        }
    }
    edges.sort_by_key(|edge| (edge.to, edge.from));
    edges
}

/// The places of the steps such that each comes after what it needs.
fn in_order(plan: &Plan, places: &HashMap<&StepId, usize>) -> Vec<usize> {
    let mut order = Vec::new();
    let mut seen = vec![false; plan.steps.len()];
    for start in 0..plan.steps.len() {
        let mut open = vec![(start, false)];
        while let Some((at, done)) = open.pop() {
            if done {
                order.push(at);
            } else if !std::mem::replace(&mut seen[at], true) {
                open.push((at, true));
                let needs = plan.steps[at].needs.iter().filter_map(|id| places.get(id));
                open.extend(needs.filter(|need| !seen[**need]).map(|need| (*need, false)));
            }
        }
    }
    order
}

#[cfg(test)]
mod tests;
