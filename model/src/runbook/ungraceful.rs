//! `ungraceful`: what a step does when what it acts on is already gone.

use super::fields::{Fields, Keys};
use crate::codes::language as code;
use crate::diagnostic::Diagnostic;
use crate::node::{Node, NodeValue};
use crate::plan::LeftOut;

use super::Runbook;
use super::step::Step;

pub(crate) const UNGRACEFUL: Keys = Keys { what: "`ungraceful`", known: &["with"], later: &[] };

/// What `run --ungraceful` changes in a step.
#[derive(Debug, Clone)]
pub(super) enum Ungraceful {
    /// The step is left out.
    Skip,
    /// These keys of `with` have other values.
    With(Node),
}

/// Reads `ungraceful` of a step.
pub(super) fn read(fields: &Fields<'_>, problems: &mut Vec<Diagnostic>) -> Option<Ungraceful> {
    let node = fields.get("ungraceful")?;
    match &node.value {
        NodeValue::Scalar(scalar) if scalar.text == "skip" => Some(Ungraceful::Skip),
        NodeValue::Map(_) => {
            let fields = Fields::new(node, &UNGRACEFUL, problems);
            let with = fields.present("with", problems)?;
            match with.value {
                NodeValue::Map(_) => return Some(Ungraceful::With(with.clone())),
                _ => problems.push(misshapen(with, "`with` is a mapping")),
            }
            None
        }
        _ => {
            problems.push(misshapen(node, "`ungraceful` is `skip` or a mapping with `with`"));
            None
        }
    }
}

fn misshapen(node: &Node, rule: &str) -> Diagnostic {
    let message = format!("{rule}, not {}", node.what());
    Diagnostic::error(code::TYPE, node.span.clone(), message)
        .help("write `ungraceful: skip`, or `ungraceful: {with: {...}}` with the keys that change")
}

/// Whether any step says it.
pub(super) fn is_said(runbook: &Runbook) -> bool {
    let inner = runbook.inclusions.values().any(|one| is_said(&one.runbook));
    inner || runbook.steps.iter().any(|step| step.ungraceful.is_some())
}

/// Makes the runbook the ungraceful one.
pub(super) fn apply(runbook: &mut Runbook) {
    runbook.steps.iter_mut().for_each(apply_to);
    runbook.inclusions.values_mut().for_each(|one| apply(&mut one.runbook));
}

fn apply_to(step: &mut Step) {
    match step.ungraceful.take() {
        None => {}
        Some(Ungraceful::Skip) => step.left_out = step.left_out.or(Some(LeftOut::Ungraceful)),
        // What stands in for the step in a drill has an input of its own.
        Some(Ungraceful::With(_)) if step.replaced => {}
        Some(Ungraceful::With(with)) => {
            if let (NodeValue::Map(old), NodeValue::Map(new)) = (&mut step.with.value, with.value) {
                old.extend(new);
            }
        }
    }
}
