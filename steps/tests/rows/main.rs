//! Rows taken out of a copy and brought back into the living database, on real servers; what is
//! there before and after is told by `pg_dump`.
#![expect(clippy::disallowed_methods, reason = "tests look at what lies behind the steps")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bundles;
mod choosing;
mod common;
mod conflicts;
mod drift;
mod faults;
mod graphs;
mod restoring;
mod triggers;
mod undoing;
