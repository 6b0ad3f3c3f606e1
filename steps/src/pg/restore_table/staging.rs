//! The schema in which the rows of a set lie beside the living tables.
//!
//! Its comment is a lease: whose it is, what it holds, whether that is whole, and until when it
//! may stay without its run. Tables in it are unlogged: no publication sends their rows, and the
//! number of rows tells whether a crash of the server has emptied them.

use std::time::Duration;

use engine::context::StepContext;
use jiff::Timestamp;
use model::set::manifest::{Format, Table, TableName};
use model::step_error::StepError;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::live::Live;
use super::text_rows;
use crate::pg::connection::{Session, connect_even_cancelled};
use crate::pg::copy::{CopyParts, OpenSet};
use crate::pg::meter::Meter;
use crate::pg::target::Target;
use crate::pg::{classify, sql};
use crate::store::hex;

/// The fact that announces a staging schema.
const FACT: &str = "staging";

/// How the names start that this step gives.
const PREFIX: &str = "rb_staging_";

/// How long a staging schema may live without its run.
const LEASE: Duration = Duration::from_hours(24);

/// The comment on the schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Lease {
    runbook: String,
    set: String,
    tables: Vec<String>,
    /// All rows are there.
    whole: bool,
    expires: Timestamp,
}

/// A table that is wanted from the set, and the one that is there.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) live: Live,
    pub(super) table: Table,
    /// Where its rows are staged.
    pub(super) staged: TableName,
}

/// Rows of a set on their way into a staging schema.
pub(super) struct Load<'a> {
    pub(super) ctx: &'a StepContext,
    pub(super) target: &'a Target,
    pub(super) from: &'a OpenSet<'a>,
    pub(super) meter: &'a Meter,
    pub(super) jobs: usize,
    /// The schema.
    pub(super) schema: &'a str,
}

/// The schema of a step whose plan gives it no name: the same in every attempt.
pub(super) fn own_name(ctx: &StepContext) -> String {
    let id = ctx.id();
    let step = hex(Sha256::digest(id.step.as_str()));
    format!("{PREFIX}{}_{}", id.run.to_string().to_lowercase(), &step[..8])
}

/// The name of a table in the schema: its own, unless two of several schemas share it.
pub(super) fn staged_name(name: &TableName, all: &[TableName]) -> String {
    let shared = all.iter().filter(|other| other.name == name.name).count() > 1;
    if shared { format!("{}.{}", name.schema, name.name) } else { name.name.clone() }
}

impl Wanted {
    /// The staged table as SQL takes it.
    fn staged(&self) -> String {
        sql::qualified(&self.staged.schema, &self.staged.name)
    }
}

impl Load<'_> {
    /// Fills the schema, or takes it up when this run has filled it with the same before. Gives
    /// whether it was taken up.
    pub(super) async fn ready(
        &self,
        session: &Session,
        wanted: &[Wanted],
    ) -> Result<bool, StepError> {
        drop_expired(self.ctx, session, self.schema).await?;
        if let Some(comment) = look(session, self.schema).await? {
            let lease = comment.and_then(|text| serde_json::from_str::<Lease>(&text).ok());
            let ours = lease.filter(|lease| lease.runbook == self.ctx.id().run.to_string());
            let lease = ours.ok_or_else(|| foreign(self.schema))?;
            if self.is_filled(session, &lease, wanted).await? {
                self.ctx.log(format!("schema `{}` holds the rows already", self.schema));
                return Ok(true);
            }
            drop_schema(session, self.schema).await?;
        }
        self.fill(session, wanted).await?;
        Ok(false)
    }

    async fn is_filled(
        &self,
        session: &Session,
        lease: &Lease,
        wanted: &[Wanted],
    ) -> Result<bool, StepError> {
        let holds = |wanted: &Wanted| lease.tables.contains(&wanted.live.name.to_string());
        let set = self.from.set.manifest.set.to_string();
        if !lease.whole || lease.set != set || !wanted.iter().all(holds) {
            return Ok(false);
        }
        Ok(self.count(session, wanted).await?.is_ok())
    }

    async fn fill(&self, session: &Session, wanted: &[Wanted]) -> Result<(), StepError> {
        self.ctx.record(FACT, self.schema).await?;
        let schema = sql::identifier(self.schema);
        let create = format!("CREATE SCHEMA {schema}; {}", self.comment(wanted, false));
        session.execute_all(&format!("create schema `{}`", self.schema), &create).await?;
        for one in wanted {
            // Without checks: rows may break those that are `NOT VALID`, and stay as they are.
            let create = format!(
                "CREATE UNLOGGED TABLE {} (LIKE {} INCLUDING GENERATED){}",
                one.staged(),
                one.live.qualified(),
                one.live.in_tablespace()
            );
            session.execute_all(&format!("stage `{}`", one.live.name), &create).await?;
        }
        self.copy(wanted).await?;
        self.count(session, wanted).await??;
        let whole = self.comment(wanted, true);
        session.execute_all("mark the staged rows", &whole).await
    }

    fn comment(&self, wanted: &[Wanted], whole: bool) -> String {
        let lease = Lease {
            runbook: self.ctx.id().run.to_string(),
            set: self.from.set.manifest.set.to_string(),
            tables: wanted.iter().map(|one| one.live.name.to_string()).collect(),
            whole,
            expires: self.ctx.now() + LEASE,
        };
        let lease = serde_json::to_string(&lease).expect("a lease is plain data");
        let schema = sql::identifier(self.schema);
        format!("COMMENT ON SCHEMA {schema} IS {}", sql::literal(&lease))
    }

    async fn copy(&self, wanted: &[Wanted]) -> Result<(), StepError> {
        let staged = |one: &Wanted| Table {
            schema: one.staged.schema.clone(),
            name: one.staged.name.clone(),
            ..one.table.clone()
        };
        let staged: Vec<Table> = wanted.iter().map(staged).collect();
        let tables = wanted.iter().map(|one| &one.table).zip(&staged);
        if self.from.set.manifest.format == Format::Objects {
            let Self { ctx, target, from, meter, jobs, .. } = *self;
            let copy = CopyParts { ctx, target, from, jobs, meter, analyze: false };
            return copy.run(tables).await;
        }
        let archive = text_rows::archive(self).await?;
        for (table, to) in tables {
            text_rows::load(self, table, to, archive.as_ref()).await?;
        }
        Ok(())
    }

    /// Whether the schema holds as many rows as the manifest says.
    async fn count(
        &self,
        session: &Session,
        wanted: &[Wanted],
    ) -> Result<Result<(), StepError>, StepError> {
        for one in wanted {
            let count = format!("SELECT count(*) FROM {}", one.staged());
            let row = session.query_one(&count, &[]).await;
            let row = row.map_err(|error| classify::statement("count the staged rows", &error))?;
            let found = row.get::<_, i64>(0).unsigned_abs();
            if let Err(error) = check_count(&one.live.name, one.table.rows, found) {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }
}

/// The number of staged rows is the manifest's.
pub(super) fn check_count(
    name: &TableName,
    expected: Option<u64>,
    found: u64,
) -> Result<(), StepError> {
    match expected {
        Some(expected) if expected != found => {
            let message = format!(
                "{found} rows of `{name}` are staged, where the manifest counts {expected}"
            );
            Err(StepError::transient("RB0539", message)
                .hint("the next attempt reads them again; the table was not touched"))
        }
        _ => Ok(()),
    }
}

fn foreign(schema: &str) -> StepError {
    StepError::permanent("RB0539", format!("schema `{schema}` exists and is not this run's"))
        .hint("name another with `staging`, or drop it; nothing was done")
}

/// The comment of the schema, when there is one of that name.
pub(super) async fn look(
    session: &Session,
    schema: &str,
) -> Result<Option<Option<String>>, StepError> {
    let sql = "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = $1";
    let row = session.query_opt(sql, &[&schema]).await;
    let row = row.map_err(|error| classify::statement("look for the staging schema", &error))?;
    Ok(row.map(|row| row.get(0)))
}

/// Whether the schema is that of `run` and holds all its rows.
pub(super) async fn is_whole(
    session: &Session,
    schema: &str,
    run: &str,
) -> Result<bool, StepError> {
    let comment = look(session, schema).await?.flatten();
    let lease = comment.and_then(|text| serde_json::from_str::<Lease>(&text).ok());
    Ok(lease.is_some_and(|lease| lease.whole && lease.runbook == run))
}

/// Drops the schema, in the session's transaction if it has one.
pub(super) async fn drop_schema(session: &Session, schema: &str) -> Result<(), StepError> {
    let drop = format!("DROP SCHEMA IF EXISTS {} CASCADE", sql::identifier(schema));
    session.execute_all(&format!("drop schema `{schema}`"), &drop).await
}

/// Drops the schema when it is there and `run` made it; one that is not that run's is an error.
pub(super) async fn drop_own(
    ctx: &StepContext,
    session: &Session,
    schema: &str,
    run: &str,
) -> Result<(), StepError> {
    let Some(comment) = look(session, schema).await? else {
        ctx.log(format!("schema `{schema}` is gone already"));
        return Ok(());
    };
    let lease = comment.and_then(|text| serde_json::from_str::<Lease>(&text).ok());
    if lease.is_none_or(|lease| lease.runbook != run) {
        return Err(foreign(schema));
    }
    drop_schema(session, schema).await
}

/// Drops the schema after a failure, also after a cancellation. When that fails the lease ends
/// some day.
pub(super) async fn discard(ctx: &StepContext, target: &Target, schema: &str) {
    let dropped = async {
        let session = connect_even_cancelled(ctx, target).await?;
        let patience = session.execute_all("wait for locks", "SET lock_timeout = '30s'");
        patience.await?;
        drop_schema(&session, schema).await?;
        session.close().await;
        Ok::<_, StepError>(())
    };
    if let Err(error) = dropped.await {
        ctx.log(format!("staging schema `{schema}` could not be dropped: {error}"));
    }
}

/// Drops what other runs left whose lease has ended.
async fn drop_expired(ctx: &StepContext, session: &Session, own: &str) -> Result<(), StepError> {
    let sql = "SELECT nspname::text, obj_description(oid, 'pg_namespace') FROM pg_namespace
               WHERE nspname ~ '^rb_staging_' AND nspname <> $1";
    let rows = session.query(sql, &[&own]).await;
    let rows = rows.map_err(|error| classify::statement("look for left schemas", &error))?;
    for row in rows {
        let (schema, comment): (String, Option<String>) = (row.get(0), row.get(1));
        let lease = comment.and_then(|text| serde_json::from_str::<Lease>(&text).ok());
        if let Some(lease) = lease.filter(|lease| lease.expires < ctx.now()) {
            ctx.log(format!("dropping schema `{schema}`, left by run {}", lease.runbook));
            if let Err(error) = drop_schema(session, &schema).await {
                ctx.log(format!("`{schema}` could not be dropped: {error}"));
            }
        }
    }
    Ok(())
}
