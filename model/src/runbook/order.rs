//! Which step runs after which.

use indexmap::IndexSet;

use super::Runbook;
use super::names::Names;
use super::step::{Spanned, Step};
use crate::codes::language as code;
use crate::diagnostic::Diagnostic;
use crate::suggest;

/// For each step, by its place in the runbook, the steps it runs after.
pub(super) type Order = Vec<IndexSet<usize>>;

/// The steps that step `at` runs after: those in `needs`, without `needs` the one above it.
pub(super) fn written(
    names: &Names<'_>,
    at: usize,
    problems: &mut Vec<Diagnostic>,
) -> IndexSet<usize> {
    let step = &names.runbook.steps[at];
    let Some(needs) = &step.needs else { return at.checked_sub(1).into_iter().collect() };
    let mut after = IndexSet::new();
    for need in needs {
        match names.steps.get(need.text.as_str()) {
            None => problems.push(unknown(need, names.runbook)),
            Some(other) if *other == at => {
                let message = format!("`{}` needs itself", need.text);
                problems.push(Diagnostic::error(code::NEEDS, need.span.clone(), message));
            }
            Some(other) => {
                if !after.insert(*other) {
                    let message = format!("`{}` stands twice in `needs`", need.text);
                    problems.push(Diagnostic::error(code::NEEDS, need.span.clone(), message));
                }
            }
        }
    }
    after
}

fn unknown(need: &Spanned, runbook: &Runbook) -> Diagnostic {
    let ids: Vec<_> = runbook.steps.iter().map(|step| step.id.text.as_str()).collect();
    let message = format!("`needs` names `{}`, which is no step", need.text);
    let problem = Diagnostic::error(code::NEEDS, need.span.clone(), message);
    problem.help(suggest::one_of(&need.text, &ids))
}

/// Reports one circle, if there is any.
pub(super) fn report_cycle(steps: &[Step], order: &Order, problems: &mut Vec<Diagnostic>) {
    let Some(cycle) = cycle(order) else { return };
    let id = |at: &usize| format!("`{}`", steps[*at].id.text);
    let path: Vec<_> = cycle.iter().chain(cycle.first()).map(id).collect();
    let span = cycle.iter().map(|at| &steps[*at].id.span).min_by_key(|span| span.start);
    let message = format!("these steps wait for each other: {}", path.join(" after "));
    let problem = Diagnostic::error(code::CYCLE, span.cloned().unwrap_or(0..0), message);
    problems.push(
        problem
            .why("a step runs after its `needs` (else the step above it) and after every step it refers to")
            .help("remove one of these, or write `needs` where the step above is not meant"),
    );
}

#[derive(Clone, Copy, PartialEq)]
enum Seen {
    No,
    Open,
    Closed,
}

/// The first circle that a walk in depth finds: each step runs after the next one.
fn cycle(order: &Order) -> Option<Vec<usize>> {
    let mut seen = vec![Seen::No; order.len()];
    for start in 0..order.len() {
        if seen[start] != Seen::No {
            continue;
        }
        seen[start] = Seen::Open;
        let mut path = vec![(start, 0)];
        while let Some((at, next)) = path.last_mut() {
            let Some(&after) = order[*at].get_index(*next) else {
                seen[*at] = Seen::Closed;
                path.pop();
                continue;
            };
            *next += 1;
            match seen[after] {
                Seen::Closed => {}
                Seen::No => {
                    seen[after] = Seen::Open;
                    path.push((after, 0));
                }
                Seen::Open => {
                    let from = path.iter().position(|(at, _)| *at == after)?;
                    return Some(path[from..].iter().map(|(at, _)| *at).collect());
                }
            }
        }
    }
    None
}
