//! What the network says of a server: from outside, without its host's word.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use engine::context::StepContext;
use model::step_error::{ErrorClass, StepError};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::evidence::Evidence;
use super::input::Input;
use crate::pg::connection::{Session, connect};
use crate::pg::target::Target;

/// How long a connection may take to be accepted or refused.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long a server that has accepted may take to answer.
const ANSWER: Duration = Duration::from_secs(4);

const INTERVAL: Duration = Duration::from_millis(500);

/// So many looks without an answer are enough.
const SILENT: u32 = 3;

/// What one look saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Look {
    /// Nothing listens there.
    Closed,
    /// No answer: nobody can tell.
    Silent(String),
    /// A server answers.
    Alive(String),
    /// A server answers and is in recovery: it takes no writes.
    InRecovery,
}

impl Look {
    fn told(&self) -> String {
        match self {
            Self::Closed => "the port refuses connections".to_owned(),
            Self::Silent(why) => format!("no answer: {why}"),
            Self::Alive(how) => format!("the server answers: {how}"),
            Self::InRecovery => "the server answers and is in recovery".to_owned(),
        }
    }
}

/// Whether something accepts connections there.
async fn knock(target: &Target) -> Look {
    let knocking = async {
        if target.is_socket() {
            let path = Path::new(&target.host).join(format!(".s.PGSQL.{}", target.port));
            return UnixStream::connect(path).await.map(drop);
        }
        match target.address {
            Some(address) => TcpStream::connect((address, target.port)).await.map(drop),
            None => TcpStream::connect((target.host.as_str(), target.port)).await.map(drop),
        }
    };
    match timeout(PATIENCE, knocking).await {
        Ok(Ok(())) => Look::Alive("it takes connections".to_owned()),
        Ok(Err(error)) => match error.kind() {
            ErrorKind::ConnectionRefused => Look::Closed,
            ErrorKind::NotFound if target.is_socket() => Look::Closed,
            _ => Look::Silent(error.to_string()),
        },
        Err(_) => Look::Silent(format!("nothing within {} s", PATIENCE.as_secs())),
    }
}

async fn ask(session: &Session) -> Look {
    let sql = "SELECT pg_is_in_recovery()::text";
    match timeout(ANSWER, session.text("ask the server", sql)).await {
        Ok(Ok(text)) if text == "true" => Look::InRecovery,
        Ok(Ok(_)) => Look::Alive("it takes logins, and is no standby".to_owned()),
        Ok(Err(error)) => Look::Alive(error.message),
        Err(_) => Look::Silent("it took a login and no query".to_owned()),
    }
}

/// One look.
pub(super) async fn look(ctx: &StepContext, target: &Target) -> Result<Look, StepError> {
    match knock(target).await {
        Look::Alive(_) => {}
        settled => return Ok(settled),
    }
    match timeout(ANSWER, connect(ctx, target)).await {
        Ok(Ok(session)) => {
            let look = ask(&session).await;
            session.close().await;
            Ok(look)
        }
        Ok(Err(error)) if error.class == ErrorClass::Cancelled => Err(error),
        // It took the connection and broke it off: it may be on its way down.
        Ok(Err(error)) if error.code == "RB0501" => Ok(Look::Silent(error.message)),
        Ok(Err(error)) => Ok(Look::Alive(error.message)),
        Err(_) => Ok(Look::Silent(format!(
            "it takes connections, and says nothing within {} s",
            ANSWER.as_secs()
        ))),
    }
}

/// Looks until the port has stayed closed for long enough, or it is clear that it does not.
pub(super) async fn looks(
    input: &Input,
    ctx: &StepContext,
    target: &Target,
    wait: Duration,
    evidence: &mut Evidence,
) -> Result<Look, StepError> {
    let count = |span: Duration| span.as_millis().div_ceil(INTERVAL.as_millis());
    let (enough, mut patience) = (count(input.quiet.duration()) + 1, count(wait));
    let (mut before, mut same) = (None, 0_u128);
    loop {
        let seen = look(ctx, target).await?;
        let kind = std::mem::discriminant(&seen);
        same = if before == Some(kind) { same + 1 } else { 1 };
        if same == 1 {
            evidence.saw(ctx, seen.told());
        }
        before = Some(kind);
        let settled = match seen {
            Look::Closed => same >= enough,
            Look::Silent(_) => same >= u128::from(SILENT),
            Look::Alive(_) | Look::InRecovery => patience == 0,
        };
        if settled {
            evidence.saw(ctx, format!("{}, {same} times in a row", seen.told()));
            return Ok(seen);
        }
        patience = patience.saturating_sub(1);
        ctx.sleep(INTERVAL).await?;
    }
}

/// What a server that is not fenced still does.
pub(super) async fn deeds(ctx: &StepContext, target: &Target) -> Vec<String> {
    match timeout(ANSWER, connect(ctx, target)).await {
        Ok(Ok(session)) => match timeout(ANSWER, deeds_of(ctx, &session)).await {
            Ok(Ok(deeds)) => deeds,
            Ok(Err(error)) => vec![error.message],
            Err(_) => vec!["it gives no answer to queries".to_owned()],
        },
        Ok(Err(error)) => vec![error.message],
        Err(_) => vec!["it takes connections and no login".to_owned()],
    }
}

async fn deeds_of(ctx: &StepContext, session: &Session) -> Result<Vec<String>, StepError> {
    let clients = "SELECT count(*)::text FROM pg_stat_activity \
        WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
    let clients = session.text("count the sessions", clients).await?;
    let mut deeds = vec![format!("{clients} sessions of others are connected to it")];
    let recovery = session.text("ask the server", "SELECT pg_is_in_recovery()::text").await?;
    if recovery == "true" {
        deeds.push("it is in recovery, and takes no writes".to_owned());
        return Ok(deeds);
    }
    let position = "SELECT pg_current_wal_insert_lsn()::text";
    let before = session.text("read the WAL position", position).await?;
    ctx.sleep(Duration::from_secs(1)).await?;
    let after = session.text("read the WAL position", position).await?;
    deeds.push(if before == after {
        format!("it takes writes; none came within a second after {after}")
    } else {
        format!("it still writes: from {before} to {after} within a second")
    });
    Ok(deeds)
}
