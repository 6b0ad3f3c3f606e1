//! A laboratory that another process holds, found by its folder.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Asked;
use super::control::TOKEN;
use super::messages::Told;
use crate::cloud::Effect;
use crate::cluster::sweep;
use crate::ledger::Account;
use crate::plain::{Answer, Plain};

/// The file whose lock says that a laboratory is up.
const LOCK: &str = "lock";
/// Where it is asked.
const RECORD: &str = "lab.json";
/// Its environment.
pub(super) const ENV: &str = "env";
/// What its process says.
pub(super) const LOG: &str = "log";
/// What a laboratory makes in its folder.
const OWN: [&str; 8] = [RECORD, ENV, LOG, "s3", "cloud", "messages.jsonl", "acknowledged", LOCK];
/// It ends within this time.
const PATIENCE: Duration = Duration::from_mins(1);

/// Why a laboratory cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// None is up.
    #[error("no laboratory is up in `{0}`")]
    Absent(PathBuf),
    /// One is up already.
    #[error("a laboratory is up in `{0}`")]
    Up(PathBuf),
    /// Its process is gone, or does not answer.
    #[error("the laboratory in `{0}` has crashed")]
    Crashed(PathBuf),
    /// It could not start.
    #[error("the laboratory could not start: {0}")]
    NotStarted(String),
    /// It does not do that.
    #[error("{0}")]
    Refused(String),
    /// The system refused something.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What is in a folder.
pub enum State {
    /// Nothing.
    Absent,
    /// A laboratory that is up, or about to be.
    Up(Option<Handle>),
    /// What a process left behind that is gone.
    Crashed,
}

/// Where a laboratory is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    pub(super) process: u32,
    pub(super) port: u16,
    pub(super) token: String,
    pub(super) application: String,
}

/// A laboratory in another process.
pub struct Handle {
    folder: PathBuf,
    written: Written,
}

/// The lock of a folder, held while its laboratory is up.
pub(super) struct Held(#[expect(dead_code, reason = "the lock ends with the file")] File);

impl Held {
    /// Takes the lock, unless another process has it.
    pub(super) fn take(folder: &Path) -> io::Result<Option<Self>> {
        let file = File::options().create(true).append(true).open(folder.join(LOCK))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Written {
    /// Leaves it for others to find, whole or not at all.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        let text = serde_json::to_string(self).map_err(io::Error::other)?;
        let draft = folder.join("lab.json.draft");
        super::private(&draft, &text)?;
        fs::rename(draft, folder.join(RECORD))
    }
}

impl Handle {
    /// What is in a folder.
    pub fn look(folder: &Path) -> io::Result<State> {
        if !folder.join(LOCK).exists() {
            return Ok(State::Absent);
        }
        if Held::take(folder)?.is_some() {
            let left = OWN.iter().any(|name| *name != LOCK && folder.join(name).exists());
            return Ok(if left { State::Crashed } else { State::Absent });
        }
        let Ok(text) = fs::read_to_string(folder.join(RECORD)) else { return Ok(State::Up(None)) };
        let written = serde_json::from_str(&text).map_err(io::Error::other)?;
        Ok(State::Up(Some(Self { folder: folder.to_path_buf(), written })))
    }

    /// The laboratory that is up in a folder.
    pub fn open(folder: &Path) -> Result<Self, HandleError> {
        match Self::look(folder)? {
            State::Up(Some(handle)) => Ok(handle),
            State::Absent | State::Up(None) => Err(HandleError::Absent(folder.to_path_buf())),
            State::Crashed => Err(HandleError::Crashed(folder.to_path_buf())),
        }
    }

    /// The text of its env file.
    pub fn env_file(&self) -> io::Result<String> {
        fs::read_to_string(self.folder.join(ENV))
    }

    /// How everything stands.
    pub fn status(&self) -> Result<Value, HandleError> {
        self.json("/status")
    }

    /// What took effect in its AWS, in order.
    pub fn effects(&self) -> Result<Vec<Effect>, HandleError> {
        self.json("/effects")
    }

    /// The messages that came.
    pub fn messages(&self) -> Result<Vec<Told>, HandleError> {
        self.json("/messages")
    }

    /// What became of the writes of its application.
    pub fn account(&self) -> Result<Account, HandleError> {
        let port = self.written.application.rsplit(':').next().and_then(|port| port.parse().ok());
        let port = port.ok_or_else(|| self.crashed())?;
        let asked = Plain::new(port, format!("{TOKEN}: none"));
        let answer = asked.request("GET", "/account", &[], "").map_err(|_| self.crashed())?;
        serde_json::from_str(&answer.body).map_err(|error| io::Error::other(error).into())
    }

    /// Lets a disaster begin.
    pub fn begin(&self, asked: &Asked) -> Result<(), HandleError> {
        let asked = serde_json::to_string(asked).map_err(io::Error::other)?;
        done(self.ask("POST", "/disasters", &asked)?)
    }

    /// Ends a disaster.
    pub fn end(&self, name: &str) -> Result<(), HandleError> {
        done(self.ask("DELETE", &format!("/disasters/{name}"), "")?)
    }

    /// Ends whatever is in a folder and removes what it made; gives whether there was anything.
    pub fn down(folder: &Path) -> Result<bool, HandleError> {
        match Self::look(folder)? {
            State::Absent => return Ok(false),
            State::Up(Some(handle)) => handle.ask("POST", "/stop", "").map(drop)?,
            State::Up(None) => {}
            State::Crashed => sweep().map_err(io::Error::other)?,
        }
        let until = Instant::now() + PATIENCE;
        let held = loop {
            match Held::take(folder) {
                Ok(Some(held)) => break held,
                // It removed the folder itself.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
                Err(error) => return Err(error.into()),
                Ok(None) if Instant::now() > until => return Err(Self::stuck(folder)),
                Ok(None) => std::thread::sleep(Duration::from_millis(50)),
            }
        };
        clear(folder)?;
        drop(held);
        Ok(true)
    }

    fn stuck(folder: &Path) -> HandleError {
        HandleError::Refused(format!(
            "the laboratory in `{}` does not end; look at `{}`",
            folder.display(),
            folder.join(LOG).display()
        ))
    }

    fn crashed(&self) -> HandleError {
        HandleError::Crashed(self.folder.clone())
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Result<Answer, HandleError> {
        let client = Plain::new(self.written.port, format!("{TOKEN}: {}", self.written.token));
        let kind = ["content-type: application/json"];
        client.request(method, path, &kind, body).map_err(|_| self.crashed())
    }

    fn json<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, HandleError> {
        let answer = self.ask("GET", path, "")?;
        serde_json::from_str(&answer.body).map_err(|error| io::Error::other(error).into())
    }
}

fn done(answer: Answer) -> Result<(), HandleError> {
    if (200..300).contains(&answer.status) {
        return Ok(());
    }
    Err(HandleError::Refused(answer.body))
}

/// Refuses a folder in which somebody else's files have the names of a laboratory's.
pub(super) fn refuse_others(folder: &Path) -> Result<(), HandleError> {
    let Some(name) = OWN.iter().find(|name| **name != LOCK && folder.join(name).exists()) else {
        return Ok(());
    };
    Err(HandleError::NotStarted(format!(
        "`{}` holds `{name}` already, which is no laboratory's: name another folder with `--dir`",
        folder.display()
    )))
}

/// Removes what a laboratory made in its folder, and the folder when nothing else is in it.
pub(super) fn clear(folder: &Path) -> io::Result<()> {
    for name in OWN {
        let path = folder.join(name);
        let removed =
            if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    // Somebody else's files keep it.
    fs::remove_dir(folder).ok();
    Ok(())
}
