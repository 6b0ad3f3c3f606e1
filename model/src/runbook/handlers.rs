//! Reads `handlers`: what runs when something happens to the run.

use super::fields::{Fields, Keys};
use super::step::{self, Step};
use crate::codes::language as code;
use crate::diagnostic::Diagnostic;
use crate::node::NodeValue;
use crate::plan::Occasion;

pub(crate) const HANDLERS: Keys = Keys {
    what: "`handlers`",
    known: &["success", "failure", "abort", "waiting", "exit"],
    later: &[],
};
const OCCASIONS: [Occasion; 5] =
    [Occasion::Success, Occasion::Failure, Occasion::Abort, Occasion::Waiting, Occasion::Exit];

/// A step of a handler.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) occasion: Occasion,
    pub(super) step: Step,
}

impl Told {
    /// Its id in the plan.
    pub(super) fn id(&self) -> String {
        let at = OCCASIONS.iter().position(|one| *one == self.occasion);
        let name = at.map_or("", |at| HANDLERS.known[at]);
        format!("{name}.{}", self.step.id.text)
    }
}

/// The steps of all handlers, list after list.
pub(super) fn read(fields: &Fields<'_>, problems: &mut Vec<Diagnostic>) -> Vec<Told> {
    let Some(node) = fields.get("handlers") else { return Vec::new() };
    let base = step::base_retry(fields);
    let lists = Fields::new(node, &HANDLERS, problems);
    let mut all = Vec::new();
    for (occasion, name) in OCCASIONS.into_iter().zip(HANDLERS.known) {
        let Some(node) = lists.get(name) else { continue };
        let NodeValue::List(items) = &node.value else {
            let message = format!("`{name}` is a list of steps, not {}", node.what());
            problems.push(Diagnostic::error(code::TYPE, node.span.clone(), message));
            continue;
        };
        let read = |item| step::read_told(item, &base, problems);
        let steps: Vec<_> = items.iter().filter_map(read).collect();
        step::report_duplicates(&steps, problems);
        all.extend(steps.into_iter().map(|step| Told { occasion, step }));
    }
    all
}
