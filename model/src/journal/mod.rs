//! The journal of a run: one record a line, each naming the SHA-256 of the line before it and
//! carrying a sum of itself. `docs/formats/journal.md` documents every field.

mod read;
mod record;

pub use read::{Damaged, Journal, Torn, read};
pub use record::{Chain, FIRST_PREV, Record, Stamp, VERSION};

#[cfg(test)]
mod tests;
