//! Asking the server within a transaction that is not committed yet: no error means that
//! something was applied.

use model::step_error::StepError;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

use crate::pg::classify;
use crate::pg::connection::Session;

/// What an error says when nothing can have been committed.
pub(super) fn failed(what: &str, error: &Error) -> StepError {
    classify::not_applied(classify::statement(what, error))
}

/// The rows of a query.
pub(super) async fn rows(
    session: &Session,
    what: &str,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, StepError> {
    session.query(sql, params).await.map_err(|error| failed(what, &error))
}

/// Runs a statement and gives how many rows it touched.
pub(super) async fn touch(session: &Session, what: &str, sql: &str) -> Result<u64, StepError> {
    session.execute(sql, &[]).await.map_err(|error| failed(what, &error))
}

/// Runs statements.
pub(super) async fn run(session: &Session, what: &str, sql: &str) -> Result<(), StepError> {
    session.execute_all(what, sql).await.map_err(classify::not_applied)
}

/// Names and times as the role sees them: for text of the plan's author, and while triggers of the
/// database fire.
pub(super) async fn as_role(session: &Session) -> Result<(), StepError> {
    run(session, "set up the session", "RESET search_path; RESET TimeZone").await
}

/// Names and times as they are pinned.
pub(super) async fn as_pinned(session: &Session) -> Result<(), StepError> {
    let pins = "SET search_path = pg_catalog; SET TimeZone = 'UTC'";
    run(session, "set up the session", pins).await
}
