//! Whether writes can be blocked on a server at all.

use jiff::Timestamp;
use model::step_error::StepError;

use super::Method;
use crate::pg::classify::{not_applied, statement};
use crate::pg::connection::Session;

/// Settings of a role or a database win over the server's.
const OVERRIDES: &str = "SELECT concat_ws(' in ', coalesce('role ' || quote_ident(r.rolname), \
    'every role'), 'database ' || quote_ident(d.datname)) \
    FROM pg_db_role_setting AS s LEFT JOIN pg_roles AS r ON r.oid = s.setrole \
    LEFT JOIN pg_database AS d ON d.oid = s.setdatabase \
    WHERE EXISTS (SELECT FROM unnest(s.setconfig) AS c WHERE c ~* \
    '^default_transaction_read_only=(off|false|no|0)') ORDER BY 1";

fn cannot(message: String, hint: &str) -> StepError {
    StepError::needs_operator("RB0574", message).hint(hint)
}

/// Refuses what is no primary, and a role that may not do it.
pub(super) async fn check_blockable(
    session: &Session,
    connection: &str,
    method: Method,
) -> Result<(), StepError> {
    check_superuser(session, connection).await?;
    if in_recovery(session).await? {
        return Err(cannot(
            format!("the server of `{connection}` is a standby: it takes no writes"),
            "name the connection of the primary",
        ));
    }
    if method == Method::ReadOnly {
        let rows = session.query(OVERRIDES, &[]).await;
        let rows = rows.map_err(|e| not_applied(statement("look at the roles' settings", &e)))?;
        let whose: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        if !whose.is_empty() {
            return Err(cannot(
                format!("settings of their own let some write on: {}", whose.join(", ")),
                "reset `default_transaction_read_only` of these, or use `method: pg_hba`",
            ));
        }
    }
    Ok(())
}

/// Only a superuser may do this; managed services have none.
pub(super) async fn check_superuser(session: &Session, connection: &str) -> Result<(), StepError> {
    let sql = "SELECT rolsuper::text FROM pg_roles WHERE rolname = current_user";
    if session.text("read the role", sql).await.map_err(not_applied)? == "true" {
        return Ok(());
    }
    Err(cannot(
        format!("the role of `{connection}` is no superuser"),
        "connect as one; a managed service has its own means, such as a parameter group with \
         `default_transaction_read_only`, or a network rule",
    ))
}

pub(super) async fn in_recovery(session: &Session) -> Result<bool, StepError> {
    let sql = "SELECT pg_is_in_recovery()::text";
    Ok(session.text("ask the server", sql).await.map_err(not_applied)? == "true")
}

/// The server's own time.
pub(super) async fn now(session: &Session) -> Result<Timestamp, StepError> {
    let row = session.query_one("SELECT clock_timestamp()", &[]).await;
    Ok(row.map_err(|error| not_applied(statement("read the server's time", &error)))?.get(0))
}
