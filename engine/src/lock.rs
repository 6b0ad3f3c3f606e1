//! One holder per run: an advisory lock that the kernel drops when the holder dies, and a note
//! of who holds it.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::process::getpid;
use serde::{Deserialize, Serialize};

use crate::environment;
use crate::error::EngineError;
use crate::files;
use crate::process::{self, ChildRecord};

/// The lock's name in the run's folder.
const FILE: &str = "lock";

/// Who holds a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process id.
    pub pid: i32,
    /// Its machine.
    pub host: String,
    /// Which start of the machine.
    pub boot: String,
    /// When the process started, in clock ticks since then.
    pub start_time: u64,
    /// The login.
    pub login: String,
}

/// A held lock; dropped, it is free.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

impl Holder {
    fn this_process() -> Self {
        let pid = getpid();
        let process = ChildRecord::of("runbook", pid);
        let (boot, start_time) =
            process.map(|process| (process.boot_id, process.start_time)).unwrap_or_default();
        let (host, login) = (environment::host(), environment::login());
        Self { pid: pid.as_raw_nonzero().get(), host, boot, start_time, login }
    }

    fn is_alive(&self) -> bool {
        let (program, boot_id) = ("runbook".to_owned(), self.boot.clone());
        ChildRecord { program, pid: self.pid, start_time: self.start_time, boot_id }.is_alive()
    }
}

impl Drop for Lock {
    /// The note goes with the lock; it lies in the file that was locked, whoever has put another
    /// one in its place.
    fn drop(&mut self) {
        self.file.set_len(0).ok();
    }
}

impl Lock {
    /// Takes the lock of a run's folder; refused when another process holds it.
    pub fn take(folder: &Path) -> Result<Self, EngineError> {
        let path = folder.join(FILE);
        let failed = |error: std::io::Error| {
            let message = format!("the lock `{}` cannot be taken: {error}", path.display());
            EngineError::refused("RB0803", message)
        };
        let mut file = files::open_private(&path).map_err(failed)?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(held(note(&mut file)));
        }
        let holder = serde_json::to_vec(&Holder::this_process()).expect("a holder is plain data");
        file.set_len(0).and_then(|()| file.write_all(&holder)).map_err(failed)?;
        Ok(Self { file, path })
    }

    /// Whether the lock is still this process's: the file is the one that was locked, and it names
    /// this process. Somebody who took the run over while this process was stopped has put another
    /// one in its place.
    pub fn verify(&self) -> Result<(), EngineError> {
        let mine = self.file.metadata().map(|facts| (facts.dev(), facts.ino()));
        let there = files::facts(&self.path).map(|facts| (facts.dev(), facts.ino()));
        let same = matches!((mine, there), (Ok(mine), Ok(there)) if mine == there);
        let named = files::open_existing(&self.path).ok().and_then(|mut file| note(&mut file));
        if same && named == Some(Holder::this_process()) {
            return Ok(());
        }
        let who = named.map_or_else(
            || "somebody".to_owned(),
            |holder| format!("process {} on `{}`", holder.pid, holder.host),
        );
        let message = format!(
            "{who} took the run over while this process was stopped or the machine slept; no further step was started"
        );
        Err(EngineError::refused("RB0843", message).hint("`runbook status` shows who holds it"))
    }

    /// Who holds the run now, on this machine; nothing when nobody does. The lock itself is not
    /// touched, so that a look never refuses a holder that starts meanwhile.
    pub fn holder(folder: &Path) -> Option<Holder> {
        let mut file = files::open_existing(&folder.join(FILE)).ok()?;
        note(&mut file).filter(Holder::is_alive)
    }
}

fn note(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn held(holder: Option<Holder>) -> EngineError {
    let stopped = holder.as_ref().filter(|holder| holder.is_alive()).map(|holder| holder.pid);
    let stopped = stopped.filter(|pid| process::is_stopped(*pid));
    let by = holder.map_or_else(
        || "another process".to_owned(),
        |holder| format!("process {} of `{}` on `{}`", holder.pid, holder.login, holder.host),
    );
    let (message, hint) = match stopped {
        None => (
            format!("{by} holds the run"),
            "wait for it, or stop it with `runbook cancel`".to_owned(),
        ),
        // Its next effect may be begun already: nobody may go on before it is gone.
        Some(pid) => (
            format!("{by} holds the run, and is stopped"),
            format!(
                "`kill -CONT {pid}` lets it go on; `kill -KILL {pid}` ends it, then `runbook resume`"
            ),
        ),
    };
    EngineError::refused("RB0804", message).hint(hint)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test stops a process of its own")]
mod tests {
    use super::*;

    #[test]
    fn the_second_holder_is_refused_and_told_who_the_first_is() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Lock::holder(folder.path()), None);
        let lock = Lock::take(folder.path()).unwrap();
        assert_eq!(Lock::holder(folder.path()), Some(Holder::this_process()));
        let error = Lock::take(folder.path()).unwrap_err();
        assert_eq!(error.code, "RB0804");
        let pid = format!("process {} of", std::process::id());
        assert!(error.message.contains(&pid), "{}", error.message);
        drop(lock);
        assert_eq!(Lock::holder(folder.path()), None);
        Lock::take(folder.path()).unwrap();
    }

    #[test]
    fn a_lock_that_was_replaced_is_not_ours_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let lock = Lock::take(folder.path()).unwrap();
        assert_eq!(lock.verify(), Ok(()));
        let other = Holder { pid: 4711, host: "db2".to_owned(), ..Holder::this_process() };
        let note = serde_json::to_vec(&other).unwrap();
        files::write_durably(&folder.path().join(FILE), &note).unwrap();
        let error = lock.verify().unwrap_err();
        let hint = error.hint.clone().unwrap();
        shown::case("RB0843", format!("error[{}]: {}\nhelp: {hint}\n", error.code, error.message));
        drop(lock);
        assert_eq!(files::read(&folder.path().join(FILE)).unwrap(), note, "the other one's stays");
    }

    #[test]
    fn a_holder_that_is_stopped_is_named_so() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let stopped = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(stopped, rustix::process::Signal::STOP).unwrap();
        let record = ChildRecord::of("sleep", stopped).unwrap();
        let (boot, start_time) = (record.boot_id, record.start_time);
        let holder = Holder { pid, boot, start_time, ..Holder::this_process() };
        while !process::is_stopped(pid) {
            std::thread::yield_now();
        }
        let error = held(Some(holder));
        assert!(error.message.ends_with("holds the run, and is stopped"), "{}", error.message);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
