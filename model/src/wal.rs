//! The write-ahead log (WAL): positions, the names of its files, the history of timelines, and
//! which files it takes to get from one position to another.
//! <https://www.postgresql.org/docs/current/continuous-archiving.html>

mod history;
mod lsn;
mod name;
mod reach;

pub use history::{Fork, History, InvalidHistory};
pub use lsn::{InvalidLsn, Lsn};
pub use name::{InvalidName, Segment, WalName};
pub use reach::{Gap, Reach, gaps, reach};

/// The folder of all archived WAL in a store.
pub const WAL: &str = "wal";

/// The folder of one cluster's WAL, relative to the store: `wal/7571234567890123456`.
pub fn cluster_folder(system_identifier: u64) -> String {
    format!("{WAL}/{system_identifier}")
}

/// Where an archived file lies, relative to the store:
/// `wal/<system identifier>/<timeline>/<name>.zst`.
pub fn object_path(system_identifier: u64, name: &WalName) -> String {
    format!("{}/{:08X}/{name}.zst", cluster_folder(system_identifier), name.timeline())
}
