//! Which step runs after which.

use indexmap::IndexSet;

use super::expand::{Expansion, Found, Sort};
use super::step::{Spanned, Step};
use crate::codes::language as code;
use crate::diagnostic::Diagnostic;
use crate::plan::{Occasion, Role};
use crate::suggest;

/// For each step, by its number in the plan, the steps it runs after.
pub(super) type Order = Vec<IndexSet<usize>>;

/// The steps that each step runs after as it is written: those in `needs`, without `needs` the
/// one above it. The first steps of an included runbook run after what its inclusion runs after.
pub(super) fn written(expansion: &Expansion<'_>, problems: &mut Vec<Diagnostic>) -> Order {
    let known = expansion.parts.iter().map(|part| vec![None; part.places.len()]).collect();
    let mut writing = Writing { expansion, known, problems };
    for part in 0..expansion.parts.len() {
        for place in 0..expansion.parts[part].places.len() {
            writing.after(part, place);
        }
    }
    let mut order = Order::with_capacity(expansion.steps.len());
    for (at, one) in expansion.steps.iter().enumerate() {
        order.push(match &one.role {
            Role::Main => writing.after(one.part, one.place),
            Role::Undo(_) => one.undoes.into_iter().collect(),
            // The question of `rollback: ask` is no text of a runbook; it follows nothing.
            Role::Consent => IndexSet::new(),
            Role::Handler(occasion) => writing.told(at, *occasion),
        });
    }
    order
}

/// The steps that run before step `at`, however far away.
pub(super) fn ancestors(order: &Order, at: usize) -> IndexSet<usize> {
    let mut found: IndexSet<usize> = order[at].clone();
    let mut next = 0;
    while let Some(&step) = found.get_index(next) {
        found.extend(order[step].iter().copied());
        next += 1;
    }
    found
}

struct Writing<'e, 'a, 'p> {
    expansion: &'e Expansion<'a>,
    known: Vec<Vec<Option<IndexSet<usize>>>>,
    problems: &'p mut Vec<Diagnostic>,
}

impl<'a> Writing<'_, 'a, '_> {
    /// The steps that what is written at `place` runs after.
    fn after(&mut self, part: usize, place: usize) -> IndexSet<usize> {
        if let Some(known) = &self.known[part][place] {
            return known.clone();
        }
        // A circle through groups without steps ends here; a check of the text reports it.
        self.known[part][place] = Some(IndexSet::new());
        let step = &self.expansion.parts[part].runbook.steps[place];
        let mut after = match &step.needs {
            None => place.checked_sub(1).map_or_else(IndexSet::new, |above| self.ends(part, above)),
            Some(needs) => self.needed(part, place, needs),
        };
        if let (true, Some((outer, at))) = (after.is_empty(), self.expansion.parts[part].outer) {
            after = self.after(outer, at);
        }
        self.known[part][place] = Some(after.clone());
        after
    }

    fn needed(&mut self, part: usize, place: usize, needs: &[Spanned]) -> IndexSet<usize> {
        let mut after = IndexSet::new();
        let mut seen = IndexSet::new();
        for need in needs {
            let refused = |message| Diagnostic::error(code::NEEDS, need.span.clone(), message);
            if !seen.insert(&need.text) {
                let message = format!("`{}` stands twice in `needs`", need.text);
                self.problems.push(refused(message));
                continue;
            }
            match self.needed_step(part, need) {
                Err(problem) => self.problems.push(*problem),
                Ok(found) if self.expansion.is_at(&found, part, place) => {
                    self.problems.push(refused(format!("`{}` needs itself", need.text)));
                }
                Ok(found) => after.extend(self.last_of(part, need, &found)),
            }
        }
        after
    }

    /// The steps of the same handler that its step `at` runs after.
    fn told(&mut self, at: usize, occasion: Occasion) -> IndexSet<usize> {
        let steps = &self.expansion.steps;
        let inside = |other: &usize| steps[*other].role == Role::Handler(occasion);
        let Some(needs) = &steps[at].step.needs else {
            return at.checked_sub(1).filter(inside).into_iter().collect();
        };
        let list: Vec<usize> = (0..steps.len()).filter(inside).collect();
        let id = |at: usize| steps[at].step.id.text.as_str();
        let mut after = IndexSet::new();
        for need in needs {
            let refused = |message| Diagnostic::error(code::NEEDS, need.span.clone(), message);
            match list.iter().find(|other| id(**other) == need.text) {
                Some(other) if *other == at => {
                    self.problems.push(refused(format!("`{}` needs itself", need.text)));
                }
                Some(other) if !after.insert(*other) => {
                    self.problems.push(refused(format!("`{}` stands twice in `needs`", need.text)));
                }
                Some(_) => {}
                None => {
                    let known: Vec<&str> = list.iter().map(|at| id(*at)).collect();
                    let message =
                        format!("`needs` names `{}`, which is no step of this handler", need.text);
                    self.problems.push(refused(message).help(suggest::one_of(&need.text, &known)));
                }
            }
        }
        after
    }

    /// What a need names.
    fn needed_step(&self, part: usize, need: &Spanned) -> Result<Found<'a>, Box<Diagnostic>> {
        let path: Vec<&str> = need.text.split('.').collect();
        let found = self.expansion.find(part, &path);
        let Some(found) = found.filter(|one| one.length == path.len() || one.sort == Sort::Unread)
        else {
            return Err(Box::new(unknown(need, &path, self.expansion, part)));
        };
        let Some(why) = found.loose else { return Ok(found) };
        let message = format!("`{}` is there only for some parameters", need.text);
        let group = path[..path.len() - 1].join(".");
        Err(Box::new(
            Diagnostic::error(code::NEEDS, need.span.clone(), message)
                .why(why.why(&group))
                .help(format!("write `needs: [{group}]`, which waits for all of them")),
        ))
    }

    /// The steps to wait for so as to have waited for what a need names.
    fn last_of(&mut self, part: usize, need: &Spanned, found: &Found<'_>) -> IndexSet<usize> {
        match found.sort {
            Sort::Part(inner) => self.lasts(inner),
            _ if found.steps.is_empty() => {
                let first =
                    need.text.split('.').next().and_then(|id| self.expansion.place(part, id));
                first.map_or_else(IndexSet::new, |place| self.ends(part, place))
            }
            _ => found.steps.clone().collect(),
        }
    }

    /// The steps to wait for so as to have waited for what is written at `place`.
    fn ends(&mut self, part: usize, place: usize) -> IndexSet<usize> {
        let written = &self.expansion.parts[part].places[place];
        match written.sort {
            Sort::Part(inner) => self.lasts(inner),
            _ if written.steps.is_empty() => self.after(part, place),
            _ => written.steps.clone().collect(),
        }
    }

    /// The steps of a part that none of its others waits for.
    fn lasts(&mut self, part: usize) -> IndexSet<usize> {
        let inside = &self.expansion.parts[part];
        let mut lasts: IndexSet<usize> = (0..inside.places.len()).collect();
        for (place, step) in inside.runbook.steps.iter().enumerate() {
            match &step.needs {
                None => drop(place.checked_sub(1).map(|above| lasts.swap_remove(&above))),
                Some(needs) => {
                    let named =
                        needs.iter().filter_map(|need| self.expansion.place(part, &need.text));
                    for named in named {
                        lasts.swap_remove(&named);
                    }
                }
            }
        }
        let lasts: std::collections::BTreeSet<usize> = lasts.into_iter().collect();
        lasts.into_iter().flat_map(|place| self.ends(part, place)).collect()
    }
}

impl Expansion<'_> {
    /// The name stands for what is written there, or for a part of it.
    fn is_at(&self, found: &Found<'_>, part: usize, place: usize) -> bool {
        std::ptr::eq(found.written, &raw const self.parts[part].runbook.steps[place])
    }
}

fn unknown(need: &Spanned, path: &[&str], expansion: &Expansion<'_>, part: usize) -> Diagnostic {
    let found = expansion.find(part, path);
    let known: Vec<&str> = match found.as_ref().map(|found| (found.sort, &found.steps)) {
        Some((Sort::Part(inner), _)) => expansion.parts[inner].runbook.step_ids(),
        Some((Sort::Group { .. }, steps)) => {
            let steps = expansion.steps[steps.clone()].iter();
            steps.filter_map(|one| Some(one.item.as_ref()?.id.as_str())).collect()
        }
        _ => expansion.parts[part].runbook.step_ids(),
    };
    let missing = path[found.as_ref().map_or(0, |found| found.length).min(path.len() - 1)];
    let message = match &found {
        Some(found) => format!("`{}` has no `{missing}` to wait for", found.id),
        None => format!("`needs` names `{}`, which is no step", need.text),
    };
    let problem = Diagnostic::error(code::NEEDS, need.span.clone(), message);
    problem.help(suggest::one_of(missing, &known))
}

/// Reports one circle, if there is any.
pub(super) fn report_cycle(
    expansion: &Expansion<'_>,
    order: &Order,
    problems: &mut Vec<Diagnostic>,
) {
    let Some(cycle) = cycle(order) else { return };
    let step = |at: &usize| -> &Step { expansion.steps[*at].step };
    let id = |at: &usize| format!("`{}`", expansion.steps[*at].id);
    let path: Vec<_> = cycle.iter().chain(cycle.first()).map(id).collect();
    let span = cycle.iter().map(|at| &step(at).id.span).min_by_key(|span| span.start);
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
