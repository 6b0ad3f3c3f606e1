use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::approval::{Decision, Request};
use crate::journal::{Record, Stamp};
use crate::plan::{Objectives, PlanStep};
use crate::run::event::{Event, FinalStatus, RunCreated};
use crate::run::testing::{id, plan, step};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + second).unwrap()
}

fn records(events: Vec<(i64, Event)>) -> Vec<Record> {
    let record = |(seq, (second, event))| {
        let (boot, host) = (String::new(), "db1".to_owned());
        let stamp = Stamp { at: at(second), mono_ms: 0, boot, host, epoch: 1 };
        Record { seq, stamp, event }
    };
    (1..).zip(events).map(record).collect()
}

fn created(steps: Vec<PlanStep>, incident_at: Option<Timestamp>) -> Event {
    let mut plan = plan(steps);
    plan.objectives =
        Objectives { rto: Some("5m".parse().unwrap()), rpo: Some("1h".parse().unwrap()) };
    Event::RunCreated(Box::new(RunCreated {
        run: crate::ids::RunId::from(ulid::Ulid::nil()),
        tool: "0.1.0".to_owned(),
        mode: Mode::Live,
        starter: "ann".to_owned(),
        started_at: at(0),
        incident_at,
        unattended: false,
        approvers: None,
        vars: IndexMap::new(),
        plan,
    }))
}

fn started(step: &str) -> Event {
    Event::StepStarted { step: id(step), attempt: 1 }
}

fn succeeded(step: &str, attempt: u32, output: Value) -> Event {
    Event::StepSucceeded { step: id(step), attempt, output, adopted: false, log: None }
}

fn finished(status: FinalStatus) -> Event {
    Event::RunFinished { status, failed_step: None }
}

/// prepare: 0 to 60 and, beside it, 10 to 30; a question from 60 to 180; restore: 180 to 300;
/// a check until 360 that does not count for RTO.
fn failover(incident_at: Option<Timestamp>) -> Report {
    let mut steps = vec![
        step("dump", &[]),
        step("drain", &[]),
        step("confirm", &["dump", "drain"]),
        step("promote", &["confirm"]),
        step("check", &["promote"]),
    ];
    for number in [0, 1] {
        steps[number].phase = Some("prepare".to_owned());
    }
    steps[2].footprint.waits_for_person = true;
    steps[3].phase = Some("execute".to_owned());
    steps[3].restores_service = true;
    let request = Request { prompt: "Go?".to_owned(), required: 1, ..Request::default() };
    let answer = Answer::claimed(Decision::Approved, "dana");
    let point = |second| json!({"recovery_point": at(second)});
    let records = records(vec![
        (0, created(steps, incident_at)),
        (0, started("dump")),
        (10, started("drain")),
        (30, succeeded("drain", 1, point(-500))),
        (60, succeeded("dump", 1, point(20))),
        (60, Event::ApprovalRequested { step: id("confirm"), request, until: None, plan: None }),
        (180, Event::ApprovalAnswered { step: id("confirm"), answer }),
        (180, succeeded("confirm", 0, json!({}))),
        (181, started("promote")),
        (300, succeeded("promote", 1, point(-200))),
        (300, started("check")),
        (360, succeeded("check", 1, point(350))),
        (360, finished(FinalStatus::Succeeded)),
    ]);
    report(&records).unwrap().unwrap()
}

#[test]
fn rto_is_measured_three_ways_up_to_the_step_that_restores_service() {
    let report = failover(Some(at(-100)));
    assert_eq!(
        report.rto,
        Rto {
            ended_at: Some(at(300)),
            ended_by: Some(id("promote")),
            from_incident_ms: Some(400_000),
            from_start_ms: Some(300_000),
            machine_ms: Some(180_000),
            people_ms: 120_000,
        }
    );
    let rto = |met, actual| Objective {
        name: "rto",
        target_ms: 300_000,
        actual_ms: Some(actual),
        met: Some(met),
    };
    assert_eq!(report.objectives[0], rto(false, 400_000));
    assert_eq!(failover(None).objectives[0], rto(true, 300_000));
}

#[test]
fn rpo_counts_from_what_the_service_came_back_with_and_is_unknown_without_an_incident() {
    let report = failover(Some(at(-100)));
    assert_eq!(report.rpo.recovery_point, Some(at(-200)));
    assert_eq!(report.rpo.reported_by, Some(id("promote")));
    assert_eq!(report.rpo.loss_ms, Some(100_000));
    assert_eq!(report.objectives[1].met, Some(true));
    let report = failover(None);
    assert_eq!((report.rpo.loss_ms, report.objectives[1].met), (None, None));
}

#[test]
fn phases_count_the_time_that_steps_cover_together() {
    let phases = failover(None).phases;
    let phase = |name: &str, from, to, busy_ms| Phase {
        name: name.to_owned(),
        started_at: at(from),
        ended_at: at(to),
        busy_ms,
    };
    assert_eq!(phases, [phase("prepare", 0, 60, 60_000), phase("execute", 181, 300, 119_000)]);
}

#[test]
fn the_critical_path_goes_over_the_steps_that_ended_last() {
    let critical = |step, ms, waited_ms| CriticalStep { step: id(step), ms, waited_ms };
    assert_eq!(
        failover(None).critical_path,
        [
            critical("dump", 60_000, 0),
            critical("confirm", 120_000, 0),
            critical("promote", 119_000, 1_000)
        ]
    );
}

#[test]
fn attempts_approvals_and_warnings_are_told() {
    let report = failover(None);
    assert_eq!(report.approvals[0].answers[0].0, at(180));
    assert_eq!(report.steps[0].attempts[0].end, Some("succeeded"));
    assert_eq!(report.steps[0].ms, Some(60_000));
    assert_eq!((report.status, report.finished_at), (RunStatus::Succeeded, Some(at(360))));

    let error = StepError::permanent("RB0500", "no");
    let records = records(vec![
        (0, created(vec![step("a", &[]), step("b", &["a"])], None)),
        (1, started("a")),
        (2, Event::Warning { code: "RB0452".to_owned(), message: "late".to_owned(), step: None }),
        (
            5,
            Event::StepAttemptEnded {
                step: id("a"),
                attempt: 1,
                end: crate::run::event::AttemptEnd::Failed { error: error.clone() },
                log: None,
            },
        ),
        (5, Event::StepFailed { step: id("a"), attempt: 1, error: error.clone() }),
        (5, Event::StepNotRun { step: id("b"), reason: NotRun::RunFailed }),
        (5, Event::RunFinished { status: FinalStatus::Failed, failed_step: Some(id("a")) }),
    ]);
    let report = super::report(&records).unwrap().unwrap();
    assert_eq!((report.status, report.failed_step), (RunStatus::Failed, Some(id("a"))));
    assert_eq!(report.rto.from_start_ms, None);
    assert_eq!(report.warnings[0].message, "late");
    let attempt = &report.steps[0].attempts[0];
    assert_eq!((attempt.end, attempt.error.clone()), (Some("failed"), Some(error)));
    assert_eq!((report.steps[1].not_run, report.steps[1].ms), (Some(NotRun::RunFailed), None));
}

#[test]
fn a_run_that_waits_has_no_rto_yet() {
    let mut ask = step("confirm", &[]);
    ask.footprint.waits_for_person = true;
    let request = Request { prompt: "Go?".to_owned(), required: 1, ..Request::default() };
    let records = records(vec![
        (0, created(vec![ask], None)),
        (10, Event::ApprovalRequested { step: id("confirm"), request, until: None, plan: None }),
        (70, Event::RunResumed { epoch: 2, by: "bob".to_owned() }),
    ]);
    let report = super::report(&records).unwrap().unwrap();
    assert_eq!(report.status, RunStatus::WaitingForApproval);
    assert_eq!((report.rto.from_start_ms, report.rto.people_ms), (None, 60_000));
    assert_eq!(report.resumes[0].by, "bob");
    assert_eq!(super::report(&[]).unwrap(), None);
}
