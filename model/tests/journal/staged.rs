//! A run through all its stages, event by event.

use indexmap::IndexMap;
use jiff::{SignedDuration, Timestamp};
use model::approval::{Answer, Decision, Request};
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::ids::StepId;
use model::journal::Stamp;
use model::plan::{Concurrency, Occasion, OnConflict, Plan, PlanStep, Role, Rollback};
use model::run::event::{AttemptEnd, ClockJump, Event, FinalStatus, Mode, NotRun, RunCreated};
use model::run::stage::{Reopening, UndoCause, WaitCause};
use model::step_error::StepError;
use serde_json::json;

const RUN: &str = "01JD5Z8Q4W7N2V9XK3M6T1R0AB";
const OTHER: &str = "01JD5Z8Q4W7N2V9XK3M6T1R0AC";

fn id(text: &str) -> StepId {
    text.parse().unwrap()
}

fn step(name: &str, role: Role, needs: &[&str]) -> PlanStep {
    let footprint = Footprint::new(Effect::Destructive, Repeat::Observable);
    let needs = needs.iter().map(|need| id(need)).collect();
    PlanStep { role, needs, ..PlanStep::new(id(name), "flow.pass", footprint) }
}

fn plan() -> Plan {
    let mut steps = vec![
        step("dump", Role::Main, &[]),
        step("confirm", Role::Main, &["dump"]),
        step("restore", Role::Main, &["confirm"]),
        step("later", Role::Main, &["restore"]),
        step("check", Role::Main, &["dump"]),
        step("dump.undo", Role::Undo(id("dump")), &[]),
        step("failure.alarm", Role::Handler(Occasion::Failure), &[]),
        step("waiting.page", Role::Handler(Occasion::Waiting), &[]),
        step("exit.tidy", Role::Handler(Occasion::Exit), &[]),
    ];
    steps[0].slow_after = Some("1m".parse().unwrap());
    steps[1].footprint.waits_for_person = true;
    let (group, on_conflict) = ("restore:lms".to_owned(), OnConflict::Fail);
    let concurrency = Some(Concurrency { group, on_conflict });
    Plan { concurrency, rollback: Rollback::OnFailure, ..Plan::new("staged", steps) }
}

fn created() -> Event {
    Event::RunCreated(Box::new(RunCreated {
        run: RUN.parse().unwrap(),
        tool: "0.1.0".to_owned(),
        mode: Mode::Live,
        starter: "ann".to_owned(),
        started_at: Timestamp::UNIX_EPOCH,
        incident_at: None,
        unattended: false,
        approvers: None,
        vars: IndexMap::new(),
        plan: plan(),
    }))
}

fn done(step: &str, attempt: u32) -> [Event; 2] {
    let started = Event::StepStarted { step: id(step), attempt };
    let (step, output, adopted, log) = (id(step), json!({}), false, None);
    [started, Event::StepSucceeded { step, attempt, output, adopted, log }]
}

fn told(on: Occasion) -> Event {
    Event::HandlersStarted { on, cause: None, step: None, reason: None }
}

fn waiting(cause: WaitCause, step: &str, reason: &str) -> Event {
    let (cause, step, reason) = (Some(cause), Some(id(step)), Some(reason.to_owned()));
    Event::HandlersStarted { on: Occasion::Waiting, cause, step, reason }
}

/// Until the run fails for the first time.
fn first_end() -> Vec<Event> {
    let ann = || "ann".to_owned();
    let (group, other) = ("restore:lms".to_owned(), OTHER.parse().unwrap());
    let request: Request = serde_json::from_value(json!({"prompt": "Go?"})).unwrap();
    let error = StepError::permanent("RB0500", "refused");
    let end = AttemptEnd::Failed { error: error.clone() };
    let (restore, attempt, log) = (id("restore"), 1, None);
    let mut events = vec![
        created(),
        Event::PreflightPassed { checks: Vec::new() },
        Event::GroupTaken { group: group.clone(), from: Some(other) },
        Event::StepStarted { step: id("dump"), attempt },
        Event::StepSlow { step: id("dump"), attempt, after: "1m".parse().unwrap() },
        waiting(WaitCause::Slow, "dump", "it takes longer than 1m"),
    ];
    events.extend(done("waiting.page", 1));
    events.extend([
        Event::ClockJumped { how: ClockJump::Slept, ms: 61_000 },
        Event::RunHeld { by: ann() },
        Event::RunContinued { by: ann() },
    ]);
    events.extend(done("dump", 1).into_iter().skip(1));
    events.extend([
        Event::ApprovalRequested { step: id("confirm"), request, until: None, plan: None },
        waiting(WaitCause::Approval, "confirm", "Go?"),
    ]);
    events.extend(done("waiting.page", 2));
    let (answer, output) = (Answer::claimed(Decision::Approved, "dana"), json!({}));
    let (left_out, by, reason) = (None, Some("dana".to_owned()), Some("by phone".to_owned()));
    events.extend([
        Event::StepSkipped { step: id("check"), left_out, by, reason },
        Event::ApprovalAnswered { step: id("confirm"), answer },
        Event::StepSucceeded { step: id("confirm"), attempt: 0, output, adopted: false, log: None },
        Event::StepStarted { step: restore.clone(), attempt },
        Event::StepAttemptEnded { step: restore.clone(), attempt, end, log },
        Event::StepFailed { step: restore.clone(), attempt, error },
        Event::StepNotRun { step: id("later"), reason: NotRun::RunFailed },
        Event::UndoStarted { cause: UndoCause::Rollback, steps: vec![id("dump")] },
    ]);
    events.extend(done("dump.undo", 1));
    events.push(told(Occasion::Failure));
    events.extend(done("failure.alarm", 1));
    events.push(Event::GroupLost { group, to: other });
    events.push(told(Occasion::Exit));
    events.extend(done("exit.tidy", 1));
    let (status, failed_step) = (FinalStatus::Failed, Some(restore));
    events.push(Event::RunFinished { status, failed_step });
    events
}

/// All events, a minute and a second from one to the next.
pub(crate) fn events(stamp: &Stamp) -> Vec<(Stamp, Event)> {
    let mut events = first_end();
    let (epoch, by, what) = (2, "bob".to_owned(), Reopening::RetryFailed);
    events.push(Event::RunReopened { epoch, by, what });
    let reopened = events.len() - 1;
    for (step, attempt) in [("dump", 2), ("restore", 2), ("later", 1)] {
        events.extend(done(step, attempt));
    }
    let (code, message, step) = ("RB0452".to_owned(), "a request came too late".to_owned(), None);
    events.push(Event::Warning { code, message, step });
    events.push(told(Occasion::Exit));
    events.extend(done("exit.tidy", 2));
    let (status, failed_step) = (FinalStatus::SucceededWithWarnings, None);
    events.push(Event::RunFinished { status, failed_step });
    let stamped = events.into_iter().enumerate().map(|(number, event)| {
        let minutes = SignedDuration::from_secs(61 * i64::try_from(number).unwrap());
        let epoch = 1 + u32::from(number >= reopened);
        (Stamp { at: stamp.at + minutes, epoch, ..stamp.clone() }, event)
    });
    stamped.collect()
}
