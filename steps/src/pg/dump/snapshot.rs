//! One moment of the database, held open for several connections.
//!
//! The tables are locked before the snapshot is taken, in every session: a TRUNCATE or a rewrite
//! between the two would show as empty tables, and a session that asks for a lock later could
//! find a third one waiting for us.
//! <https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-SNAPSHOT-SYNCHRONIZATION>,
//! <https://www.postgresql.org/docs/current/mvcc-caveats.html>

use std::collections::HashSet;
use std::time::Duration;

use engine::context::StepContext;
use jiff::Timestamp;
use model::set::manifest::{Scope, TableName};
use model::step_error::{ErrorClass, StepError};

use super::locks::{self, Locks};
use crate::pg::catalogue::{SizedTable, list_tables};
use crate::pg::classify;
use crate::pg::connection::{Session, connect_pinned};
use crate::pg::sql;
use crate::pg::target::Target;

/// How often the tables may change between listing and locking them.
const LOCK_ROUNDS: u32 = 5;

/// How long `pg_dump` may wait for a lock: long enough for a wait that is nearly over, short
/// enough not to hold up the application whose change of a table waits for us.
const CHILD_LOCK_WAIT: Duration = Duration::from_secs(5);

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
    locks: Locks,
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
            let locks = Locks::new(seen.iter().map(|(_, table)| table), lock_timeout);
            match locks.wait(ctx, target, &exporter).await {
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

    /// Another session that sees the same moment. It waits for no lock.
    pub(super) async fn join(
        &self,
        ctx: &StepContext,
        target: &Target,
    ) -> Result<Session, StepError> {
        let session = connect_pinned(ctx, target).await?;
        if let Err(error) = self.locks.take_now(&session).await {
            return Err(self.explain(error).await);
        }
        let snapshot = format!("SET TRANSACTION SNAPSHOT {}", sql::literal(&self.id));
        session
            .execute_all("share the snapshot", &snapshot)
            .await
            .map_err(classify::not_applied)?;
        Ok(session)
    }

    /// `--lock-wait-timeout` of `pg_dump`, in milliseconds.
    pub(super) fn lock_wait(&self) -> u128 {
        self.lock_timeout.min(CHILD_LOCK_WAIT).as_millis()
    }

    /// Says who is in the way, when that is what the error is about.
    pub(super) async fn explain(&self, error: StepError) -> StepError {
        locks::explain(&self.exporter, error).await
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
    Err(pooled())
}

fn pooled() -> StepError {
    StepError::needs_operator("RB0518", "the connection goes through a transaction pooler")
        .hint("give the connection the server's own host and port")
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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use engine::memory_host::MemoryHost;
    use engine::settings::ConnectionSettings;
    use lab::cluster::ClusterOptions;
    use tokio_util::sync::CancellationToken;

    use super::super::schema::Writer;
    use super::*;
    use crate::pg::connection::connect;
    use crate::pg::copy::Place;
    use crate::pg::programs::ClientProgram;
    use crate::store::FileStore;

    /// An ALTER TABLE that comes between the locks of the first session and those of another, or
    /// of `pg_dump`, waits for the first session: whoever waits behind it waits for himself.
    #[tokio::test(flavor = "multi_thread")]
    async fn nobody_waits_behind_a_change_that_waits_for_the_dump() {
        let cluster = ClusterOptions::new().start().unwrap();
        cluster.execute("postgres", "CREATE TABLE a (n int)").unwrap();
        let settings = ConnectionSettings {
            name: "prod".to_owned(),
            url: Some(cluster.url("postgres").into()),
            ..ConnectionSettings::default()
        };
        let target = Target::resolve(&settings).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let now = "2026-11-20T02:00:00Z".parse().unwrap();
        let host = Arc::new(MemoryHost::new(now, folder.path().to_owned()));
        let ctx = host.context("dump", 1, CancellationToken::new());
        let minute = Duration::from_mins(1);
        let mut snapshot = Snapshot::take(&ctx, &target, &Scope::Full, minute).await.unwrap();

        let change = connect(&ctx, &target).await.unwrap();
        let pid = change.text("pid", "SELECT pg_backend_pid()::text").await.unwrap();
        let changing = tokio::spawn(async move {
            change.execute_all("alter", "ALTER TABLE a ADD COLUMN m int").await
        });
        let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted";
        while cluster.query_one("postgres", waits).unwrap() == "0" {
            ctx.sleep(Duration::from_millis(10)).await.unwrap();
        }
        let said = format!("`public.a` (process {pid} waits for ACCESS EXCLUSIVE, behind ");

        let joined = tokio::time::timeout(minute / 6, snapshot.join(&ctx, &target)).await;
        let Err(error) = joined.expect("it does not wait") else { panic!("it has no lock") };
        assert_eq!((error.code.as_str(), error.class), ("RB0508", ErrorClass::Transient));
        assert!(error.message.contains(&said), "{error:?}");

        assert_eq!(snapshot.lock_wait(), 5_000);
        snapshot.lock_timeout = Duration::from_millis(300);
        let store = store(folder.path());
        let folder = "sets/a/b".to_owned();
        let place = Place { ctx: ctx.clone(), store: Arc::new(store), folder, seal: None };
        let writer = Writer { target: &target, place: &place };
        let program = ClientProgram::find(&ctx, &target, "pg_dump").await.unwrap();
        let error = writer.schema(&program, &snapshot, &Scope::Full).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.class), ("RB0508", ErrorClass::Transient));
        assert!(error.message.contains(&said), "{error:?}");

        snapshot.exporter.close().await;
        changing.await.unwrap().unwrap();
    }

    fn store(folder: &Path) -> FileStore {
        FileStore::open(&format!("file://{}/store", folder.display())).unwrap()
    }

    #[test]
    fn a_pooler_is_named() {
        shown::case("RB0518", pooled().told());
    }
}
