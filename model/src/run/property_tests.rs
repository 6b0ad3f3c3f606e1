//! Random plans in random worlds, with undo and handlers, crashes, cancellations and people who
//! open the run again, anywhere.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::effect::Effect;
use crate::footprint::Footprint;
use crate::plan::{Group, LeftOut, Occasion, Plan, PlanStep, Retry, Role, Rollback};
use crate::run::event::{Event, FinalStatus};
use crate::run::simulation::{Outcome, Simulation};
use crate::run::stage::{Reopening, UndoCause};
use crate::run::state::RunState;
use crate::run::step_state::{Phase, StepStatus};
use crate::run::testing::{id, plan, step};
use crate::step_error::ErrorClass;

/// What is random of one step.
#[derive(Debug, Clone)]
struct Part {
    needs: u8,
    condition: u8,
    effect: u8,
    retries: u32,
    outcomes: Vec<Outcome>,
    blind: bool,
    /// What it is besides: it asks, is left out, may fail, is slow, belongs to a group.
    kind: u8,
    undo: Option<Vec<Outcome>>,
}

/// What is random of the run.
#[derive(Debug, Clone)]
struct Course {
    max_parallel: usize,
    rollback: u8,
    unattended: bool,
    /// The outcomes of the step of each handler that the plan has.
    handlers: Vec<(u8, Vec<Outcome>)>,
    crashes: BTreeSet<usize>,
    cancel_after: Option<usize>,
    force_after: Option<usize>,
    reopenings: Vec<bool>,
    choices: Vec<u8>,
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        4 => Just(Outcome::Success),
        2 => Just(Outcome::Fails(ErrorClass::Transient)),
        1 => Just(Outcome::Fails(ErrorClass::Permanent)),
        1 => Just(Outcome::Fails(ErrorClass::Ambiguous)),
        1 => Just(Outcome::Fails(ErrorClass::NeedsOperator)),
        1 => Just(Outcome::AppliedThenLost),
        1 => Just(Outcome::AppliedThenSilent),
        1 => Just(Outcome::Silent),
        1 => Just(Outcome::Stalls),
    ]
}

fn outcomes() -> impl Strategy<Value = Vec<Outcome>> {
    proptest::collection::vec(outcome(), 0..4).prop_map(|mut outcomes| {
        outcomes.push(Outcome::Success);
        outcomes
    })
}

fn part() -> impl Strategy<Value = Part> {
    let undo = proptest::option::of(outcomes());
    let small = (any::<u8>(), 0_u8..8, 0_u8..4, 0_u32..3, any::<bool>(), 0_u8..10);
    (small, outcomes(), undo).prop_map(
        |((needs, condition, effect, retries, blind, kind), outcomes, undo)| Part {
            needs,
            condition,
            effect,
            retries,
            outcomes,
            blind,
            kind,
            undo,
        },
    )
}

fn course() -> impl Strategy<Value = Course> {
    let handlers = proptest::collection::vec((0_u8..5, outcomes()), 0..6);
    let moments = (
        proptest::collection::btree_set(1_usize..80, 0..5),
        proptest::option::weighted(0.4, 1_usize..60),
        proptest::option::weighted(0.2, 1_usize..80),
    );
    let people = (
        proptest::collection::vec(any::<bool>(), 0..3),
        proptest::collection::vec(any::<u8>(), 1..20),
    );
    ((1_usize..4, 0_u8..3, any::<bool>()), handlers, moments, people).prop_map(
        |(plan, handlers, (crashes, cancel_after, force_after), (reopenings, choices))| {
            let (max_parallel, rollback, unattended) = plan;
            Course {
                max_parallel,
                rollback,
                unattended,
                handlers,
                crashes,
                cancel_after,
                force_after,
                reopenings,
                choices,
            }
        },
    )
}

fn name(number: usize) -> String {
    format!("s{number}")
}

fn main_step(number: usize, part: &Part) -> PlanStep {
    let needs: Vec<String> =
        (0..number).filter(|need| part.needs >> (need % 8) & 1 == 1).map(name).collect();
    let mut step = step(&name(number), &needs.iter().map(String::as_str).collect::<Vec<_>>());
    step.condition = match part.condition {
        0 => Some("failed()".to_owned()),
        1 => Some("always()".to_owned()),
        2 => Some("succeeded()".to_owned()),
        _ => None,
    };
    let effects = [Effect::Read, Effect::Reversible, Effect::Destructive, Effect::Irreversible];
    step.footprint.effect = effects[usize::from(part.effect)];
    step.footprint.waits_for_person = part.kind == 0;
    step.left_out = (part.kind == 1).then_some(LeftOut::Drill);
    step.continue_on_failure = part.kind == 2;
    step.slow_after = (part.kind == 3).then(|| "1m".parse().unwrap());
    step.retry = Retry { limit: part.retries, ..Retry::default() };
    step
}

const OCCASIONS: [Occasion; 5] =
    [Occasion::Success, Occasion::Failure, Occasion::Abort, Occasion::Waiting, Occasion::Exit];

/// A step of a handler; every other one only tells people something.
fn handler(number: usize, occasion: u8) -> PlanStep {
    let mut step = step(&format!("h{number}"), &[]);
    step.role = Role::Handler(OCCASIONS[usize::from(occasion)]);
    if number.is_multiple_of(2) {
        let Footprint { repeat, .. } = step.footprint;
        step.footprint = Footprint::new(Effect::Irreversible, repeat).notifies();
    }
    step
}

fn world(parts: &[Part], course: &Course) -> Simulation {
    let mut steps: Vec<PlanStep> =
        parts.iter().enumerate().map(|(number, part)| main_step(number, part)).collect();
    let grouped = parts.iter().enumerate().filter(|(_, part)| part.kind > 6);
    let group = Group {
        steps: grouped.map(|(number, _)| id(&name(number))).collect(),
        max_parallel: Some(1),
    };
    let undone = parts.iter().enumerate().filter(|(_, part)| part.undo.is_some() && part.kind != 0);
    steps.extend(undone.map(|(number, _)| {
        let undo = step(&format!("s{number}.undo"), &[]);
        PlanStep { role: Role::Undo(id(&name(number))), ..undo }
    }));
    let handlers = course.handlers.iter().enumerate();
    steps.extend(handlers.map(|(number, (occasion, _))| handler(number, *occasion)));
    let rollback = [Rollback::Never, Rollback::OnFailure, Rollback::Ask];
    let mut plan = Plan { max_parallel: course.max_parallel, ..plan(steps) };
    plan.rollback = rollback[usize::from(course.rollback)];
    plan.groups.insert(id("group"), group);
    let mut simulation = Simulation::started(plan, course.unattended);
    for (number, part) in parts.iter().enumerate() {
        simulation.outcomes.insert(id(&name(number)), part.outcomes.clone());
        let undo = part.undo.clone().unwrap_or_default();
        simulation.outcomes.insert(id(&format!("s{number}.undo")), undo);
        if part.blind {
            simulation.blind.insert(id(&name(number)));
        }
    }
    for (number, (_, outcomes)) in course.handlers.iter().enumerate() {
        simulation.outcomes.insert(id(&format!("h{number}")), outcomes.clone());
        simulation.blind.insert(id(&format!("h{number}")));
    }
    simulation.crashes.clone_from(&course.crashes);
    (simulation.cancel_after, simulation.force_after) = (course.cancel_after, course.force_after);
    let what = |undo: &bool| if *undo { Reopening::Undo } else { Reopening::RetryFailed };
    simulation.reopenings = course.reopenings.iter().map(what).collect();
    simulation.choices.clone_from(&course.choices);
    simulation.moody = true;
    simulation
}

/// Each event with the state before it.
fn steps_of(simulation: &Simulation) -> impl Iterator<Item = (&Event, &RunState)> {
    simulation.events[1..].iter().map(|(_, event)| event).zip(&simulation.states)
}

fn role<'a>(state: &'a RunState, step: &crate::ids::StepId) -> &'a Role {
    &state.plan_step_of(step).unwrap().role
}

/// Starts come in order, attempts count on, and after a failure only those start that may.
fn check_starts(simulation: &Simulation) {
    let mut started: BTreeMap<String, u32> = BTreeMap::new();
    for (event, before) in steps_of(simulation) {
        let Event::StepStarted { step, attempt } = event else { continue };
        let plan = before.plan_step_of(step).unwrap();
        let known = before.step(step).unwrap();
        assert!(!known.phase.is_final(), "`{step}` started after its end");
        for need in plan.needs.iter().filter(|need| role(before, need) == &plan.role) {
            let ended = before.step(need).unwrap().phase.is_final();
            assert!(ended, "`{step}` started before `{need}` ended");
        }
        let last = started.insert(step.to_string(), *attempt).unwrap_or_default();
        assert_eq!(*attempt, last + 1, "attempts of `{step}`");
        if plan.role.is_main() && before.outcome() == FinalStatus::Failed {
            let aware = plan.condition.as_deref().is_some_and(|text| text != "succeeded()");
            let goes_on = matches!(known.phase, Phase::Retrying(_));
            assert!(aware || goes_on, "`{step}` started after a failure");
        }
    }
}

/// Only what succeeded is undone, newest first, one at a time.
fn check_undo(simulation: &Simulation) {
    let mut order: Vec<crate::ids::StepId> = Vec::new();
    for (event, before) in steps_of(simulation) {
        match event {
            Event::UndoStarted { cause, steps } => {
                let requested = *cause == UndoCause::Requested;
                assert!(requested || before.plan().unwrap().rollback != Rollback::Never);
                let newest = |step: &crate::ids::StepId| before.step(step).unwrap().ended;
                assert!(steps.windows(2).all(|two| newest(&two[0]) > newest(&two[1])));
                order.clone_from(steps);
                order.reverse();
            }
            Event::StepStarted { step, .. } => {
                let Role::Undo(of) = role(before, step) else { continue };
                assert_eq!(before.step(of).unwrap().status(), StepStatus::Succeeded);
                let undoes = |plan: &PlanStep| matches!(plan.role, Role::Undo(_));
                assert!(!before.running().any(undoes), "two undo steps at once");
                while order.last().is_some_and(|next| next != of) {
                    order.pop();
                }
                assert_eq!(order.last(), Some(of), "`{of}` was not to be undone next");
            }
            _ => {}
        }
    }
}

/// Handlers begin once an end of the run, and `waiting` at most once a wait.
fn check_handlers(simulation: &Simulation) {
    let (mut begun, mut waits, mut told) = (BTreeSet::new(), 0, 0);
    let has = |on| {
        let steps = &simulation.state.plan().unwrap().steps;
        steps.iter().any(|step| step.role == Role::Handler(on))
    };
    for (event, before) in steps_of(simulation) {
        match event {
            Event::RunReopened { what: Reopening::RetryFailed, .. } => begun.clear(),
            Event::HandlersStarted { on: Occasion::Waiting, .. } => {
                told += 1;
                assert!(told <= waits, "told of more waits than there were");
            }
            Event::HandlersStarted { on, .. } => {
                assert!(begun.insert(*on), "the handler of {on:?} began twice");
                assert!(*on != Occasion::Success || before.failed_step().is_none());
            }
            Event::RunFinished { status, .. } => {
                let on = match status {
                    FinalStatus::Failed => Occasion::Failure,
                    FinalStatus::Cancelled => Occasion::Abort,
                    _ => Occasion::Success,
                };
                for on in [on, Occasion::Exit].into_iter().filter(|on| has(*on)) {
                    assert!(begun.contains(&on), "the handler of {on:?} did not run");
                }
            }
            Event::ApprovalRequested { .. }
            | Event::StepInDoubt { .. }
            | Event::RunPaused { .. }
            | Event::StepSlow { .. } => waits += 1,
            _ => {}
        }
    }
}

fn check_limits(simulation: &Simulation, max_parallel: usize) {
    let group = &simulation.state.plan().unwrap().groups[&id("group")].steps;
    for state in &simulation.states {
        assert!(state.running().filter(|step| step.role.is_main()).count() <= max_parallel);
        assert!(state.running().filter(|step| group.contains(&step.id)).count() <= 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn every_run_ends_without_a_second_effect_and_replays(
        parts in proptest::collection::vec(part(), 1..9),
        course in course(),
    ) {
        let mut simulation = world(&parts, &course);
        simulation.play();
        check_starts(&simulation);
        check_undo(&simulation);
        check_handlers(&simulation);
        check_limits(&simulation, course.max_parallel);
        for (step, count) in &simulation.applied {
            let reads =
                simulation.state.plan_step_of(step).unwrap().footprint.effect == Effect::Read;
            prop_assert!(reads || *count == 1, "`{}` had its effect {} times", step, count);
        }
        let mut replayed = RunState::new();
        for ((at, event), state) in simulation.events.iter().zip(&simulation.states) {
            replayed.apply(*at, event).unwrap();
            prop_assert!(replayed == *state);
        }
    }
}
