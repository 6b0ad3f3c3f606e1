//! The archive of WAL, base backups and what is said about both, with real servers.
#![expect(clippy::disallowed_methods, reason = "tests look at what lies behind the steps")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod archive;
mod base;
mod check;
mod ground;
