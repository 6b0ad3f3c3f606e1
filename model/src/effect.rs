//! What a step does to the world, and what happens when it is done twice.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How far a step reaches into the world, from harmless to final.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Reads only.
    Read,
    /// Changes something that can be put back, or adds something that can be removed.
    Reversible,
    /// Removes or overwrites what only a backup brings back.
    Destructive,
    /// Cannot be taken back by anyone (a promotion, a message sent).
    Irreversible,
}

/// What a second execution of the same attempt would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Repeat {
    /// The second execution leaves the same state as the first.
    Idempotent,
    /// The far side recognises the second execution by a key and ignores it.
    Keyed,
    /// All or nothing: an interrupted execution left no trace.
    Transactional,
    /// A completion mark tells whether it happened.
    Observable,
    /// Nothing can tell whether it happened.
    Opaque,
}
