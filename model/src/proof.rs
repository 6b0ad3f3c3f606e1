//! Proof levels and the proof object that `pg.verify_backup` leaves beside a set.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
