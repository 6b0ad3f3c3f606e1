//! From the steps as they are written to the steps of the plan: one for each item of a
//! `foreach`, and those of included runbooks in the place of the step that includes them.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use indexmap::IndexMap;

use super::foreach::{self, Item, Items};
use super::handlers::Told;
use super::param::{self, Bound};
use super::step::Step;
use super::{Runbook, include};
use crate::codes::language as code;
use crate::diagnostic::Diagnostic;
use crate::footprint::Footprint;
use crate::ids::StepId;
use crate::plan::{self, Group, LeftOut, Role};
use crate::template::with_steps;

/// All `foreach` together make at most so many steps; one without items counts as one.
const MOST_INSTANCES: usize = 1_000;

/// A runbook with everything it includes, spread out.
pub(super) struct Expansion<'a> {
    /// The runbook itself, then those it includes, each before its own inclusions.
    pub(super) parts: Vec<Part<'a>>,
    /// The steps of the plan; those of a group and those of a part are neighbours. Undos and
    /// handlers stand behind all others.
    pub(super) steps: Vec<Instance<'a>>,
}

/// One runbook with its parameters.
pub(super) struct Part<'a> {
    pub(super) runbook: &'a Runbook,
    /// The id of the step that includes it.
    pub(super) prefix: Option<String>,
    pub(super) bound: Bound,
    /// The part that includes it, and the place of the step there.
    pub(super) outer: Option<(usize, usize)>,
    /// What became of each step of the text.
    pub(super) places: Vec<Place>,
    /// The parameters that `foreach` and inclusions read.
    pub(super) read_params: HashSet<String>,
    /// It is there with the parameters' defaults.
    pub(super) usual: bool,
    ids: HashMap<&'a str, usize>,
}

/// What became of a step of the text.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) steps: Range<usize>,
    pub(super) sort: Sort,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    /// One step of the plan.
    One,
    /// One for each item.
    Group {
        /// The items are written out.
        literal: bool,
    },
    /// The steps of that part.
    Part(usize),
    /// None: the condition of the inclusion does not hold.
    Absent,
    /// Nothing: its problem is reported where it stands.
    Unread,
}

/// A step of the plan to be.
pub(super) struct Instance<'a> {
    pub(super) id: String,
    pub(super) part: usize,
    /// Its place among the steps of the part's text.
    pub(super) place: usize,
    pub(super) step: &'a Step,
    pub(super) item: Option<Item>,
    pub(super) role: Role,
    /// The number of the step that it undoes.
    pub(super) undoes: Option<usize>,
}

/// What a name means.
#[derive(Debug, Clone)]
pub(super) struct Found<'a> {
    /// The steps of the plan.
    pub(super) steps: Range<usize>,
    pub(super) sort: Sort,
    /// The step as it is written.
    pub(super) written: &'a Step,
    /// Its id in the plan: that of a step, of a group, or the prefix of a part.
    pub(super) id: String,
    /// How many parts of the path belong to the name.
    pub(super) length: usize,
    /// Why it is there only for some parameters, when it is.
    pub(super) loose: Option<Loose>,
}

/// Why something is there only for some parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loose {
    /// It is one item of a group whose items are not written out.
    Item,
    /// It is inside an inclusion that has an `if`.
    Inclusion,
}

impl Loose {
    /// Why, in words, of something inside `group`.
    pub(super) fn why(self, group: &str) -> String {
        match self {
            Self::Item => format!("the items of `{group}` come from a parameter"),
            Self::Inclusion => "it belongs to an inclusion that has an `if`".to_owned(),
        }
    }
}

impl<'a> Expansion<'a> {
    /// Spreads a runbook out; the parameters are those of the runbook itself.
    pub(super) fn new(runbook: &'a Runbook, bound: Bound, problems: &mut Vec<Diagnostic>) -> Self {
        let expansion = Self { parts: Vec::new(), steps: Vec::new() };
        let mut expanding = Expanding { expansion, instances: 0, problems };
        expanding.part(Part::new(runbook, bound));
        expanding.undos();
        expanding.handlers(runbook);
        expanding.refuse_equal_ids();
        expanding.expansion
    }

    /// What the name at the start of `path` means inside a part.
    pub(super) fn find<S: AsRef<str>>(&self, part: usize, path: &[S]) -> Option<Found<'a>> {
        let (first, rest) = path.split_first()?;
        let inside = &self.parts[part];
        let at = *inside.ids.get(first.as_ref())?;
        let (place, written) = (&inside.places[at], &inside.runbook.steps[at]);
        let found = Found {
            steps: place.steps.clone(),
            sort: place.sort,
            written,
            id: inside.id_of(&written.id.text),
            length: 1,
            loose: None,
        };
        match (place.sort, rest.first()) {
            (Sort::Part(inner), Some(next))
                if self.parts[inner].ids.contains_key(next.as_ref()) =>
            {
                let (found, perhaps) = (self.find(inner, rest)?, written.condition.is_some());
                let loose = found.loose.or(perhaps.then_some(Loose::Inclusion));
                Some(Found { length: found.length + 1, loose, ..found })
            }
            (Sort::Group { literal }, Some(next)) => {
                Some(self.item(&found, next.as_ref(), literal).unwrap_or(found))
            }
            _ => Some(found),
        }
    }

    /// One item of a group; of one whose items are not written out, whatever its name.
    fn item(&self, group: &Found<'a>, id: &str, literal: bool) -> Option<Found<'a>> {
        if ["outputs", "status"].contains(&id) {
            return None;
        }
        let named = |at: &usize| self.steps[*at].item.as_ref().is_some_and(|item| item.id == id);
        let at = group.steps.clone().find(named);
        let steps = match at {
            Some(at) => at..at + 1,
            None if literal => return None,
            None => 0..0,
        };
        let id = format!("{}.{id}", group.id);
        let loose = (!literal).then_some(Loose::Item);
        Some(Found { steps, sort: Sort::One, id, length: 2, loose, ..group.clone() })
    }

    /// The place among the steps of a part's text.
    pub(super) fn place(&self, part: usize, id: &str) -> Option<usize> {
        self.parts[part].ids.get(id).copied()
    }

    /// Why a step is left out of the plan; an undo is when its step is.
    pub(super) fn left_out(&self, one: &Instance<'_>) -> Option<LeftOut> {
        let undone = one.undoes.and_then(|at| self.steps[at].step.left_out);
        one.step.left_out.or(undone)
    }

    /// The steps of this scope are there with the parameters' defaults.
    pub(super) fn is_usual(&self, scope: Option<&str>) -> bool {
        self.parts.iter().any(|part| part.usual && part.prefix.as_deref() == scope)
    }

    /// The groups of the plan.
    pub(super) fn groups(&self) -> IndexMap<StepId, Group> {
        let mut groups = IndexMap::new();
        for part in &self.parts {
            for (place, step) in part.places.iter().zip(&part.runbook.steps) {
                if let (Sort::Group { .. }, Some(foreach)) = (place.sort, &step.foreach) {
                    let steps = self.steps[place.steps.clone()].iter();
                    let steps = steps.map(|one| plan_id(&one.id)).collect();
                    let group = Group { steps, max_parallel: foreach.max_parallel };
                    groups.insert(plan_id(&part.id_of(&step.id.text)), group);
                }
            }
        }
        groups
    }
}

impl Expansion<'_> {
    /// The phase of the nearest inclusion around a part that has one.
    pub(super) fn outer_phase(&self, part: &Part<'_>) -> Option<String> {
        let (outer, place) = part.outer?;
        let outer = &self.parts[outer];
        let phase = outer.runbook.steps[place].phase.clone();
        phase.or_else(|| self.outer_phase(outer))
    }
}

impl Instance<'_> {
    /// The item as the plan has it.
    pub(super) fn planned_item(&self, item: &Item, part: &Part<'_>) -> plan::Item {
        plan::Item {
            group: plan_id(&part.id_of(&part.runbook.steps[self.place].id.text)),
            name: item.name.clone(),
            value: item.value.clone(),
        }
    }
}

impl<'a> Part<'a> {
    /// The runbook itself, not yet spread out.
    fn new(runbook: &'a Runbook, bound: Bound) -> Self {
        let ids = runbook.steps.iter().enumerate().rev();
        let ids = ids.map(|(at, step)| (step.id.text.as_str(), at)).collect();
        let (places, read_params) = (Vec::with_capacity(runbook.steps.len()), HashSet::new());
        Self { runbook, prefix: None, bound, outer: None, places, read_params, usual: true, ids }
    }
}

impl Part<'_> {
    /// A condition with the ids that its steps have in the plan.
    pub(super) fn condition(&self, text: &str) -> String {
        if self.prefix.is_none() {
            return text.to_owned();
        }
        with_steps(text, |id| self.id_of(id))
    }

    /// A footprint with the names that connections and stores have in the plan.
    pub(super) fn footprint(&self, mut footprint: Footprint) -> Footprint {
        for used in &mut footprint.connections {
            used.name = self.id_of(&used.name);
        }
        for store in footprint.stores.iter_mut().chain(&mut footprint.opens) {
            *store = self.id_of(store);
        }
        let servers = footprint.tools.iter_mut().filter_map(|t| t.not_older_than_server.as_mut());
        for server in servers {
            *server = self.id_of(server);
        }
        footprint
    }

    /// The id in the plan of a step of this part.
    pub(super) fn id_of(&self, id: &str) -> String {
        plan::qualified(self.prefix.as_deref(), id)
    }
}

/// An id as the plan has it.
pub(super) fn plan_id(id: &str) -> StepId {
    id.parse().expect("the parts of ids are checked when they are read")
}

struct Expanding<'a, 'p> {
    expansion: Expansion<'a>,
    instances: usize,
    problems: &'p mut Vec<Diagnostic>,
}

impl<'a> Expanding<'a, '_> {
    fn part(&mut self, part: Part<'a>) -> usize {
        let (number, runbook) = (self.expansion.parts.len(), part.runbook);
        self.expansion.parts.push(part);
        for at in 0..runbook.steps.len() {
            let start = self.expansion.steps.len();
            let sort = self.step(number, at);
            let steps = start..self.expansion.steps.len();
            self.expansion.parts[number].places.push(Place { steps, sort });
        }
        number
    }

    fn step(&mut self, part: usize, at: usize) -> Sort {
        let runbook = self.expansion.parts[part].runbook;
        let step = &runbook.steps[at];
        if step.include.is_some() {
            return self.include(part, at).unwrap_or(Sort::Unread);
        }
        if step.foreach.is_some() {
            let Some(items) = self.items(part, step) else { return Sort::Unread };
            let literal = items.literal;
            items.all.into_iter().for_each(|item| self.instance(part, at, Some(item)));
            return Sort::Group { literal };
        }
        self.instance(part, at, None);
        Sort::One
    }

    fn instance(&mut self, part: usize, place: usize, item: Option<Item>) {
        let inside = &self.expansion.parts[part];
        let step = &inside.runbook.steps[place];
        let id = inside.id_of(&step.id.text);
        let id = item.as_ref().map_or_else(|| id.clone(), |item| format!("{id}.{}", item.id));
        let (role, undoes) = (Role::Main, None);
        self.expansion.steps.push(Instance { id, part, place, step, item, role, undoes });
    }

    /// One for each step that has an `undo`, in the same order.
    fn undos(&mut self) {
        let undo = |(at, one): (usize, &Instance<'a>)| {
            let (step, id) = (one.step.undo.as_deref()?, format!("{}.undo", one.id));
            let (role, item) = (Role::Undo(plan_id(&one.id)), one.item.clone());
            Some(Instance { id, step, role, item, undoes: Some(at), ..*one })
        };
        let undos: Vec<_> = self.expansion.steps.iter().enumerate().filter_map(undo).collect();
        self.expansion.steps.extend(undos);
    }

    /// The steps of the handlers; those of included runbooks are not taken over.
    fn handlers(&mut self, runbook: &'a Runbook) {
        let told = |(place, told): (usize, &'a Told)| Instance {
            id: told.id(),
            part: 0,
            place,
            step: &told.step,
            item: None,
            role: Role::Handler(told.occasion),
            undoes: None,
        };
        self.expansion.steps.extend(runbook.handlers.iter().enumerate().map(told));
    }

    fn items(&mut self, part: usize, step: &Step) -> Option<Items> {
        let foreach = step.foreach.as_ref()?;
        let over = foreach.over.as_ref()?;
        let inside = &mut self.expansion.parts[part];
        inside.read_params.extend(foreach::params_in(&over.items));
        let items = foreach::evaluated(over, inside.runbook, &inside.bound, self.problems)?;
        self.instances += items.all.len().max(1);
        if self.instances > MOST_INSTANCES {
            let most = MOST_INSTANCES;
            let message = format!("the `foreach` of this plan make more than {most} steps");
            let span = over.items.span.clone();
            self.problems.push(
                Diagnostic::error(code::TOO_MANY_ITEMS, span, message)
                    .why(format!("here are {} items", items.all.len()))
                    .help("hand the whole list to one step, or split the runbook"),
            );
            return None;
        }
        Some(items)
    }

    fn include(&mut self, outer: usize, at: usize) -> Option<Sort> {
        let inside = &mut self.expansion.parts[outer];
        let runbook = inside.runbook;
        let step = &runbook.steps[at];
        let (included, include) = (runbook.inclusions.get(&at)?, step.include.as_ref()?);
        inside
            .read_params
            .extend(include.params.values().flat_map(|e| foreach::params_in(&e.node)));
        let condition = step.condition.as_ref();
        inside.read_params.extend(condition.into_iter().flat_map(foreach::params_of));
        let wanted = include::is_wanted(condition, (runbook, &inside.bound), self.problems);
        if !wanted && !inside.bound.assumed {
            return Some(Sort::Absent);
        }
        // A check without parameters looks at the steps in any case.
        let other = (!wanted).then(|| param::any(&runbook.params));
        let outer_scope = (runbook, other.as_ref().unwrap_or(&inside.bound));
        let bound = include::bind(include, outer_scope, &included.runbook, self.problems);
        let (prefix, usual) = (inside.id_of(&step.id.text), inside.usual && wanted);
        let outer = Some((outer, at));
        let part =
            Part { prefix: Some(prefix), outer, usual, ..Part::new(&included.runbook, bound) };
        Some(Sort::Part(self.part(part)))
    }

    /// Ids that were written as different ones may meet when they are joined.
    fn refuse_equal_ids(&mut self) {
        let mut seen: HashMap<&str, &Instance<'_>> = HashMap::new();
        for step in &self.expansion.steps {
            let Some(first) = seen.insert(&step.id, step) else { continue };
            if (first.part, &first.step.id.text) != (step.part, &step.step.id.text) {
                let message = format!("two steps of the plan have the id `{}`", step.id);
                let span = step.step.id.span.clone();
                let problem = Diagnostic::error(code::DUPLICATE_ID, span, message);
                let first = first.step.id.span.clone();
                self.problems.push(problem.also(first, "the first one is here"));
            }
        }
    }
}
