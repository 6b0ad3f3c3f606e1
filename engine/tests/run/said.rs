//! Errors of the engine as they are said, each provoked: the cases of `docs/errors`.

use engine::context::StepContext;
use engine::error::EngineError;
use engine::inbox::{self, Request};
use engine::memory_host::MemoryHost;
use engine::process::Program;
use engine::{clock::RealClock, session};
use model::plan::PlanStep;
use model::run::event::{AttemptEnd, Event, Verdict};
use model::run::state::RunStatus;
use model::step_error::StepError;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::ground::{Ground, assert_status, id, plan, with};

/// As the command line prints it.
fn printed(error: &EngineError) -> String {
    let hint = error.hint.iter().map(|hint| format!("\n  help: {hint}")).collect::<String>();
    format!("error[{}]: {}{hint}", error.code, error.message)
}

/// What the journal says of a step that failed or had to pause the run.
async fn failure(ground: &Ground, step: PlanStep) -> String {
    let run = ground.run(plan(vec![step])).await.unwrap().run;
    let failed = |event: &Event| match event {
        Event::StepFailed { error, .. } | Event::RunPaused { error, .. } => Some(error.told()),
        _ => None,
    };
    ground.events(run).iter().find_map(failed).unwrap()
}

fn context(ground: &Ground) -> StepContext {
    let now = "2026-11-20T02:00:00Z".parse().unwrap();
    let host = std::sync::Arc::new(MemoryHost::new(now, ground.root.path().to_owned()));
    host.context("tested", 1, CancellationToken::new())
}

#[tokio::test]
async fn a_step_that_this_program_cannot_run() {
    let ground = Ground::new();
    let gone = PlanStep { uses: "test.gone".to_owned(), ..ground.step("a", &[], &["ok"]) };
    shown::case("RB0403", failure(&ground, gone).await);
    let newer = PlanStep { kind_version: 7, ..ground.step("a", &[], &["ok"]) };
    shown::case("RB0409", failure(&ground, newer).await);
    let absent = Some("params.absent > 1".to_owned());
    let condition = PlanStep { condition: absent, ..ground.step("a", &[], &["ok"]) };
    shown::case("RB0406", failure(&ground, condition).await);
    let secret = with(ground.step("a", &[], &["ok"]), "text", json!("{{ secrets.token }}"));
    let secret = PlanStep { secrets: vec!["token".to_owned()], ..secret };
    let refused = ground.run(plan(vec![secret])).await.unwrap_err();
    assert_eq!(refused.problems.len(), 1);
    shown::case("RB0402", printed(&refused.problems[0]));
}

#[tokio::test]
async fn bugs() {
    let ground = Ground::new();
    let run = ground.run(plan(vec![ground.step("a", &[], &["panic"])])).await.unwrap().run;
    let ended = |event: &Event| match event {
        Event::StepAttemptEnded { end: AttemptEnd::Failed { error }, .. } => Some(error.told()),
        _ => None,
    };
    shown::case("RB0499", ground.events(run).iter().find_map(ended).unwrap());
    let ghost = ground.run(plan(vec![ground.step("a", &["ghost"], &["ok"])])).await;
    shown::case("RB0498", printed(&ghost.unwrap_err()));
}

#[tokio::test]
async fn a_journal_that_cannot_be_or_cannot_grow() {
    let ground = Ground::new();
    let run = ground.run(plan(vec![ground.step("a", &[], &["ok"])])).await.unwrap().run;
    let records = ground.records(run);
    let twice = [&records[..1], &records[..1]].concat();
    shown::case("RB0815", printed(&session::replay(&twice).unwrap_err()));
    let full = session::not_durable(&std::io::Error::from_raw_os_error(28));
    shown::case("RB0816", printed(&full));
}

#[tokio::test]
async fn a_request_that_comes_too_late() {
    let ground = Ground::new();
    let late = async {
        let run = loop {
            tokio::task::yield_now().await;
            match ground.state.find("") {
                Ok(run) if ground.names(run).len() > 2 => break run,
                _ => {}
            }
        };
        let (by, reason) = ("dana".to_owned(), "seen".to_owned());
        let (step, verdict) = (id("a"), Verdict::Applied);
        let request = Request::Resolve { step, verdict, by, reason, output: None };
        inbox::leave(&ground.state.run_folder(run), &RealClock, &request).unwrap();
    };
    let steps = plan(vec![ground.step("a", &[], &["sleep 2000"])]);
    let (outcome, ()) = tokio::join!(ground.run(steps), late);
    let run = assert_status(&outcome, RunStatus::SucceededWithWarnings);
    let warning = |event: &Event| match event {
        Event::Warning { code, message, .. } => Some(format!("warning[{code}]: {message}")),
        _ => None,
    };
    shown::case("RB0452", ground.events(run).iter().find_map(warning).unwrap());
}

#[tokio::test]
async fn a_child_whose_end_somebody_else_was_told() {
    let ground = Ground::new();
    let ctx = context(&ground);
    let child = Program::new("true").start(&ctx).await.unwrap();
    let pid = ctx.facts()[0].data["pid"].as_i64().unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap());
    rustix::process::waitpid(pid, rustix::process::WaitOptions::empty()).unwrap();
    shown::case("RB0411", child.wait().await.unwrap_err().told());
}

#[test]
fn a_cancelled_step() {
    shown::case("RB0400", StepError::cancelled().told());
}
