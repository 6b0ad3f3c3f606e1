//! Runs from plan to end over a file journal, with steps that do as they are told.

use std::sync::Arc;
use std::time::Duration;

use crate::ground::*;
use engine::driver::{AnswerFuture, Approver, CancelWish, Question};
use engine::inbox::Request;
use engine::modes::{Start, Surroundings};
use engine::state_folder::Delivered;
use model::approval::{Answer, Decision};
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::plan::{PlanStep, Retry, SecretSource};
use model::run::event::{AttemptEnd, Event, Seen, Verdict};
use model::run::state::RunStatus;
use serde_json::json;
use tokio::sync::mpsc;

fn position(names: &[String], wanted: &str) -> usize {
    names.iter().position(|name| name == wanted).unwrap_or_else(|| panic!("{wanted}: {names:#?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_runs_in_the_order_of_its_needs_and_side_by_side() {
    let ground = Ground::new();
    let steps = vec![
        ground.step("left", &[], &["sleep 150"]),
        ground.step("right", &[], &["sleep 150"]),
        ground.step("last", &["left", "right"], &["ok"]),
    ];
    let run = assert_status(&ground.run(plan(steps)).await, RunStatus::Succeeded);
    let names = ground.names(run);
    assert_eq!(names[..2], ["run_created", "preflight_passed"]);
    let at = |name| position(&names, name);
    let first_end = at("step_succeeded left").min(at("step_succeeded right"));
    assert!(at("step_started left") < first_end && at("step_started right") < first_end);
    assert!(at("step_started last") > at("step_succeeded left").max(at("step_succeeded right")));
    assert_eq!(names.last().unwrap(), "run_finished");
    assert_eq!(["left", "right", "last"].map(|step| ground.count(step)), [1, 1, 1]);
    let Event::StepSucceeded { log: Some(log), .. } =
        &ground.events(run)[at("step_succeeded left")]
    else {
        panic!("a step has a log")
    };
    let text = std::fs::read_to_string(ground.state.run_folder(run).join(&log.file)).unwrap();
    assert_eq!((text.as_str(), log.bytes), ("attempt 1 \n", 11));
    assert_eq!(ground.state.runs().unwrap().len(), 1);
    assert_eq!(ground.state.find(&run.to_string().to_lowercase()[..8]).unwrap(), run);
}

#[tokio::test]
async fn a_transient_failure_is_retried_after_the_recorded_time() {
    let ground = Ground::new();
    let mut step = ground.step("a", &[], &["transient", "transient", "ok"]);
    let (interval, max_interval) = (span("100ms"), span("1m"));
    step.retry = Retry { limit: 2, interval, backoff: 2.0, max_interval, jitter: 0.2 };
    let run = assert_status(&ground.run(plan(vec![step])).await, RunStatus::Succeeded);
    let records = ground.records(run);
    let mut waits = Vec::new();
    for (index, record) in records.iter().enumerate() {
        let Event::StepRetryScheduled { at, .. } = record.event else { continue };
        let next = &records[index + 1];
        assert_eq!(name(&next.event), "step_started a");
        assert!(next.stamp.at >= at, "started before its time");
        waits.push(at.duration_since(record.stamp.at).as_millis());
    }
    assert_eq!(waits.len(), 2);
    assert!((80..=120).contains(&waits[0]) && (160..=240).contains(&waits[1]), "{waits:?}");
    let facts = |event: &&Event| name(event) == "step_fact a";
    assert_eq!(ground.events(run).iter().filter(facts).count(), 3);
    assert_eq!(ground.count("a"), 1);
}

#[tokio::test]
async fn a_permanent_failure_ends_the_run_and_what_needs_it() {
    let ground = Ground::new();
    let mut steps = vec![
        ground.step("a", &[], &["permanent"]),
        ground.step("b", &["a"], &["ok"]),
        ground.step("alarm", &["b"], &["ok"]),
    ];
    steps[2].condition = Some("failed()".to_owned());
    let run = assert_status(&ground.run(plan(steps)).await, RunStatus::Failed);
    let names = ground.names(run);
    assert_eq!(
        names[4..],
        [
            "step_attempt_ended a",
            "step_failed a",
            "step_not_run b",
            "step_started alarm",
            "step_fact alarm",
            "step_succeeded alarm",
            "run_finished"
        ]
    );
    assert_eq!((ground.count("b"), ground.count("alarm")), (0, 1));
}

#[tokio::test]
async fn a_condition_that_does_not_hold_skips_its_step() {
    let ground = Ground::new();
    let mut steps = vec![ground.step("a", &[], &["ok"]), ground.step("b", &["a"], &["ok"])];
    steps[0].condition = Some("params.go".to_owned());
    let mut plan = plan(steps);
    plan.params.insert("go".to_owned(), json!(false));
    let run = assert_status(&ground.run(plan).await, RunStatus::Succeeded);
    assert_eq!(ground.names(run)[2], "step_skipped a");
    assert_eq!((ground.count("a"), ground.count("b")), (0, 1));
}

#[tokio::test]
async fn a_condition_that_cannot_be_told_fails_its_step_and_nothing_starts_beside_it() {
    let ground = Ground::new();
    let mut steps = vec![ground.step("a", &[], &["ok"]), ground.step("b", &[], &["ok"])];
    steps[0].condition = Some("params.absent > 1".to_owned());
    let run = assert_status(&ground.run(plan(steps)).await, RunStatus::Failed);
    assert_eq!(ground.names(run)[2..], ["step_failed a", "step_not_run b", "run_finished"]);
    assert_eq!((ground.count("a"), ground.count("b")), (0, 0));
}

#[tokio::test]
async fn outputs_reach_the_steps_that_refer_to_them() {
    let ground = Ground::new();
    let first = with(ground.step("a", &[], &["ok"]), "text", json!("{{ vars.greeting }}"));
    let mut second = with(
        ground.step("b", &["a"], &["ok"]),
        "text",
        json!("{{ steps.a.outputs.text }}, {{ run.name }}"),
    );
    second.references = vec![id("a")];
    let mut plan = plan(vec![first, second]);
    plan.vars.insert("greeting".to_owned(), json!("hello {{ params.who }}"));
    plan.params.insert("who".to_owned(), json!("world"));
    let run = assert_status(&ground.run(plan).await, RunStatus::Succeeded);
    let output = ground.state.state(run).unwrap().step(&id("b")).unwrap().output.clone();
    assert_eq!(output.unwrap(), json!({"attempt": 1, "text": "hello world, test"}));
}

async fn one(ground: &Ground, step: PlanStep, status: RunStatus) -> Vec<Event> {
    let run = assert_status(&ground.run(plan(vec![step])).await, status);
    ground.events(run)
}

#[tokio::test]
async fn an_ambiguous_attempt_that_was_applied_is_adopted_not_repeated() {
    let ground = Ground::new();
    let step = ground.step("a", &[], &["applied_ambiguous"]);
    let events = one(&ground, step, RunStatus::Succeeded).await;
    let adopted =
        events.iter().any(|event| matches!(event, Event::StepSucceeded { adopted: true, .. }));
    assert!(adopted);
    assert_eq!(ground.count("a"), 1);
}

#[tokio::test]
async fn a_timeout_is_observed_and_then_retried_or_final() {
    let ground = Ground::new();
    let mut step = ground.step("applied", &[], &["apply_then_hang"]);
    step.timeout = Some(span("100ms"));
    one(&ground, step, RunStatus::Succeeded).await;
    assert_eq!(ground.count("applied"), 1);

    let mut step = ground.step("not", &[], &["sleep 60000"]);
    step.timeout = Some(span("100ms"));
    let events = one(&ground, step.clone(), RunStatus::Failed).await;
    assert!(events.iter().any(|event| matches!(event, Event::StepTimedOut { .. })));
    assert_eq!(ground.count("not"), 0);

    step.id = id("later");
    step.with["script"] = json!(["sleep 60000", "ok"]);
    step.retry = Retry { limit: 1, interval: span("10ms"), ..Retry::default() };
    one(&ground, step, RunStatus::Succeeded).await;
    assert_eq!(ground.count("later"), 1);
}

#[tokio::test]
async fn a_step_without_a_sign_of_life_is_stalled_and_a_busy_one_is_not() {
    let ground = Ground::new();
    let mut step = ground.step("busy", &[], &["stubborn 1000"]);
    step.stall_timeout = Some(span("400ms"));
    one(&ground, step, RunStatus::Succeeded).await;
    let mut step = ground.step("silent", &[], &["sleep 60000"]);
    step.stall_timeout = Some(span("300ms"));
    let events = one(&ground, step, RunStatus::Failed).await;
    let stalled = |event: &Event| {
        matches!(event, Event::StepAttemptEnded { end: AttemptEnd::Stalled { .. }, .. })
    };
    assert!(events.iter().any(stalled));
}

#[tokio::test]
async fn a_panic_is_ambiguous_and_observed() {
    let ground = Ground::new();
    let events = one(&ground, ground.step("a", &[], &["panic"]), RunStatus::Failed).await;
    let Some(Event::StepFailed { error, .. }) =
        events.iter().find(|event| matches!(event, Event::StepFailed { .. }))
    else {
        panic!("the step failed")
    };
    assert_eq!(error.message, "the step ended in a bug: a bug near ");
    let not_done = |event: &Event| matches!(event, Event::StepObserved { seen: Seen::NotDone, .. });
    assert!(events.iter().any(not_done));
}

const NOT_IN_DOUBT: (&str, &str) = ("RB0814", "the step `a` is not in doubt");

#[tokio::test]
async fn what_nobody_can_tell_waits_for_a_persons_word() {
    for (verdict, count) in [(Verdict::Applied, 1), (Verdict::NotApplied, 2)] {
        let ground = Ground::new();
        let blind = with(ground.step("a", &[], &["applied_ambiguous", "ok"]), "blind", json!(true));
        let steps = vec![blind, ground.step("b", &["a"], &["ok"])];
        let run = assert_status(&ground.run(plan(steps)).await, RunStatus::InDoubt);
        assert_eq!(ground.count("a"), 1);
        assert_status(&ground.resume(run).await, RunStatus::InDoubt);
        let (by, reason) = ("dana".to_owned(), "looked".to_owned());
        let request = Request::Resolve { step: id("a"), verdict, by, reason, output: None };
        assert_eq!(ground.state.request(run, &request).unwrap(), Delivered::Journaled);
        let refused = ground.state.request(run, &request).unwrap_err();
        assert_eq!((refused.code.as_ref(), refused.message.as_str()), NOT_IN_DOUBT);
        assert_status(&ground.resume(run).await, RunStatus::Succeeded);
        assert_eq!((ground.count("a"), ground.count("b")), (count, 1));
    }
}

#[tokio::test]
async fn a_run_that_has_ended_takes_no_request() {
    let ground = Ground::new();
    let steps = plan(vec![ground.step("a", &[], &["ok"])]);
    let run = assert_status(&ground.run(steps).await, RunStatus::Succeeded);
    let request = Request::Cancel { by: "dana".to_owned(), reason: None, force: false };
    let refused = ground.state.request(run, &request).unwrap_err();
    assert_eq!((refused.code.as_ref(), refused.message.as_str()), ("RB0814", "the run has ended"));
    assert_eq!(refused.hint, Some(format!("`runbook report {run}` tells how")));
}

#[tokio::test]
async fn with_several_open_runs_one_must_be_named() {
    let ground = Ground::new();
    let first = ground.run(plan(approval(&ground, 1))).await.unwrap().run;
    let second = ground.run(plan(approval(&ground, 1))).await.unwrap().run;
    let refused = ground.state.find("").unwrap_err();
    assert_eq!(refused.message, format!("several runs are open: {first}, {second}"));
    assert_eq!(
        (refused.code.as_ref(), refused.hint.as_deref()),
        ("RB0813", Some("name one of them"))
    );
}

#[tokio::test]
async fn a_cancellation_stops_what_can_be_taken_back_and_waits_for_the_rest() {
    let ground = Ground::new();
    let mut steps = vec![
        ground.step("reversible", &[], &["sleep 60000"]),
        ground.step("final", &[], &["sleep 600"]),
        ground.step("later", &["final"], &["ok"]),
    ];
    steps[1].footprint = Footprint::new(Effect::Irreversible, Repeat::Observable);
    let (sender, cancels) = mpsc::unbounded_channel();
    let wish = CancelWish { by: "ann".to_owned(), reason: None, force: false, offer: false };
    let cancel = async {
        tokio::time::timeout(Duration::from_millis(200), std::future::pending::<()>()).await.ok();
        sender.send(wish).unwrap();
    };
    let (outcome, ()) = tokio::join!(ground.run_with(plan(steps), None, Some(cancels)), cancel);
    let run = assert_status(&outcome, RunStatus::Cancelled);
    assert_eq!(["reversible", "final", "later"].map(|step| ground.count(step)), [0, 1, 0]);
    let names = ground.names(run);
    assert!(
        position(&names, "step_cancelled reversible") < position(&names, "step_succeeded final")
    );
}

#[tokio::test]
async fn another_process_cancels_through_the_inbox_of_the_holder() {
    let ground = Ground::new();
    let steps = plan(vec![ground.step("a", &[], &["sleep 60000"])]);
    let cancel = async {
        let run = loop {
            tokio::time::timeout(Duration::from_millis(20), std::future::pending::<()>())
                .await
                .ok();
            match ground.state.find("") {
                Ok(run) if ground.names(run).len() > 2 => break run,
                _ => {}
            }
        };
        assert_eq!(ground.resume(run).await.unwrap_err().code, "RB0804");
        let (by, reason, force) = ("dana".to_owned(), Some("wrong table".to_owned()), false);
        let delivered = ground.state.request(run, &Request::Cancel { by, reason, force }).unwrap();
        assert!(matches!(delivered, Delivered::HandedTo(_)));
    };
    let (outcome, ()) = tokio::join!(ground.run(steps), cancel);
    let run = assert_status(&outcome, RunStatus::Cancelled);
    assert!(ground.names(run).contains(&"cancel_requested".to_owned()));
    assert!(engine::inbox::waiting(&ground.state.run_folder(run)).is_empty());
}

struct Says(Vec<&'static str>, std::sync::Mutex<usize>, Decision);

impl Approver for Says {
    fn ask<'a>(&'a self, _question: &'a Question) -> AnswerFuture<'a> {
        let mut asked = self.1.lock().unwrap();
        let by = self.0.get(*asked).map(|name| (*name).to_owned());
        *asked += 1;
        let decision = self.2;
        Box::pin(std::future::ready(by.map(|by| Answer::claimed(decision, by))))
    }
}

fn approval(ground: &Ground, required: u32) -> Vec<PlanStep> {
    let mut ask = ground.step("confirm", &[], &["ok"]);
    ask.with = json!({"prompt": "Go, {{ run.name }}?", "required": required, "approvers": []});
    ask.footprint.waits_for_person = true;
    vec![ask, ground.step("act", &["confirm"], &["ok"])]
}

#[tokio::test]
async fn people_approve_reject_or_leave_it_open() {
    let ask = async |names: &[&'static str], required, decision| {
        let ground = Ground::new();
        let approver = Arc::new(Says(names.to_vec(), std::sync::Mutex::new(0), decision));
        let outcome =
            ground.run_with(plan(approval(&ground, required)), Some(approver), None).await;
        (outcome.unwrap().status, ground.count("act"))
    };
    let (approved, rejected) = (Decision::Approved, Decision::Rejected);
    assert_eq!(ask(&["dana"], 1, approved).await, (RunStatus::Succeeded, 1));
    assert_eq!(ask(&["dana", "eve"], 2, approved).await, (RunStatus::Succeeded, 1));
    assert_eq!(ask(&["dana", "dana"], 2, approved).await, (RunStatus::WaitingForApproval, 0));
    assert_eq!(ask(&["ann", "ann", "ann"], 1, approved).await, (RunStatus::WaitingForApproval, 0));
    assert_eq!(ask(&["dana"], 1, rejected).await, (RunStatus::Failed, 0));
    assert_eq!(ask(&[], 1, approved).await, (RunStatus::WaitingForApproval, 0));
}

#[tokio::test]
async fn an_open_question_is_answered_later_and_a_missing_secret_only_pauses() {
    let ground = Ground::new();
    let secret = ground.root.path().join("token");
    std::fs::write(&secret, "hunter2-token\n").unwrap();
    let mut steps = approval(&ground, 1);
    steps[1] = with(steps[1].clone(), "text", json!("{{ secrets.token }}"));
    steps[1].secrets = vec!["token".to_owned()];
    let mut plan = plan(steps);
    let source = SecretSource::File(secret.to_str().unwrap().to_owned());
    plan.secrets.insert("token".to_owned(), source);
    let run = assert_status(&ground.run(plan).await, RunStatus::WaitingForApproval);
    let answer = Answer::claimed(Decision::Approved, "dana");
    ground.state.request(run, &Request::Answer { step: id("confirm"), answer }).unwrap();
    std::fs::remove_file(&secret).unwrap();
    assert_status(&ground.resume(run).await, RunStatus::Paused);
    assert_eq!(ground.count("act"), 0);
    std::fs::write(&secret, "hunter2-token\n").unwrap();
    assert_status(&ground.resume(run).await, RunStatus::Succeeded);
    let output = ground.state.state(run).unwrap().step(&id("confirm")).unwrap().output.clone();
    assert_eq!(output.unwrap()["by"], "dana");
    assert_eq!(ground.count("act"), 1);
    assert_status(&ground.resume(run).await, RunStatus::Succeeded);
}

#[tokio::test]
async fn an_unattended_run_fails_where_an_attended_one_pauses_so_that_somebody_is_told() {
    let steps = |ground: &Ground| {
        let mut steps = vec![
            ground.step("a", &[], &["operator", "ok"]),
            ground.step("b", &["a"], &["ok"]),
            ground.step("alarm", &["b"], &["ok"]),
        ];
        steps[2].condition = Some("failed()".to_owned());
        plan(steps)
    };
    let ground = Ground::new();
    assert_status(&ground.run(steps(&ground)).await, RunStatus::Paused);
    assert_eq!(["a", "b", "alarm"].map(|step| ground.count(step)), [0, 0, 0]);

    let ground = Ground::new();
    let unattended = Start { unattended: true, ..start() };
    let outcome = engine::modes::run(steps(&ground), unattended, ground.surroundings()).await;
    let run = assert_status(&outcome, RunStatus::Failed);
    assert_eq!(["a", "b", "alarm"].map(|step| ground.count(step)), [0, 0, 1]);
    assert!(!ground.names(run).iter().any(|name| name.starts_with("run_paused")));
}

#[tokio::test]
async fn an_unattended_run_that_is_resumed_without_its_secret_waits_for_it() {
    let ground = Ground::new();
    let secret = ground.root.path().join("token");
    std::fs::write(&secret, "hunter2-token\n").unwrap();
    let mut steps = approval(&ground, 1);
    steps[1].secrets = vec!["token".to_owned()];
    let mut plan = plan(steps);
    let source = SecretSource::File(secret.to_str().unwrap().to_owned());
    plan.secrets.insert("token".to_owned(), source);
    let unattended = Start { unattended: true, ..start() };
    let outcome = engine::modes::run(plan, unattended, ground.surroundings()).await;
    let run = assert_status(&outcome, RunStatus::WaitingForApproval);
    std::fs::remove_file(&secret).unwrap();
    let answer = Answer::claimed(Decision::Approved, "dana");
    ground.state.request(run, &Request::Answer { step: id("confirm"), answer }).unwrap();
    assert_status(&ground.resume(run).await, RunStatus::Paused);
}

#[tokio::test]
async fn a_secret_that_is_gone_when_its_step_starts_fails_an_unattended_run() {
    let ground = Ground::new();
    let secret = ground.root.path().join("token");
    std::fs::write(&secret, "hunter2-token\n").unwrap();
    let mut steps = approval(&ground, 1);
    steps[1].secrets = vec!["token".to_owned()];
    let mut plan = plan(steps);
    let source = SecretSource::File(secret.to_str().unwrap().to_owned());
    plan.secrets.insert("token".to_owned(), source);
    let unattended = Start { unattended: true, ..start() };
    let approver = Some(Arc::new(Removes(secret)) as Arc<dyn Approver>);
    let with = Surroundings { approver, ..ground.surroundings() };
    let outcome = engine::modes::run(plan, unattended, with).await;
    let run = assert_status(&outcome, RunStatus::Failed);
    let state = ground.state.state(run).unwrap();
    assert_eq!(state.step(&id("act")).unwrap().error.as_ref().unwrap().code, "RB0420");
    assert_eq!(ground.count("act"), 0);
}

/// Approves, and takes a file away.
struct Removes(std::path::PathBuf);

impl Approver for Removes {
    fn ask<'a>(&'a self, _question: &'a Question) -> AnswerFuture<'a> {
        std::fs::remove_file(&self.0).unwrap();
        Box::pin(std::future::ready(Some(Answer::claimed(Decision::Approved, "dana"))))
    }
}

pub(crate) fn all_text(folder: &std::path::Path) -> String {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| {
            if path.is_dir() {
                return all_text(&path);
            }
            String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned()
        })
        .collect()
}

#[tokio::test]
async fn a_secret_is_in_no_file_that_a_run_leaves() {
    for word in ["ok", "permanent", "transient", "panic"] {
        let ground = Ground::new();
        let secret = ground.root.path().join("token");
        std::fs::write(&secret, "hunter2-token\n").unwrap();
        let mut step = with(ground.step("a", &[], &[word]), "text", json!("{{ secrets.token }}"));
        step.secrets = vec!["token".to_owned()];
        let mut plan = plan(vec![step]);
        let source = SecretSource::File(secret.to_str().unwrap().to_owned());
        plan.secrets.insert("token".to_owned(), source);
        ground.run(plan).await.unwrap();
        let text = all_text(ground.state.path());
        assert!(!text.contains("hunter2-token"), "{word}");
        assert!(text.contains("attempt 1 (secret)"), "{word}");
    }
}

#[tokio::test]
async fn a_preflight_that_fails_leaves_nothing_and_names_everything() {
    let ground = Ground::new();
    let mut step = ground.step("a", &[], &["ok"]);
    step.footprint = step.footprint.tool("no_such_program").tool("sh");
    step.secrets = vec!["token".to_owned()];
    let mut plan = plan(vec![step]);
    plan.secrets.insert("token".to_owned(), SecretSource::Env("RUNBOOK_NOT_SET".to_owned()));
    let error = ground.run(plan).await.unwrap_err();
    let problems: Vec<(&str, &str)> = error
        .problems
        .iter()
        .map(|problem| (problem.code.as_ref(), problem.message.as_str()))
        .collect();
    let secret = "the secret `token` cannot be read: \
                  the environment variable `RUNBOOK_NOT_SET` is not set";
    assert_eq!(error.problems[0].hint.as_deref(), Some("set it, then run again"));
    assert_eq!(problems, [("RB0420", secret), ("RB0430", "`no_such_program` is not on `PATH`")]);
    assert!(!ground.state.path().exists());
}

#[test]
fn a_plan_assumes_every_step_and_leaves_nothing() {
    let ground = Ground::new();
    let mut steps = approval(&ground, 2);
    steps[0].with["approvers"] = json!(["dana", "eve"]);
    let now = jiff::Timestamp::UNIX_EPOCH;
    let records = engine::modes::plan_only(plan(steps), start(), REGISTRY, now).unwrap();
    let names: Vec<String> = records.iter().map(|record| name(&record.event)).collect();
    assert_eq!(
        names,
        [
            "run_created",
            "approval_requested confirm",
            "approval_answered confirm",
            "approval_answered confirm",
            "step_succeeded confirm",
            "step_started act",
            "step_succeeded act",
            "run_finished"
        ]
    );
    assert!(records.iter().all(|record| record.stamp.at == now));
    assert_eq!(ground.count("act"), 0);
    assert!(!ground.state.path().exists());
}
