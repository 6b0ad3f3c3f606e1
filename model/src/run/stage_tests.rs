//! The rules of the stages, one table each: a plan, what its attempts come to, and every event.

use crate::plan::{Group, LeftOut, Occasion, Plan, PlanStep, Role, Rollback};
use crate::run::event::FinalStatus;
use crate::run::simulation::{Outcome, Simulation};
use crate::run::stage::Reopening;
use crate::run::state::RunStatus;
use crate::run::step_state::StepStatus;
use crate::run::testing::{id, plan, step};
use crate::step_error::ErrorClass;

use FinalStatus::{Cancelled, Failed, Succeeded, SucceededWithWarnings};

const PERMANENT: Outcome = Outcome::Fails(ErrorClass::Permanent);

fn undo(of: &str) -> PlanStep {
    PlanStep { role: Role::Undo(id(of)), ..step(&format!("{of}.undo"), &[]) }
}

fn handler(on: Occasion, name: &str) -> PlanStep {
    PlanStep { role: Role::Handler(on), ..step(name, &[]) }
}

fn simulation(plan: Plan, outcomes: &[(&str, &[Outcome])]) -> Simulation {
    let mut simulation = Simulation::new(plan);
    for (step, outcome) in outcomes {
        simulation.outcomes.insert(id(step), outcome.to_vec());
    }
    simulation
}

/// The events without starts and looks, which stand between.
#[track_caller]
fn assert_told(simulation: &mut Simulation, expected: &str, status: FinalStatus) {
    simulation.play();
    let between = ["started", "attempt_ended", "observing", "observed"];
    let told = simulation
        .names()
        .into_iter()
        .filter(|name| !between.iter().any(|kind| name.starts_with(&format!("{kind} "))));
    let expected: Vec<&str> = expected.split(',').map(str::trim).collect();
    assert_eq!(told.collect::<Vec<_>>(), expected);
    assert_eq!(simulation.state.finished(), Some(status));
}

/// `a`, then `b`, then `c`; `a` and `b` have an undo.
fn chain(rollback: Rollback) -> Plan {
    let steps = vec![step("a", &[]), step("b", &["a"]), step("c", &["b"]), undo("a"), undo("b")];
    Plan { rollback, ..plan(steps) }
}

const FAILS: &[(&str, &[Outcome])] = &[("c", &[PERMANENT])];
const BEGIN: &str = "succeeded a, succeeded b, failed c";

#[test]
fn rollback_decides_whether_and_in_which_order_finished_steps_are_undone() {
    for (rollback, then) in [
        (Rollback::Never, "run_finished"),
        (Rollback::OnFailure, "undo_started, succeeded b.undo, succeeded a.undo, run_finished"),
        (
            Rollback::Ask,
            "approval_requested rollback, approval_answered rollback, succeeded rollback, \
             undo_started, succeeded b.undo, succeeded a.undo, run_finished",
        ),
    ] {
        let mut simulation = simulation(chain(rollback), FAILS);
        assert_told(&mut simulation, &format!("{BEGIN}, {then}"), Failed);
    }
    let mut succeeds = simulation(chain(Rollback::OnFailure), &[]);
    assert_told(&mut succeeds, "succeeded a, succeeded b, succeeded c, run_finished", Succeeded);
}

#[test]
fn nobody_is_asked_about_undo_where_nobody_is() {
    let mut simulation = Simulation::started(chain(Rollback::Ask), true);
    simulation.outcomes.insert(id("c"), vec![PERMANENT]);
    let then = "skipped rollback, warning rollback, run_finished";
    assert_told(&mut simulation, &format!("{BEGIN}, {then}"), Failed);
    assert_eq!(simulation.state.left_standing(), [&id("a"), &id("b")]);
}

#[test]
fn an_undo_that_fails_ends_the_others_and_never_hides_the_first_failure() {
    let outcomes: &[(&str, &[Outcome])] = &[("c", &[PERMANENT]), ("b.undo", &[PERMANENT])];
    let mut simulation = simulation(chain(Rollback::OnFailure), outcomes);
    let then = "undo_started, failed b.undo, not_run a.undo, run_finished";
    assert_told(&mut simulation, &format!("{BEGIN}, {then}"), Failed);
    assert_eq!(simulation.state.failed_step(), Some(&id("c")));
    assert_eq!(simulation.state.left_standing(), [&id("a"), &id("b")]);
}

#[test]
fn an_undo_in_doubt_waits_for_a_persons_word() {
    let outcomes: &[(&str, &[Outcome])] =
        &[("c", &[PERMANENT]), ("b.undo", &[Outcome::AppliedThenLost])];
    let mut simulation = simulation(chain(Rollback::OnFailure), outcomes);
    simulation.blind.insert(id("b.undo"));
    assert_eq!(simulation.play_to_rest(), RunStatus::InDoubt);
    assert_eq!(simulation.state.step(&id("a.undo")).unwrap().status(), StepStatus::Pending);
    let then = "undo_started, in_doubt b.undo, resolved b.undo, succeeded a.undo, run_finished";
    assert_told(&mut simulation, &format!("{BEGIN}, {then}"), Failed);
    assert_eq!(simulation.state.step(&id("b")).unwrap().status(), StepStatus::Undone);
}

fn handled(outcomes: &[(&str, &[Outcome])]) -> Simulation {
    let mut second = handler(Occasion::Failure, "failure.mail");
    second.needs = vec![id("failure.alarm")];
    let steps = vec![
        step("a", &[]),
        handler(Occasion::Success, "success.tell"),
        handler(Occasion::Failure, "failure.alarm"),
        second,
        handler(Occasion::Abort, "abort.tell"),
        handler(Occasion::Exit, "exit.tidy"),
    ];
    simulation(plan(steps), outcomes)
}

#[test]
fn each_end_has_its_handlers_and_exit_runs_always() {
    let exit = "handlers_started, succeeded exit.tidy, run_finished";
    let success = format!("succeeded a, handlers_started, succeeded success.tell, {exit}");
    assert_told(&mut handled(&[]), &success, Succeeded);
    let failure = "failed a, handlers_started, succeeded failure.alarm, succeeded failure.mail";
    let failed = format!("{failure}, {exit}");
    assert_told(&mut handled(&[("a", &[PERMANENT])]), &failed, Failed);
    let mut cancelled = handled(&[]);
    (cancelled.cancel_after, cancelled.choices) = (Some(2), vec![0]);
    let abort =
        format!("cancel_requested, cancelled a, handlers_started, succeeded abort.tell, {exit}");
    assert_told(&mut cancelled, &abort, Cancelled);
}

#[test]
fn a_handler_that_fails_is_a_warning_and_keeps_no_other_from_running() {
    let broken: &[(&str, &[Outcome])] = &[("a", &[PERMANENT]), ("failure.alarm", &[PERMANENT])];
    let expected = "failed a, handlers_started, failed failure.alarm, succeeded failure.mail, \
                    handlers_started, succeeded exit.tidy, run_finished";
    let mut simulation = handled(broken);
    assert_told(&mut simulation, expected, Failed);
    assert_eq!(simulation.state.failed_step(), Some(&id("a")));
    let expected = "succeeded a, handlers_started, failed success.tell, handlers_started, \
                    succeeded exit.tidy, run_finished";
    let broken: &[(&str, &[Outcome])] = &[("success.tell", &[PERMANENT])];
    assert_told(&mut handled(broken), expected, SucceededWithWarnings);
}

#[test]
fn handlers_run_once_also_when_the_process_dies_among_them() {
    let whole = {
        let mut simulation = handled(&[("a", &[PERMANENT])]);
        simulation.play();
        simulation.events.len()
    };
    for crash in 2..whole {
        let mut simulation = handled(&[("a", &[PERMANENT])]);
        simulation.crashes.insert(crash);
        simulation.choices = vec![0, 1];
        simulation.play();
        for step in ["failure.alarm", "failure.mail", "exit.tidy"] {
            assert_eq!(simulation.applied[&id(step)], 1, "`{step}`, died after {crash}");
        }
    }
}

#[test]
fn a_cancellation_among_the_handlers_stops_them_and_exit_still_runs() {
    let mut simulation = handled(&[("a", &[PERMANENT])]);
    // The alarm runs; what comes behind it has not begun.
    (simulation.cancel_after, simulation.choices) = (Some(6), vec![0]);
    let expected = "failed a, handlers_started, cancel_requested, not_run failure.mail, \
                    cancelled failure.alarm, handlers_started, succeeded exit.tidy, run_finished";
    assert_told(&mut simulation, expected, Failed);
}

#[test]
fn a_step_that_is_left_out_satisfies_order_and_one_that_may_fail_does_too() {
    let mut steps = vec![step("a", &[]), step("b", &["a"]), step("c", &["b"])];
    steps[0].left_out = Some(LeftOut::Drill);
    steps[1].continue_on_failure = true;
    let mut simulation = simulation(plan(steps), &[("b", &[PERMANENT])]);
    let expected = "skipped a, failed b, succeeded c, run_finished";
    assert_told(&mut simulation, expected, SucceededWithWarnings);
    assert_eq!(simulation.state.failed_step(), None);
}

#[test]
fn a_group_runs_no_more_steps_at_once_than_it_says() {
    let names = ["dump.a", "dump.b", "dump.c"];
    let mut steps: Vec<PlanStep> = names.iter().map(|name| step(name, &[])).collect();
    steps.push(step("other", &[]));
    let mut plan = plan(steps);
    let group = Group { steps: names.iter().map(|name| id(name)).collect(), max_parallel: Some(1) };
    plan.groups.insert(id("dump"), group);
    let mut simulation = simulation(plan, &[]);
    simulation.play();
    let names = simulation.names();
    assert_eq!(names[..2], ["started dump.a", "started other"]);
    for state in &simulation.states {
        let dumps = state.running().filter(|step| step.id.as_str().starts_with("dump."));
        assert!(dumps.count() <= 1);
    }
}

#[test]
fn what_failed_runs_again_and_what_was_undone_is_done_again() {
    let outcomes: &[(&str, &[Outcome])] = &[("c", &[PERMANENT, Outcome::Success])];
    let mut retried = simulation(chain(Rollback::OnFailure), outcomes);
    retried.reopenings = vec![Reopening::RetryFailed];
    let expected = format!(
        "{BEGIN}, undo_started, succeeded b.undo, succeeded a.undo, run_finished, run_reopened, \
         succeeded a, succeeded b, succeeded c, run_finished"
    );
    assert_told(&mut retried, &expected, Succeeded);
    let mut kept = simulation(chain(Rollback::Never), outcomes);
    kept.reopenings = vec![Reopening::RetryFailed];
    let expected = format!("{BEGIN}, run_finished, run_reopened, succeeded c, run_finished");
    assert_told(&mut kept, &expected, Succeeded);
}

#[test]
fn a_finished_run_is_undone_once() {
    let mut simulation = simulation(chain(Rollback::Never), &[]);
    simulation.reopenings = vec![Reopening::Undo, Reopening::Undo];
    let expected = "succeeded a, succeeded b, succeeded c, run_finished, run_reopened, \
                    undo_started, succeeded b.undo, succeeded a.undo, run_finished";
    assert_told(&mut simulation, expected, Succeeded);
}
