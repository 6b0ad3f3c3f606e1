//! The log of one attempt: redacted, bounded, with its fingerprint.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use model::hex::hex;
use model::ids::StepId;
use model::run::event::LogDigest;
use sha2::{Digest, Sha256};

use crate::files;
use crate::redact::{Masker, Redactor};

/// The folder of logs in the run's folder.
pub const FOLDER: &str = "logs";

/// A log holds at most this many bytes; what follows is left out, and that is recorded.
pub const LIMIT: u64 = 256 << 20;

/// Where the log of an attempt lies, below the folder of its run.
pub fn path(run: &Path, step: &StepId, attempt: u32) -> PathBuf {
    run.join(name(step.as_str(), attempt))
}

fn name(step: &str, attempt: u32) -> String {
    format!("{FOLDER}/{step}.{attempt}.log")
}

/// The log of one attempt. A log that cannot be written is cut short, and that is recorded: it
/// never stops a step.
pub struct StepLog {
    name: String,
    file: Option<File>,
    masker: Masker,
    digest: Sha256,
    bytes: u64,
    limit: u64,
    truncated: bool,
}

impl StepLog {
    /// Creates `logs/<step>.<attempt>.log` in the run's folder.
    pub fn create(run: &Path, step: &str, attempt: u32, redactor: Redactor) -> Self {
        Self::with_limit(run, step, attempt, redactor, LIMIT)
    }

    fn with_limit(run: &Path, step: &str, attempt: u32, redactor: Redactor, limit: u64) -> Self {
        let name = name(step, attempt);
        let created = files::create_folder(&run.join(FOLDER));
        let file = created.and_then(|()| files::create_private(&run.join(&name))).ok();
        let (masker, digest, truncated) = (Masker::new(redactor), Sha256::new(), file.is_none());
        Self { name, file, masker, digest, bytes: 0, limit, truncated }
    }

    /// A log that keeps nothing.
    pub fn none(redactor: Redactor) -> Self {
        let (masker, digest) = (Masker::new(redactor), Sha256::new());
        let name = String::new();
        Self { name, file: None, masker, digest, bytes: 0, limit: 0, truncated: true }
    }

    /// Adds output.
    pub fn write(&mut self, bytes: &[u8]) {
        let masked = self.masker.push(bytes);
        self.keep(&masked);
    }

    fn keep(&mut self, masked: &[u8]) {
        let room = usize::try_from(self.limit - self.bytes).unwrap_or(usize::MAX);
        let kept = &masked[..masked.len().min(room)];
        self.truncated |= kept.len() < masked.len();
        let Some(file) = &mut self.file else { return };
        if file.write_all(kept).is_err() {
            self.truncated = true;
            self.file = None;
            return;
        }
        self.digest.update(kept);
        self.bytes += kept.len() as u64;
    }

    /// Ends the log and makes it durable; nothing when it kept nothing at all.
    pub fn finish(mut self) -> Option<LogDigest> {
        let rest = self.masker.finish();
        self.keep(&rest);
        let synced: io::Result<()> = self.file.as_ref().map_or(Ok(()), File::sync_data);
        self.truncated |= synced.is_err();
        if self.name.is_empty() {
            return None;
        }
        let sha256 = hex(self.digest.finalize());
        Some(LogDigest { file: self.name, bytes: self.bytes, sha256, truncated: self.truncated })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_redacted_and_knows_its_fingerprint() {
        let run = tempfile::tempdir().unwrap();
        let redactor = Redactor::default();
        redactor.add("hunter2");
        let mut log = StepLog::create(run.path(), "dump", 1, redactor);
        log.write(b"pass hun");
        log.write(b"ter2\n");
        let digest = log.finish().unwrap();
        let text = files::read_text(&run.path().join("logs/dump.1.log")).unwrap();
        assert_eq!(text, "pass (secret)\n");
        assert_eq!((digest.bytes, digest.truncated), (14, false));
        let expected = hex(Sha256::digest(text.as_bytes()));
        assert_eq!(digest.sha256, expected);
    }

    #[test]
    fn a_log_that_is_full_says_so() {
        let run = tempfile::tempdir().unwrap();
        let mut log = StepLog::with_limit(run.path(), "dump", 2, Redactor::default(), 10);
        log.write(b"0123456");
        log.write(b"789abcdef");
        let digest = log.finish().unwrap();
        assert_eq!(
            (digest.file.as_str(), digest.bytes, digest.truncated),
            ("logs/dump.2.log", 10, true)
        );
        assert_eq!(files::read(&run.path().join("logs/dump.2.log")).unwrap(), b"0123456789");
    }

    #[test]
    fn a_log_that_cannot_be_written_stops_nothing() {
        let mut log = StepLog::create(Path::new("/proc/nowhere"), "dump", 1, Redactor::default());
        log.write(b"x");
        let digest = log.finish().unwrap();
        assert_eq!((digest.bytes, digest.truncated), (0, true));
    }
}
