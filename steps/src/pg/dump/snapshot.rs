//! One moment of the database, held open for several connections.
//!
//! The tables are locked before the snapshot is taken, in every session: a TRUNCATE or a rewrite
//! between the two would show as empty tables, and a session that asks for a lock later could
//! wait for a third one that waits for us.
//! <https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-SNAPSHOT-SYNCHRONIZATION>,
//! <https://www.postgresql.org/docs/current/mvcc-caveats.html>

use std::collections::HashSet;
use std::time::Duration;

use engine::context::StepContext;
use jiff::Timestamp;
use model::set::manifest::{Scope, TableName};
use model::step_error::{ErrorClass, StepError};

use crate::pg::catalogue::{SizedTable, list_tables};
use crate::pg::classify;
use crate::pg::connection::{Session, connect_pinned};
use crate::pg::sql;
use crate::pg::target::Target;

/// How often the tables may change between listing and locking them.
const LOCK_ROUNDS: u32 = 5;

const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// A snapshot that lives as long as its first session.
pub(super) struct Snapshot {
    /// The session that exported it.
    pub(super) exporter: Session,
    /// Its name for `SET TRANSACTION SNAPSHOT` and `pg_dump --snapshot`.
    pub(super) id: String,
    /// It holds what was committed before this moment.
    pub(super) time: Timestamp,
    /// The tables of the scope in it.
    pub(super) tables: Vec<SizedTable>,
    /// `server_version_num`.
    pub(super) server_version: u32,
    locks: String,
    lock_timeout: Duration,
}

impl Snapshot {
    /// Locks the tables and takes the snapshot.
    pub(super) async fn take(
        ctx: &StepContext,
        target: &Target,
        scope: &Scope,
        lock_timeout: Duration,
    ) -> Result<Self, StepError> {
        let exporter = connect_pinned(ctx, target).await?;
        refuse_pooler(&exporter).await?;
        let server_version = exporter.server_version().await?;
        let mut seen = lockable(&exporter).await?;
        for _ in 0..LOCK_ROUNDS {
            let locks = lock_statement(&seen, lock_timeout);
            match begin_locked(&exporter, &locks).await {
                Ok(()) => {}
                Err(error) if was_dropped(&error) => {
                    roll_back(&exporter).await?;
                    seen = lockable(&exporter).await?;
                    continue;
                }
                Err(error) => return Err(error),
            }
            let (id, time) = export(&exporter).await?;
            let now = lockable(&exporter).await?;
            let locked: HashSet<_> = seen.iter().map(|(oid, _)| *oid).collect();
            if now.iter().all(|(oid, _)| locked.contains(oid)) {
                let (tables, _) = list_tables(&exporter, scope).await?;
                return Ok(Self {
                    exporter,
                    id,
                    time,
                    tables,
                    server_version,
                    locks,
                    lock_timeout,
                });
            }
            roll_back(&exporter).await?;
            seen = now;
        }
        let message = "tables are created faster than they can be locked";
        Err(StepError::transient("RB0508", message).hint("run it when no migration runs"))
    }

    /// Another session that sees the same moment.
    pub(super) async fn join(
        &self,
        ctx: &StepContext,
        target: &Target,
    ) -> Result<Session, StepError> {
        let session = connect_pinned(ctx, target).await?;
        begin_locked(&session, &self.locks).await?;
        let snapshot = format!("SET TRANSACTION SNAPSHOT {}", sql::literal(&self.id));
        session
            .execute_all("share the snapshot", &snapshot)
            .await
            .map_err(classify::not_applied)?;
        Ok(session)
    }

    /// `--lock-wait-timeout` of `pg_dump`, in milliseconds.
    pub(super) fn lock_wait(&self) -> u128 {
        self.lock_timeout.as_millis()
    }
}

/// A pooler in transaction mode loses settings, prepared statements and snapshots between
/// transactions; then nothing here would mean what it says.
async fn refuse_pooler(session: &Session) -> Result<(), StepError> {
    let what = "look for a connection pooler";
    session.execute_all(what, "SET runbook.probe = 'kept'").await?;
    let probe = "SELECT coalesce(current_setting('runbook.probe', true), '')";
    if session.text(what, probe).await? == "kept" {
        return Ok(());
    }
    Err(StepError::needs_operator("RB0518", "the connection goes through a transaction pooler")
        .hint("give the connection the server's own host and port"))
}

/// What `pg_dump` locks: tables and partitioned tables, not foreign tables or views.
async fn lockable(session: &Session) -> Result<Vec<(u32, TableName)>, StepError> {
    let rows = session
        .query(
            "SELECT c.oid, n.nspname::text, c.relname::text
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
               AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
             ORDER BY c.oid",
            &[],
        )
        .await;
    let rows = rows
        .map_err(|error| classify::not_applied(classify::statement("list the tables", &error)))?;
    let name = |row: &tokio_postgres::Row| TableName { schema: row.get(1), name: row.get(2) };
    Ok(rows.iter().map(|row| (row.get(0), name(row))).collect())
}

fn lock_statement(tables: &[(u32, TableName)], timeout: Duration) -> String {
    if tables.is_empty() {
        return String::new();
    }
    let names: Vec<_> = tables
        .iter()
        .map(|(_, table)| format!("ONLY {}", sql::qualified(&table.schema, &table.name)))
        .collect();
    let timeout = timeout.as_millis();
    let names = names.join(", ");
    format!(
        "SET LOCAL lock_timeout = {timeout}; LOCK TABLE {names} IN ACCESS SHARE MODE; \
         SET LOCAL lock_timeout = 0"
    )
}

async fn begin_locked(session: &Session, locks: &str) -> Result<(), StepError> {
    let locked = session.execute_all("lock the tables", &format!("{BEGIN}; {locks}")).await;
    locked.map_err(classify::not_applied)
}

fn was_dropped(error: &StepError) -> bool {
    error.class == ErrorClass::Permanent
        && (error.message.contains("42P01") || error.message.contains("3F000"))
}

async fn roll_back(session: &Session) -> Result<(), StepError> {
    session.execute_all("end a transaction", "ROLLBACK").await
}

async fn export(session: &Session) -> Result<(String, Timestamp), StepError> {
    let sql = "SELECT pg_export_snapshot(), statement_timestamp()";
    let row = session.query_one(sql, &[]).await;
    let values = row.and_then(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
    values.map_err(|error| classify::not_applied(classify::statement("take a snapshot", &error)))
}
