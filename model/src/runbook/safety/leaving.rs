//! What a recovery needs in the region that it leaves: that of the primary which is shut out.

use std::collections::HashSet;

use serde_json::Value;

use crate::codes::safety as code;
use crate::diagnostic::Diagnostic;
use crate::footprint::{Footprint, Part};
use crate::plan::PlanStep;
use crate::region::{Places, RegionUse, is_of_the_world};
use crate::runbook::expand::Expansion;
use crate::runbook::order::{Order, ancestors};

/// Warns of steps on the way from a fence to the service that need the region of what was shut
/// out.
pub(super) fn check(
    expansion: &Expansion<'_>,
    order: &Order,
    steps: &[Option<PlanStep>],
    places: &Places,
    problems: &mut Vec<Diagnostic>,
) {
    let planned = steps.iter().enumerate().filter_map(|(at, step)| Some((at, step.as_ref()?)));
    let main = planned.filter(|(_, step)| step.role.is_main());
    let main: Vec<(usize, &PlanStep)> = main.collect();
    let fences: Vec<(usize, HashSet<String>)> = main
        .iter()
        .filter(|(_, step)| step.footprint.is(Part::Fence))
        .map(|(at, step)| (*at, left_by(step, places)))
        .filter(|(_, regions)| !regions.is_empty())
        .collect();
    if fences.is_empty() {
        return;
    }
    let restores: HashSet<usize> =
        main.iter().filter(|(_, step)| step.restores_service).map(|(at, _)| *at).collect();
    let mut told = HashSet::new();
    for (at, step) in main.into_iter().filter(|(_, step)| step.left_out.is_none()) {
        let one = &expansion.steps[at];
        let before = ancestors(order, at);
        if one.step.ungraceful.is_some() || before.iter().any(|one| restores.contains(one)) {
            continue;
        }
        let behind = fences.iter().filter(|(fence, _)| before.contains(fence));
        for (fence, regions) in behind {
            let needs = places.needs(step, &Value::Null);
            let bound = |need: &&RegionUse| regions.iter().any(|region| need.is_bound_to(region));
            if let Some(need) = needs.iter().find(bound)
                && told.insert(one.step.uses.span.clone())
            {
                let fence = &expansion.steps[*fence].step.id.text;
                let (id, span) = (&one.step.id.text, one.step.uses.span.clone());
                problems.push(left(id, fence, need, span));
            }
        }
    }
}

/// Where the primary is that a fence shuts out.
fn left_by(step: &PlanStep, places: &Places) -> HashSet<String> {
    let footprint = &step.footprint;
    let written = footprint.connections.iter().filter(|used| used.writes);
    let own = Footprint {
        connections: written.cloned().collect(),
        stores: Vec::new(),
        endpoints: Vec::new(),
        aws: footprint.aws.iter().filter(|one| !is_of_the_world(&one.service)).cloned().collect(),
        ..footprint.clone()
    };
    let step = PlanStep { footprint: own, secrets: Vec::new(), ..step.clone() };
    places.needs(&step, &Value::Null).into_iter().filter_map(|need| need.region).collect()
}

fn left(id: &str, fence: &str, need: &RegionUse, span: crate::node::SourceSpan) -> Diagnostic {
    let region = need.region.as_deref().unwrap_or_default();
    let message = format!("`{id}` needs `{region}`, the region that `{fence}` shuts out");
    let why = if is_of_the_world(&need.what) {
        format!("what changes `{}` answers in `{region}` alone", need.what)
    } else {
        format!("its {} is there", need.what)
    };
    Diagnostic::warning(code::LEAVING, span, message)
        .why(format!("{why}; when that region is gone, the step cannot run"))
        .help("give it another place, or say `ungraceful: skip` or `ungraceful: {with: ...}`")
}
