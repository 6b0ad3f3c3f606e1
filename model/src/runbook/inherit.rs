//! What steps take over from `aws`: the keys that say where AWS is, where a step has such keys and
//! does not say them itself.

use indexmap::IndexMap;

use super::Runbook;
use super::step::Step;
use crate::catalog::Catalog;
use crate::node::{Entry, NodeValue};

/// The keys under `aws`. A kind of step whose input has them all asks AWS.
const KEYS: [&str; 3] = ["region", "profile", "endpoint_url"];

/// Fills the inputs of the steps of this runbook and of those it includes.
pub(super) fn apply(runbook: &mut Runbook, catalog: &dyn Catalog) {
    for inclusion in runbook.inclusions.values_mut() {
        apply(&mut inclusion.runbook, catalog);
    }
    let Some(said) = runbook.aws.take() else { return };
    if let NodeValue::Map(entries) = &said.node.value {
        let handlers = runbook.handlers.iter_mut().map(|told| &mut told.step);
        let steps = runbook.steps.iter_mut().chain(handlers);
        let replacements = runbook.drill.iter_mut().flat_map(super::Drill::replacements);
        steps.chain(replacements).for_each(|step| fill(step, entries, catalog));
    }
    runbook.aws = Some(said);
}

fn fill(step: &mut Step, said: &IndexMap<String, Entry>, catalog: &dyn Catalog) {
    if let Some(undo) = &mut step.undo {
        fill(undo, said, catalog);
    }
    let (true, NodeValue::Map(with)) = (asks_aws(&step.uses.text, catalog), &mut step.with.value)
    else {
        return;
    };
    for key in KEYS {
        if let (Some(entry), false) = (said.get(key), with.contains_key(key)) {
            with.insert(key.to_owned(), entry.clone());
        }
    }
}

fn asks_aws(kind: &str, catalog: &dyn Catalog) -> bool {
    let schema = catalog.get(kind).map(crate::catalog::StepKind::input_schema);
    let properties = schema.as_ref().and_then(|schema| schema.get("properties"));
    properties.is_some_and(|properties| KEYS.iter().all(|key| properties.get(key).is_some()))
}
