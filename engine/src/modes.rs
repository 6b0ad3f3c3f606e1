//! The only place where modes differ: which journal, executor, effects and clock a run gets.

use std::sync::Arc;

use jiff::Timestamp;
use model::approval::People;
use model::ids::RunId;
use model::journal::Record;
use model::plan::Plan;
use model::run::event::{Event, Mode, RunCreated};
use model::run::stage::Reopening;
use model::run::state::{RunState, RunStatus};
use tokio::sync::mpsc;

use crate::clock::{Clock, LogicalClock, RealClock};
use crate::driver::{Approver, CancelWish, Driver, Observer, Parts, RunOutcome};
use crate::error::{EngineError, Obstacle};
use crate::executor::{Assume, AssumeApproval, Perform};
use crate::journal::{FileJournal, Journal, MemoryJournal};
use crate::lock::Lock;
use crate::orphans::Orphans;
use crate::preflight::{Probes, preflight};
use crate::redact::Redactor;
use crate::registry::Registry;
use crate::secrets::{SecretProvider, SecretReader};
use crate::state_folder::StateFolder;
use crate::{files, group, random, register, scope, session, staffing};

/// What a live run works with.
pub struct Surroundings<'a> {
    /// The step kinds.
    pub registry: Registry,
    /// Where runs are kept.
    pub state: &'a StateFolder,
    /// Looks at servers and stores before anything is executed.
    pub probes: Arc<dyn Probes>,
    /// Reads secrets that others keep.
    pub provider: Arc<dyn SecretProvider>,
    /// Answers questions, when a person is there.
    pub approver: Option<Arc<dyn Approver>>,
    /// See everything, change nothing.
    pub observers: Vec<Box<dyn Observer>>,
    /// Cancellations from this process.
    pub cancels: Option<mpsc::UnboundedReceiver<CancelWish>>,
    /// What becomes of children that outlived an earlier process.
    pub orphans: Orphans,
}

/// Who starts a run, and why.
#[derive(Debug, Clone)]
pub struct Start {
    /// The login.
    pub starter: String,
    /// When the incident happened, when somebody said so.
    pub incident_at: Option<Timestamp>,
    /// Nobody is there: what would pause the run fails its step.
    pub unattended: bool,
    /// It is a drill.
    pub drill: bool,
    /// The people whom the run knows; those who may answer are checked against them.
    pub approvers: Option<People>,
    /// The program's version.
    pub tool: String,
}

/// Starts a run of `plan`. Nothing is left behind when the preflight finds a problem.
pub async fn run(
    plan: Plan,
    start: Start,
    mut with: Surroundings<'_>,
) -> Result<RunOutcome, EngineError> {
    let clock = RealClock;
    let mut plan = plan;
    plan.ask_before_undo();
    let mode = if start.drill { Mode::Drill } else { Mode::Live };
    let created = created(plan, start, mode, &clock)?;
    let (run, redactor) = (created.run, Redactor::default());
    let shared = Arc::new(created.clone());
    staffing::check(&shared)?;
    let reader = SecretReader::new(Arc::clone(&with.provider), redactor.clone());
    let checks = preflight(&shared, with.probes.as_ref(), &reader).await?;
    with.state.prepare()?;
    let folder = with.state.run_folder(run);
    let (state, cancels) = (with.state, with.cancels.as_mut());
    let turn = group::turn(state, run, &created.plan, &mut with.observers, cancels).await?;
    files::create_folder(&folder).map_err(|error| {
        let message = format!("the run's folder `{}`: {error}", folder.display());
        EngineError::refused("RB0811", message)
    })?;
    let lock = Lock::take(&folder)?;
    register::add(with.state.path(), clock.now(), run, &created.plan.name)?;
    let mut journal = FileJournal::open(&folder)?.journal;
    let state = begin(&mut journal, &clock, created, &mut with.observers)?;
    let taken = turn.map(|(turn, from)| turn.claim(run, from)).transpose()?;
    let first = std::iter::once(Event::PreflightPassed { checks }).chain(taken).collect();
    let driver = Driver::new(live(with, folder, journal, lock, redactor), state);
    driver.drive(first).await
}

/// Looks for what a run of `plan` needs and stops there; tells what was looked at, in words.
pub async fn preflight_only(
    plan: Plan,
    start: Start,
    probes: &dyn Probes,
    provider: Arc<dyn SecretProvider>,
) -> Result<Vec<String>, EngineError> {
    let created = created(plan, start, Mode::Plan, &RealClock)?;
    let reader = SecretReader::new(provider, Redactor::default());
    preflight(&Arc::new(created), probes, &reader).await
}

/// Takes a run over. What was running when its process died is observed first; a finished run
/// only tells its status.
pub async fn resume(
    run: RunId,
    by: String,
    with: Surroundings<'_>,
) -> Result<RunOutcome, EngineError> {
    take_over(run, by, None, with).await
}

/// Opens a finished run again: to undo its finished steps, newest first, or to run what failed,
/// was cancelled, was undone or did not run. A run that has nothing of the kind only tells its
/// status for the latter, and is refused for the former; one that has not ended is resumed for the
/// latter, and refused for the former.
pub async fn reopen(
    run: RunId,
    by: String,
    what: Reopening,
    with: Surroundings<'_>,
) -> Result<RunOutcome, EngineError> {
    take_over(run, by, Some(what), with).await
}

async fn take_over(
    run: RunId,
    by: String,
    what: Option<Reopening>,
    mut with: Surroundings<'_>,
) -> Result<RunOutcome, EngineError> {
    with.state.prepare()?;
    let folder = with.state.run_folder(run);
    let lock = Lock::take(&folder)?;
    let opened = FileJournal::open(&folder)?;
    let state = session::replay(&opened.records)?;
    let Some(taken) = takeover(run, &state, by, what)? else {
        return Ok(RunOutcome { run, status: state.status() });
    };
    if state.created().is_none() {
        let message = "the run ended before its first record was durable; nothing was executed";
        return Err(EngineError::refused("RB0817", message).hint("start it again"));
    }
    files::remove_folder(&folder.join("scratch")).ok();
    let (folders, cancels) = (with.state, with.cancels.as_mut());
    let plan = state.plan().expect("the run was created");
    let turn = group::turn(folders, run, plan, &mut with.observers, cancels).await?;
    let group = turn.map(|(turn, from)| turn.claim(run, from)).transpose()?;
    let first = opened.repaired.into_iter().chain([taken]).chain(group).collect();
    let driver = Driver::new(live(with, folder, opened.journal, lock, Redactor::default()), state);
    driver.drive(first).await
}

/// The event that takes a run over; nothing when it has ended and stays so.
fn takeover(
    run: RunId,
    state: &RunState,
    by: String,
    what: Option<Reopening>,
) -> Result<Option<Event>, EngineError> {
    let epoch = state.epoch() + 1;
    let finished = state.finished().is_some();
    match what {
        Some(Reopening::Undo) if !finished => {
            Err(EngineError::refused("RB0463", "the run has not ended: nothing is undone")
                .hint(format!("`runbook cancel {run}` ends it first")))
        }
        Some(Reopening::Undo) if state.undoable().is_empty() => {
            Err(EngineError::refused("RB0464", "no finished step of the run can be undone").hint(
                format!("`runbook status {run}` shows every step; those without `undo` stay"),
            ))
        }
        Some(what) if finished && (what == Reopening::Undo || state.has_failed_steps()) => {
            Ok(Some(Event::RunReopened { epoch, by, what }))
        }
        _ if finished => Ok(None),
        _ => Ok(Some(Event::RunResumed { epoch, by })),
    }
}

/// Every record of a run in which each step succeeds with the example of its kind. No process, no
/// socket, no file, no secret; the clock stands at `now`.
pub fn plan_only(
    plan: Plan,
    start: Start,
    registry: Registry,
    now: Timestamp,
) -> Result<Vec<Record>, EngineError> {
    let clock = LogicalClock::new(now);
    let start = Start { approvers: People::assumed(&plan), ..start };
    let created = created(plan, start, Mode::Plan, &clock)?;
    let mut journal = MemoryJournal::default();
    let state = begin(&mut journal, &clock, created, &mut [])?;
    let records = journal.shared();
    let parts = Parts {
        journal: Box::new(journal),
        executor: Arc::new(Assume::new(registry)),
        clock: Arc::new(clock),
        approver: Some(Arc::new(AssumeApproval)),
        observers: Vec::new(),
        folder: None,
        cancels: None,
        lock: None,
        redactor: Redactor::default(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.map_err(|error| {
        EngineError::new("RB0498", Obstacle::Bug, format!("no runtime: {error}"))
    })?;
    runtime.block_on(async { Driver::new(parts, state).drive(Vec::new()).await })?;
    Ok(records.take())
}

fn live(
    with: Surroundings<'_>,
    folder: std::path::PathBuf,
    journal: FileJournal,
    lock: Lock,
    redactor: Redactor,
) -> Parts {
    let clock: Arc<dyn Clock> = Arc::new(RealClock);
    let perform = Perform {
        registry: with.registry,
        provider: with.provider,
        folder: folder.clone(),
        redactor: redactor.clone(),
        clock: Arc::clone(&clock),
        orphans: with.orphans,
    };
    Parts {
        journal: Box::new(journal),
        executor: Arc::new(perform),
        clock,
        approver: with.approver,
        observers: with.observers,
        folder: Some(folder),
        cancels: with.cancels,
        lock: Some(lock),
        redactor,
    }
}

fn created(
    plan: Plan,
    start: Start,
    mode: Mode,
    clock: &dyn Clock,
) -> Result<RunCreated, EngineError> {
    let now = clock.now();
    let mut created = RunCreated {
        run: random::run_id(now),
        tool: start.tool,
        mode,
        starter: start.starter,
        started_at: now,
        incident_at: start.incident_at,
        unattended: start.unattended,
        approvers: start.approvers,
        vars: indexmap::IndexMap::new(),
        plan,
    };
    let run = scope::run_facts(&created, None);
    created.vars = scope::vars(&created.plan, &run).map_err(|error| {
        EngineError::new("RB0406", Obstacle::Preflight, error.message)
            .hint("`runbook plan` shows what each template reads")
    })?;
    Ok(created)
}

/// Makes the first record durable.
fn begin(
    journal: &mut dyn Journal,
    clock: &dyn Clock,
    created: RunCreated,
    observers: &mut [Box<dyn Observer>],
) -> Result<RunState, EngineError> {
    let (stamp, event) = (session::stamp(clock, 1), Event::RunCreated(Box::new(created)));
    let mut state = RunState::new();
    state.apply(stamp.at, &event).map_err(|error| {
        EngineError::new("RB0498", Obstacle::Bug, format!("the plan cannot be run: {error}"))
    })?;
    let records = journal.append(&stamp, vec![event]).map_err(|e| session::not_durable(&e))?;
    for observer in observers {
        for record in &records {
            observer.event(record, &state);
        }
    }
    Ok(state)
}

/// Whether a status asks for a person before the run goes on.
pub fn needs_person(status: RunStatus) -> bool {
    matches!(status, RunStatus::WaitingForApproval | RunStatus::Paused | RunStatus::InDoubt)
}
