//! What is certain to have happened before a step runs, or to happen after it.

use std::collections::BTreeSet;

use indexmap::IndexSet;

use super::reach::{Direction, Reach, sequence};
use crate::footprint::{Footprint, Part};
use crate::plan::PlanStep;
use crate::runbook::expand::{Expansion, Instance};
use crate::runbook::order::{Order, ancestors};
use crate::template::Condition;

/// What a step may rely on in others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Guard {
    /// A person was asked.
    Asked,
    /// Nobody writes to the old server any more.
    Fenced,
    /// A server was proved to take writes.
    Writable,
    /// A set was proved.
    Proven,
    /// Somebody looks whether all is as it should be.
    Looked,
}

const ALL: [Guard; 5] =
    [Guard::Asked, Guard::Fenced, Guard::Writable, Guard::Proven, Guard::Looked];

impl Guard {
    fn is_given_by(self, footprint: &Footprint) -> bool {
        match self {
            Self::Asked => footprint.waits_for_person,
            Self::Fenced => footprint.is(Part::Fence),
            Self::Writable => footprint.is(Part::ProveWritable),
            Self::Proven => footprint.is(Part::ProveSet),
            Self::Looked => footprint.is(Part::Verify) || footprint.is(Part::ProveWritable),
        }
    }
}

/// What must be true for a step to run: the parts of its `if` that are joined by `and`. Names
/// mean the same inside one runbook, and inside one `foreach`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Under {
    scope: (usize, Option<usize>),
    all_of: BTreeSet<String>,
}

impl Under {
    fn of(one: &Instance<'_>, expansion: &Expansion<'_>) -> Self {
        // An undo runs only when its step has run.
        let one = one.undoes.map_or(one, |at| &expansion.steps[at]);
        let Some(condition) = &one.step.condition else { return Self::default() };
        let text = condition.text.as_str();
        let parts: Vec<&str> =
            if text.contains(" or ") { vec![text] } else { text.split(" and ").collect() };
        let parts = parts.into_iter().map(str::trim);
        let all_of: BTreeSet<String> =
            parts.filter(|part| !HOLDS.contains(part)).map(str::to_owned).collect();
        if all_of.is_empty() {
            return Self::default();
        }
        Self { scope: (one.part, one.item.as_ref().map(|_| one.place)), all_of }
    }

    /// It asks for nothing.
    pub(super) fn is_always(&self) -> bool {
        self.all_of.is_empty()
    }

    /// It is true whenever `other` is.
    fn follows_from(&self, other: &Self) -> bool {
        self.is_always() || self.scope == other.scope && self.all_of.is_subset(&other.all_of)
    }
}

/// Conditions that leave out no step while all goes well.
const HOLDS: [&str; 2] = ["always()", "succeeded()"];

/// What can be relied on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is there whenever the step runs.
    Certain,
    /// It is there only when that other step is not skipped.
    Perhaps(usize),
    Absent,
}

/// The guards of a plan.
pub(super) struct Guards<'e, 'a> {
    expansion: &'e Expansion<'a>,
    order: &'e Order,
    /// Each step behind those it runs after.
    pub(super) sequence: Vec<usize>,
    pub(super) under: Vec<Under>,
    /// For steps that run after failures too, those whose success they ask for.
    asked: Vec<Option<Vec<usize>>>,
    marks: IndexSet<(Guard, Under)>,
    /// The steps that have each mark.
    owners: Vec<Vec<usize>>,
    before: Reach,
    after: Reach,
}

impl<'e, 'a> Guards<'e, 'a> {
    /// The guards that the steps give each other; none when the steps wait for each other. A
    /// step that could not be checked may give all.
    pub(super) fn new(
        expansion: &'e Expansion<'a>,
        order: &'e Order,
        steps: &[Option<PlanStep>],
    ) -> Option<Self> {
        let sequence = sequence(order)?;
        let under: Vec<Under> =
            expansion.steps.iter().map(|one| Under::of(one, expansion)).collect();
        let (mut marks, mut owners) = (IndexSet::new(), Vec::<Vec<usize>>::new());
        let (mut ahead, mut behind) = (Vec::new(), Vec::new());
        for (at, step) in steps.iter().enumerate() {
            for guard in ALL.into_iter().filter(|guard| gives(step.as_ref(), *guard)) {
                let under = step.as_ref().map_or_else(Under::default, |_| under[at].clone());
                let (mark, new) = marks.insert_full((guard, under));
                if new {
                    owners.push(Vec::new());
                }
                owners[mark].push(at);
                let list = if guard == Guard::Looked { &mut behind } else { &mut ahead };
                list.push((at, mark));
            }
        }
        let reach = |own: Vec<(usize, usize)>, direction| {
            Reach::new(order, &sequence, marks.len(), own.into_iter(), direction)
        };
        let (before, after) = (reach(ahead, Direction::Onward), reach(behind, Direction::Back));
        let asked = (0..steps.len()).map(|at| successes(expansion, order, at)).collect();
        Some(Self { expansion, order, sequence, under, asked, marks, owners, before, after })
    }

    /// Whether a step before `at` gives the guard.
    pub(super) fn before(&self, at: usize, guard: Guard) -> Standing {
        let reached = |mark: usize| match &self.asked[at] {
            None => self.before.reaches(at, mark),
            Some(asked) => asked.iter().any(|one| self.is_sure_of(*one, mark)),
        };
        self.standing(at, guard, reached, |one| ancestors(self.order, at).contains(&one))
    }

    /// Whether a step behind `at` gives the guard.
    pub(super) fn after(&self, at: usize, guard: Guard) -> Standing {
        let reached = |mark: usize| self.after.reaches(at, mark);
        self.standing(at, guard, reached, |one| ancestors(self.order, one).contains(&at))
    }

    /// When that step has succeeded, so has one with the mark.
    fn is_sure_of(&self, at: usize, mark: usize) -> bool {
        self.before.owns(at, mark) || self.asked[at].is_none() && self.before.reaches(at, mark)
    }

    /// `is_near` tells of a step with a mark whether `at` is reached from it.
    fn standing(
        &self,
        at: usize,
        guard: Guard,
        reached: impl Fn(usize) -> bool,
        is_near: impl Fn(usize) -> bool,
    ) -> Standing {
        let mut perhaps = None;
        for (mark, under) in self.marks_of(guard).filter(|(mark, _)| reached(*mark)) {
            if under.follows_from(&self.under[at]) {
                return Standing::Certain;
            }
            perhaps = perhaps.or(Some(mark));
        }
        let owner = perhaps.and_then(|mark| self.owner(mark, is_near));
        owner.map_or(Standing::Absent, Standing::Perhaps)
    }

    fn marks_of(&self, guard: Guard) -> impl Iterator<Item = (usize, &Under)> {
        let marks = self.marks.iter().enumerate();
        marks.filter_map(move |(mark, (of, under))| (*of == guard).then_some((mark, under)))
    }

    /// The step with a mark that is meant: the only one, else the first that is near.
    fn owner(&self, mark: usize, is_near: impl Fn(usize) -> bool) -> Option<usize> {
        match self.owners[mark].as_slice() {
            [one] => Some(*one),
            many => many.iter().copied().find(|one| is_near(*one)),
        }
    }

    /// A step before `at` that gives the guard and need not have succeeded when `at` runs.
    pub(super) fn may_have_failed(&self, at: usize, guard: Guard) -> Option<&str> {
        self.asked[at].as_ref()?;
        let mut marks = self.marks_of(guard).map(|(mark, _)| mark);
        let mark = marks.find(|mark| self.before.reaches(at, *mark))?;
        let owner = self.owner(mark, |one| ancestors(self.order, at).contains(&one))?;
        Some(&self.expansion.steps[owner].id)
    }
}

fn gives(step: Option<&PlanStep>, guard: Guard) -> bool {
    let Some(step) = step else { return true };
    // What may fail and let the run go on promises nothing; a look that fails is told all the same.
    let promises = !step.continue_on_failure || guard == Guard::Looked;
    promises && step.left_out.is_none() && guard.is_given_by(&step.footprint)
}

/// For a step that runs after failures, the steps before it whose success its `if` asks for.
fn successes(expansion: &Expansion<'_>, order: &Order, at: usize) -> Option<Vec<usize>> {
    let one = &expansion.steps[at];
    let condition = Condition::parse(&one.step.condition.as_ref()?.text).ok()?;
    if !condition.runs_after_failure() {
        return None;
    }
    let part = &expansion.parts[one.part];
    let ids: Vec<_> = condition.succeeded_steps().iter().map(|id| part.id_of(id)).collect();
    let is_asked = |at: &usize| {
        let id = expansion.steps[*at].id.as_str();
        let rest = |asked: &String| id.strip_prefix(asked.as_str());
        ids.iter().filter_map(rest).any(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    Some(order[at].iter().copied().filter(is_asked).collect())
}
