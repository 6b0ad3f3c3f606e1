//! Runs with undo and handlers, opened again, held and skipped, over a file journal.

use std::sync::Arc;
use std::time::Duration;

use engine::driver::{AnswerFuture, Approver, CancelWish, Choice, ChoiceFuture, Offer, Question};
use engine::inbox::Request;
use engine::modes::{self, Start};
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::plan::{Occasion, Plan, PlanStep, Rollback};
use model::run::event::Event;
use model::run::stage::{Reopening, WaitCause};
use model::run::state::RunStatus;
use model::run::step_state::StepStatus;
use serde_json::json;
use tokio::sync::mpsc;

use crate::ground::*;

/// `a` and `b` have an undo, `c` fails; a handler for every end.
fn staged(ground: &Ground) -> Plan {
    let mut plan = plan(vec![
        ground.step("a", &[], &["ok"]),
        ground.step("b", &["a"], &["ok"]),
        ground.step("c", &["b"], &["permanent", "ok"]),
        ground.undo("a", &["ok"]),
        ground.undo("b", &["ok"]),
        ground.handler(Occasion::Success, "success.tell", &["ok"]),
        ground.handler(Occasion::Failure, "failure.alarm", &["ok"]),
        ground.handler(Occasion::Abort, "abort.tell", &["ok"]),
        ground.handler(Occasion::Exit, "exit.tidy", &["ok"]),
    ]);
    plan.rollback = Rollback::OnFailure;
    plan
}

fn told(names: &[String]) -> Vec<&str> {
    let skipped =
        |name: &&String| !name.starts_with("step_fact") && !name.starts_with("step_started");
    names.iter().filter(skipped).skip(2).map(String::as_str).collect()
}

fn status_of(ground: &Ground, run: model::ids::RunId, step: &str) -> StepStatus {
    ground.state.state(run).unwrap().step(&id(step)).unwrap().status()
}

#[tokio::test]
async fn a_failure_undoes_newest_first_and_tells_once() {
    let ground = Ground::new();
    let mut plan = staged(&ground);
    let text = json!("{{ run.status }}: {{ run.failed_step }}: {{ run.failed_reason }}");
    plan.steps[6].with["text"] = text;
    let run = assert_status(&ground.run(plan).await, RunStatus::Failed);
    let names = ground.names(run);
    assert_eq!(
        told(&names),
        [
            "step_succeeded a",
            "step_succeeded b",
            "step_attempt_ended c",
            "step_failed c",
            "undo_started",
            "step_succeeded b.undo",
            "step_succeeded a.undo",
            "handlers_started",
            "step_succeeded failure.alarm",
            "handlers_started",
            "step_succeeded exit.tidy",
            "run_finished"
        ]
    );
    let state = ground.state.state(run).unwrap();
    let output = state.step(&id("failure.alarm")).unwrap().output.clone().unwrap();
    assert_eq!(output["text"], "failed: c: refused ");
    assert_eq!(["a", "b"].map(|step| status_of(&ground, run, step)), [StepStatus::Undone; 2]);
    assert_eq!(status_of(&ground, run, "success.tell"), StepStatus::NotRun);
    assert!(state.left_standing().is_empty());
    // A finished run tells its status at once, and nothing runs.
    assert_status(&ground.resume(run).await, RunStatus::Failed);
    assert_eq!(ground.names(run), names);
}

#[tokio::test]
async fn an_undo_that_fails_ends_the_rest_and_says_what_stands() {
    let ground = Ground::new();
    let mut plan = staged(&ground);
    plan.steps[4] = ground.undo("b", &["permanent", "ok"]);
    let run = assert_status(&ground.run(plan).await, RunStatus::Failed);
    assert!(ground.names(run).contains(&"step_not_run a.undo".to_owned()));
    let state = ground.state.state(run).unwrap();
    assert_eq!(state.failed_step(), Some(&id("c")));
    assert_eq!(state.left_standing(), [&id("a"), &id("b")]);
    assert_eq!((ground.count("failure.alarm"), ground.count("a.undo")), (1, 0));
    // A person undoes the rest, and every step at most once.
    assert_status(&ground.reopen(run, Reopening::Undo).await, RunStatus::Failed);
    assert_eq!(["a.undo", "b.undo"].map(|step| ground.count(step)), [1, 1]);
    assert_eq!(["failure.alarm", "exit.tidy"].map(|step| ground.count(step)), [1, 1]);
    let nothing = ground.reopen(run, Reopening::Undo).await.unwrap_err();
    shown::case("RB0464", said(&nothing));
    assert_eq!(ground.count("a.undo"), 1);
}

#[tokio::test]
async fn what_failed_runs_again_and_what_succeeded_does_not() {
    let ground = Ground::new();
    let mut plan = staged(&ground);
    plan.rollback = Rollback::Never;
    plan.steps.insert(3, ground.step("d", &["c"], &["ok"]));
    let run = assert_status(&ground.run(plan).await, RunStatus::Failed);
    let finished = ground.names(run).len();
    assert_status(&ground.reopen(run, Reopening::RetryFailed).await, RunStatus::Succeeded);
    assert_eq!(["a", "b", "c", "d"].map(|step| ground.count(step)), [1, 1, 1, 1]);
    assert_eq!(ground.names(run)[finished..finished + 2], ["run_reopened", "step_started c"]);
    let counts = ["failure.alarm", "success.tell", "exit.tidy"].map(|step| ground.count(step));
    assert_eq!(counts, [1, 1, 2], "each end of the run is told once");
    // Nothing is left to run again.
    let names = ground.names(run);
    assert_status(&ground.reopen(run, Reopening::RetryFailed).await, RunStatus::Succeeded);
    assert_eq!(ground.names(run), names);
}

#[tokio::test]
async fn a_run_that_died_at_any_record_of_its_stages_is_resumed_without_a_second_effect() {
    let ground = Ground::new();
    let mut plan = staged(&ground);
    plan.steps[2] = ground.step("c", &["b"], &["permanent"]);
    let run = assert_status(&ground.run(plan).await, RunStatus::Failed);
    let whole = ground.records(run);
    let journal = ground.state.run_folder(run).join("journal.jsonl");
    let text = std::fs::read_to_string(&journal).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    for kept in 1..whole.len() {
        std::fs::write(&journal, format!("{}\n", lines[..kept].join("\n"))).unwrap();
        let state = ground.state.state(run).unwrap();
        let steps: Vec<String> = state.steps().map(|(plan, _)| plan.id.to_string()).collect();
        for step in &steps {
            let done = state.step(&id(step)).unwrap().output.is_some();
            let path = ground.effects().join(step);
            if done {
                std::fs::write(path, "1\n").unwrap();
            } else {
                std::fs::remove_file(path).ok();
            }
        }
        assert_status(&ground.resume(run).await, RunStatus::Failed);
        for step in ["a", "b", "a.undo", "b.undo", "failure.alarm", "exit.tidy"] {
            assert_eq!(ground.count(step), 1, "`{step}`, killed after {kept}");
        }
        assert_eq!(ground.count("success.tell") + ground.count("abort.tell"), 0);
        assert_eq!(ground.records(run)[..kept], whole[..kept]);
    }
}

#[tokio::test]
async fn a_cancellation_undoes_nothing_by_itself_and_tells_the_handlers_of_an_abort() {
    let ground = Ground::new();
    let mut plan = staged(&ground);
    plan.steps[2] = ground.step("c", &["b"], &["sleep 60000"]);
    let (sender, cancels) = mpsc::unbounded_channel();
    let cancel = async {
        while ground.count("b") == 0 {
            tokio::time::timeout(Duration::from_millis(10), std::future::pending::<()>())
                .await
                .ok();
        }
        sender.send(wish(false)).unwrap();
    };
    let (outcome, ()) = tokio::join!(ground.run_with(plan, None, Some(cancels)), cancel);
    assert_status(&outcome, RunStatus::Cancelled);
    let counts = ["a.undo", "b.undo", "abort.tell", "exit.tidy", "failure.alarm"];
    assert_eq!(counts.map(|step| ground.count(step)), [0, 0, 1, 1, 0]);
}

fn wish(offer: bool) -> CancelWish {
    CancelWish { by: "ann".to_owned(), reason: None, force: false, offer }
}

/// Says yes or no to questions, and chooses.
struct Person(Option<model::approval::Decision>, Option<Choice>);

impl Approver for Person {
    fn ask<'a>(&'a self, _question: &'a Question) -> AnswerFuture<'a> {
        let answer = self.0.map(|decision| answer("dana", decision));
        Box::pin(std::future::ready(answer))
    }

    fn choose<'a>(&'a self, offer: &'a Offer) -> ChoiceFuture<'a> {
        assert_eq!(offer.ended, [id("final")]);
        Box::pin(std::future::ready(self.1))
    }
}

#[tokio::test]
async fn rollback_ask_asks_a_person_and_undoes_what_they_agree_to() {
    use model::approval::Decision::{Approved, Rejected};
    for (decision, undone) in [(Approved, 1), (Rejected, 0)] {
        let ground = Ground::new();
        let mut plan = staged(&ground);
        plan.rollback = Rollback::Ask;
        let person: Arc<dyn Approver> = Arc::new(Person(Some(decision), None));
        let run =
            assert_status(&ground.run_with(plan, Some(person), None).await, RunStatus::Failed);
        assert!(ground.names(run).contains(&"approval_requested rollback".to_owned()));
        assert_eq!((ground.count("a.undo"), ground.count("failure.alarm")), (undone, 1));
        let state = ground.state.state(run).unwrap();
        assert_eq!(state.failed_step(), Some(&id("c")));
        assert_eq!(state.left_standing().is_empty(), undone == 1);
    }
}

#[tokio::test]
async fn rollback_ask_undoes_nothing_where_nobody_is_and_says_so() {
    let ground = Ground::new();
    let mut plan = staged(&ground);
    plan.rollback = Rollback::Ask;
    let unattended = Start { unattended: true, ..start() };
    let outcome = modes::run(plan, unattended, ground.surroundings()).await;
    let run = assert_status(&outcome, RunStatus::Failed);
    let names = ground.names(run);
    let at = names.iter().position(|name| name == "step_skipped rollback").unwrap();
    assert_eq!(names[at + 1], "warning rollback");
    let Event::Warning { code, message, .. } = &ground.events(run)[at + 1] else { panic!() };
    shown::case("RB0461", format!("warning[{code}]: {message}\n"));
    assert_eq!((ground.count("a.undo"), ground.count("failure.alarm")), (0, 1));
}

fn waits(ground: &Ground) -> Plan {
    let mut ask = ground.step("confirm", &[], &["ok"]);
    ask.with = json!({"prompt": "Go?", "approvers": []});
    ask.footprint.waits_for_person = true;
    let mut page = ground.handler(Occasion::Waiting, "waiting.page", &["ok"]);
    page.with["text"] = json!("{{ run.status }}: {{ run.waiting_step }}: {{ run.waiting_reason }}");
    plan(vec![ask, ground.step("act", &["confirm"], &["ok"]), page])
}

#[tokio::test]
async fn a_wait_is_told_once_also_after_a_resume() {
    let ground = Ground::new();
    let run = assert_status(&ground.run(waits(&ground)).await, RunStatus::WaitingForApproval);
    assert_eq!(ground.count("waiting.page"), 1);
    let state = ground.state.state(run).unwrap();
    let output = state.step(&id("waiting.page")).unwrap().output.clone().unwrap();
    assert_eq!(output["text"], "waiting_for_approval: confirm: Go?");
    assert_status(&ground.resume(run).await, RunStatus::WaitingForApproval);
    assert_eq!(ground.count("waiting.page"), 1);
    let answer = answer("dana", model::approval::Decision::Approved);
    ground.state.request(run, &Request::Answer { step: id("confirm"), answer }).unwrap();
    assert_status(&ground.resume(run).await, RunStatus::Succeeded);
    assert_eq!((ground.count("act"), ground.count("waiting.page")), (1, 1));
}

#[tokio::test]
async fn a_step_in_doubt_and_a_paused_run_are_waits() {
    for (word, cause, status) in [
        ("applied_ambiguous", WaitCause::InDoubt, RunStatus::InDoubt),
        ("operator", WaitCause::Paused, RunStatus::Paused),
    ] {
        let ground = Ground::new();
        let blind = with(ground.step("a", &[], &[word]), "blind", json!(true));
        let page = ground.handler(Occasion::Waiting, "waiting.page", &["ok"]);
        let run = assert_status(&ground.run(plan(vec![blind, page])).await, status);
        assert_eq!(ground.count("waiting.page"), 1);
        let causes = ground.events(run).into_iter().filter_map(|event| match event {
            Event::HandlersStarted { on: Occasion::Waiting, cause, .. } => cause,
            _ => None,
        });
        assert_eq!(causes.collect::<Vec<_>>(), [cause]);
    }
}

#[tokio::test]
async fn a_slow_step_is_called_so_once_and_goes_on() {
    let ground = Ground::new();
    let mut slow = ground.step("a", &[], &["sleep 400"]);
    slow.slow_after = Some(span("100ms"));
    let page = ground.handler(Occasion::Waiting, "waiting.page", &["ok"]);
    let run = assert_status(&ground.run(plan(vec![slow, page])).await, RunStatus::Succeeded);
    let names = ground.names(run);
    assert_eq!(names.iter().filter(|name| *name == "step_slow a").count(), 1);
    assert_eq!((ground.count("a"), ground.count("waiting.page")), (1, 1));
    let report = model::report::report(&ground.records(run)).unwrap().unwrap();
    let [warning] = &report.warnings[..] else { panic!("one warning: {:?}", report.warnings) };
    shown::case("RB0460", format!("[{}] {}\n", warning.code, warning.message));
}

#[tokio::test]
async fn a_handler_that_fails_is_a_warning_and_the_next_one_runs() {
    let ground = Ground::new();
    let mut second = ground.handler(Occasion::Success, "success.mail", &["ok"]);
    second.needs = vec![id("success.tell")];
    let steps = vec![
        ground.step("a", &[], &["ok"]),
        ground.handler(Occasion::Success, "success.tell", &["permanent"]),
        second,
    ];
    let run = assert_status(&ground.run(plan(steps)).await, RunStatus::SucceededWithWarnings);
    assert_eq!(ground.count("success.mail"), 1);
    assert_eq!(ground.state.state(run).unwrap().failed_step(), None);
}

#[tokio::test]
async fn a_notification_that_nothing_can_tell_of_is_never_in_doubt() {
    let ground = Ground::new();
    let mut page = with(
        ground.handler(Occasion::Failure, "failure.page", &["ambiguous"]),
        "blind",
        json!(true),
    );
    page.footprint = Footprint::new(Effect::Irreversible, Repeat::Opaque).notifies();
    let steps = vec![ground.step("a", &[], &["permanent"]), page];
    let run = assert_status(&ground.run(plan(steps)).await, RunStatus::Failed);
    assert!(ground.names(run).contains(&"step_failed failure.page".to_owned()));
    assert_eq!(ground.state.state(run).unwrap().failed_step(), Some(&id("a")));
}

async fn interrupted(ground: &Ground, choice: Option<Choice>) -> (RunStatus, Vec<String>) {
    let mut last = ground.step("final", &[], &["sleep 600"]);
    last.footprint = Footprint::new(Effect::Irreversible, Repeat::Observable);
    let steps: Vec<PlanStep> = vec![last, ground.step("later", &["final"], &["ok"])];
    let (sender, cancels) = mpsc::unbounded_channel();
    let interrupt = async {
        tokio::time::timeout(Duration::from_millis(200), std::future::pending::<()>()).await.ok();
        sender.send(wish(true)).unwrap();
    };
    let person: Arc<dyn Approver> = Arc::new(Person(None, choice));
    let running = ground.run_with(plan(steps), Some(person), Some(cancels));
    let (outcome, ()) = tokio::join!(running, interrupt);
    let outcome = outcome.unwrap();
    (outcome.status, ground.names(outcome.run))
}

#[tokio::test]
async fn ctrl_c_in_a_step_that_cannot_be_taken_back_waits_for_it_and_lets_choose() {
    let cases = [
        (Some(Choice::GoOn), RunStatus::Succeeded, 1, "run_continued"),
        (Some(Choice::Pause), RunStatus::Paused, 0, "run_paused"),
        (Some(Choice::Cancel), RunStatus::Cancelled, 0, "cancel_requested"),
        (None, RunStatus::Cancelled, 0, "cancel_requested"),
    ];
    for (choice, expected, later, chosen) in cases {
        let ground = Ground::new();
        let (status, names) = interrupted(&ground, choice).await;
        assert_eq!(status, expected);
        assert_eq!((ground.count("final"), ground.count("later")), (1, later));
        let at = |name: &str| names.iter().position(|it| it == name).unwrap();
        assert!(at("run_held") < at("step_succeeded final"));
        assert!(at("step_succeeded final") < at(chosen));
    }
    let ground = Ground::new();
    interrupted(&ground, Some(Choice::Pause)).await;
    let run = ground.state.find("").unwrap();
    let paused = ground.state.state(run).unwrap().paused().unwrap().told();
    shown::case("RB0462", paused);
    assert_status(&ground.resume(run).await, RunStatus::Succeeded);
    assert_eq!((ground.count("final"), ground.count("later")), (1, 1));
}

#[tokio::test]
async fn a_step_that_has_not_begun_is_skipped_by_a_person_and_a_question_never() {
    let ground = Ground::new();
    let run = assert_status(&ground.run(waits(&ground)).await, RunStatus::WaitingForApproval);
    let unfinished = ground.reopen(run, Reopening::Undo).await.unwrap_err();
    shown::case("RB0463", said(&unfinished));
    let skip = |step| {
        let (by, reason) = ("dana".to_owned(), "agreed by phone".to_owned());
        Request::Skip { step: id(step), by, reason }
    };
    let around = ground.state.request(run, &skip("confirm")).unwrap_err();
    let why = "it asks people, who approve or reject it";
    assert_eq!(around.message, format!("the step `confirm` cannot be skipped: {why}"));
    ground.state.request(run, &skip("act")).unwrap();
    let again = ground.state.request(run, &skip("act")).unwrap_err();
    assert_eq!(again.message, "the step `act` has begun or ended");
    assert_status(&ground.resume(run).await, RunStatus::WaitingForApproval);
    assert_eq!(status_of(&ground, run, "act"), StepStatus::Skipped);
    assert_eq!(ground.count("act"), 0);
}

#[tokio::test]
async fn no_more_steps_of_a_foreach_run_at_once_than_it_says() {
    let ground = Ground::new();
    let names = ["dump.a", "dump.b", "dump.c", "dump.d"];
    let steps = names.iter().map(|name| ground.step(name, &[], &["sleep 60"]));
    let mut plan = plan(steps.collect());
    let group = model::plan::Group {
        steps: names.iter().map(|name| id(name)).collect(),
        max_parallel: Some(2),
    };
    plan.groups.insert(id("dump"), group);
    let run = assert_status(&ground.run(plan).await, RunStatus::Succeeded);
    let (mut running, mut most) = (0_i32, 0);
    for name in ground.names(run) {
        running += i32::from(name.starts_with("step_started"));
        running -= i32::from(name.starts_with("step_succeeded"));
        most = most.max(running);
    }
    assert_eq!(most, 2);
}
