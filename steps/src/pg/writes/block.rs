//! `pg.block_writes`: stops an application from writing, and proves it.

use std::time::Duration;

use engine::context::StepContext;
use engine::step::{Observation, Step};
use jiff::Timestamp;
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::step_error::{ErrorClass, StepError};
use model::units::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::drain::Drain;
use super::hba::{self, HbaFile};
use super::mark::{self, Mark, owner};
use super::{Method, probe, quiet, server, unblock};
use crate::pg::catalogue;
use crate::pg::connection::{Session, connect_named};

/// The fact that tells that it was proven.
const BLOCKED: &str = "writes_blocked";

/// Stops an application from writing, and proves it.
///
/// ## What it does
/// It changes the server's own files only, never its catalogue: nothing of it replicates, so a
/// standby that is promoted takes writes at once. Locked roles and databases (`NOLOGIN`,
/// `ALLOW_CONNECTIONS false`) would come along with the standby.
///
/// - `method: read_only` sets `default_transaction_read_only` for the whole server. Reading goes
///   on. It holds for clients that do not ask for a writing transaction themselves: it drains an
///   application that behaves, and it is no fence.
/// - `method: pg_hba` puts `reject` lines for `roles` in front of the server's `pg_hba.conf`, and
///   ends their sessions. It holds against every role but superusers, and reading ends too.
///
/// Then it waits for the transactions that began before: what has not ended after `grace` is
/// ended, also what has only read so far, because it may write yet. It looks twice, a second
/// apart, that no transaction wrote in between, and tries a write as `probe`.
///
/// ## When to use it
/// In front of a planned failover, so that the standby can catch up to the last byte, and in
/// front of a last dump. Only `fence` keeps a server from writing for good. Take it back with
/// `pg.unblock_writes`.
///
/// ## What it changes
/// `postgresql.auto.conf`, where a mark says who blocked and what was before, and with `pg_hba`
/// the file of that name. Open transactions are ended after `grace`.
///
/// ## How it can fail
/// When the role is no superuser, as on managed services; when another run blocks the server;
/// when a role's or a database's own setting would win; when something still writes afterwards,
/// or a prepared transaction is left; when the probe is not refused. Whatever was blocked is let
/// go again then.
///
/// ## Example
/// ```yaml
/// - id: block
///   uses: pg.block_writes
///   with: {connection: primary, method: read_only, grace: 30s, probe: application}
///   undo: {uses: pg.unblock_writes, with: {connection: primary}}
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The primary: a name under `connections:`, of a superuser.
    connection: String,
    /// `read_only` or `pg_hba`.
    method: Method,
    /// With `pg_hba`: whom the server rejects. Without it, every role that may log in, but
    /// superusers, those who replicate, and the connection's own.
    #[serde(default)]
    roles: Vec<String>,
    /// How long transactions that began before may take to end by themselves.
    #[serde(default = "half_a_minute")]
    grace: Span,
    /// A connection that writes as the application does: it must write before and be refused
    /// afterwards.
    probe: Option<String>,
}

/// What was blocked, and the proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// How writes are blocked.
    method: Method,
    /// Since when no transaction of the application could begin to write, by the server's clock.
    #[schemars(with = "String")]
    blocked_at: Timestamp,
    /// No transaction was committed after this WAL position.
    lsn: String,
    /// The server's timeline.
    timeline: Option<u32>,
    /// The cluster's system identifier.
    system_identifier: Option<String>,
    /// The server: `host:port`.
    endpoint: String,
    /// Sessions that were ended.
    terminated: u64,
    /// Roles that the server rejects.
    roles: Vec<String>,
    /// What was seen, in a sentence.
    proof: String,
}

/// The step kind.
pub struct BlockWrites;

fn half_a_minute() -> Span {
    Span::from(Duration::from_secs(30))
}

/// Our mark, or the one that is to be written; another run's is refused.
async fn claim(input: &Input, ctx: &StepContext, session: &Session) -> Result<Mark, StepError> {
    let by = owner(ctx);
    match mark::read(session).await? {
        Some(mark) if mark.by == by => Ok(mark),
        Some(mark) => {
            let message = format!("writes are blocked already, by `{}`", mark.by);
            Err(StepError::needs_operator("RB0575", message)
                .hint("let that run end, or lift its block with `pg.unblock_writes`"))
        }
        None => {
            if let Some(probe) = &input.probe {
                probe::check_writes(ctx, probe).await?;
            }
            let former = mark::read_only(session).await?;
            Ok(Mark { by, method: input.method, former })
        }
    }
}

async fn apply(
    input: &Input,
    ctx: &StepContext,
    session: &Session,
    mark: &Mark,
    roles: &[String],
) -> Result<(), StepError> {
    mark::write(session, mark).await?;
    match input.method {
        Method::ReadOnly => mark::set_read_only(session, Some("on")).await?,
        Method::PgHba => {
            let file = HbaFile::read(session).await?;
            file.rejecting(roles).write_checked(session, &file.unmarked()).await?;
        }
    }
    mark::reload(ctx, session, &input.connection, Some(mark)).await
}

async fn block(
    input: &Input,
    ctx: &StepContext,
    session: &Session,
    mark: &Mark,
) -> Result<Output, StepError> {
    let roles = match input.method {
        Method::ReadOnly => Vec::new(),
        Method::PgHba => hba::roles(session, &input.roles).await?,
    };
    apply(input, ctx, session, mark, &roles).await?;
    let since = server::now(session).await?;
    let drain = Drain { since, roles: &roles, grace: input.grace.duration() };
    let ended = drain.run(ctx, session).await?;
    let lsn = quiet::position_of_rest(ctx, session).await?;
    let refused = match (&input.probe, input.method) {
        (Some(probe), method) => probe::check_refused(ctx, probe, method).await?,
        (None, Method::ReadOnly) => {
            probe::check_refused(ctx, &input.connection, input.method).await?
        }
        (None, Method::PgHba) => "the server has read the lines that reject them".to_owned(),
    };
    let found = catalogue::server(session, &session.target().endpoint()).await?;
    Ok(Output {
        method: input.method,
        blocked_at: since,
        timeline: found.timeline,
        system_identifier: found.system_identifier,
        endpoint: found.endpoint,
        terminated: ended as u64,
        roles,
        proof: format!("{refused}; no transaction wrote between two looks at {lsn}"),
        lsn,
    })
}

/// Lets go of what was blocked when it is not proven, also when the step is cancelled.
async fn let_go(input: &Input, ctx: &StepContext, error: StepError) -> StepError {
    match unblock::lift_even_cancelled(ctx, &input.connection).await {
        Ok(_) => {
            ctx.log("the block was lifted again, because it is not proven");
            // What is not there any more was not applied.
            match error.class {
                ErrorClass::Ambiguous => StepError { class: ErrorClass::Transient, ..error },
                _ => error,
            }
        }
        Err(left) => {
            let mut error = StepError { class: ErrorClass::Ambiguous, ..error };
            error.causes.push(format!("writes may still be blocked: {left}"));
            error.hint("lift the block with `pg.unblock_writes` when the server answers")
        }
    }
}

impl Step for BlockWrites {
    const KIND: &'static str = "pg.block_writes";
    const SUMMARY: &'static str = "stops an application from writing, and proves it";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let mut problems = Vec::new();
        if input.method == Method::ReadOnly && !input.roles.is_empty() {
            let problem = InputProblem::at("roles", "`read_only` holds for all roles");
            problems.push(problem.help("leave it out, or use `method: pg_hba`"));
        }
        for role in input.roles.iter().filter(|role| !hba::is_namable(role)) {
            let message = format!("`{role}` cannot be named in `pg_hba.conf`");
            problems.push(InputProblem::at("roles", message));
        }
        if input.method == Method::PgHba && input.probe.as_ref() == Some(&input.connection) {
            let problem = InputProblem::at("probe", "the connection's own role is not rejected");
            problems.push(problem.help("name a connection of the application's role"));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        let how = match input.method {
            Method::ReadOnly => "sets `default_transaction_read_only`",
            Method::PgHba => "puts `reject` lines into `pg_hba.conf`",
        };
        let footprint = Footprint::new(Effect::Reversible, Repeat::Observable)
            .writes_connection(&input.connection)
            .writes(format!("{how} on the server of `{}`", input.connection))
            .writes("ends transactions that stay open");
        match &input.probe {
            Some(probe) => footprint
                .reads_connection(probe)
                .reads(format!("whether a write as `{probe}` is refused")),
            None => footprint,
        }
    }

    fn example() -> Output {
        Output {
            method: Method::ReadOnly,
            blocked_at: Timestamp::UNIX_EPOCH,
            lsn: "0/3000148".to_owned(),
            timeline: Some(1),
            system_identifier: Some("7571234567890123456".to_owned()),
            endpoint: "db.internal:5432".to_owned(),
            terminated: 0,
            roles: Vec::new(),
            proof: "a write as `application` is refused: the transaction is read-only; no \
                    transaction wrote between two looks at 0/3000148"
                .to_owned(),
        }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        let proven = ctx.fact(BLOCKED).and_then(|fact| serde_json::from_value(fact).ok());
        let Some(proven): Option<Output> = proven else { return Ok(Observation::NotDone) };
        let session = connect_named(ctx, &input.connection).await?;
        let mark = mark::read(&session).await?;
        let holds = match input.method {
            Method::ReadOnly => mark::read_only(&session).await?.as_deref() == Some("on"),
            Method::PgHba => HbaFile::read(&session).await?.is_marked(),
        };
        session.close().await;
        let ours = mark.is_some_and(|mark| mark.by == owner(ctx));
        Ok(if ours && holds { Observation::Done(proven) } else { Observation::NotDone })
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let session = connect_named(ctx, &input.connection).await?;
        server::check_blockable(&session, &input.connection, input.method).await?;
        let mark = claim(input, ctx, &session).await?;
        if ctx.cancel().is_cancelled() {
            return Err(StepError::cancelled());
        }
        ctx.record("block_writes", &mark).await?;
        match block(input, ctx, &session, &mark).await {
            Ok(output) => {
                session.close().await;
                ctx.log(format!("{}: {}", input.method.name(), output.proof));
                ctx.record(BLOCKED, &output).await?;
                Ok(output)
            }
            Err(error) => Err(let_go(input, ctx, error).await),
        }
    }
}
