//! Rules on the order of a plan: what must have happened before a step that could lose data, and
//! what must look at it afterwards. They go by what the steps say of themselves in their
//! footprints, and by which step runs after which.

mod guards;
mod leaving;
mod reach;
mod time;
mod words;

use super::declare::Declared;
use super::expand::{Expansion, Instance};
use super::order::Order;
use crate::diagnostic::{Diagnostic, Severity};
use crate::effect::Effect;
use crate::footprint::{Footprint, Part};
use crate::plan::{Connection, PlanStep};
use crate::region::Places;
use guards::{Guard, Guards, Standing};
use words::Missing;

/// Judges the steps of a plan. Those that could not be checked are `None`, and nothing is said
/// that depends on them.
pub(super) fn check(
    expansion: &Expansion<'_>,
    order: &Order,
    steps: &[Option<PlanStep>],
    places: &Places,
    problems: &mut Vec<Diagnostic>,
) {
    let Some(guards) = Guards::new(expansion, order, steps) else { return };
    let runs = |step: &&PlanStep| step.left_out.is_none();
    let promotes = |step: &PlanStep| step.role.is_main() && step.footprint.is(Part::Promote);
    let promotes = steps.iter().flatten().filter(runs).any(promotes);
    let mut judging = Judging { expansion, guards: &guards, promotes, problems };
    for (at, step) in steps.iter().enumerate() {
        if let Some(step) = step.as_ref().filter(runs) {
            judging.step(at, step);
        }
    }
    leaving::check(expansion, order, steps, places, problems);
    time::check(expansion, order, &guards, steps, problems);
}

struct Judging<'g, 'e, 'a> {
    expansion: &'e Expansion<'a>,
    guards: &'g Guards<'e, 'a>,
    /// The plan makes a new primary.
    promotes: bool,
    problems: &'g mut Vec<Diagnostic>,
}

impl<'a> Judging<'_, '_, 'a> {
    fn step(&mut self, at: usize, step: &PlanStep) {
        let footprint = &step.footprint;
        self.approval(at, footprint);
        if footprint.is(Part::Promote) {
            let says_why = footprint.is(Part::Unfenced);
            let missing = if says_why { words::UNFENCED } else { words::NO_FENCE };
            self.demand(at, Guard::Fenced, missing);
        }
        if footprint.is(Part::MoveTraffic) && self.promotes {
            self.demand(at, Guard::Writable, words::TRAFFIC);
        }
        if footprint.is(Part::Prune) {
            self.demand(at, Guard::Proven, words::UNPROVEN_PRUNE);
        }
        if step.role.is_main() && self.wants_a_look(at, footprint) {
            let standing = self.guards.after(at, Guard::Looked);
            self.report(at, &standing, words::unverified(footprint.effect));
        }
    }

    /// What destroys protected data runs after a person said so.
    fn approval(&mut self, at: usize, footprint: &Footprint) {
        let Some((name, declared)) = self.protected(at, footprint) else { return };
        if footprint.effect < Effect::Destructive {
            return;
        }
        let refused = self.guards.may_have_failed(at, Guard::Asked);
        let missing = words::unapproved(name, &declared.key_span, footprint.effect, refused);
        self.report(at, &self.guards.before(at, Guard::Asked), missing);
    }

    /// The first protected connection that the step changes.
    fn protected(
        &self,
        at: usize,
        footprint: &Footprint,
    ) -> Option<(&'a str, &'a Declared<Connection>)> {
        let part = &self.expansion.parts[self.one(at).part];
        let changed = footprint.connections.iter().filter(|used| used.writes);
        let declared = changed.filter_map(|used| {
            part.runbook.connections.iter().find(|(name, _)| part.id_of(name) == used.name)
        });
        let mut protected = declared.filter(|(_, one)| one.value.protected);
        protected.next().map(|(name, one)| (name.as_str(), one))
    }

    /// Data that people use may be gone, and the step does not look at the result itself.
    fn wants_a_look(&self, at: usize, footprint: &Footprint) -> bool {
        let looks = [Part::Prune, Part::Verify, Part::ProveWritable, Part::Fence];
        let looks = looks.into_iter().any(|part| footprint.is(part));
        let elsewhere = !footprint.connections.iter().any(|used| used.writes);
        let destroys = match footprint.effect {
            Effect::Read | Effect::Reversible => false,
            Effect::Destructive => elsewhere || self.protected(at, footprint).is_some(),
            // What is sent to people cannot be looked at.
            Effect::Irreversible => self.protected(at, footprint).is_some(),
        };
        destroys && !looks
    }

    fn demand(&mut self, at: usize, guard: Guard, missing: Missing) {
        self.report(at, &self.guards.before(at, guard), missing);
    }

    /// Reports that something is missing, or that it may be skipped.
    fn report(&mut self, at: usize, standing: &Standing, missing: Missing) {
        let name = self.name(at);
        let Missing { code, severity, does, lacks, why, help, also } = missing;
        let (severity, message, why) = match standing {
            Standing::Certain => return,
            Standing::Absent => (severity, format!("`{name}` {does}, {lacks}"), why),
            Standing::Perhaps(guard) => {
                let guard = self.name(*guard);
                let message = format!("`{name}` {does}, and `{guard}` may be skipped");
                let why = format!("`{guard}` has an `if` that `{name}` does not have");
                (Severity::Warning, message, why.into())
            }
        };
        let span = self.one(at).step.uses.span.clone();
        let problem = Diagnostic { severity, also, ..Diagnostic::error(code, span, message) };
        self.problems.push(problem.why(why).help(help));
    }

    fn one(&self, at: usize) -> &Instance<'a> {
        &self.expansion.steps[at]
    }

    /// The id as it is written, so that the items of a `foreach` are told of once.
    fn name(&self, at: usize) -> &'a str {
        &self.one(at).step.id.text
    }
}
