//! A process that dies at any record, and a journal that cannot be written at any record.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use engine::clock::RealClock;
use engine::driver::{Driver, Parts};
use engine::executor::Perform;
use engine::journal::{Journal, MemoryJournal, SharedRecords};
use engine::orphans::Orphans;
use engine::process::CHILD_MARK;
use engine::redact::Redactor;
use engine::session;
use model::ids::RunId;
use model::journal::{Record, Stamp};
use model::plan::{Plan, Retry};
use model::run::event::{Event, Mode, RunCreated};
use model::run::state::{RunState, RunStatus};
use serde_json::json;

use crate::ground::*;

fn eventful(ground: &Ground) -> Plan {
    let retry = || Retry { limit: 1, interval: span("1ms"), ..Retry::default() };
    let mut steps = vec![
        ground.step("a", &[], &["ok"]),
        ground.step("b", &[], &["transient", "ok"]),
        ground.step("c", &["a", "b"], &["applied_ambiguous"]),
        ground.step("d", &["a"], &["ambiguous", "ok"]),
        ground.step("e", &["c", "d"], &["ok"]),
    ];
    steps[1].retry = retry();
    steps[3].retry = retry();
    plan(steps)
}

const STEPS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Leaves the run's journal with its first `kept` lines, and the effects of finished steps only;
/// with `applied`, also those of steps that were running. `c` has its effect before its attempt ends.
fn crash_after(ground: &Ground, run: RunId, kept: usize, applied: bool) {
    let path = ground.state.run_folder(run).join("journal.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().take(kept).collect();
    std::fs::write(&path, format!("{}\n", lines.join("\n"))).unwrap();
    let state = ground.state.state(run).unwrap();
    for step in STEPS {
        let known = state.step(&id(step)).unwrap();
        let running = state.running().any(|running| running.id == id(step));
        let effect = ground.effects().join(step);
        let ended_applied = step == "c" && known.end.is_some();
        if known.output.is_some() || ended_applied || (applied && running) {
            std::fs::write(effect, "1\n").unwrap();
        } else {
            std::fs::remove_file(effect).ok();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_died_at_any_record_is_resumed_without_repeating_an_effect() {
    let ground = Ground::new();
    let run = assert_status(&ground.run(eventful(&ground)).await, RunStatus::Succeeded);
    let whole = ground.records(run);
    let journal = ground.state.run_folder(run).join("journal.jsonl");
    let text = std::fs::read(&journal).unwrap();
    for kept in 1..whole.len() {
        for applied in [false, true] {
            std::fs::write(&journal, &text).unwrap();
            crash_after(&ground, run, kept, applied);
            assert_status(&ground.resume(run).await, RunStatus::Succeeded);
            for step in STEPS {
                assert_eq!(ground.count(step), 1, "`{step}`, killed after {kept}, {applied}");
            }
            let records = ground.records(run);
            assert_eq!(records[..kept], whole[..kept], "what was durable is not rewritten");
            session::replay(&records).unwrap();
        }
    }
}

#[tokio::test]
async fn a_torn_last_record_is_cut_kept_aside_and_told() {
    let ground = Ground::new();
    let run = assert_status(&ground.run(eventful(&ground)).await, RunStatus::Succeeded);
    let folder = ground.state.run_folder(run);
    let text = std::fs::read(folder.join("journal.jsonl")).unwrap();
    let whole = text[..text.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    std::fs::write(folder.join("journal.jsonl"), &text[..text.len() - 20]).unwrap();
    assert_status(&ground.resume(run).await, RunStatus::Succeeded);
    let names = ground.names(run);
    assert_eq!(
        names[names.len() - 3..],
        ["journal_repaired", "run_resumed", "run_finished"].map(str::to_owned)
    );
    let kept = std::fs::read(folder.join(format!("journal.torn-{whole}"))).unwrap();
    assert_eq!(kept, text[whole..text.len() - 20]);
}

#[tokio::test]
async fn a_journal_damaged_in_the_middle_is_refused() {
    let ground = Ground::new();
    let run = assert_status(&ground.run(eventful(&ground)).await, RunStatus::Succeeded);
    let path = ground.state.run_folder(run).join("journal.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("preflight_passed", "preflight_Passed", 1)).unwrap();
    let error = ground.resume(run).await.unwrap_err();
    assert_eq!(error.code, "RB0802");
    assert!(error.message.contains("line 2 of the journal is damaged"), "{}", error.message);
}

/// Takes so many events, then fails for ever.
struct Failing {
    left: usize,
    inner: MemoryJournal,
}

impl Journal for Failing {
    fn append(&mut self, stamp: &Stamp, events: Vec<Event>) -> io::Result<Vec<Record>> {
        if events.len() > self.left {
            self.left = 0;
            return Err(io::Error::from_raw_os_error(28));
        }
        self.left -= events.len();
        self.inner.append(stamp, events)
    }
}

fn parts(folder: &Path, left: usize) -> (Parts, SharedRecords) {
    let inner = MemoryJournal::default();
    let (records, redactor) = (inner.shared(), Redactor::default());
    let perform = Perform {
        provider: Arc::new(Kept),
        registry: REGISTRY,
        folder: folder.to_owned(),
        redactor: redactor.clone(),
        clock: Arc::new(RealClock),
        orphans: Orphans::Wait,
    };
    let parts = Parts {
        journal: Box::new(Failing { left, inner }),
        executor: Arc::new(perform),
        clock: Arc::new(RealClock),
        approver: None,
        observers: Vec::new(),
        folder: None,
        cancels: None,
        lock: None,
        redactor,
    };
    (parts, records)
}

pub(crate) fn new_state(plan: Plan) -> RunState {
    let created = RunCreated {
        run: RunId::from(ulid::Ulid::nil()),
        tool: "0.1.0".to_owned(),
        mode: Mode::Live,
        starter: "ann".to_owned(),
        started_at: jiff::Timestamp::UNIX_EPOCH,
        incident_at: None,
        unattended: false,
        approvers: None,
        vars: indexmap::IndexMap::new(),
        plan,
    };
    let mut state = RunState::new();
    state.apply(jiff::Timestamp::UNIX_EPOCH, &Event::RunCreated(Box::new(created))).unwrap();
    state
}

#[tokio::test]
async fn when_the_journal_is_full_no_step_begins_that_it_does_not_hold() {
    let mut ended = false;
    for left in 0..40 {
        let ground = Ground::new();
        let (parts, records) = parts(ground.root.path(), left);
        let driver = Driver::new(parts, new_state(eventful(&ground)));
        let outcome = driver.drive(Vec::new()).await;
        let events: Vec<Event> = records.take().into_iter().map(|record| record.event).collect();
        for step in STEPS {
            let started = events.iter().any(|event| name(event) == format!("step_started {step}"));
            assert!(started || ground.count(step) == 0, "`{step}` with room for {left}");
        }
        match outcome {
            Ok(outcome) => {
                assert_eq!(outcome.status, RunStatus::Succeeded);
                ended = true;
            }
            Err(error) => {
                assert_eq!(error.code, "RB0816");
                assert!(error.message.contains("No space left on device"), "{}", error.message);
            }
        }
    }
    assert!(ended, "the largest journal held the whole run");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_is_not_started_beside_its_living_child() {
    use std::os::unix::process::CommandExt;
    let ground = Ground::new();
    let run = assert_status(
        &ground.run(plan(vec![ground.step("a", &[], &["ok"])])).await,
        RunStatus::Succeeded,
    );
    crash_after_started(&ground, run);
    let mut orphan = Command::new("sleep")
        .arg("1.5")
        .env(CHILD_MARK, format!("{run}/a/1"))
        .process_group(0)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let reaper = std::thread::spawn(move || orphan.wait());
    assert_status(&ground.resume(run).await, RunStatus::Succeeded);
    reaper.join().unwrap().unwrap();
    let names = ground.names(run);
    let seen: Vec<serde_json::Value> = ground
        .events(run)
        .iter()
        .filter(|event| name(event) == "step_observed a")
        .map(|event| serde_json::to_value(event).unwrap()["data"]["seen"].clone())
        .collect();
    assert_eq!(seen.first().unwrap(), &json!({"what": "in_progress"}));
    assert_eq!(seen.last().unwrap(), &json!({"what": "not_done"}));
    assert_eq!(names.iter().filter(|name| *name == "step_started a").count(), 2);
    assert_eq!(ground.count("a"), 1);
}

fn crash_after_started(ground: &Ground, run: RunId) {
    let names = ground.names(run);
    let kept = names.iter().position(|name| name == "step_started a").unwrap() + 1;
    let path = ground.state.run_folder(run).join("journal.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().take(kept).collect();
    std::fs::write(&path, format!("{}\n", lines.join("\n"))).unwrap();
    std::fs::remove_file(ground.effects().join("a")).unwrap();
}
