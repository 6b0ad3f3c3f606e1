//! What the standby knows of the old primary: whoever still sends to it, lives.

use std::time::Duration;

use engine::context::StepContext;
use jiff::Timestamp;
use model::step_error::{ErrorClass, StepError};
use tokio::time::timeout;

use crate::pg::classify::{not_applied, statement};
use crate::pg::connection::connect;
use crate::pg::target::Target;

/// How long the standby may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The receiver is gone soon after the primary; what it has written stays.
const ASK: &str = "SELECT r.status, r.last_msg_receipt_time, \
    pg_last_wal_receive_lsn()::text, clock_timestamp(), \
    (SELECT system_identifier::text FROM pg_control_system()) \
    FROM (SELECT 1) AS one LEFT JOIN pg_stat_wal_receiver AS r ON true";

/// What the standby says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heard {
    /// `streaming`, or nothing.
    status: Option<String>,
    last: Option<Timestamp>,
    received: Option<String>,
    pub(super) now: Timestamp,
    pub(super) system_identifier: String,
}

impl Heard {
    /// Whether its receiver believes that it streams.
    pub(super) fn streams(&self) -> bool {
        self.status.is_some()
    }

    /// Whether the old primary sent something after `since`, by the standby's clock.
    pub(super) fn since(&self, since: Timestamp) -> bool {
        self.last.is_some_and(|last| last > since)
    }

    pub(super) fn told(&self, name: &str) -> String {
        let state = self.status.as_deref().unwrap_or("not running");
        let position = self.received.as_deref().unwrap_or("nothing");
        let last = self.last.map_or_else(|| "never".to_owned(), |last| format!("{last:.0}"));
        format!(
            "the standby `{name}`: its receiver is {state}, heard last of the primary: {last}, \
             received up to {position}"
        )
    }
}

async fn ask(ctx: &StepContext, target: &Target) -> Result<Heard, StepError> {
    let session = connect(ctx, target).await?;
    let row = session.query_one(ASK, &[]).await;
    let row = row.map_err(|error| not_applied(statement("ask the standby", &error)))?;
    session.close().await;
    Ok(Heard {
        status: row.get(0),
        last: row.get(1),
        received: row.get(2),
        now: row.get(3),
        system_identifier: row.get(4),
    })
}

/// Asks the standby; nothing when it does not answer.
pub(super) async fn heard(
    ctx: &StepContext,
    target: Option<&Target>,
) -> Result<Option<Heard>, StepError> {
    let Some(target) = target else { return Ok(None) };
    match timeout(PATIENCE, ask(ctx, target)).await {
        Ok(Ok(heard)) => Ok(Some(heard)),
        Ok(Err(error)) if error.class == ErrorClass::Cancelled => Err(error),
        Ok(Err(error)) => {
            ctx.log(format!("the standby was not asked: {error}"));
            Ok(None)
        }
        Err(_) => Ok(None),
    }
}
