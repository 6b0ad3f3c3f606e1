//! The rules of a run, one table: a plan, what its attempts come to, and every event.

use crate::effect::Effect;
use crate::plan::{PlanStep, Retry};
use crate::run::event::{Event, FinalStatus, NotRun};
use crate::run::simulation::{Outcome, Simulation, skipped, start};
use crate::run::state::{RunState, RunStatus};
use crate::run::step_state::StepStatus;
use crate::run::testing::{id, plan, step};
use crate::step_error::{ErrorClass, StepError};

use Outcome::{AppliedThenLost, AppliedThenSilent, Fails, Silent, Stalls, Success};

const TRANSIENT: Outcome = Fails(ErrorClass::Transient);
const PERMANENT: Outcome = Fails(ErrorClass::Permanent);
const AMBIGUOUS: Outcome = Fails(ErrorClass::Ambiguous);

fn simulation(steps: Vec<PlanStep>, outcomes: &[(&str, &[Outcome])]) -> Simulation {
    let mut simulation = Simulation::new(plan(steps));
    for (step, outcome) in outcomes {
        simulation.outcomes.insert(id(step), outcome.to_vec());
    }
    simulation
}

fn retried(name: &str, limit: u32) -> PlanStep {
    let mut retried = step(name, &[]);
    retried.retry = Retry { limit, ..Retry::default() };
    retried
}

fn with_condition(name: &str, needs: &[&str], condition: &str) -> PlanStep {
    let mut step = step(name, needs);
    step.condition = Some(condition.to_owned());
    step
}

/// Plays and compares; events stand on one line each, separated by `,`.
#[track_caller]
fn assert_events(mut simulation: Simulation, expected: &str, status: FinalStatus) -> Simulation {
    simulation.play();
    let expected: Vec<&str> = expected.split(',').map(str::trim).collect();
    assert_eq!(simulation.names(), expected);
    assert_eq!(simulation.state.finished(), Some(status));
    simulation
}

use FinalStatus::{Cancelled, Failed, Succeeded, SucceededWithWarnings};

#[test]
fn each_end_of_an_attempt_has_its_rule() {
    let ambiguous = "started a, attempt_ended a, observing a, observed a,";
    for (limit, outcomes, expected, status) in [
        (0, &[Success][..], "started a, succeeded a, run_finished".to_owned(), Succeeded),
        (0, &[TRANSIENT], "started a, attempt_ended a, failed a, run_finished".to_owned(), Failed),
        (
            1,
            &[TRANSIENT, Success],
            "started a, attempt_ended a, retry_scheduled a, started a, succeeded a, run_finished"
                .to_owned(),
            Succeeded,
        ),
        (2, &[PERMANENT], "started a, attempt_ended a, failed a, run_finished".to_owned(), Failed),
        (0, &[AppliedThenLost], format!("{ambiguous} succeeded a, run_finished"), Succeeded),
        (0, &[AMBIGUOUS], format!("{ambiguous} failed a, run_finished"), Failed),
        (
            1,
            &[AMBIGUOUS, Success],
            format!("{ambiguous} retry_scheduled a, started a, succeeded a, run_finished"),
            Succeeded,
        ),
        (0, &[AppliedThenSilent], format!("{ambiguous} succeeded a, run_finished"), Succeeded),
        (0, &[Silent], format!("{ambiguous} timed_out a, run_finished"), Failed),
        (0, &[Stalls], format!("{ambiguous} timed_out a, run_finished"), Failed),
        (
            0,
            &[Fails(ErrorClass::NeedsOperator), Success],
            "started a, attempt_ended a, run_paused a, run_resumed, started a, succeeded a, \
             run_finished"
                .to_owned(),
            Succeeded,
        ),
    ] {
        assert_events(simulation(vec![retried("a", limit)], &[("a", outcomes)]), &expected, status);
    }
}

#[test]
fn what_cannot_be_seen_waits_in_doubt_for_a_persons_word() {
    for (outcomes, then) in [
        (&[AppliedThenLost][..], "resolved a, run_finished"),
        (&[AMBIGUOUS, Success], "resolved a, started a, succeeded a, run_finished"),
        (&[Silent, Success], "resolved a, started a, succeeded a, run_finished"),
    ] {
        let mut simulation = simulation(vec![step("a", &[])], &[("a", outcomes)]);
        simulation.blind.insert(id("a"));
        let begin = "started a, attempt_ended a, observing a, observed a, in_doubt a,";
        assert_events(simulation, &format!("{begin} {then}"), Succeeded);
    }
}

#[test]
fn nothing_starts_while_a_step_is_in_doubt() {
    let steps = vec![step("a", &[]), step("b", &[]), step("c", &["b"])];
    let mut simulation = simulation(steps, &[("a", &[AMBIGUOUS])]);
    simulation.blind.insert(id("a"));
    simulation.choices = vec![0, 1, 0];
    assert_eq!(simulation.play_to_rest(), RunStatus::InDoubt);
    assert_eq!(simulation.state.step(&id("b")).unwrap().status(), StepStatus::Succeeded);
    assert_eq!(simulation.state.step(&id("c")).unwrap().status(), StepStatus::Ready);
}

#[test]
fn after_a_failure_only_steps_that_ask_for_failures_start() {
    let steps = vec![
        step("a", &[]),
        step("b", &["a"]),
        with_condition("alarm", &["b"], "failed()"),
        with_condition("never", &["b"], "succeeded()"),
        with_condition("always", &["never"], "always()"),
    ];
    assert_events(
        simulation(steps, &[("a", &[PERMANENT])]),
        "started a, attempt_ended a, failed a, not_run b, not_run never, started alarm, \
         started always, succeeded alarm, succeeded always, run_finished",
        Failed,
    );
}

#[test]
fn after_a_failure_running_steps_finish_and_retries_go_on() {
    let steps = vec![step("a", &[]), retried("b", 1), step("c", &["b"])];
    let mut simulation = simulation(steps, &[("a", &[PERMANENT]), ("b", &[TRANSIENT, Success])]);
    simulation.choices = vec![1, 0];
    assert_events(
        simulation,
        "started a, started b, attempt_ended b, retry_scheduled b, attempt_ended a, failed a, \
         not_run c, started b, succeeded b, run_finished",
        Failed,
    );
}

#[test]
fn a_skipped_step_satisfies_order() {
    let steps = vec![with_condition("a", &[], "failed()"), step("b", &["a"])];
    assert_events(
        simulation(steps, &[]),
        "skipped a, started b, succeeded b, run_finished",
        Succeeded,
    );
}

#[test]
fn at_most_max_parallel_steps_run_in_the_order_of_the_document() {
    let mut plan = plan(vec![step("c", &[]), step("a", &[]), step("b", &[])]);
    plan.max_parallel = 2;
    assert_events(
        Simulation::new(plan),
        "started c, started a, succeeded c, started b, succeeded a, succeeded b, run_finished",
        Succeeded,
    );
}

#[test]
fn a_cancellation_ends_what_has_not_begun_and_what_can_be_stopped() {
    let mut steps = vec![step("a", &[]), step("b", &[]), step("c", &["a"]), retried("d", 3)];
    steps[1].footprint.effect = Effect::Irreversible;
    let mut simulation = simulation(steps, &[("d", &[TRANSIENT])]);
    // `d` fails first and waits for its retry; then the cancellation comes.
    (simulation.choices, simulation.cancel_after) = (vec![2, 0], Some(6));
    let simulation = assert_events(
        simulation,
        "started a, started b, started d, attempt_ended d, retry_scheduled d, cancel_requested, \
         not_run c, cancelled d, attempt_ended a, observing a, succeeded b, observed a, \
         cancelled a, run_finished",
        Cancelled,
    );
    // What was started never reads as if it had not been.
    let status = |step| simulation.state.step(&id(step)).unwrap().status();
    let expected = [StepStatus::Failed, StepStatus::Succeeded, StepStatus::NotRun];
    assert_eq!(["a", "b", "c"].map(status), expected);
    let error = simulation.state.step(&id("d")).unwrap().error.clone().unwrap();
    assert_eq!((error.code.as_str(), error.class), ("RB0400", ErrorClass::Cancelled));
    assert_eq!(simulation.state.failed_step(), None);
}

#[test]
fn a_resumed_run_observes_what_was_running() {
    for (applied, expected) in [
        (0, "started a, run_resumed, observing a, observed a, succeeded a, run_finished"),
        (
            1,
            "started a, run_resumed, observing a, observed a, retry_scheduled a, started a, \
             succeeded a, run_finished",
        ),
    ] {
        let mut simulation = simulation(vec![step("a", &[])], &[]);
        simulation.crashes.insert(2);
        simulation.choices = vec![applied];
        let simulation = assert_events(simulation, expected, Succeeded);
        assert_eq!(simulation.applied[&id("a")], 1);
        assert_eq!(simulation.state.step(&id("a")).unwrap().retries, 0);
    }
}

#[test]
fn a_deadline_ends_retries() {
    let mut slow = retried("a", 100);
    slow.retry.interval = "10s".parse().unwrap();
    slow.retry.backoff = 2.0;
    slow.retry.max_interval = "40s".parse().unwrap();
    slow.deadline = Some("80s".parse().unwrap());
    let mut simulation = simulation(vec![slow], &[("a", &[TRANSIENT])]);
    simulation.play();
    // 10 s, 20 s and 40 s make 70 s; another 40 s would pass the deadline.
    let times: Vec<i64> = simulation
        .events
        .iter()
        .filter(|(_, event)| matches!(event, Event::StepStarted { .. }))
        .map(|(at, _)| at.duration_since(start()).as_secs())
        .collect();
    assert_eq!(times, [0, 10, 30, 70]);
    assert_eq!(simulation.state.finished(), Some(Failed));
}

#[test]
fn an_approval_waits_beside_other_steps() {
    let mut ask = step("ask", &[]);
    ask.footprint.waits_for_person = true;
    let steps = vec![ask, step("a", &[]), step("b", &["ask"])];
    assert_events(
        simulation(steps, &[]),
        "approval_requested ask, started a, succeeded a, approval_answered ask, succeeded ask, \
         started b, succeeded b, run_finished",
        Succeeded,
    );
}

#[test]
fn a_warning_shows_in_the_status() {
    let mut simulation = simulation(vec![step("a", &[])], &[]);
    let (code, message) = ("RB0452".to_owned(), "late".to_owned());
    simulation.record(Event::Warning { code, message, step: None });
    assert_events(
        simulation,
        "warning, started a, succeeded a, run_finished",
        SucceededWithWarnings,
    );
}

#[test]
fn illegal_events_are_refused_and_change_nothing() {
    let mut simulation = simulation(vec![step("a", &[]), step("b", &["a"])], &[]);
    let a = || id("a");
    let illegal = |state: &RunState, event: &Event| {
        let mut after = state.clone();
        assert!(after.apply(start(), event).is_err(), "{event:?}");
        assert!(after == *state, "{event:?} changed the state");
    };
    let error = StepError::permanent("RB0500", "no");
    let early = [
        Event::StepStarted { step: id("b"), attempt: 1 },
        Event::StepStarted { step: a(), attempt: 2 },
        Event::StepStarted { step: a(), attempt: 0 },
        Event::StepStarted { step: id("zz"), attempt: 1 },
        Event::StepObserving { step: a(), attempt: 0 },
        Event::StepSucceeded {
            step: a(),
            attempt: 0,
            output: serde_json::Value::Null,
            adopted: false,
            log: None,
        },
        Event::StepNotRun { step: a(), reason: NotRun::RunFailed },
        Event::StepNotRun { step: a(), reason: NotRun::Cancelled },
        skipped(a()),
        Event::StepInDoubt { step: a(), attempt: 0, error: error.clone() },
        Event::RunFinished { status: Succeeded, failed_step: None },
        Event::RunResumed { epoch: 3, by: "bob".to_owned() },
    ];
    for event in &early {
        illegal(&simulation.state, event);
    }
    simulation.play();
    let created = simulation.events[0].1.clone();
    let late = [
        created,
        Event::RunResumed { epoch: 2, by: "bob".to_owned() },
        Event::CancelRequested { by: "ann".to_owned(), reason: None, force: true },
        Event::StepStarted { step: a(), attempt: 2 },
    ];
    for event in &late {
        illegal(&simulation.state, event);
    }
}

#[test]
fn ten_thousand_steps_wide_and_chained_end() {
    for chained in [false, true] {
        let name = |number: usize| format!("s{number}");
        let needs = |number: usize| {
            if chained && number > 0 { vec![name(number - 1)] } else { Vec::new() }
        };
        let steps = (0..10_000).map(|number| {
            let needs = needs(number);
            step(&name(number), &needs.iter().map(String::as_str).collect::<Vec<_>>())
        });
        let mut state = Simulation::new(plan(steps.collect())).state;
        let mut events = 0;
        while state.finished().is_none() {
            for command in super::decide::decide(&state, start()) {
                for event in succeed_at_once(command) {
                    state.apply(start(), &event).unwrap();
                    events += 1;
                }
            }
        }
        assert_eq!(events, 20_001);
    }
}

fn succeed_at_once(command: super::decide::Command) -> Vec<Event> {
    use super::decide::Command;
    match command {
        Command::Start { step, attempt, .. } => {
            let (output, adopted, log) = (serde_json::Value::Null, false, None);
            let started = Event::StepStarted { step: step.clone(), attempt };
            vec![started, Event::StepSucceeded { step, attempt, output, adopted, log }]
        }
        Command::Finish { status, failed_step } => {
            vec![Event::RunFinished { status, failed_step }]
        }
        other => panic!("unexpected: {other:?}"),
    }
}
