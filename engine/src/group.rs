//! Concurrency groups: runs of one group never overlap. A group is held by a run, not by a
//! process: a run that waits, is paused or in doubt goes on holding it, on any machine that has
//! the state folder.
//!
//! `<state>/groups/<sha-256 of the name>.json` names the run that took the group last; whether it
//! holds it still is what its journal says. The lock beside it is held only while one is taken.

use std::path::{Path, PathBuf};
use std::time::Duration;

use model::effect::Effect;
use model::hex::hex;
use model::ids::RunId;
use model::plan::{OnConflict, Plan};
use model::run::event::{Event, Seen};
use model::run::state::{RunState, RunStatus};
use model::run::step_state::Phase;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::clock::{RealClock, pause};
use crate::driver::{CancelWish, Observer, wish};
use crate::error::{EngineError, Obstacle};
use crate::journal::{FileJournal, Journal as _};
use crate::lock::{Holder, Lock};
use crate::state_folder::StateFolder;
use crate::{environment, files, session};

/// The folder of the groups in the state folder.
const FOLDER: &str = "groups";

/// Between two looks of a run that waits for its turn.
const QUEUE: Duration = Duration::from_secs(1);

/// Who took a group last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claim {
    /// The group's name.
    group: String,
    /// The run.
    run: RunId,
    /// The machine it was taken on.
    host: String,
}

/// A run that stands in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The group.
    pub group: String,
    /// The run that holds it.
    pub run: RunId,
    /// Where that run stands, in words.
    pub stands: String,
    /// What ends the conflict.
    pub hint: String,
}

/// The right to take a group: nobody else decides on it meanwhile.
pub struct Turn<'a> {
    state: &'a StateFolder,
    group: String,
    path: PathBuf,
    _lock: std::fs::File,
}

/// What became of a try.
pub enum Tried {
    /// The run holds it already.
    Own,
    /// It was free, or held by a run whose process died while nothing was under way: that run is
    /// named.
    Free(Option<RunId>),
    /// Another run holds it.
    Held(Conflict),
}

impl Conflict {
    /// What a run says that does not wait.
    pub fn refusal(&self) -> EngineError {
        let message = format!("run {} holds the group `{}`: {}", self.run, self.group, self.stands);
        EngineError::refused("RB0840", message).hint(self.hint.clone())
    }
}

impl<'a> Turn<'a> {
    /// Waits for the right to decide on a group; others hold it for moments only.
    pub fn take(state: &'a StateFolder, group: &str) -> Result<Self, EngineError> {
        let folder = state.path().join(FOLDER);
        let name = hex(Sha256::digest(group.as_bytes()));
        let failed = |error: std::io::Error| not_usable(&folder, &error);
        files::create_folder(&folder).map_err(failed)?;
        let lock = files::open_private(&folder.join(format!("{name}.lock"))).map_err(failed)?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
        let path = folder.join(format!("{name}.json"));
        Ok(Self { state, group: group.to_owned(), path, _lock: lock })
    }

    /// Whether `run` may hold the group now.
    pub fn try_for(&self, run: RunId) -> Result<Tried, EngineError> {
        let bytes = match files::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Tried::Free(None));
            }
            Err(error) => return Err(not_usable(&self.path, &error)),
        };
        let claim: Claim = serde_json::from_slice(&bytes)
            .map_err(|error| not_usable(&self.path, &std::io::Error::other(error)))?;
        if claim.run == run && !is_elsewhere(&claim) {
            return Ok(Tried::Own);
        }
        if claim.run == run || files::facts(&self.state.run_folder(claim.run)).is_err() {
            return Ok(Tried::Free(None));
        }
        self.judge(&claim)
    }

    /// Whether the run that took the group last holds it still.
    fn judge(&self, claim: &Claim) -> Result<Tried, EngineError> {
        // The lock before the journal: what is read under it is the last word of a process that let
        // go, and no older one.
        let folder = self.state.run_folder(claim.run);
        let lock = Lock::take(&folder);
        let state = self.state.state(claim.run)?;
        if state.created().is_none() || state.finished().is_some() {
            return Ok(Tried::Free(None));
        }
        let held = match &lock {
            Ok(_) => None,
            Err(_) => Some(Lock::holder(&folder)),
        };
        Ok(match held {
            Some(holder) => Tried::Held(self.conflict(claim, &state, holder.as_ref())),
            None if rests(&state) || !is_over(&state) || is_elsewhere(claim) => {
                Tried::Held(self.conflict(claim, &state, None))
            }
            None => Tried::Free(Some(claim.run)),
        })
    }

    fn conflict(&self, claim: &Claim, state: &RunState, holder: Option<&Holder>) -> Conflict {
        let run = claim.run;
        let steps: Vec<&str> = state
            .running()
            .chain(state.in_doubt())
            .chain(state.waiting())
            .map(|step| step.id.as_str())
            .collect();
        let at =
            if steps.is_empty() { String::new() } else { format!(" at `{}`", steps.join("`, `")) };
        let (stands, hint) = match holder {
            Some(holder) => (
                format!("process {} on `{}` runs it{at}", holder.pid, holder.host),
                format!("wait for it, or stop it with `runbook cancel {run}`"),
            ),
            None if rests(state) => (
                format!("it waits for a person{at}, last on `{}`", claim.host),
                format!("`runbook status {run}` says for what; `runbook cancel {run}` ends it"),
            ),
            None => (
                format!(
                    "its process on `{}` is gone, and what it did{at} is not known",
                    claim.host
                ),
                format!("`runbook resume {run}` looks and goes on, `runbook cancel {run}` ends it"),
            ),
        };
        Conflict { group: self.group.clone(), run, stands, hint }
    }

    /// Writes that `run` holds the group, and tells the run that held it before.
    pub fn claim(self, run: RunId, from: Option<RunId>) -> Result<Event, EngineError> {
        if let Some(before) = from {
            self.tell(before, run)?;
        }
        let claim = Claim { group: self.group.clone(), run, host: environment::host() };
        let bytes = serde_json::to_vec(&claim).expect("a claim is plain data");
        files::write_durably(&self.path, &bytes).map_err(|error| not_usable(&self.path, &error))?;
        Ok(Event::GroupTaken { group: self.group, from })
    }

    /// Records in the journal of a run that died that it lost the group.
    fn tell(&self, before: RunId, to: RunId) -> Result<(), EngineError> {
        let folder = self.state.run_folder(before);
        let _lock = Lock::take(&folder)?;
        let mut opened = FileJournal::open(&folder)?;
        let state = session::replay(&opened.records)?;
        let stamp = session::stamp(&RealClock, state.epoch());
        let lost = Event::GroupLost { group: self.group.clone(), to };
        let events = opened.repaired.take().into_iter().chain([lost]).collect();
        opened.journal.append(&stamp, events).map_err(|error| session::not_durable(&error))?;
        Ok(())
    }
}

/// Waits until a run may hold the group of its plan, if that says so; otherwise the conflict is
/// an error. What follows must not wait for anything: others wait for the turn.
pub async fn turn<'a>(
    state: &'a StateFolder,
    run: RunId,
    plan: &Plan,
    observers: &mut [Box<dyn Observer>],
    mut cancels: Option<&mut UnboundedReceiver<CancelWish>>,
) -> Result<Option<(Turn<'a>, Option<RunId>)>, EngineError> {
    let Some(concurrency) = &plan.concurrency else { return Ok(None) };
    loop {
        let turn = Turn::take(state, &concurrency.group)?;
        let conflict = match turn.try_for(run)? {
            Tried::Own => return Ok(None),
            Tried::Free(from) => return Ok(Some((turn, from))),
            Tried::Held(conflict) => conflict,
        };
        drop(turn);
        if concurrency.on_conflict == OnConflict::Fail {
            return Err(conflict.refusal());
        }
        let behind = format!("run {}: {}", conflict.run, conflict.stands);
        for observer in observers.iter_mut() {
            observer.queued(&conflict.group, &behind);
        }
        tokio::select! {
            () = pause(QUEUE) => {}
            _ = wish(cancels.as_deref_mut()) => {
                let message = format!("stopped while it waited for the group `{}`; nothing was executed", conflict.group);
                return Err(EngineError::refused("RB0842", message).hint(conflict.hint));
            }
        }
    }
}

/// The run goes on only when a person does something.
fn rests(state: &RunState) -> bool {
    matches!(state.status(), RunStatus::WaitingForApproval | RunStatus::Paused | RunStatus::InDoubt)
}

/// Nothing that a run had under way when its process died can have an effect any more: it only
/// read, or was seen not to have happened.
fn is_over(state: &RunState) -> bool {
    let over = |phase: &Phase, effect: Effect| match phase {
        Phase::Running | Phase::LookDue(_) | Phase::Looking | Phase::Undecided(None) => {
            effect == Effect::Read
        }
        Phase::Undecided(Some(seen)) => effect == Effect::Read || *seen == Seen::NotDone,
        _ => true,
    };
    state.steps().all(|(plan, step)| over(&step.phase, plan.footprint.effect))
}

/// The claim is of another machine, whose processes cannot be seen from here.
fn is_elsewhere(claim: &Claim) -> bool {
    claim.host != environment::host()
}

fn not_usable(path: &Path, error: &std::io::Error) -> EngineError {
    let message =
        format!("the concurrency group at `{}` cannot be read or written: {error}", path.display());
    EngineError::new("RB0841", Obstacle::Refused, message)
        .hint("see who owns the state folder, and whether its disk is full")
}
