//! The server that is copied, and whether it can be.

use jiff::Timestamp;
use model::base::BaseServer;
use model::step_error::StepError;

use super::Input;
use crate::pg::classify;
use crate::pg::connection::Session;

/// From this server on, a backup may hold what changed only.
const INCREMENTAL: u32 = 17_00_00;

const LOOK: &str = "SELECT current_setting('server_version'), \
    current_setting('server_version_num')::int4, pg_is_in_recovery(), \
    (SELECT system_identifier::text FROM pg_control_system()), \
    pg_size_bytes(current_setting('wal_segment_size')), clock_timestamp(), \
    coalesce((SELECT string_agg(spcname::text, '`, `') FROM pg_tablespace \
              WHERE pg_tablespace_location(oid) <> ''), ''), \
    (SELECT sum(pg_database_size(oid))::int8 FROM pg_database), \
    coalesce(current_setting('summarize_wal', true), 'off')";

/// What is known of the server before it is copied.
pub(super) struct CopiedServer {
    pub(super) system_identifier: String,
    pub(super) version: String,
    pub(super) version_num: u32,
    pub(super) in_recovery: bool,
    pub(super) segment_bytes: u64,
    /// The server's clock.
    pub(super) now: Timestamp,
    /// Bytes of all databases.
    pub(super) bytes: u64,
}

impl CopiedServer {
    /// Looks at the server and refuses what cannot be copied.
    pub(super) async fn look(session: &Session, input: &Input) -> Result<Self, StepError> {
        let row = session.query_one(LOOK, &[]).await;
        let row = row.map_err(|error| classify::statement("look at the cluster", &error))?;
        let tablespaces: String = row.get(6);
        if !tablespaces.is_empty() {
            return Err(outside(&tablespaces));
        }
        let positive = |number: i64| u64::try_from(number).unwrap_or_default();
        let server = Self {
            version: row.get(0),
            version_num: row.get::<_, i32>(1).unsigned_abs(),
            in_recovery: row.get(2),
            system_identifier: row.get(3),
            segment_bytes: positive(row.get(4)),
            now: row.get(5),
            bytes: positive(row.get(7)),
        };
        if input.parent.is_some() {
            server.check_incremental(row.get::<_, String>(8) == "on")?;
        }
        Ok(server)
    }

    pub(super) fn major(&self) -> u32 {
        self.version_num / 10_000
    }

    fn check_incremental(&self, summarizes: bool) -> Result<(), StepError> {
        let why = if self.version_num < INCREMENTAL {
            format!(
                "the server is PostgreSQL {}, and incremental backups came with 17",
                self.version
            )
        } else if !summarizes {
            "the server does not note what changes (`summarize_wal` is off)".to_owned()
        } else {
            return Ok(());
        };
        let message = format!("no incremental backup can be taken: {why}");
        Err(StepError::needs_operator("RB0625", message).hint(
            "leave `parent` out for a full backup, or set `summarize_wal = on` on PostgreSQL 17",
        ))
    }

    /// For the manifest.
    pub(super) fn described(&self, endpoint: String) -> BaseServer {
        BaseServer {
            system_identifier: self.system_identifier.clone(),
            version: self.version.clone(),
            version_num: self.version_num,
            endpoint,
            in_recovery: self.in_recovery,
            segment_bytes: self.segment_bytes,
        }
    }
}

fn outside(names: &str) -> StepError {
    let message = format!("tablespaces lie outside of the cluster's data folder: `{names}`");
    StepError::permanent("RB0621", message).hint(
        "base backups hold the data folder only; use `pg.dump`, or a tool that maps tablespaces",
    )
}

/// The server's clock.
pub(super) async fn clock(session: &Session) -> Result<Timestamp, StepError> {
    let row = session.query_one("SELECT clock_timestamp()", &[]).await;
    let row =
        row.map_err(|error| classify::not_applied(classify::statement("read the clock", &error)));
    Ok(row?.get(0))
}
