//! Runs of one concurrency group, in one process and over several.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::driver::Observer;
use engine::modes::{self, Surroundings};
use model::ids::RunId;
use model::journal::Record;
use model::plan::{Concurrency, OnConflict, Plan, PlanStep};
use model::run::event::Event;
use model::run::state::{RunState, RunStatus};
use serde_json::json;

use crate::ground::*;

fn grouped(on_conflict: OnConflict, steps: Vec<PlanStep>) -> Plan {
    let concurrency = Some(Concurrency { group: "restore:lms".to_owned(), on_conflict });
    Plan { concurrency, ..plan(steps) }
}

fn approval(ground: &Ground) -> PlanStep {
    let mut ask = ground.step("confirm", &[], &["ok"]);
    ask.with = json!({"prompt": "Go?", "approvers": []});
    ask.footprint.waits_for_person = true;
    ask
}

fn taken(ground: &Ground, run: RunId) -> Vec<Option<RunId>> {
    let from = |event| match event {
        Event::GroupTaken { group, from } => {
            assert_eq!(group, "restore:lms");
            Some(from)
        }
        _ => None,
    };
    ground.events(run).into_iter().filter_map(from).collect()
}

#[tokio::test]
async fn a_run_that_waits_holds_its_group_until_it_has_ended() {
    let ground = Ground::new();
    let first = ground.run(grouped(OnConflict::Fail, vec![approval(&ground)])).await;
    let first = assert_status(&first, RunStatus::WaitingForApproval);
    let plan = || grouped(OnConflict::Fail, vec![ground.step("a", &[], &["ok"])]);
    let refused = ground.run(plan()).await.unwrap_err();
    assert_eq!(refused.code, "RB0840");
    assert!(refused.message.contains(&first.to_string()), "{}", refused.message);
    assert!(refused.message.contains("at `confirm`"), "{}", refused.message);
    let host = engine::environment::host();
    shown::case("RB0840", said(&refused).replace(&host, "db1"));
    assert_eq!(ground.state.runs().unwrap().len(), 1, "nothing is left of the one refused");
    // The run itself may be resumed, and when it has ended the group is free.
    assert_status(&ground.resume(first).await, RunStatus::WaitingForApproval);
    let answer = answer("dana", model::approval::Decision::Approved);
    let request = engine::inbox::Request::Answer { step: id("confirm"), answer };
    ground.state.request(first, &request).unwrap();
    assert_status(&ground.resume(first).await, RunStatus::Succeeded);
    let second = assert_status(&ground.run(plan()).await, RunStatus::Succeeded);
    assert_eq!(taken(&ground, second), [None]);
}

/// Leaves the run as a process that died would: with the first records up to `last`.
fn die_after(ground: &Ground, run: RunId, last: &str) {
    let kept = ground.names(run).iter().position(|name| name == last).unwrap() + 1;
    let path = ground.state.run_folder(run).join("journal.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().take(kept).collect();
    std::fs::write(&path, format!("{}\n", lines.join("\n"))).unwrap();
}

#[tokio::test]
async fn a_run_that_died_with_nothing_under_way_is_superseded_and_both_say_so() {
    let ground = Ground::new();
    let plan = || {
        let steps = vec![ground.step("a", &[], &["ok"]), ground.step("b", &["a"], &["ok"])];
        grouped(OnConflict::Fail, steps)
    };
    let dead = assert_status(&ground.run(plan()).await, RunStatus::Succeeded);
    die_after(&ground, dead, "step_succeeded a");
    let next = assert_status(&ground.run(plan()).await, RunStatus::Succeeded);
    assert_eq!(taken(&ground, next), [Some(dead)]);
    let lost = Event::GroupLost { group: "restore:lms".to_owned(), to: next };
    assert_eq!(ground.events(dead).last(), Some(&lost));
    // Its own resume takes the group again, now that it is free.
    assert_status(&ground.resume(dead).await, RunStatus::Succeeded);
    assert_eq!(taken(&ground, dead), [None, None]);
}

#[tokio::test]
async fn a_run_that_died_in_a_step_that_changes_something_keeps_its_group() {
    let ground = Ground::new();
    let plan = || grouped(OnConflict::Fail, vec![ground.step("a", &[], &["ok"])]);
    let dead = assert_status(&ground.run(plan()).await, RunStatus::Succeeded);
    die_after(&ground, dead, "step_started a");
    let refused = ground.run(plan()).await.unwrap_err();
    let hint =
        format!("`runbook resume {dead}` looks and goes on, `runbook cancel {dead}` ends it");
    assert_eq!((refused.code.as_ref(), refused.hint), ("RB0840", Some(hint)));
    assert!(refused.message.contains("what it did at `a` is not known"), "{}", refused.message);
    // Where it only read, nothing can have happened.
    let mut reads = plan();
    reads.steps[0].footprint.effect = model::effect::Effect::Read;
    let ground = Ground::new();
    reads.steps[0].with["folder"] = json!(ground.effects());
    let dead = assert_status(&ground.run(reads.clone()).await, RunStatus::Succeeded);
    die_after(&ground, dead, "step_started a");
    let next = assert_status(&ground.run(reads).await, RunStatus::Succeeded);
    assert_eq!(taken(&ground, next), [Some(dead)]);
}

/// Counts how often it was told to wait.
struct Queue(Arc<Mutex<Vec<String>>>);

impl Observer for Queue {
    fn event(&mut self, _record: &Record, _state: &RunState) {}

    fn queued(&mut self, group: &str, behind: &str) {
        self.0.lock().unwrap().push(format!("{group}: {behind}"));
    }
}

#[tokio::test]
async fn a_queued_run_waits_for_its_turn_or_is_stopped_before_it_begins() {
    let ground = Ground::new();
    let slow = grouped(OnConflict::Queue, vec![ground.step("slow", &[], &["sleep 1500"])]);
    let next = grouped(OnConflict::Queue, vec![ground.step("next", &[], &["ok"])]);
    let told = Arc::new(Mutex::new(Vec::new()));
    let queued = async {
        while ground.state.runs().unwrap().is_empty() {
            tokio::time::timeout(Duration::from_millis(10), std::future::pending::<()>())
                .await
                .ok();
        }
        let observers: Vec<Box<dyn Observer>> = vec![Box::new(Queue(Arc::clone(&told)))];
        let with = Surroundings { observers, ..ground.surroundings() };
        modes::run(next.clone(), start(), with).await
    };
    let (first, second) = tokio::join!(ground.run(slow), queued);
    let (first, second) =
        (assert_status(&first, RunStatus::Succeeded), assert_status(&second, RunStatus::Succeeded));
    let at = |run, name: &str| {
        ground
            .records(run)
            .iter()
            .find(|it| crate::ground::name(&it.event) == name)
            .unwrap()
            .stamp
            .at
    };
    assert!(at(second, "step_started next") >= at(first, "run_finished"));
    assert!(told.lock().unwrap()[0].starts_with(&format!("restore:lms: run {first}: process ")));
    // Stopped while it waits.
    let ask = grouped(OnConflict::Fail, vec![approval(&ground)]);
    assert_status(&ground.run(ask).await, RunStatus::WaitingForApproval);
    let (sender, cancels) = tokio::sync::mpsc::unbounded_channel();
    let (by, reason, force, offer) = ("ann".to_owned(), None, false, true);
    sender.send(engine::driver::CancelWish { by, reason, force, offer }).unwrap();
    let stopped = ground.run_with(next, None, Some(cancels)).await.unwrap_err();
    shown::case("RB0842", said(&stopped));
    assert_eq!(ground.state.runs().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_runs_that_start_together_one_wins() {
    const RACES: usize = 100;
    const STARTERS: usize = 4;
    for race in 0..RACES {
        let ground = Arc::new(Ground::new());
        let starts = (0..STARTERS).map(|_| {
            let ground = Arc::clone(&ground);
            tokio::spawn(async move {
                ground.run(grouped(OnConflict::Fail, vec![approval(&ground)])).await
            })
        });
        let mut won = 0;
        for start in starts.collect::<Vec<_>>() {
            match start.await.unwrap() {
                Ok(outcome) => {
                    assert_eq!(outcome.status, RunStatus::WaitingForApproval);
                    won += 1;
                }
                Err(error) => assert_eq!(error.code, "RB0840"),
            }
        }
        assert_eq!(won, 1, "race {race}");
    }
}

#[tokio::test]
async fn a_group_that_cannot_be_read_is_no_free_one() {
    let ground = Ground::new();
    let plan = || grouped(OnConflict::Fail, vec![ground.step("a", &[], &["ok"])]);
    assert_status(&ground.run(plan()).await, RunStatus::Succeeded);
    let groups = ground.state.path().join("groups");
    for entry in std::fs::read_dir(&groups).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            std::fs::write(path, "{").unwrap();
        }
    }
    let refused = ground.run(plan()).await.unwrap_err();
    shown::case("RB0841", said(&refused));
}
