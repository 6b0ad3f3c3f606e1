//! What a server says of its archiver.

use jiff::Timestamp;
use model::step_error::StepError;
use model::wal::Lsn;

use crate::pg::classify;
use crate::pg::connection::Session;

/// The archiver's own word, the end of the WAL, and the number of the next transaction.
/// <https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ARCHIVER-VIEW>
const SERVER: &str = "SELECT (SELECT system_identifier::text FROM pg_control_system()), \
    current_setting('server_version_num')::int4, \
    pg_size_bytes(current_setting('wal_segment_size')), \
    CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text, \
    clock_timestamp(), current_setting('archive_mode') <> 'off', \
    pg_is_in_recovery() AND current_setting('archive_mode') <> 'always', \
    (pg_snapshot_xmax(pg_current_snapshot())::text::numeric % 4294967296)::int8, \
    a.last_archived_time, a.failed_count, a.last_failed_wal, a.last_failed_time, \
    coalesce(a.last_failed_time > a.last_archived_time, a.last_failed_time IS NOT NULL) \
    FROM pg_stat_archiver AS a";

/// What a server says of its archiver.
pub(super) struct Archiver {
    /// The cluster's system identifier.
    pub(super) system_identifier: String,
    /// The server's major version.
    pub(super) major: u32,
    /// Bytes of a segment.
    pub(super) segment_bytes: u64,
    /// Where its WAL ends.
    pub(super) written: Lsn,
    /// Its clock.
    pub(super) now: Timestamp,
    /// It archives.
    pub(super) on: bool,
    /// It is a standby that does not archive.
    pub(super) only_reads: bool,
    /// The number that the next transaction gets, its lower 32 bits.
    pub(super) next_xid: u32,
    /// When a file was last archived.
    pub(super) last_archived_at: Option<Timestamp>,
    /// How often it has failed.
    pub(super) failed_count: u64,
    /// The file at which it last failed.
    pub(super) last_failed: Option<String>,
    /// When it last failed.
    pub(super) last_failed_at: Option<Timestamp>,
    /// Its last attempt failed.
    pub(super) failing: bool,
}

/// Asks the server.
pub(super) async fn archiver(session: &Session) -> Result<Archiver, StepError> {
    let row = session.query_one(SERVER, &[]).await;
    let row = row.map_err(|error| classify::statement("ask the archiver", &error))?;
    let positive = |number: i64| u64::try_from(number).unwrap_or_default();
    Ok(Archiver {
        system_identifier: row.get(0),
        major: row.get::<_, i32>(1).unsigned_abs() / 10_000,
        segment_bytes: positive(row.get(2)),
        written: row.get::<_, String>(3).parse().unwrap_or_default(),
        now: row.get(4),
        on: row.get(5),
        only_reads: row.get(6),
        next_xid: u32::try_from(row.get::<_, i64>(7)).unwrap_or_default(),
        last_archived_at: row.get(8),
        failed_count: positive(row.get(9)),
        last_failed: row.get(10),
        last_failed_at: row.get(11),
        failing: row.get(12),
    })
}

impl Archiver {
    /// What is wrong with it.
    pub(super) fn judge(&self) -> Result<(), StepError> {
        let message = if !self.on {
            "the server does not archive: `archive_mode` is off".to_owned()
        } else if self.failing {
            format!(
                "the server's archiver fails, last at {} with `{}`",
                self.last_failed_at.map(|at| at.to_string()).unwrap_or_default(),
                self.last_failed.clone().unwrap_or_default()
            )
        } else {
            return Ok(());
        };
        Err(StepError::permanent("RB0599", message).hint(
            "see the server's log: it has what `archive_command` says; WAL piles up until then",
        ))
    }
}
