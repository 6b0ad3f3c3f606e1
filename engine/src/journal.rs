//! The journal of a run as a file, and as memory for plans and tests.
//!
//! `RUNBOOK_FAILPOINT=journal:<seq>:before|after` ends the process with SIGKILL before record
//! `seq` is written, or after it is durable (the default): the kill tests of promise G2 run on it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use model::journal::{Chain, Journal as Contents, Record, Stamp, Torn, read};
use model::run::event::Event;
use rustix::process::{Signal, getpid, kill_process};

use crate::environment;
use crate::error::{EngineError, Obstacle};
use crate::files::{self, Appender};

/// The journal's name in the run's folder.
pub const FILE: &str = "journal.jsonl";

/// A crash leaves a write whole up to the end of a page, not across it: events that are decided
/// together are written and synced a page at a time.
const PAGE: u64 = 4096;

/// Where events become durable.
pub trait Journal: Send {
    /// Makes events durable, in order; returns their records.
    fn append(&mut self, stamp: &Stamp, events: Vec<Event>) -> io::Result<Vec<Record>>;
}

/// A journal in memory: for plans and tests.
#[derive(Debug, Default)]
pub struct MemoryJournal {
    records: SharedRecords,
}

/// The records of a [`MemoryJournal`], to be had after the run took the journal.
#[derive(Debug, Clone, Default)]
pub struct SharedRecords(Arc<Mutex<Vec<Record>>>);

impl SharedRecords {
    /// The records so far, oldest first; the journal starts over.
    pub fn take(&self) -> Vec<Record> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Journal for MemoryJournal {
    fn append(&mut self, stamp: &Stamp, events: Vec<Event>) -> io::Result<Vec<Record>> {
        let mut kept = self.records.0.lock().unwrap_or_else(PoisonError::into_inner);
        let records: Vec<Record> = (kept.len() as u64 + 1..)
            .zip(events)
            .map(|(seq, event)| Record { seq, stamp: stamp.clone(), event })
            .collect();
        kept.extend_from_slice(&records);
        Ok(records)
    }
}

impl MemoryJournal {
    /// Its records, also after a run took the journal.
    pub fn shared(&self) -> SharedRecords {
        self.records.clone()
    }
}

/// A journal in a run's folder, held by one process.
pub struct FileJournal {
    file: Appender,
    chain: Chain,
    failpoint: Option<Failpoint>,
}

/// Where a kill test ends the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Failpoint {
    seq: u64,
    before: bool,
}

/// What was found in a journal that was opened to be continued.
pub struct Opened {
    /// The journal.
    pub journal: FileJournal,
    /// Its records, oldest first.
    pub records: Vec<Record>,
    /// The event that tells of a torn tail, to be recorded next.
    pub repaired: Option<Event>,
}

impl FileJournal {
    /// Opens or creates the journal in `folder`, and cuts a torn tail, which is kept beside it.
    pub fn open(folder: &Path) -> Result<Opened, EngineError> {
        let path = folder.join(FILE);
        let failed = |error: io::Error| not_readable(&path, &error);
        let mut file = Appender::open(&path).map_err(failed)?;
        let bytes = file.read().map_err(failed)?;
        let Contents { records, chain, torn } =
            read(&bytes).map_err(|error| damaged(&path, &error))?;
        let repaired =
            torn.map(|torn| repair(&mut file, &bytes, torn)).transpose().map_err(failed)?;
        let failpoint = environment::variable("RUNBOOK_FAILPOINT");
        let failpoint = failpoint.as_deref().and_then(Failpoint::parse);
        Ok(Opened { journal: Self { file, chain, failpoint }, records, repaired })
    }

    fn write(&mut self, lines: &[u8], records: &[Record]) -> io::Result<()> {
        self.kill_at(records, true);
        self.file.append(lines)?;
        self.kill_at(records, false);
        Ok(())
    }

    fn kill_at(&self, records: &[Record], before: bool) {
        let here = |point: Failpoint| {
            point.before == before && records.iter().any(|record| record.seq == point.seq)
        };
        if self.failpoint.is_some_and(here) {
            kill_process(getpid(), Signal::KILL).ok();
        }
    }
}

impl Journal for FileJournal {
    fn append(&mut self, stamp: &Stamp, events: Vec<Event>) -> io::Result<Vec<Record>> {
        let (mut done, mut records, mut lines) = (Vec::new(), Vec::new(), String::new());
        for event in events {
            let seq = self.chain.seq;
            let line = self.chain.seal(stamp, &event);
            let start = self.file.length();
            let end = start + (lines.len() + line.len()) as u64;
            let single = self.failpoint.is_some();
            if !lines.is_empty() && (single || start / PAGE != end / PAGE) {
                self.write(lines.as_bytes(), &records)?;
                done.append(&mut records);
                lines.clear();
            }
            lines.push_str(&line);
            records.push(Record { seq, stamp: stamp.clone(), event });
        }
        if !lines.is_empty() {
            self.write(lines.as_bytes(), &records)?;
        }
        done.append(&mut records);
        Ok(done)
    }
}

impl Failpoint {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix("journal:")?.split(':');
        let seq = parts.next()?.parse().ok()?;
        Some(Self { seq, before: parts.next() == Some("before") })
    }
}

/// Reads the journal in `folder` without changing it; a torn tail is left out.
pub fn records(folder: &Path) -> Result<Vec<Record>, EngineError> {
    let path = folder.join(FILE);
    let bytes = files::read(&path).map_err(|error| not_readable(&path, &error))?;
    Ok(read(&bytes).map_err(|error| damaged(&path, &error))?.records)
}

fn repair(file: &mut Appender, bytes: &[u8], torn: Torn) -> io::Result<Event> {
    let offset = usize::try_from(torn.offset).expect("the journal is in memory");
    let kept_as = format!("journal.torn-{offset}");
    let beside: PathBuf = file.path().with_file_name(&kept_as);
    files::write_durably(&beside, &bytes[offset..])?;
    file.cut(torn.offset)?;
    Ok(Event::JournalRepaired { cut_bytes: torn.bytes, kept_as })
}

fn not_readable(path: &Path, error: &io::Error) -> EngineError {
    let message = format!("the journal `{}` cannot be opened: {error}", path.display());
    EngineError::refused("RB0801", message)
}

fn damaged(path: &Path, error: &model::journal::Damaged) -> EngineError {
    let message = format!("`{}`: {error}", path.display());
    EngineError::new("RB0802", Obstacle::Damaged, message)
        .hint("restore the state folder from a copy; the run cannot be continued from this file")
}
