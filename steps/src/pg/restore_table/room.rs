//! How much disk a restore takes on the server, and whether the server has it, where that can be
//! known: when it runs on this machine.

use std::path::{Path, PathBuf};

use engine::files;
use model::set::manifest::Table;
use model::step_error::StepError;
use model::units::ByteSize;

use super::live::Live;
use crate::pg::classify;
use crate::pg::connection::Session;

/// What a row takes besides its values: a header and a place in its page.
const PER_ROW: u64 = 28;

/// How far the server's start, as it tells it and as it wrote it down, may lie apart, in seconds.
const SAME_START: f64 = 5.0;

/// Bytes on the server's disk, at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Need {
    /// For the rows of the set, aside.
    pub(super) staging: u64,
    /// For the former rows, until they are released.
    pub(super) kept: u64,
    /// For the rows and index entries that are written beside the removed ones.
    pub(super) written: u64,
}

impl Need {
    /// What one table takes; when rows are `exchanged`, more.
    pub(super) fn of(live: &Live, from: &Table, exchanged: bool) -> Self {
        let text: u64 = from.parts.iter().map(|part| part.copy_bytes).sum();
        let rows = from.rows.unwrap_or_default();
        // An archive does not tell how large a table's rows are: then what stands there tells.
        let staging = if text == 0 { live.bytes } else { text + rows * PER_ROW };
        let (kept, written) =
            if exchanged { (live.bytes, staging + live.index_bytes) } else { (0, 0) };
        Self { staging, kept, written }
    }

    /// All together.
    pub(super) fn total(self) -> u64 {
        self.staging + self.kept + self.written
    }

    /// Both.
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            staging: self.staging + other.staging,
            kept: self.kept + other.kept,
            written: self.written + other.written,
        }
    }

    /// In words.
    pub(super) fn words(self) -> String {
        format!(
            "needs up to {} of the server's disk: {} for the rows of the set, {} to keep the \
             former rows, {} for what is written",
            size(self.total()),
            size(self.staging),
            size(self.kept),
            size(self.written)
        )
    }
}

/// Whole mebibytes, rounded up.
fn size(bytes: u64) -> ByteSize {
    ByteSize::from(bytes.div_ceil(1 << 20) << 20)
}

/// Refuses when less is free than is needed.
pub(super) fn refuse(need: Need, free: Option<u64>) -> Result<(), StepError> {
    match free {
        Some(free) if free < need.total() => {
            let message = format!("this {}, and {} are free", need.words(), size(free));
            Err(StepError::needs_operator("RB0536", message).hint(
                "free disk space on the server, or restore aside on another; nothing was done",
            ))
        }
        _ => Ok(()),
    }
}

/// The bytes that are free where the table lies; nothing when the server is elsewhere, or does not
/// tell where that is.
pub(super) async fn free(session: &Session, live: &Live) -> Result<Option<u64>, StepError> {
    let place = "
        SELECT current_setting('data_directory', true),
          (SELECT nullif(pg_tablespace_location(reltablespace), '') FROM pg_class WHERE oid = $1),
          extract(epoch FROM pg_postmaster_start_time())::float8
        WHERE pg_has_role('pg_read_all_settings', 'usage')";
    let row = session.query_opt(place, &[&live.oid]).await;
    let row = row.map_err(|error| {
        classify::not_applied(classify::statement("ask where the table lies", &error))
    })?;
    let Some(row) = row else { return Ok(None) };
    let Some(data) = row.get::<_, Option<String>>(0).map(PathBuf::from) else { return Ok(None) };
    if session.target().container.is_some() || !is_here(&data, row.get(2)) {
        return Ok(None);
    }
    let space: Option<String> = row.get(1);
    let space = rustix::fs::statvfs(space.map_or(data, PathBuf::from));
    Ok(space.ok().map(|space| space.f_bavail.saturating_mul(space.f_frsize)))
}

/// Whether the server of that data folder runs on this machine: `postmaster.pid` tells in its
/// third line when it started.
fn is_here(data: &Path, started: f64) -> bool {
    let Ok(text) = files::read_text(&data.join("postmaster.pid")) else { return false };
    let written = text.lines().nth(2).and_then(|line| line.trim().parse::<f64>().ok());
    written.is_some_and(|written| (written - started).abs() <= SAME_START)
}
