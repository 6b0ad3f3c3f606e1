//! One record: its envelope, its text, and the chain it continues.

use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::hex::hex;
use crate::run::event::Event;

/// The version of the journal's form.
pub const VERSION: u32 = 1;

/// `prev` of the first record.
pub const FIRST_PREV: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What stands before the sum of a line.
const SUM_KEY: &str = ",\"sum\":\"";

/// When and by whom a record was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// Wall-clock time.
    pub at: Timestamp,
    /// Milliseconds since the machine started, suspended time included.
    pub mono_ms: u64,
    /// The kernel's id of that start.
    pub boot: String,
    /// The machine's name.
    pub host: String,
    /// Which process of the run, counted from 1.
    pub epoch: u32,
}

/// One record of a journal.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its place, from 1.
    pub seq: u64,
    /// When and by whom it was written.
    pub stamp: Stamp,
    /// What happened.
    pub event: Event,
}

/// Where a journal stands: what the next record must continue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The place of the next record.
    pub seq: u64,
    /// SHA-256 of the last line without its newline.
    pub prev: String,
}

#[derive(Serialize)]
struct Line<'a> {
    v: u32,
    seq: u64,
    prev: &'a str,
    at: Timestamp,
    mono_ms: u64,
    boot: &'a str,
    host: &'a str,
    epoch: u32,
    #[serde(flatten)]
    event: &'a Event,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLine {
    v: u32,
    seq: u64,
    prev: String,
    at: Timestamp,
    mono_ms: u64,
    boot: String,
    host: String,
    epoch: u32,
    r#type: String,
    data: Value,
    sum: String,
}

impl Default for Chain {
    fn default() -> Self {
        Self { seq: 1, prev: FIRST_PREV.to_owned() }
    }
}

impl Chain {
    /// The line of the next record, its newline included; the chain moves on.
    pub fn seal(&mut self, stamp: &Stamp, event: &Event) -> String {
        let line = Line {
            v: VERSION,
            seq: self.seq,
            prev: &self.prev,
            at: stamp.at,
            mono_ms: stamp.mono_ms,
            boot: &stamp.boot,
            host: &stamp.host,
            epoch: stamp.epoch,
            event,
        };
        let mut text = serde_json::to_string(&line).expect("a record is plain data");
        text.pop();
        let sum = sha256_hex(text.as_bytes());
        text.push_str(SUM_KEY);
        text.push_str(&sum);
        text.push_str("\"}");
        self.advance(text.as_bytes());
        text.push('\n');
        text
    }

    /// Checks that `line`, without its newline, is the next record, and moves on.
    pub(super) fn open(&mut self, line: &[u8]) -> Result<Record, String> {
        let raw: RawLine = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        if raw.v != VERSION {
            return Err(format!("it has version {}, and this program reads {VERSION}", raw.v));
        }
        let summed = line.len().checked_sub(SUM_KEY.len() + 64 + 2).map(|end| &line[..end]);
        if summed.map(sha256_hex).as_deref() != Some(raw.sum.as_str()) {
            return Err("its text was changed: the sum differs".to_owned());
        }
        if raw.prev != self.prev {
            return Err("it does not follow the line before it".to_owned());
        }
        if raw.seq != self.seq {
            return Err(format!("it is record {}, and {} is expected", raw.seq, self.seq));
        }
        let event = event(raw.r#type, raw.data).map_err(|error| error.to_string())?;
        self.advance(line);
        let RawLine { seq, at, mono_ms, boot, host, epoch, .. } = raw;
        Ok(Record { seq, stamp: Stamp { at, mono_ms, boot, host, epoch }, event })
    }

    fn advance(&mut self, line: &[u8]) {
        self.prev = sha256_hex(line);
        self.seq += 1;
    }
}

fn event(name: String, data: Value) -> serde_json::Result<Event> {
    if data.is_null() {
        return Err(serde_json::Error::custom("`data` is missing"));
    }
    let tagged = [("type".to_owned(), Value::String(name)), ("data".to_owned(), data)];
    serde_json::from_value(Value::Object(tagged.into_iter().collect()))
}

pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes))
}
