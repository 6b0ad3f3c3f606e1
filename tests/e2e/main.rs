//! The binary, run as a person or a schedule runs it, against real PostgreSQL.
#![expect(
    clippy::disallowed_methods,
    reason = "these tests start processes, read files and kill what they started"
)]
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the message")]

mod application;
mod approvals;
mod archive;
mod bad_input;
mod bed;
mod breach;
mod container;
mod daily_backup;
mod discover;
mod drills;
mod expand;
mod failover;
mod faults;
mod fence;
mod ground;
mod kill;
mod lab;
mod output;
mod parallel;
mod people;
#[cfg(feature = "pg17")]
mod pg17;
mod pitr;
mod plan;
mod recipes;
mod regional;
mod regions;
mod row_restore;
mod said;
mod shipped;
mod stages;
mod store_moto;
#[expect(clippy::duplicate_mod, reason = "the same tests run over two servers")]
mod store_own;
mod stubs;
mod table_restore;
mod terminal;
mod tmux;
mod variants;
mod watch;
