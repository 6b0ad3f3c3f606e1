//! Tables restored in place against real servers: `pg.restore_table` and `pg.swap_back`.
#![expect(clippy::disallowed_methods, reason = "tests damage files and start programs")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bench;
mod catalogue;
mod faults;
mod formats;
mod merge;
mod refused;
mod staging;
mod swap;
