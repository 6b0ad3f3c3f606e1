//! `pg.terminate_connections`: ends the sessions of an application.

use std::time::Duration;

use engine::context::{Progress, StepContext};
use engine::step::{Observation, Step};
use jiff::Timestamp;
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::step_error::StepError;
use model::units::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_postgres::types::ToSql;

use super::classify::{not_applied, statement};
use super::connection::{Session, connect_named};

/// The fact that holds the sessions that are ended.
const FACT: &str = "terminate_connections";

const INTERVAL: Duration = Duration::from_millis(200);

/// $1 database or nothing, $2 roles or none, $3 applications that stay, $4 this run's own.
const MATCHING: &str = "SELECT pid, backend_start, \
    format('process %s: role %s, database %s, application %s, %s', pid, usename, datname, \
    quote_literal(application_name), state) FROM pg_stat_activity \
    WHERE pid <> pg_backend_pid() AND backend_type = 'client backend' \
    AND ($1::text IS NULL OR datname = $1) \
    AND (cardinality($2::text[]) = 0 OR usename::text = ANY ($2)) \
    AND NOT application_name = ANY ($3::text[]) AND NOT starts_with(application_name, $4) \
    ORDER BY pid";

/// A process id is given again; with its start it is one session.
const LIVING: &str = "SELECT pid FROM pg_stat_activity JOIN unnest($1::int4[], $2::timestamptz[]) \
    AS ours (pid, backend_start) USING (pid, backend_start)";

/// Ends the sessions of an application.
///
/// ## What it does
/// It notes the sessions of client programs that `database` and `roles` name, waits `grace` for
/// them to end by themselves, tells the server to end the others (`pg_terminate_backend`), and
/// waits until they are gone. The sessions of this run, replication, and the programs in `keep`
/// stay.
///
/// ## When to use it
/// To drop a database that is in use, to let a changed password or `pg_hba.conf` take effect, to
/// free locks. **It is no fence**: whoever was connected may connect again at once. Block with
/// `pg.block_writes` first, or shut the server out with `fence`.
///
/// ## What it changes
/// Transactions that are open in those sessions are rolled back.
///
/// ## How it can fail
/// When the role may not end sessions of others (`pg_signal_backend`; those of superusers only a
/// superuser ends), and when a session does not end within `timeout`; the error names it.
///
/// ## Example
/// ```yaml
/// - id: disconnect
///   uses: pg.terminate_connections
///   with: {connection: prod, database: lms, keep: [monitoring], grace: 10s}
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The name under `connections:`.
    connection: String,
    /// Sessions in this database; without it, in every database of the server.
    database: Option<String>,
    /// Sessions of these roles; without it, of every role.
    #[serde(default)]
    roles: Vec<String>,
    /// Programs whose sessions stay, by their `application_name`.
    #[serde(default)]
    keep: Vec<String>,
    /// How long sessions may take to end by themselves.
    #[serde(default)]
    grace: Option<Span>,
    /// How long the server may take to end the others.
    #[serde(default = "half_a_minute")]
    timeout: Span,
}

/// What was ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// Sessions that ended by themselves within `grace`.
    ended_alone: u64,
    /// Sessions that the server was told to end.
    terminated: u64,
    /// Sessions that came since, one by one: nothing keeps them out.
    came_back: Vec<String>,
}

/// The step kind.
pub struct TerminateConnections;

/// One session, as the journal knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    pid: i32,
    started: Timestamp,
    who: String,
}

fn half_a_minute() -> Span {
    Span::from(Duration::from_secs(30))
}

async fn rows(
    session: &Session,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Vec<tokio_postgres::Row>, StepError> {
    let rows = session.query(sql, params).await;
    rows.map_err(|error| not_applied(statement("look at the sessions", &error)))
}

async fn matching(
    input: &Input,
    ctx: &StepContext,
    session: &Session,
) -> Result<Vec<Known>, StepError> {
    let own = format!("runbook/{}/", ctx.id().run);
    let params: [&(dyn ToSql + Sync); 4] = [&input.database, &input.roles, &input.keep, &own];
    let rows = rows(session, MATCHING, &params).await?;
    let known =
        rows.iter().map(|row| Known { pid: row.get(0), started: row.get(1), who: row.get(2) });
    Ok(known.collect())
}

/// Those of `known` that still live.
async fn living(session: &Session, known: &[Known]) -> Result<Vec<Known>, StepError> {
    let (pids, starts) = split(known);
    let rows = rows(session, LIVING, &[&pids, &starts]).await?;
    let pids: Vec<i32> = rows.iter().map(|row| row.get(0)).collect();
    Ok(known.iter().filter(|one| pids.contains(&one.pid)).cloned().collect())
}

fn split(known: &[Known]) -> (Vec<i32>, Vec<Timestamp>) {
    known.iter().map(|one| (one.pid, one.started)).unzip()
}

/// Waits until none of `known` lives, at most for `limit`; gives those that do.
async fn wait_for(
    ctx: &StepContext,
    session: &Session,
    known: &[Known],
    limit: Duration,
) -> Result<Vec<Known>, StepError> {
    let mut waited = Duration::ZERO;
    loop {
        let left = living(session, known).await?;
        if left.is_empty() || waited >= limit {
            return Ok(left);
        }
        let activity = format!("wait for {} sessions to end", left.len());
        ctx.progress(Progress { activity, ..Progress::default() });
        ctx.sleep(INTERVAL).await?;
        waited += INTERVAL;
    }
}

async fn terminate(session: &Session, known: &[Known]) -> Result<(), StepError> {
    let (pids, starts) = split(known);
    let sql = LIVING.replacen("SELECT pid", "SELECT pg_terminate_backend(pid)", 1);
    let told = session.query(&sql, &[&pids, &starts]).await;
    told.map(drop).map_err(|error| not_applied(statement("end the sessions", &error)))
}

fn refused(left: &[Known]) -> StepError {
    let message = format!("{} sessions do not end", left.len());
    let mut error = StepError::transient("RB0579", message);
    error.causes.extend(left.iter().map(|one| one.who.clone()));
    error.hint("a process that waits for a disk or an archive ends when it has waited; see the server's log")
}

impl Step for TerminateConnections {
    const KIND: &'static str = "pg.terminate_connections";
    const SUMMARY: &'static str = "ends the sessions of an application";
    type Input = Input;
    type Output = Output;

    fn footprint(input: &Input) -> Footprint {
        let Input { connection, database, roles, .. } = input;
        let place = match database {
            Some(database) => format!("in database `{database}`"),
            None => "in every database".to_owned(),
        };
        let whose = match roles.as_slice() {
            [] => String::new(),
            roles => format!(" of {}", roles.join(", ")),
        };
        Footprint::new(Effect::Reversible, Repeat::Idempotent)
            .writes_connection(connection)
            .writes(format!("ends sessions{whose} {place} of `{connection}`"))
    }

    fn example() -> Output {
        Output { ended_alone: 2, terminated: 12, came_back: Vec::new() }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        let noted = ctx.fact(FACT).and_then(|fact| serde_json::from_value(fact).ok());
        let Some(noted): Option<Vec<Known>> = noted else { return Ok(Observation::NotDone) };
        let session = connect_named(ctx, &input.connection).await?;
        let left = living(&session, &noted).await?;
        let came_back = matching(input, ctx, &session).await?;
        session.close().await;
        if !left.is_empty() {
            return Ok(Observation::NotDone);
        }
        let came_back = came_back.into_iter().map(|one| one.who).collect();
        let terminated = noted.len() as u64;
        Ok(Observation::Done(Output { ended_alone: 0, terminated, came_back }))
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let session = connect_named(ctx, &input.connection).await?;
        let noted = matching(input, ctx, &session).await?;
        let grace = input.grace.map_or(Duration::ZERO, Span::duration);
        let stubborn = wait_for(ctx, &session, &noted, grace).await?;
        if ctx.cancel().is_cancelled() {
            return Err(StepError::cancelled());
        }
        ctx.record(FACT, &stubborn).await?;
        for one in &stubborn {
            ctx.log(format!("ended: {}", one.who));
        }
        terminate(&session, &stubborn).await?;
        let left = wait_for(ctx, &session, &stubborn, input.timeout.duration()).await?;
        if !left.is_empty() {
            return Err(refused(&left));
        }
        let came_back = matching(input, ctx, &session).await?;
        session.close().await;
        let came_back = came_back.into_iter().map(|one| one.who).collect();
        let ended = noted.len() - stubborn.len();
        Ok(Output { ended_alone: ended as u64, terminated: stubborn.len() as u64, came_back })
    }
}
