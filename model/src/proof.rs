//! Proof levels and the proof object that `pg.verify_backup` leaves beside a set. The object is
//! written once and never changed; `docs/formats/set.md` describes it, every field here is frozen
//! for version 1.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{RunId, StepId};
use crate::set::difference::{Checked, Difference};
use crate::set::id::SetId;
use crate::set::manifest::{Exclusion, Program};

/// How far a set has been proved; each level includes the ones before it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Every object is there with the size and SHA-256 of the manifest.
    Stored,
    /// Every object decompresses and its table of contents reads.
    Readable,
    /// It restores without an error.
    Restorable,
    /// Schema, row counts, sequences and constraints equal the manifest.
    Complete,
    /// The content hashes equal the manifest too.
    Identical,
    /// Assertions hold and the indexes check out (amcheck).
    Usable,
}

/// The version of the form that this program writes and reads.
pub const VERSION: u32 = 1;

/// A proof names at most so many differences; `difference_count` counts all.
pub const MAX_DIFFERENCES: usize = 1000;

/// What one verification of a set found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// [`VERSION`] when written.
    pub version: u32,
    /// The set that was verified.
    pub set: SetId,
    /// Its database.
    pub database: String,
    /// SHA-256 of the bytes of the set's `manifest.json`: a proof holds for this manifest only.
    pub manifest_sha256: String,
    /// The level that was asked for.
    pub asked: Level,
    /// The highest level that held; absent when not even `stored` did.
    pub reached: Option<Level>,
    /// `reached` is at least `asked`, and nothing differs.
    pub passed: bool,
    /// How many differences there were.
    pub difference_count: u64,
    /// The differences, by category and object; at most [`MAX_DIFFERENCES`].
    pub differences: Vec<Difference>,
    /// How much was looked at.
    pub checked: Checked,
    /// What was not looked at, and why.
    pub exclusions: Vec<Exclusion>,
    /// When the verification began.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
    /// How long it took by a clock that is never set, in milliseconds.
    pub duration_ms: u64,
    /// The run that verified.
    pub run: RunId,
    /// The step that verified.
    pub step: StepId,
    /// The attempt of the step, from 1.
    pub attempt: u32,
    /// Where the set was restored; absent below `restorable`.
    pub scratch: Option<Scratch>,
    /// The version of `runbook` that verified.
    pub runbook: String,
    /// Programs that took part, with their arguments. No secret is in an argument.
    pub programs: Vec<Program>,
}

/// Where a set was restored to be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scratch {
    /// `server_version` of the server.
    pub version: String,
    /// `server_version_num` of the server.
    pub version_num: u32,
    /// The cluster's system identifier, as text. Absent where the role may not read it.
    pub system_identifier: Option<String>,
    /// Where it was reached: `127.0.0.1:5432`.
    pub endpoint: String,
    /// The database that held the copy; it is dropped afterwards.
    pub database: String,
}

/// Why the bytes are not a proof.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// Not JSON of this form.
    #[error("not a proof of version {VERSION}: {0}")]
    Form(#[from] serde_json::Error),
    /// Written by another program, most likely a newer one.
    #[error("a proof of version {0}, this program reads version {VERSION}")]
    Version(u32),
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

impl Proof {
    /// Reads a proof.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ProofError> {
        let Versioned { version } = serde_json::from_slice(bytes)?;
        if version != VERSION {
            return Err(ProofError::Version(version));
        }
        Ok(serde_json::from_slice(bytes)?)
    }

    /// The bytes of the proof.
    pub fn to_json(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("a proof has text keys only");
        bytes.push(b'\n');
        bytes
    }

    /// Replaces the differences: puts them in order, counts them, keeps the first
    /// [`MAX_DIFFERENCES`].
    #[must_use]
    pub fn with_differences(mut self, mut differences: Vec<Difference>) -> Self {
        differences.sort();
        self.difference_count = differences.len() as u64;
        differences.truncate(MAX_DIFFERENCES);
        self.differences = differences;
        self.passed = self.difference_count == 0 && self.reached >= Some(self.asked);
        self
    }
}
