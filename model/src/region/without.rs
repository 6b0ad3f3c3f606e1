//! What of a plan could not run while a region is gone.

use std::collections::{BTreeSet, HashMap};

use indexmap::IndexSet;
use serde::Serialize;

use super::{Places, RegionUse};
use crate::ids::StepId;
use crate::plan::{Plan, PlanStep, Role};
use crate::preview::{places, preview};
use crate::template::Condition;

/// A plan without a region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Without {
    /// The runbook's name.
    pub name: String,
    /// The region that is gone.
    pub region: String,
    /// All steps of the runbook could run, but for those that an ungraceful run leaves out.
    pub could_run: bool,
    /// The steps that could not run.
    pub blocked: Vec<Blocked>,
    /// The steps behind them, which would not be reached.
    pub unreached: Vec<String>,
    /// Every region that a step names.
    pub regions: Vec<String>,
    /// Connections of which nothing tells where they are.
    pub untold: Vec<String>,
    /// Steps that ask AWS in a region which only the environment of a run tells.
    pub by_environment: Vec<String>,
}

/// A step that could not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Blocked {
    /// Its id.
    pub id: String,
    /// Its kind.
    pub uses: String,
    /// What it is part of.
    #[serde(skip_serializing_if = "Role::is_main")]
    pub role: Role,
    /// `run --ungraceful` leaves it out.
    pub left_out_when_ungraceful: bool,
    /// What it needs there.
    pub needs: Vec<RegionUse>,
}

impl Blocked {
    /// Without it the runbook is not whole.
    fn counts(&self) -> bool {
        self.role.is_main() && !self.left_out_when_ungraceful
    }
}

/// Judges a plan. `skipped` are the steps that an ungraceful run leaves out.
pub fn without(plan: &Plan, region: &str, skipped: &BTreeSet<StepId>) -> Without {
    let (shown, places) = (preview(plan), places(plan));
    let needs: HashMap<&str, &Vec<RegionUse>> =
        shown.steps.iter().map(|step| (step.id.as_str(), &step.regions)).collect();
    let runs: Vec<&PlanStep> = plan.steps.iter().filter(|step| step.left_out.is_none()).collect();
    let of = |step: &PlanStep| needs.get(step.id.as_str()).map_or(&[][..], |needs| needs);
    let blocked = |step: &&PlanStep| {
        let there = of(step).iter().filter(|one| one.is_bound_to(region));
        let needs: Vec<RegionUse> = there.cloned().collect();
        (!needs.is_empty()).then(|| Blocked {
            id: step.id.to_string(),
            uses: step.uses.clone(),
            role: step.role.clone(),
            left_out_when_ungraceful: skipped.contains(&step.id),
            needs,
        })
    };
    let blocked: Vec<Blocked> = runs.iter().filter_map(blocked).collect();
    let all = || runs.iter().flat_map(|step| of(step).iter().map(move |one| (step, one)));
    let by_environment = all().filter(|(_, one)| one.region.is_none() && is_somewhere(one));
    let by_environment: IndexSet<String> =
        by_environment.map(|(step, _)| step.id.to_string()).collect();
    let regions: IndexSet<String> = all().filter_map(|(_, one)| one.region.clone()).collect();
    Without {
        name: plan.name.clone(),
        region: region.to_owned(),
        could_run: !blocked.iter().any(Blocked::counts),
        unreached: unreached(&runs, &blocked),
        blocked,
        regions: regions.into_iter().collect(),
        untold: untold(&runs, &places),
        by_environment: by_environment.into_iter().collect(),
    }
}

/// Only services of the world answer from everywhere.
fn is_somewhere(one: &RegionUse) -> bool {
    !super::is_of_the_world(&one.what)
}

fn untold(runs: &[&PlanStep], places: &Places) -> Vec<String> {
    let names: IndexSet<&str> = runs.iter().flat_map(|step| places.untold(step)).collect();
    names.into_iter().map(str::to_owned).collect()
}

/// The steps behind those that could not run: what runs after failures too is reached all the
/// same.
fn unreached(runs: &[&PlanStep], blocked: &[Blocked]) -> Vec<String> {
    let failing = |step: &&PlanStep| {
        let found = blocked.iter().find(|one| one.id == step.id.as_str());
        found.is_some_and(Blocked::counts) && !step.continue_on_failure
    };
    let mut gone: BTreeSet<&str> =
        runs.iter().copied().filter(failing).map(|step| step.id.as_str()).collect();
    let outlives = |step: &PlanStep| {
        let condition = step.condition.as_deref().map(Condition::parse);
        condition.is_some_and(|read| read.is_ok_and(|read| read.runs_after_failure()))
    };
    let mut unreached = IndexSet::new();
    // The steps of a document need not stand behind those that they run after.
    loop {
        let before = unreached.len();
        for step in runs.iter().filter(|step| step.role.is_main() && !outlives(step)) {
            let waits = step.needs.iter().any(|id| gone.contains(id.as_str()));
            if waits && !gone.contains(step.id.as_str()) {
                gone.insert(step.id.as_str());
                unreached.insert(step.id.to_string());
            }
        }
        if unreached.len() == before {
            return unreached.into_iter().collect();
        }
    }
}
