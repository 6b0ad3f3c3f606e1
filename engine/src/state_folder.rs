//! Where runs are kept: `runs/<id>/` with `journal.jsonl`, `logs/`, `inbox/`, and the register.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use model::ids::RunId;
use model::journal::Record;
use model::run::state::RunState;
use model::run::step_state::{StepState, StepStatus};

use crate::clock::{Clock, RealClock};
use crate::error::{EngineError, Obstacle};
use crate::inbox::{self, Request};
use crate::journal::{self, Journal};
use crate::lock::{Holder, Lock};
use crate::{environment, files, register, session};

/// The folder that holds everything about runs.
#[derive(Debug, Clone)]
pub struct StateFolder {
    path: PathBuf,
}

/// One run in the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunEntry {
    /// The run.
    pub run: RunId,
    /// The runbook's name.
    pub name: String,
    /// The register names it, and its journal is there.
    pub present: bool,
    /// The register knows it.
    pub registered: bool,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivered {
    /// Nobody held the run: it is journaled, and `resume` acts on it.
    Journaled,
    /// The holder acts on it.
    HandedTo(Holder),
}

impl StateFolder {
    /// Where state is kept: `given` (`--state`), else `RUNBOOK_STATE`, else XDG state.
    pub fn locate(given: Option<&Path>) -> Result<Self, EngineError> {
        let from = |name, below: &str| {
            let value = environment::raw_variable(name).filter(|value| !value.is_empty())?;
            Some(PathBuf::from(value).join(below))
        };
        let path = given
            .map(Path::to_owned)
            .or_else(|| from("RUNBOOK_STATE", ""))
            .or_else(|| from("XDG_STATE_HOME", "runbook"))
            .or_else(|| from("HOME", ".local/state/runbook"));
        match path {
            Some(path) => Ok(Self { path }),
            None => Err(EngineError::refused("RB0810", "there is no place for the state of runs")
                .hint("give one with `--state` or `RUNBOOK_STATE`")),
        }
    }

    /// A state folder at `path`.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of one run.
    pub fn run_folder(&self, run: RunId) -> PathBuf {
        self.path.join("runs").join(run.to_string())
    }

    /// Creates the folder when absent; refuses one that others own or may write to.
    pub fn prepare(&self) -> Result<(), EngineError> {
        let failed = |error: std::io::Error| {
            let message = format!("the state folder `{}`: {error}", self.path.display());
            EngineError::refused("RB0811", message).hint("give another one with `--state`")
        };
        files::create_folder(&self.path.join("runs")).map_err(failed)?;
        let facts = files::facts(&self.path).map_err(failed)?;
        let owner = rustix::process::geteuid().as_raw();
        refuse_foreign(&self.path, facts.uid(), facts.mode(), owner)
    }

    /// Every run, oldest first; a run that the register names and that is gone is not `present`.
    pub fn runs(&self) -> Result<Vec<RunEntry>, EngineError> {
        let listed = files::list(&self.path.join("runs")).unwrap_or_default();
        let there: Vec<RunId> = listed.iter().filter_map(|name| name.parse().ok()).collect();
        let entries = register::entries(&self.path)?;
        let mut runs: Vec<RunEntry> = entries
            .into_iter()
            .map(|entry| {
                let present = there.contains(&entry.run);
                RunEntry { run: entry.run, name: entry.name, present, registered: true }
            })
            .collect();
        for run in there {
            if !runs.iter().any(|entry| entry.run == run) {
                let name = self.name(run).unwrap_or_default();
                runs.push(RunEntry { run, name, present: true, registered: false });
            }
        }
        runs.sort_by_key(|entry| entry.run);
        Ok(runs)
    }

    fn name(&self, run: RunId) -> Option<String> {
        let records = self.events(run).ok()?;
        session::replay(&records).ok()?.plan().map(|plan| plan.name.clone())
    }

    /// The only run whose id starts with `prefix`, upper or lower case; with an empty prefix the
    /// only open run. A run that the register names and whose folder is gone is missing, never
    /// unknown.
    pub fn find(&self, prefix: &str) -> Result<RunId, EngineError> {
        let wanted = prefix.to_ascii_uppercase();
        let runs = self.runs()?;
        let matches = |run: &RunId| {
            if wanted.is_empty() {
                self.is_open(*run)
            } else {
                run.to_string().starts_with(&wanted)
            }
        };
        let found: Vec<&RunEntry> = runs.iter().filter(|entry| matches(&entry.run)).collect();
        match found.as_slice() {
            [entry] if entry.present => Ok(entry.run),
            [entry] => Err(self.missing(entry)),
            [] if wanted.is_empty() => Err(EngineError::refused("RB0812", "no run is open")
                .hint("`runbook runs` lists all runs")),
            [] => Err(EngineError::refused("RB0812", format!("no run begins with `{prefix}`"))
                .hint("`runbook runs` lists all runs")),
            several => {
                let ids: Vec<String> = several.iter().map(|entry| entry.run.to_string()).collect();
                let ids = ids.join(", ");
                let (message, hint) = if wanted.is_empty() {
                    (format!("several runs are open: {ids}"), "name one of them")
                } else {
                    (format!("`{prefix}` may mean {ids}"), "give more of the id")
                };
                Err(EngineError::refused("RB0813", message).hint(hint))
            }
        }
    }

    fn missing(&self, entry: &RunEntry) -> EngineError {
        let folder = self.run_folder(entry.run);
        let message = format!(
            "the run {} of `{}` is missing: the register names it, and its folder is gone",
            entry.run, entry.name
        );
        EngineError::new("RB0818", Obstacle::Damaged, message)
            .hint(format!("restore `{}` from a copy of the state folder", folder.display()))
    }

    fn is_open(&self, run: RunId) -> bool {
        self.state(run).is_ok_and(|state| state.finished().is_none())
    }

    /// The records of a run; nothing is changed, a torn tail is left out.
    pub fn events(&self, run: RunId) -> Result<Vec<Record>, EngineError> {
        journal::records(&self.run_folder(run))
    }

    /// The state of a run.
    pub fn state(&self, run: RunId) -> Result<RunState, EngineError> {
        session::replay(&self.events(run)?)
    }

    /// Who holds a run now.
    pub fn holder(&self, run: RunId) -> Option<Holder> {
        Lock::holder(&self.run_folder(run))
    }

    /// Hands a request to the holder of a run, or journals it when nobody holds the run; refused
    /// when the run's state does not allow it.
    pub fn request(&self, run: RunId, request: &Request) -> Result<Delivered, EngineError> {
        let folder = self.run_folder(run);
        if let Some(holder) = Lock::holder(&folder) {
            let mut state = self.state(run)?;
            refuse_impossible(run, &state, request, true)?;
            state
                .apply(RealClock.now(), &request.event(&state))
                .map_err(|error| refused(&error))?;
            inbox::leave(&folder, &RealClock, request)?;
            return Ok(Delivered::HandedTo(holder));
        }
        let _lock = Lock::take(&folder)?;
        let mut opened = journal::FileJournal::open(&folder)?;
        let mut state = session::replay(&opened.records)?;
        refuse_impossible(run, &state, request, false)?;
        let event = request.event(&state);
        let stamp = session::stamp(&RealClock, state.epoch());
        state.apply(stamp.at, &event).map_err(|error| refused(&error))?;
        let events = opened.repaired.take().into_iter().chain([event]).collect();
        opened.journal.append(&stamp, events).map_err(|error| session::not_durable(&error))?;
        Ok(Delivered::Journaled)
    }
}

fn refused(error: &model::run::state::IllegalEvent) -> EngineError {
    EngineError::refused("RB0814", error.to_string()).hint("`runbook status` shows the run")
}

/// Refuses what the run's state does not allow, in words that say what to do instead.
fn refuse_impossible(
    run: RunId,
    state: &RunState,
    request: &Request,
    held: bool,
) -> Result<(), EngineError> {
    let refused =
        |message: String, hint: String| Err(EngineError::refused("RB0814", message).hint(hint));
    if state.finished().is_some() {
        return refused(
            "the run has ended".to_owned(),
            format!("`runbook report {run}` tells how"),
        );
    }
    if let Request::Answer { step, answer } = request {
        let refusal = inbox::refusal(state, step, RealClock.now(), answer);
        return refusal.map_or(Ok(()), |refusal| {
            let error = EngineError::refused(refusal.code(), refusal.to_string());
            Err(error.hint(refusal.hint()))
        });
    }
    let hint = format!("`runbook status {run}` shows every step");
    if let Request::Skip { step, .. } = request {
        if let Some(why) = state.never_skipped(step) {
            return refused(format!("the step `{step}` cannot be skipped: {why}"), hint);
        }
        return match state.step(step).map(StepState::status) {
            None => refused(format!("the run has no step `{step}`"), hint),
            Some(
                StepStatus::Pending
                | StepStatus::Ready
                | StepStatus::Waiting
                | StepStatus::Retrying,
            ) => Ok(()),
            Some(_) => refused(format!("the step `{step}` has begun or ended"), hint),
        };
    }
    let Request::Resolve { step, .. } = request else { return Ok(()) };
    match state.step(step).map(StepState::status) {
        None => refused(format!("the run has no step `{step}`"), hint),
        Some(StepStatus::InDoubt) => Ok(()),
        Some(StepStatus::Running) if !held => refused(
            "the run must be resumed first".to_owned(),
            format!("`runbook resume {run}` looks at what was running"),
        ),
        Some(_) => refused(format!("the step `{step}` is not in doubt"), hint),
    }
}

fn refuse_foreign(path: &Path, owner: u32, mode: u32, user: u32) -> Result<(), EngineError> {
    let path = path.display();
    if owner != user {
        let message = format!("the state folder `{path}` belongs to user id {owner}, not {user}");
        return Err(EngineError::new("RB0808", Obstacle::Refused, message)
            .hint("run as its owner, or give another one with `--state`"));
    }
    if mode & 0o022 != 0 {
        let message = format!("others may write to the state folder `{path}`");
        return Err(EngineError::refused("RB0809", message).hint(format!("chmod 700 {path}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_another_user_or_open_to_others_is_refused() {
        let path = Path::new("/s");
        assert_eq!(refuse_foreign(path, 10, 0o40700, 11).unwrap_err().code, "RB0808");
        assert_eq!(refuse_foreign(path, 10, 0o40770, 10).unwrap_err().code, "RB0809");
        let open = refuse_foreign(path, 10, 0o40702, 10).unwrap_err();
        assert_eq!(open.hint.as_deref(), Some("chmod 700 /s"));
        assert_eq!(refuse_foreign(path, 10, 0o40755, 10), Ok(()));
    }

    #[test]
    fn a_prepared_folder_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(folder.path().join("state"));
        state.prepare().unwrap();
        assert_eq!(files::facts(state.path()).unwrap().mode() & 0o777, 0o700);
        assert_eq!(state.runs().unwrap(), []);
        assert_eq!(state.find("").unwrap_err().code, "RB0812");
    }
}
