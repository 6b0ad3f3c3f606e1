//! What steps take over from `aws`: the keys that say where AWS is, where a step has such keys and
//! does not say them itself.

use std::collections::HashMap;

use indexmap::IndexMap;

use super::Runbook;
use super::step::Step;
use crate::catalog::Catalog;
use crate::node::{Entry, NodeValue};

/// The keys under `aws`. A kind of step whose input has them all asks AWS.
const KEYS: [&str; 3] = ["region", "profile", "endpoint_url"];

/// Fills the inputs of the steps of this runbook and of those it includes.
pub(super) fn apply(runbook: &mut Runbook, catalog: &dyn Catalog) {
    fill_all(runbook, &mut Kinds { catalog, known: HashMap::new() });
}

/// Which kinds ask AWS; a schema is made once for each kind.
struct Kinds<'a> {
    catalog: &'a dyn Catalog,
    known: HashMap<String, bool>,
}

impl Kinds<'_> {
    fn ask_aws(&mut self, kind: &str) -> bool {
        if let Some(known) = self.known.get(kind) {
            return *known;
        }
        let schema = self.catalog.get(kind).map(crate::catalog::StepKind::input_schema);
        let properties = schema.as_ref().and_then(|schema| schema.get("properties"));
        let has_all = properties.is_some_and(|all| KEYS.iter().all(|key| all.get(key).is_some()));
        self.known.insert(kind.to_owned(), has_all);
        has_all
    }
}

fn fill_all(runbook: &mut Runbook, kinds: &mut Kinds<'_>) {
    for inclusion in runbook.inclusions.values_mut() {
        fill_all(&mut inclusion.runbook, kinds);
    }
    let Some(said) = runbook.aws.take() else { return };
    if let NodeValue::Map(entries) = &said.node.value {
        let handlers = runbook.handlers.iter_mut().map(|told| &mut told.step);
        let steps = runbook.steps.iter_mut().chain(handlers);
        let replacements = runbook.drill.iter_mut().flat_map(super::Drill::replacements);
        steps.chain(replacements).for_each(|step| fill(step, entries, kinds));
    }
    runbook.aws = Some(said);
}

fn fill(step: &mut Step, said: &IndexMap<String, Entry>, kinds: &mut Kinds<'_>) {
    if let Some(undo) = &mut step.undo {
        fill(undo, said, kinds);
    }
    let (true, NodeValue::Map(with)) = (kinds.ask_aws(&step.uses.text), &mut step.with.value)
    else {
        return;
    };
    for key in KEYS {
        if let (Some(entry), false) = (said.get(key), with.contains_key(key)) {
            with.insert(key.to_owned(), entry.clone());
        }
    }
}
