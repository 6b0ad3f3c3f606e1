//! Random plans in random worlds, with crashes and a cancellation anywhere.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::effect::Effect;
use crate::ids::StepId;
use crate::plan::{Plan, Retry};
use crate::run::event::{Event, Verdict};
use crate::run::simulation::{Outcome, Simulation};
use crate::run::state::RunState;
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
    asks: bool,
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

fn part() -> impl Strategy<Value = Part> {
    let outcomes = proptest::collection::vec(outcome(), 0..4);
    (any::<u8>(), 0_u8..8, 0_u8..4, 0_u32..3, outcomes, any::<bool>(), 0_u8..8).prop_map(
        |(needs, condition, effect, retries, mut outcomes, blind, asks)| {
            outcomes.push(Outcome::Success);
            Part { needs, condition, effect, retries, outcomes, blind, asks: asks == 0 }
        },
    )
}

fn name(number: usize) -> String {
    format!("s{number}")
}

fn world(parts: &[Part], max_parallel: usize) -> Simulation {
    let steps = parts.iter().enumerate().map(|(number, part)| {
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
        step.footprint.waits_for_person = part.asks;
        step.retry = Retry { limit: part.retries, ..Retry::default() };
        step
    });
    let plan = Plan { max_parallel, ..plan(steps.collect()) };
    let mut simulation = Simulation::new(plan);
    for (number, part) in parts.iter().enumerate() {
        simulation.outcomes.insert(id(&name(number)), part.outcomes.clone());
        if part.blind {
            simulation.blind.insert(id(&name(number)));
        }
    }
    simulation
}

fn check_order(simulation: &Simulation) {
    let mut ended: BTreeSet<StepId> = BTreeSet::new();
    let mut started: BTreeMap<StepId, u32> = BTreeMap::new();
    for (_, event) in &simulation.events {
        match event {
            Event::StepStarted { step, attempt } => {
                assert!(!ended.contains(step), "`{step}` started after its end");
                let plan = simulation.state.plan_step_of(step).unwrap();
                for need in &plan.needs {
                    assert!(ended.contains(need), "`{step}` started before `{need}` ended");
                }
                let before = started.insert(step.clone(), *attempt).unwrap_or_default();
                assert_eq!(*attempt, before + 1, "attempts of `{step}`");
            }
            Event::StepSucceeded { step, .. }
            | Event::StepFailed { step, .. }
            | Event::StepTimedOut { step, .. }
            | Event::StepSkipped { step, .. }
            | Event::StepNotRun { step, .. }
            | Event::StepCancelled { step, .. } => {
                assert!(ended.insert(step.clone()), "`{step}` ended twice");
            }
            Event::StepResolved { step, verdict: Verdict::Applied, .. } => {
                ended.insert(step.clone());
            }
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn every_run_ends_without_a_second_effect_and_replays(
        parts in proptest::collection::vec(part(), 1..9),
        max_parallel in 1_usize..4,
        crashes in proptest::collection::btree_set(1_usize..60, 0..5),
        cancel_after in proptest::option::weighted(0.3, 1_usize..40),
        choices in proptest::collection::vec(any::<u8>(), 1..20),
    ) {
        let mut simulation = world(&parts, max_parallel);
        simulation.crashes = crashes;
        simulation.cancel_after = cancel_after;
        simulation.choices = choices;
        simulation.play();
        check_order(&simulation);
        for (step, count) in &simulation.applied {
            let reads =
                simulation.state.plan_step_of(step).unwrap().footprint.effect == Effect::Read;
            prop_assert!(reads || *count == 1, "`{}` had its effect {} times", step, count);
        }
        for state in &simulation.states {
            prop_assert!(state.running().count() <= max_parallel);
        }
        let mut replayed = RunState::new();
        for ((at, event), state) in simulation.events.iter().zip(&simulation.states) {
            replayed.apply(*at, event).unwrap();
            prop_assert!(replayed == *state);
        }
    }
}
