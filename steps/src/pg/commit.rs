//! Commits whose outcome can be found out afterwards: the transaction's id is made durable before
//! the commit, and the server is asked for its fate.
//! <https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SNAPSHOT>

use engine::context::StepContext;
use engine::step::Observation;
use model::set::manifest::Server;
use model::step_error::{ErrorClass, StepError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::catalogue;
use super::classify;
use super::connection::{Session, connect_named};

/// The fact that holds the transaction.
const FACT: &str = "transaction";

/// A transaction about to be committed, and what its step gives when it is.
#[derive(Serialize, Deserialize)]
struct Transaction<O> {
    /// `pg_current_xact_id()`, as text.
    xid: String,
    server: Origin,
    output: O,
}

/// The server that gave an id: on another cluster or timeline the id means nothing.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Origin {
    system_identifier: Option<String>,
    timeline: Option<u32>,
    in_recovery: bool,
}

async fn origin(session: &Session) -> Result<Origin, StepError> {
    let server = catalogue::server(session, &session.target().endpoint()).await;
    let Server { system_identifier, timeline, in_recovery, .. } =
        server.map_err(classify::not_applied)?;
    Ok(Origin { system_identifier, timeline, in_recovery })
}

/// Makes the transaction's id durable and commits it.
pub(super) async fn commit<O: Serialize + Send + Sync>(
    ctx: &StepContext,
    session: Session,
    output: O,
) -> Result<O, StepError> {
    let xid = session.text("name the transaction", "SELECT pg_current_xact_id()::text").await;
    let xid = xid.map_err(classify::not_applied)?;
    let transaction = Transaction { xid, server: origin(&session).await?, output };
    ctx.record(FACT, &transaction).await?;
    if ctx.cancel().is_cancelled() {
        return Err(StepError::cancelled());
    }
    session.execute_all("commit", "COMMIT").await?;
    session.close().await;
    Ok(transaction.output)
}

/// Asks the server what became of the recorded transactions. Without a record the commit was
/// never sent.
pub(super) async fn observe<O: DeserializeOwned + Send>(
    ctx: &StepContext,
    connection: &str,
) -> Result<Observation<O>, StepError> {
    let recorded = ctx.facts().into_iter().rev().filter(|fact| fact.name == FACT);
    let transactions: Vec<_> =
        recorded.map(|fact| serde_json::from_value::<Transaction<O>>(fact.data).ok()).collect();
    if transactions.is_empty() {
        return Ok(Observation::NotDone);
    }
    let session = connect_named(ctx, connection).await?;
    let here = origin(&session).await?;
    let mut seen = Observation::NotDone;
    for transaction in transactions {
        let ours = transaction.filter(|transaction| transaction.server == here);
        let Some(transaction) = ours else { return Ok(Observation::Unknown) };
        match fate(&session, &transaction.xid).await?.as_deref() {
            Some("committed") => return Ok(Observation::Done(transaction.output)),
            Some("aborted") => {}
            Some("in progress") => seen = Observation::InProgress,
            _ => return Ok(Observation::Unknown),
        }
    }
    session.close().await;
    Ok(seen)
}

async fn fate(session: &Session, xid: &str) -> Result<Option<String>, StepError> {
    match session.query_one("SELECT pg_xact_status($1::text::xid8)", &[&xid]).await {
        Ok(row) => Ok(row.get(0)),
        Err(error) => {
            let error = classify::not_applied(classify::statement("the transaction", &error));
            // The server answered, and does not know the id.
            if error.class == ErrorClass::Permanent { Ok(None) } else { Err(error) }
        }
    }
}
