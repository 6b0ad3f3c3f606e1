//! Promotion and standbys, on private clusters: a primary and what streams from it.
#![expect(clippy::disallowed_methods, reason = "tests look at what lies behind the steps")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bed;
mod create;
mod local;
mod promote;
mod rewind;
