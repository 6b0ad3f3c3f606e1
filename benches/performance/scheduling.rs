//! What the engine costs a step: `decide` and `apply` alone, then with the journal on a disk.

use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::plan::{Objectives, PLAN_VERSION, Plan, PlanStep, Retry, Source};
use model::run::decide::{Command, decide};
use model::run::event::{Event, Mode, RunCreated};
use model::run::state::RunState;
use serde_json::json;

use crate::measure::{Row, Section, median};

const STEPS: usize = 10_000;

fn step(index: usize, needs: Option<usize>) -> PlanStep {
    let id = |index: usize| format!("step_{index}").parse().expect("it is a step id");
    PlanStep {
        id: id(index),
        name: None,
        phase: None,
        uses: "flow.pass".to_owned(),
        kind_version: 1,
        with: json!({}),
        needs: needs.map(id).into_iter().collect(),
        references: Vec::new(),
        secrets: Vec::new(),
        condition: None,
        retry: Retry::default(),
        timeout: None,
        stall_timeout: None,
        deadline: None,
        restores_service: false,
        footprint: Footprint::new(Effect::Read, Repeat::Idempotent),
    }
}

/// `STEPS` steps, one after the other or all at once.
fn plan(chained: bool) -> Plan {
    let before = |index: usize| index.checked_sub(1).filter(|_| chained);
    Plan {
        version: PLAN_VERSION,
        name: "bench".to_owned(),
        description: None,
        owner: None,
        labels: IndexMap::new(),
        source: Source { file: "bench.yaml".to_owned(), sha256: "0".repeat(64) },
        objectives: Objectives::default(),
        params: IndexMap::new(),
        vars: IndexMap::new(),
        secrets: IndexMap::new(),
        connections: IndexMap::new(),
        stores: IndexMap::new(),
        max_parallel: 64,
        steps: (0..STEPS).map(|index| step(index, before(index))).collect(),
    }
}

fn created(plan: Plan) -> Event {
    Event::RunCreated(Box::new(RunCreated {
        run: "01JD2Q0M3K5V7X9ZB1D3F5H7J9".parse().expect("it is a run id"),
        tool: "bench".to_owned(),
        mode: Mode::Live,
        starter: "bench".to_owned(),
        started_at: Timestamp::UNIX_EPOCH,
        incident_at: None,
        vars: IndexMap::new(),
        plan,
    }))
}

/// Runs the plan with steps that are done at once; every event goes to `record`.
fn drive(plan: Plan, mut record: impl FnMut(&Event)) {
    let mut state = RunState::new();
    let mut take = |state: &mut RunState, event: Event| {
        record(&event);
        state.apply(Timestamp::UNIX_EPOCH, &event).expect("the event is legal");
    };
    take(&mut state, created(plan));
    while state.finished().is_none() {
        for command in decide(&state, Timestamp::UNIX_EPOCH) {
            match command {
                Command::Start { step, attempt, .. } => {
                    take(&mut state, Event::StepStarted { step: step.clone(), attempt });
                    let output = json!({});
                    take(
                        &mut state,
                        Event::StepSucceeded { step, attempt, output, adopted: false, log: None },
                    );
                }
                Command::Finish { status, failed_step } => {
                    take(&mut state, Event::RunFinished { status, failed_step });
                }
                other => panic!("nothing else is to be done: {other:?}"),
            }
        }
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

pub(crate) fn section() -> Section {
    let limit = Duration::from_micros(20);
    let (wide, chained) = (a_step(false), a_step(true));
    let rows = vec![
        Row::new("a step, 10,000 wide, in memory", micros(wide), "under 20 us", wide < limit),
        Row::new(
            "a step, 10,000 chained, in memory",
            micros(chained),
            "under 20 us",
            chained < limit,
        ),
    ];
    let how = "`decide` and `apply` over a whole run whose steps are done at once; median of 5.";
    Section { title: "Scheduling", how, rows }
}
