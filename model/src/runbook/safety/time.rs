//! Whether a runbook's own waits and limits of time leave room for its objectives.

use std::time::Duration;

use super::guards::Guards;
use crate::codes::safety as code;
use crate::diagnostic::Diagnostic;
use crate::node::SourceSpan;
use crate::plan::PlanStep;
use crate::runbook::expand::Expansion;
use crate::runbook::order::Order;
use crate::units::Span;

/// Measures the way to the end of the recovery, and to each milestone.
pub(super) fn check(
    expansion: &Expansion<'_>,
    order: &Order,
    guards: &Guards<'_, '_>,
    steps: &[Option<PlanStep>],
    problems: &mut Vec<Diagnostic>,
) {
    let header = &expansion.parts[0].runbook.header;
    let milestones: Vec<Goal<'_>> = milestones(expansion, steps).collect();
    if header.objectives.rto.is_none() && milestones.is_empty() {
        return;
    }
    let certain = |at: usize| {
        let lasts = steps[at].as_ref().and_then(|step| step.footprint.lasts);
        lasts.filter(|_| guards.under[at].is_always())
    };
    let allowed = |at: usize| steps[at].as_ref().and_then(limit);
    let runs = |at: &usize| steps[*at].as_ref().is_none_or(|step| step.left_out.is_none());
    let way = |of: &dyn Fn(usize) -> Option<Span>| {
        let own = (0..steps.len()).map(|at| Some(at).filter(runs).and_then(of).unwrap_or_default());
        Ways::new(order, &guards.sequence, own.map(Span::duration).collect())
    };
    let measuring = Measuring { expansion, certain: way(&certain), allowed: way(&allowed) };
    if let (Some(rto), Some(span)) = (header.objectives.rto, &header.rto_span) {
        let goal = Goal { of: "the RTO".to_owned(), ends: ends(guards, steps), rto, span };
        problems.extend(measuring.judged(&goal));
    }
    problems.extend(milestones.iter().filter_map(|goal| measuring.judged(goal)));
}

/// The longest time that the step may take, as far as it is limited.
fn limit(step: &PlanStep) -> Option<Span> {
    let attempt = [step.timeout, step.footprint.gives_up_after].into_iter().flatten().min();
    step.deadline.or(attempt).or(step.footprint.lasts)
}

/// An objective, and the steps of which the last reaches it.
struct Goal<'a> {
    of: String,
    ends: Ends,
    rto: Span,
    span: &'a SourceSpan,
}

/// The steps that may be the last on the way.
struct Ends {
    /// Those that every run reaches.
    certain: Vec<usize>,
    all: Vec<usize>,
}

/// The steps that restore the service, else all of the runbook.
fn ends(guards: &Guards<'_, '_>, steps: &[Option<PlanStep>]) -> Ends {
    let main = |step: &&PlanStep| step.role.is_main() && step.left_out.is_none();
    let step = |at: &usize| steps[*at].as_ref().filter(main);
    let restores = |at: &usize| step(at).is_some_and(|step| step.restores_service);
    let mut all: Vec<usize> = (0..steps.len()).filter(restores).collect();
    if all.is_empty() {
        all = (0..steps.len()).filter(|at| step(at).is_some()).collect();
    }
    let certain = all.iter().copied().filter(|at| guards.under[*at].is_always()).collect();
    Ends { certain, all }
}

fn milestones<'a>(
    expansion: &Expansion<'a>,
    steps: &[Option<PlanStep>],
) -> impl Iterator<Item = Goal<'a>> {
    let runs = |at: usize| steps[at].as_ref().is_some_and(|step| step.left_out.is_none());
    let main = expansion.steps.iter().enumerate().filter(|(_, one)| one.role.is_main());
    main.filter(move |(at, _)| runs(*at)).filter_map(|(at, one)| {
        let marked = one.step.milestone.as_ref()?;
        let of = format!("the RTO of the milestone `{}`", marked.milestone.name);
        let ends = Ends { certain: vec![at], all: vec![at] };
        Some(Goal { of, ends, rto: marked.milestone.rto?, span: marked.rto_span.as_ref()? })
    })
}

/// The longest way to each step, and over which of those before it that leads.
struct Ways {
    own: Vec<Duration>,
    until: Vec<Duration>,
    over: Vec<Option<usize>>,
}

impl Ways {
    fn new(order: &Order, sequence: &[usize], own: Vec<Duration>) -> Self {
        let (mut until, mut over) = (own.clone(), vec![None; own.len()]);
        for &at in sequence {
            over[at] = order[at].iter().copied().max_by_key(|before| until[*before]);
            let before = over[at].map_or(Duration::ZERO, |before| until[before]);
            until[at] += before;
        }
        Self { own, until, over }
    }

    fn longest(&self, ends: &[usize]) -> Option<usize> {
        ends.iter().copied().max_by_key(|at| self.until[*at])
    }

    /// The steps on the way to `end` that take time, first to last.
    fn stretches(&self, end: usize) -> Vec<usize> {
        let way = std::iter::successors(Some(end), |at| self.over[*at]);
        let mut way: Vec<usize> = way.filter(|at| !self.own[*at].is_zero()).collect();
        way.reverse();
        way
    }
}

struct Measuring<'e, 'a> {
    expansion: &'e Expansion<'a>,
    certain: Ways,
    allowed: Ways,
}

impl Measuring<'_, '_> {
    fn judged(&self, goal: &Goal<'_>) -> Option<Diagnostic> {
        let beyond = |ways: &Ways, end: usize| ways.until[end] > goal.rto.duration();
        // Where every end may be skipped, the shortest way is what is certain.
        let shortest = || goal.ends.all.iter().copied().min_by_key(|at| self.certain.until[*at]);
        let end = self.certain.longest(&goal.ends.certain).or_else(shortest)?;
        let (of, rto) = (&goal.of, goal.rto);
        if beyond(&self.certain, end) {
            let total = Span::from(self.certain.until[end]);
            let message =
                format!("the waits of this runbook take {total}, longer than {of}, {rto}");
            let problem = Diagnostic::error(code::RTO_IMPOSSIBLE, goal.span.clone(), message);
            return Some(problem.why(self.told(&self.certain, end, "takes")).help(
                "shorten the waits, let other steps not `needs` them, or raise the objective",
            ));
        }
        let end = self.allowed.longest(&goal.ends.all)?;
        beyond(&self.allowed, end).then(|| {
            let total = Span::from(self.allowed.until[end]);
            let message =
                format!("the limits of this runbook add up to {total}, longer than {of}, {rto}");
            let problem = Diagnostic::warning(code::RTO_UNLIKELY, goal.span.clone(), message);
            problem
                .why(self.told(&self.allowed, end, "may take"))
                .help("lower the limits, or raise the objective")
        })
    }

    /// What takes how long on the way to `end`.
    fn told(&self, ways: &Ways, end: usize, takes: &str) -> String {
        let stretches = ways.stretches(end);
        let stretch = |at: &usize| {
            format!("`{}` {takes} {}", self.expansion.steps[*at].id, Span::from(ways.own[*at]))
        };
        let mut told: Vec<String> = stretches.iter().take(MOST_TOLD).map(stretch).collect();
        if let Some(more @ 1..) = stretches.len().checked_sub(MOST_TOLD) {
            told.push(format!("{more} more"));
        }
        told.join(", ")
    }
}

/// So many steps of a way are named.
const MOST_TOLD: usize = 6;
