//! The proof that a server writes: a row that is committed, read back in another session, removed.
//!
//! The row is a large object: a real row in WAL and on disk that needs no schema and no privilege
//! to create one, fires no trigger, and is no part of any publication.

use std::time::Duration;

use engine::context::StepContext;
use model::step_error::StepError;
use serde::{Deserialize, Serialize};
use tokio_postgres::types::Oid;

use crate::pg::classify;
use crate::pg::connection::{Session, connect_even_cancelled};
use crate::pg::target::Target;

/// The fact that holds the row before it is committed.
const FACT: &str = "proof_row";

/// A commit that is not confirmed by then waits for something.
const COMMIT_WITHIN: Duration = Duration::from_secs(10);

/// A row about to be committed.
#[derive(Serialize, Deserialize)]
struct Row {
    oid: Oid,
}

/// What the row says; the same in every attempt.
fn mark(ctx: &StepContext) -> String {
    format!("written by runbook, run {}, step {}", ctx.id().run, ctx.id().step)
}

/// The server does not write although it was promoted.
pub(super) fn not_writing(connection: &str, why: &str) -> StepError {
    let message = format!("the server of `{connection}` is promoted, and takes no writes: {why}");
    StepError::needs_operator("RB0558", message)
        .hint("put it right, then `runbook resume`: it is proved again, never promoted again")
}

/// Writes a row with the settings that any new session has, reads it back and removes it.
pub(super) async fn writes(ctx: &StepContext, target: &Target) -> Result<(), StepError> {
    let session = connect_even_cancelled(ctx, target).await?;
    let read_only = session.text("read its settings", "SHOW transaction_read_only").await?;
    if read_only == "on" {
        let why = "new transactions are read-only (`default_transaction_read_only`)";
        return Err(not_writing(&target.name, why));
    }
    remove_leftovers(ctx, &session).await?;
    let oid = write(ctx, &session, target).await?;
    session.close().await;
    let other = connect_even_cancelled(ctx, target).await?;
    if !holds(&other, oid, &mark(ctx)).await? {
        return Err(not_writing(&target.name, "a row that was committed cannot be read back"));
    }
    remove(&other, oid).await?;
    other.close().await;
    Ok(())
}

async fn write(ctx: &StepContext, session: &Session, target: &Target) -> Result<Oid, StepError> {
    let failed = |error| classify::statement("write a row", &error);
    session.execute_all("write a row", "BEGIN").await?;
    let row = session.query_one("SELECT lo_from_bytea(0, $1)", &[&mark(ctx).as_bytes()]).await;
    let oid = row.map_err(failed)?.get(0);
    ctx.record(FACT, Row { oid }).await?;
    let commit = session.execute_all("commit a row", "COMMIT");
    let Ok(committed) = tokio::time::timeout(COMMIT_WITHIN, commit).await else {
        let why = "a commit is not confirmed; is a standby missing that \
                   `synchronous_standby_names` asks for?";
        return Err(not_writing(&target.name, why));
    };
    committed.map(|()| oid)
}

async fn holds(session: &Session, oid: Oid, mark: &str) -> Result<bool, StepError> {
    let failed = |error| classify::statement("read a row back", &error);
    let sql = "SELECT lo_get(oid) FROM pg_largeobject_metadata WHERE oid = $1";
    let row = session.query_opt(sql, &[&oid]).await.map_err(failed)?;
    Ok(row.is_some_and(|row| row.get::<_, Vec<u8>>(0) == mark.as_bytes()))
}

async fn remove(session: &Session, oid: Oid) -> Result<(), StepError> {
    let failed = |error| classify::statement("remove a row", &error);
    session.query_one("SELECT lo_unlink($1)", &[&oid]).await.map_err(failed).map(drop)
}

/// Rows of attempts that were cut off before they removed them.
async fn remove_leftovers(ctx: &StepContext, session: &Session) -> Result<(), StepError> {
    let rows = ctx.facts().into_iter().filter(|fact| fact.name == FACT);
    for row in rows.filter_map(|fact| serde_json::from_value::<Row>(fact.data).ok()) {
        if holds(session, row.oid, &mark(ctx)).await? {
            remove(session, row.oid).await?;
        }
    }
    Ok(())
}
