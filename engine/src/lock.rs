//! One holder per run: an advisory lock that the kernel drops when the holder dies, and a note
//! of who holds it.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::process::getpid;
use serde::{Deserialize, Serialize};

use crate::environment;
use crate::error::EngineError;
use crate::files;
use crate::process::ChildRecord;

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
        Ok(Self { file })
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
    let by = holder.map_or_else(
        || "another process".to_owned(),
        |holder| format!("process {} of `{}` on `{}`", holder.pid, holder.login, holder.host),
    );
    EngineError::refused("RB0804", format!("{by} holds the run"))
        .hint("wait for it, or stop it with `runbook cancel`")
}

#[cfg(test)]
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
}
