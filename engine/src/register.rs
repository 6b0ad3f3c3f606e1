//! The register of a state folder: one line for each run that was created, each naming the
//! SHA-256 of the line before it, so that a run that was taken away shows.

use std::path::Path;

use jiff::Timestamp;
use model::hex::hex;
use model::ids::RunId;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{EngineError, Obstacle};
use crate::files::{self, Appender};

const FILE: &str = "register.jsonl";
const LOCK: &str = "register.lock";
const VERSION: u32 = 1;

/// One run in the register.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The version of the register's form.
    pub v: u32,
    /// Its place, from 1.
    pub seq: u64,
    /// SHA-256 of the line before it, without its newline; 64 zeros in the first.
    pub prev: String,
    /// When the run was created.
    pub at: Timestamp,
    /// The run.
    pub run: RunId,
    /// The runbook's name.
    pub name: String,
}

/// Adds a run, durably.
pub fn add(state: &Path, at: Timestamp, run: RunId, name: &str) -> Result<(), EngineError> {
    let failed = |error: std::io::Error| {
        let message = format!("the register of `{}` cannot be written: {error}", state.display());
        EngineError::refused("RB0805", message)
    };
    let lock = files::open_private(&state.join(LOCK)).map_err(failed)?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
    let mut file = Appender::open(&state.join(FILE)).map_err(failed)?;
    let bytes = file.read().map_err(failed)?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    if whole < bytes.len() {
        file.cut(whole as u64).map_err(failed)?;
    }
    let (entries, prev) = parse(&bytes[..whole])?;
    let seq = entries.len() as u64 + 1;
    let entry = Entry { v: VERSION, seq, prev, at, run, name: name.to_owned() };
    let mut line = serde_json::to_vec(&entry).expect("an entry is plain data");
    line.push(b'\n');
    file.append(&line).map_err(failed)
}

/// Every run that was created, oldest first; a line that a crash cut short is left out.
pub fn entries(state: &Path) -> Result<Vec<Entry>, EngineError> {
    let path = state.join(FILE);
    let bytes = match files::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            let message = format!("the register `{}` cannot be read: {error}", path.display());
            return Err(EngineError::refused("RB0805", message));
        }
    };
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    Ok(parse(&bytes[..whole])?.0)
}

fn parse(bytes: &[u8]) -> Result<(Vec<Entry>, String), EngineError> {
    let (mut entries, mut prev) = (Vec::new(), "0".repeat(64));
    for line in bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end) {
        let seq = entries.len() as u64 + 1;
        let entry: Entry =
            serde_json::from_slice(line).map_err(|error| damaged(seq, &error.to_string()))?;
        if entry.prev != prev || entry.seq != seq || entry.v != VERSION {
            return Err(damaged(seq, "it does not follow the line before it"));
        }
        prev = hex(Sha256::digest(line));
        entries.push(entry);
    }
    Ok((entries, prev))
}

fn damaged(line: u64, why: &str) -> EngineError {
    let message = format!("line {line} of the register of runs is damaged: {why}");
    EngineError::new("RB0806", Obstacle::Damaged, message)
        .hint("restore `register.jsonl` from a copy of the state folder")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(number: u128) -> RunId {
        RunId::from(ulid::Ulid::from_parts(1, number))
    }

    #[test]
    fn a_line_that_is_taken_out_or_changed_shows() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join(FILE);
        for number in 1..=3 {
            add(state.path(), Timestamp::UNIX_EPOCH, run(number), "daily").unwrap();
        }
        let runs: Vec<RunId> = entries(state.path()).unwrap().iter().map(|e| e.run).collect();
        assert_eq!(runs, [run(1), run(2), run(3)]);
        let text = files::read_text(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        files::write_durably(&path, format!("{}\n{}\n", lines[0], lines[2]).as_bytes()).unwrap();
        assert_eq!(entries(state.path()).unwrap_err().code, "RB0806");
        files::write_durably(&path, text.replace("daily", "nightly").as_bytes()).unwrap();
        assert_eq!(entries(state.path()).unwrap_err().code, "RB0806");
    }

    #[test]
    fn a_line_cut_short_by_a_crash_is_left_out_and_overwritten() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join(FILE);
        add(state.path(), Timestamp::UNIX_EPOCH, run(1), "daily").unwrap();
        let mut text = files::read_text(&path).unwrap();
        text.push_str("{\"v\":1,");
        files::write_durably(&path, text.as_bytes()).unwrap();
        assert_eq!(entries(state.path()).unwrap().len(), 1);
        add(state.path(), Timestamp::UNIX_EPOCH, run(2), "daily").unwrap();
        assert_eq!(entries(state.path()).unwrap().len(), 2);
    }
}
