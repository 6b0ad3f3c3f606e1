//! Time that the process did not see.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use engine::clock::{Clock, RealClock};
use engine::driver::{Driver, Parts};
use engine::executor::Perform;
use engine::journal::MemoryJournal;
use engine::lock::Lock;
use engine::orphans::Orphans;
use engine::redact::Redactor;
use jiff::Timestamp;
use model::plan::Plan;
use model::run::event::{AttemptEnd, ClockJump, Event};
use model::run::state::RunStatus;

use crate::crash::new_state;
use crate::ground::*;

/// A machine that sleeps when it is told to.
#[derive(Default)]
struct Sleeper(AtomicU64);

impl Clock for Sleeper {
    fn now(&self) -> Timestamp {
        let slept = Duration::from_millis(self.0.load(Ordering::Relaxed));
        RealClock.now() + jiff::SignedDuration::try_from(slept).unwrap()
    }

    fn mono_ms(&self) -> u64 {
        RealClock.mono_ms() + self.0.load(Ordering::Relaxed)
    }

    fn awake_ms(&self) -> u64 {
        RealClock.awake_ms()
    }

    fn wait_until(&self, at: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        RealClock.wait_until(at)
    }
}

fn parts(folder: PathBuf, clock: Arc<dyn Clock>, journal: MemoryJournal, lock: Lock) -> Parts {
    let redactor = Redactor::default();
    let perform = Perform {
        provider: Arc::new(Kept),
        registry: REGISTRY,
        folder: folder.clone(),
        redactor: redactor.clone(),
        clock: Arc::clone(&clock),
        orphans: Orphans::Wait,
    };
    Parts {
        journal: Box::new(journal),
        executor: Arc::new(perform),
        clock,
        approver: None,
        observers: Vec::new(),
        folder: Some(folder),
        cancels: None,
        lock: Some(lock),
        redactor,
    }
}

/// Runs the plan; the machine sleeps for a minute when `a` has had its effect.
async fn slept(
    ground: &Ground,
    plan: Plan,
    lose_lock: bool,
) -> (Result<RunStatus, String>, Vec<Event>) {
    let clock = Arc::new(Sleeper::default());
    let folder = ground.root.path().join("run");
    std::fs::create_dir(&folder).unwrap();
    let (journal, lock) = (MemoryJournal::default(), Lock::take(&folder).unwrap());
    let records = journal.shared();
    let shared: Arc<dyn Clock> = Arc::clone(&clock) as Arc<dyn Clock>;
    let driver = Driver::new(parts(folder.clone(), shared, journal, lock), new_state(plan));
    let sleep = async {
        while ground.count("a") == 0 {
            tokio::time::timeout(Duration::from_millis(10), std::future::pending::<()>())
                .await
                .ok();
        }
        if lose_lock {
            std::fs::remove_file(folder.join("lock")).unwrap();
            std::mem::forget(Lock::take(&folder).unwrap());
        }
        clock.0.store(60_000, Ordering::Relaxed);
    };
    let (outcome, ()) = tokio::join!(driver.drive(Vec::new()), sleep);
    let events = records.take().into_iter().map(|record| record.event).collect();
    (outcome.map(|outcome| outcome.status).map_err(|error| error.code.into_owned()), events)
}

#[tokio::test]
async fn what_was_done_while_the_machine_slept_is_adopted_and_the_run_goes_on() {
    let ground = Ground::new();
    let steps =
        vec![ground.step("a", &[], &["apply_then_hang"]), ground.step("b", &["a"], &["ok"])];
    let (status, events) = slept(&ground, plan(steps), false).await;
    assert_eq!(status, Ok(RunStatus::Succeeded));
    let jumps: Vec<ClockJump> = events
        .iter()
        .filter_map(|event| match event {
            Event::ClockJumped { how, .. } => Some(*how),
            _ => None,
        })
        .collect();
    assert_eq!(jumps, [ClockJump::Slept]);
    let Some(Event::StepAttemptEnded { end: AttemptEnd::Failed { error }, .. }) =
        events.iter().find(|event| matches!(event, Event::StepAttemptEnded { .. }))
    else {
        panic!("the attempt ended")
    };
    shown::case("RB0465", error.told());
    assert_eq!((ground.count("a"), ground.count("b")), (1, 1));
}

#[tokio::test]
async fn a_holder_whose_lock_is_another_s_when_it_wakes_starts_nothing() {
    let ground = Ground::new();
    let steps =
        vec![ground.step("a", &[], &["apply_then_hang"]), ground.step("b", &["a"], &["ok"])];
    let (status, events) = slept(&ground, plan(steps), true).await;
    assert_eq!(status, Err("RB0843".to_owned()));
    assert!(events.iter().all(|event| !matches!(event, Event::ClockJumped { .. })));
    assert_eq!(ground.count("b"), 0);
}
