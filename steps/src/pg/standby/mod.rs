//! Standbys whose data directory lies on this machine.

mod conninfo;
pub mod create;
mod follow;
mod primary;
pub mod rewind;
mod server;
