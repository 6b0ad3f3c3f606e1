//! `pg.unblock_writes`: puts back exactly what `pg.block_writes` changed.

use engine::context::StepContext;
use engine::step::{Observation, Step};
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::step_error::StepError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::hba::HbaFile;
use super::mark;
use super::{Method, server};
use crate::pg::connection::{Session, connect_even_cancelled, connect_named};
use crate::pg::target::Target;

/// The fact that holds what is about to be lifted.
const FACT: &str = "unblock_writes";

/// Puts back exactly what `pg.block_writes` changed.
///
/// ## What it does
/// It looks for the mark and the lines that `pg.block_writes` left on this server, puts the
/// former value of `default_transaction_read_only` back, removes the lines from `pg_hba.conf`,
/// lets the server read both again, and waits until a new session has them.
///
/// ## When to use it
/// As the `undo` of `pg.block_writes`, and after a failover on the new primary: a standby that
/// was copied from a blocked server, or rewound to one, has its files. Where nothing is blocked
/// it changes nothing.
///
/// ## What it changes
/// `postgresql.auto.conf` and `pg_hba.conf` of the server; never the catalogue.
///
/// ## How it can fail
/// When the role is no superuser, or the server cannot be reached. A value that somebody has
/// changed since is left as it is.
///
/// ## Example
/// ```yaml
/// - id: unblock
///   uses: pg.unblock_writes
///   with: {connection: new_primary}
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The server: a name under `connections:`, of a superuser.
    connection: String,
}

/// What was lifted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// Writes were blocked here, and are no longer.
    unblocked: bool,
    /// What was put back or removed, in words.
    removed: Vec<String>,
    /// New transactions are read-only unless they ask for more, as the server was before.
    read_only: bool,
    /// The server is a standby and takes no writes for that reason.
    in_recovery: bool,
}

/// The step kind.
pub struct UnblockWrites;

/// What of ours a server has.
async fn found(session: &Session) -> Result<(Option<mark::Mark>, HbaFile), StepError> {
    Ok((mark::read(session).await?, HbaFile::read(session).await?))
}

/// Lifts the block of this server, if there is one; gives what was put back.
async fn lift(
    ctx: &StepContext,
    session: &Session,
    connection: &str,
) -> Result<Vec<String>, StepError> {
    let (mark, file) = found(session).await?;
    let mut removed = Vec::new();
    if file.is_marked() {
        file.unmarked().write_checked(session, &file).await?;
        removed.push("the lines in `pg_hba.conf` that rejected roles".to_owned());
    }
    if let Some(mark) = &mark {
        let ours = mark::read_only(session).await?.as_deref() == Some("on");
        if mark.method == Method::ReadOnly && ours {
            mark::set_read_only(session, mark.former.as_deref()).await?;
            let former = mark.former.as_deref().unwrap_or("not set");
            removed.push(format!("`default_transaction_read_only`: {former}, as before"));
        }
        // Last: until it is gone, the former value is known.
        mark::remove(session).await?;
        removed.push(format!("the mark of `{}`", mark.by));
    }
    if !removed.is_empty() {
        mark::reload(ctx, session, connection, None).await?;
    }
    Ok(removed)
}

/// Lifts what a step blocked itself, also when it is cancelled.
pub(super) async fn lift_even_cancelled(
    ctx: &StepContext,
    connection: &str,
) -> Result<Vec<String>, StepError> {
    let target = Target::resolve(&ctx.connection(connection).await?)?;
    let session = connect_even_cancelled(ctx, &target).await?;
    let unhurried = ctx.uncancelled();
    let removed = lift(&unhurried, &session, connection).await;
    session.close().await;
    removed
}

async fn output(
    ctx: &StepContext,
    connection: &str,
    removed: Vec<String>,
) -> Result<Output, StepError> {
    let session = connect_named(ctx, connection).await?;
    let in_recovery = server::in_recovery(&session).await?;
    let sql = "SELECT current_setting('default_transaction_read_only')";
    let read_only = session.text("read the default", sql).await? == "on";
    session.close().await;
    Ok(Output { unblocked: !removed.is_empty(), removed, read_only, in_recovery })
}

impl Step for UnblockWrites {
    const KIND: &'static str = "pg.unblock_writes";
    const SUMMARY: &'static str = "puts back exactly what `pg.block_writes` changed";
    type Input = Input;
    type Output = Output;

    fn footprint(input: &Input) -> Footprint {
        Footprint::new(Effect::Reversible, Repeat::Idempotent)
            .writes_connection(&input.connection)
            .writes(format!("the settings of the server of `{}`, as before", input.connection))
    }

    fn example() -> Output {
        Output {
            unblocked: true,
            removed: vec!["`default_transaction_read_only`: not set, as before".to_owned()],
            read_only: false,
            in_recovery: false,
        }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        let begun = ctx.fact(FACT).and_then(|fact| serde_json::from_value(fact).ok());
        let Some(removed): Option<Vec<String>> = begun else { return Ok(Observation::NotDone) };
        let session = connect_named(ctx, &input.connection).await?;
        let (mark, file) = found(&session).await?;
        session.close().await;
        if mark.is_some() || file.is_marked() {
            return Ok(Observation::NotDone);
        }
        Ok(Observation::Done(output(ctx, &input.connection, removed).await?))
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let session = connect_named(ctx, &input.connection).await?;
        server::check_superuser(&session, &input.connection).await?;
        let (mark, file) = found(&session).await?;
        if mark.is_some() || file.is_marked() {
            let by = mark.map_or_else(|| "an unknown run".to_owned(), |mark| mark.by);
            ctx.record(FACT, [format!("the block of `{by}`")]).await?;
        }
        let removed = lift(ctx, &session, &input.connection).await?;
        session.close().await;
        output(ctx, &input.connection, removed).await
    }
}
