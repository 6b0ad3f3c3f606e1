//! The mark of blocked writes: a setting of our own in `postgresql.auto.conf`, which no standby
//! gets by replication, and which survives a restart. It says who blocked, and what was before.
//! <https://www.postgresql.org/docs/current/runtime-config-custom.html>

use engine::context::StepContext;
use model::step_error::StepError;
use serde::{Deserialize, Serialize};

use super::Method;
use crate::pg::classify::{not_applied, statement};
use crate::pg::connection::{Session, connect_named};
use crate::pg::sql::literal;

/// How often a new session is opened to see whether the server has read its settings again.
const LOOKS: u32 = 100;

const BETWEEN: std::time::Duration = std::time::Duration::from_millis(100);

/// A setting that the server does not know is known to a session that has set it.
const KNOWN: &str = "SET runbook.writes_blocked = ''";

/// The last line counts, as for the server.
const WRITTEN: &str =
    "SELECT setting FROM pg_file_settings WHERE name = $1 ORDER BY seqno DESC LIMIT 1";

const WRITTEN_BY_US: &str = "SELECT setting FROM pg_file_settings WHERE name = $1 \
    AND sourcefile ~ '/postgresql\\.auto\\.conf$' ORDER BY seqno DESC LIMIT 1";

/// Who blocked the writes of a server, how, and what was before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// The run and the step.
    pub(super) by: String,
    pub(super) method: Method,
    /// What `ALTER SYSTEM` had set before, if anything.
    pub(super) former: Option<String>,
}

/// `<run>/<step>`.
pub(super) fn owner(ctx: &StepContext) -> String {
    format!("{}/{}", ctx.id().run, ctx.id().step)
}

async fn setting(session: &Session, sql: &str, name: &str) -> Result<Option<String>, StepError> {
    let row = session.query_opt(sql, &[&name]).await;
    let row = row.map_err(|error| not_applied(statement("read the server's settings", &error)))?;
    Ok(row.and_then(|row| row.get(0)))
}

/// The mark in the server's files, whether the server has read it yet or not.
pub(super) async fn read(session: &Session) -> Result<Option<Mark>, StepError> {
    let text = setting(session, WRITTEN, "runbook.writes_blocked").await?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

/// What `ALTER SYSTEM` has set for `default_transaction_read_only`.
pub(super) async fn read_only(session: &Session) -> Result<Option<String>, StepError> {
    setting(session, WRITTEN_BY_US, "default_transaction_read_only").await
}

/// Writes the mark.
pub(super) async fn write(session: &Session, mark: &Mark) -> Result<(), StepError> {
    let text = serde_json::to_string(mark).expect("a mark is plain data");
    let sql = format!("ALTER SYSTEM SET runbook.writes_blocked = {}", literal(&text));
    session.execute_all("name the mark", KNOWN).await?;
    session.execute_all("write the mark", &sql).await
}

/// Removes the mark.
pub(super) async fn remove(session: &Session) -> Result<(), StepError> {
    session.execute_all("name the mark", KNOWN).await?;
    session.execute_all("remove the mark", "ALTER SYSTEM RESET runbook.writes_blocked").await
}

/// Sets `default_transaction_read_only` for the server, or removes what was set.
pub(super) async fn set_read_only(session: &Session, value: Option<&str>) -> Result<(), StepError> {
    let sql = match value {
        Some(value) => {
            format!("ALTER SYSTEM SET default_transaction_read_only = {}", literal(value))
        }
        None => "ALTER SYSTEM RESET default_transaction_read_only".to_owned(),
    };
    session.execute_all("set the server's default", &sql).await
}

/// Lets the server read its settings again, and waits until a new session has them: from then on
/// every other session was told, and takes them up before its next command.
pub(super) async fn reload(
    ctx: &StepContext,
    session: &Session,
    connection: &str,
    expected: Option<&Mark>,
) -> Result<(), StepError> {
    session.text("reload the settings", "SELECT pg_reload_conf()::text").await?;
    let expected = expected.map(|mark| serde_json::to_string(mark).expect("it is plain data"));
    let sql = "SELECT coalesce(current_setting('runbook.writes_blocked', true), '')";
    for _ in 0..LOOKS {
        let fresh = connect_named(ctx, connection).await?;
        let seen = fresh.text("read the mark", sql).await?;
        fresh.close().await;
        if seen == expected.as_deref().unwrap_or_default() {
            return Ok(());
        }
        ctx.sleep(BETWEEN).await?;
    }
    let message = format!("the server of `{connection}` does not read its settings again");
    Err(StepError::ambiguous("RB0578", message)
        .hint("see the server's log: a setting in one of its files may be wrong"))
}
