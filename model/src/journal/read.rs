//! Reading a journal: every record checked, a torn tail told apart from damage.

use crate::journal::record::{Chain, Record, VERSION};

/// A journal as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Journal {
    /// The records, oldest first.
    pub records: Vec<Record>,
    /// What the next record must continue.
    pub chain: Chain,
    /// The last line had been written in part.
    pub torn: Option<Torn>,
}

/// A last line that a crash cut short: it never was durable, so nothing followed from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Torn {
    /// Where the whole records end, in bytes.
    pub offset: u64,
    /// Bytes behind it.
    pub bytes: u64,
}

/// A journal that was changed or damaged after it was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the journal is damaged: {why}")]
pub struct Damaged {
    /// The line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub why: String,
}

/// Reads the bytes of a journal.
///
/// The last line is torn when it has no newline or is not JSON, and no further record was glued
/// to it by the loss of a newline. Anything else that is not the
/// record that must stand there is damage.
pub fn read(bytes: &[u8]) -> Result<Journal, Damaged> {
    let mut journal = Journal { records: Vec::new(), chain: Chain::default(), torn: None };
    let mut offset = 0;
    while offset < bytes.len() {
        let rest = &bytes[offset..];
        let end = rest.iter().position(|byte| *byte == b'\n');
        let line = &rest[..end.unwrap_or(rest.len())];
        let is_last = end.is_none_or(|end| end + 1 == rest.len());
        if is_last && (end.is_none() || !is_json(line)) && !holds_next(line, journal.chain.seq) {
            journal.torn = Some(Torn { offset: offset as u64, bytes: rest.len() as u64 });
            return Ok(journal);
        }
        let number = journal.chain.seq;
        let record = journal.chain.open(line).map_err(|why| Damaged { line: number, why })?;
        journal.records.push(record);
        offset += line.len() + 1;
    }
    Ok(journal)
}

fn holds_next(line: &[u8], seq: u64) -> bool {
    let next = format!("{{\"v\":{VERSION},\"seq\":{},\"prev\":\"", seq + 1);
    line.windows(next.len()).any(|window| window == next.as_bytes())
}

fn is_json(line: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(line).is_ok()
}
