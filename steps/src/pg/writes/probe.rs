//! A write as the application would do it, to see whether it is refused.

use engine::context::StepContext;
use model::step_error::StepError;

use super::Method;
use crate::pg::classify::{not_applied, statement};
use crate::pg::connection::connect_named;

/// Leaves nothing behind; refused in a read-only transaction before privileges are looked at.
const WRITE: &str = "CREATE TEMPORARY TABLE runbook_probe () ON COMMIT DROP";

const READ_ONLY: &str = "25006";

/// What became of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Probed {
    Written,
    ReadOnly,
    /// The login was refused; why.
    NoLogin(String),
    /// It was refused for another reason.
    Other(String),
}

/// Logs in and writes.
pub(super) async fn probe(ctx: &StepContext, connection: &str) -> Result<Probed, StepError> {
    let session = match connect_named(ctx, connection).await {
        Ok(session) => session,
        Err(error) if error.code == "RB0502" => return Ok(Probed::NoLogin(error.message)),
        Err(error) => return Err(error),
    };
    let begun = session.batch_execute("BEGIN").await;
    begun.map_err(|error| not_applied(statement("begin", &error)))?;
    let probed = match session.batch_execute(WRITE).await {
        Ok(()) => Probed::Written,
        Err(error) => match error.as_db_error() {
            Some(refusal) if refusal.code().code() == READ_ONLY => Probed::ReadOnly,
            Some(refusal) => Probed::Other(refusal.message().to_owned()),
            None => return Err(not_applied(statement("the probe", &error))),
        },
    };
    session.batch_execute("ROLLBACK").await.ok();
    session.close().await;
    Ok(probed)
}

/// Before: a probe that cannot write anyhow proves nothing afterwards.
pub(super) async fn check_writes(ctx: &StepContext, connection: &str) -> Result<(), StepError> {
    let why = match probe(ctx, connection).await? {
        Probed::Written => return Ok(()),
        Probed::ReadOnly => "its transactions are read-only already".to_owned(),
        Probed::NoLogin(why) | Probed::Other(why) => why,
    };
    let message = format!("the probe `{connection}` cannot write before writes are blocked: {why}");
    Err(StepError::needs_operator("RB0577", message)
        .hint("name a connection that writes as the application does, or leave `probe` out"))
}

/// After: the write must be refused, for the right reason.
pub(super) async fn check_refused(
    ctx: &StepContext,
    connection: &str,
    method: Method,
) -> Result<String, StepError> {
    let found = probe(ctx, connection).await?;
    match (method, &found) {
        (Method::ReadOnly, Probed::ReadOnly) => {
            Ok(format!("a write as `{connection}` is refused: the transaction is read-only"))
        }
        (Method::PgHba, Probed::NoLogin(why)) => {
            Ok(format!("a login as `{connection}` is refused: {why}"))
        }
        _ => {
            let message = format!("writes as `{connection}` are not refused after all");
            let error = StepError::permanent("RB0577", message);
            Err(error.hint("see which role and which settings it connects with"))
        }
    }
}
