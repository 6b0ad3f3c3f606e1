//! What the engine costs a step: `decide` and `apply` alone, then with the journal on a disk.

use std::io::Write as _;
use std::time::Duration;

use engine::clock::RealClock;
use engine::journal::{FILE, FileJournal, Journal as _};
use engine::session::stamp;
use indexmap::IndexMap;
use jiff::Timestamp;
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::plan::{Plan, PlanStep, Retry};
use model::run::decide::{Command, decide};
use model::run::event::{Event, Mode, RunCreated};
use model::run::state::RunState;
use serde_json::json;

use crate::measure::{Row, Section, median, millis, timed};

const STEPS: usize = 10_000;

fn step(index: usize, needs: Option<usize>) -> PlanStep {
    let id = |index: usize| format!("step_{index}").parse().expect("it is a step id");
    let footprint = Footprint::new(Effect::Read, Repeat::Idempotent);
    PlanStep {
        needs: needs.map(id).into_iter().collect(),
        retry: Retry::default(),
        ..PlanStep::new(id(index), "flow.pass", footprint)
    }
}

/// `STEPS` steps, one after the other or all at once.
fn plan(chained: bool) -> Plan {
    let before = |index: usize| index.checked_sub(1).filter(|_| chained);
    let steps = (0..STEPS).map(|index| step(index, before(index))).collect();
    Plan { max_parallel: 64, ..Plan::new("bench", steps) }
}

fn created(plan: Plan) -> Event {
    Event::RunCreated(Box::new(RunCreated {
        run: "01JD2Q0M3K5V7X9ZB1D3F5H7J9".parse().expect("it is a run id"),
        tool: "bench".to_owned(),
        mode: Mode::Live,
        starter: "bench".to_owned(),
        started_at: Timestamp::UNIX_EPOCH,
        incident_at: None,
        unattended: false,
        approvers: None,
        vars: IndexMap::new(),
        plan,
    }))
}

/// Runs the plan with steps that are done at once; events that are decided together go to
/// `record` together, as the driver makes them durable.
fn drive(plan: Plan, mut record: impl FnMut(&[Event])) {
    let mut state = RunState::new();
    let mut take = |state: &mut RunState, events: Vec<Event>| {
        record(&events);
        for event in events {
            state.apply(Timestamp::UNIX_EPOCH, &event).expect("the event is legal");
        }
    };
    take(&mut state, vec![created(plan)]);
    while state.finished().is_none() {
        let (first, then): (Vec<Event>, Vec<Event>) =
            decide(&state, Timestamp::UNIX_EPOCH).into_iter().map(begun_and_ended).unzip();
        take(&mut state, first);
        let then: Vec<Event> = then.into_iter().filter(|event| event.step().is_some()).collect();
        take(&mut state, then);
    }
}

/// What a command leads to at once, and what follows; the end of the run follows itself.
fn begun_and_ended(command: Command) -> (Event, Event) {
    match command {
        Command::Start { step, attempt, .. } => {
            let ended = Event::StepSucceeded {
                step: step.clone(),
                attempt,
                output: json!({}),
                adopted: false,
                log: None,
            };
            (Event::StepStarted { step, attempt }, ended)
        }
        Command::Finish { status, failed_step } => {
            let finished = Event::RunFinished { status, failed_step };
            (finished.clone(), finished)
        }
        other => panic!("nothing else is to be done: {other:?}"),
    }
}

fn a_step(chained: bool) -> Duration {
    let plan = plan(chained);
    let whole = median(5, || drive(plan.clone(), |_| {}));
    whole / u32::try_from(STEPS).expect("it is small")
}

fn micros(duration: Duration) -> String {
    format!("{:.2} us", duration.as_secs_f64() * 1e6)
}

/// A whole run of `STEPS` chained steps into a journal on the disk of the target folder, against
/// writing and syncing the same lines to a bare file.
fn with_journal() -> (Duration, Duration) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder is made");
    let plan = plan(true);
    let mut batches: Vec<usize> = Vec::new();
    let mut journal = FileJournal::open(folder.path()).expect("the journal opens").journal;
    let stamp = stamp(&RealClock, 1);
    let journaled = timed(&mut || {
        drive(plan.clone(), |events| {
            if !events.is_empty() {
                batches.push(events.len());
                journal.append(&stamp, events.to_vec()).expect("the journal takes it");
            }
        });
    });
    let text = std::fs::read_to_string(folder.path().join(FILE)).expect("the journal reads");
    let mut bare = std::fs::File::create(folder.path().join("bare")).expect("a file is made");
    let synced = timed(&mut || {
        let mut lines = text.split_inclusive('\n');
        for batch in &batches {
            let bytes: String = lines.by_ref().take(*batch).collect();
            bare.write_all(bytes.as_bytes()).expect("the file takes it");
            bare.sync_data().expect("the file syncs");
        }
    });
    (journaled, synced)
}

pub(crate) fn section() -> Section {
    let limit = Duration::from_micros(20);
    let (wide, chained) = (a_step(false), a_step(true));
    let (journaled, synced) = with_journal();
    let ratio = journaled.as_secs_f64() / synced.as_secs_f64();
    let rows = vec![
        Row::new("a step, 10,000 wide, in memory", micros(wide), "under 20 us", wide < limit),
        Row::new(
            "a step, 10,000 chained, in memory",
            micros(chained),
            "under 20 us",
            chained < limit,
        ),
        Row::new(
            "10,000 chained with the journal, against the bare fsyncs",
            format!("{ratio:.2} times ({} against {})", millis(journaled), millis(synced)),
            "under 3 times",
            ratio < 3.0,
        ),
    ];
    let how = "`decide` and `apply` over a whole run whose steps are done at once; median of 5.";
    Section { title: "Scheduling", how, rows }
}
