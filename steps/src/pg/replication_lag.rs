//! `pg.replication_lag`: how far a standby is behind, in bytes and in time.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use engine::context::{Progress, StepContext};
use engine::step::{Observation, Step};
use jiff::Timestamp;
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::step_error::StepError;
use model::units::{ByteSize, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_postgres::types::PgLsn;

use super::classify;
use super::connection::{Session, connect_named};

/// Between two looks while it waits.
const INTERVAL: Duration = Duration::from_millis(500);

const IDENTITY: &str = "SELECT system_identifier::text FROM pg_control_system()";

/// `latest_end_lsn` is the primary's own word for how far it had written when it last spoke.
/// <https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-WAL-RECEIVER-VIEW>
const STANDBY: &str = "SELECT pg_is_in_recovery(), \
    greatest(pg_last_wal_receive_lsn(), r.latest_end_lsn, pg_last_wal_replay_lsn()), \
    pg_last_wal_replay_lsn(), pg_last_xact_replay_timestamp(), clock_timestamp(), \
    coalesce(r.status = 'streaming', false), r.last_msg_receipt_time \
    FROM (SELECT 1) AS one LEFT JOIN pg_stat_wal_receiver AS r ON true";

/// Measures how far a standby is behind its primary, and fails when that is too far.
///
/// ## What it does
/// It compares what the standby has replayed with what the primary has written: as the primary
/// says itself when `primary` is given, else as the standby last heard from it. The lag in time is
/// zero when nothing is left to replay, so an idle primary is not late; otherwise it is the age of
/// the last transaction that was replayed. With `wait` it looks again until the standby is near
/// enough.
///
/// ## When to use it
/// As the gate in front of a promotion: `max_bytes: 0` and `primary` when writes are blocked and
/// nothing may be lost; `max_lag` and `streaming: false` when the primary is gone and the loss is
/// to be seen before somebody approves it. As an alarm on a schedule.
///
/// ## What it changes
/// Nothing.
///
/// ## How it can fail
/// When the server is no standby, is the standby of another cluster, does not stream, or is
/// further behind than `max_bytes` or `max_lag`; the error says how far.
///
/// ## Example
/// ```yaml
/// - id: gate
///   uses: pg.replication_lag
///   with: {connection: standby, primary: prod, max_bytes: 0B, wait: 2m}
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The standby: a name under `connections:`.
    connection: String,
    /// The primary, asked how far it has written: a name under `connections:`. Without it, what
    /// the standby last heard counts.
    primary: Option<String>,
    /// How far the primary had written when it was last known, where it cannot be asked any more:
    /// the output `last_lsn` of `fence`.
    written_lsn: Option<String>,
    /// At most so much is left to replay.
    max_bytes: Option<ByteSize>,
    /// The last transaction that was replayed is not older, unless nothing is left to replay.
    max_lag: Option<Span>,
    /// The standby streams at this moment.
    #[serde(default = "crate::defaults::yes")]
    streaming: bool,
    /// How long to wait for the standby to come near enough; without it, one look decides.
    wait: Option<Span>,
}

/// How far the standby is behind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// Bytes of WAL that are left to replay.
    bytes: u64,
    /// The lag in seconds; nothing when no transaction was replayed since the standby started.
    seconds: Option<f64>,
    /// The standby streams at this moment.
    streaming: bool,
    /// The primary was asked itself.
    primary_asked: bool,
    /// How far the primary has written, as far as known.
    written_lsn: String,
    /// How far the standby has replayed.
    replayed_lsn: String,
    /// When the last transaction that was replayed had been committed on the primary.
    #[schemars(with = "Option<String>")]
    replayed_until: Option<Timestamp>,
    /// When the primary was last heard of, by this look or by the standby.
    #[schemars(with = "Option<String>")]
    heard_at: Option<Timestamp>,
    /// The cluster's system identifier.
    system_identifier: String,
}

/// The step kind.
pub struct ReplicationLag;

/// What a standby tells.
struct Standby {
    in_recovery: bool,
    heard: Option<PgLsn>,
    replayed: Option<PgLsn>,
    replayed_until: Option<Timestamp>,
    now: Timestamp,
    streaming: bool,
    heard_at: Option<Timestamp>,
}

async fn standby(session: &Session) -> Result<Standby, StepError> {
    let failed = |error| classify::statement("ask the standby", &error);
    let row = session.query_one(STANDBY, &[]).await.map_err(failed)?;
    Ok(Standby {
        in_recovery: row.get(0),
        heard: row.get(1),
        replayed: row.get(2),
        replayed_until: row.get(3),
        now: row.get(4),
        streaming: row.get(5),
        heard_at: row.get(6),
    })
}

/// How far the primary has written, and its identity.
async fn primary(ctx: &StepContext, name: &str) -> Result<(PgLsn, String), StepError> {
    let session = connect_named(ctx, name).await?;
    let failed = |error| classify::statement("ask the primary", &error);
    let in_recovery = session.query_one("SELECT pg_is_in_recovery()", &[]).await.map_err(failed)?;
    if in_recovery.get(0) {
        let message = format!("the server of `{name}` is in recovery: it is no primary");
        return Err(StepError::permanent("RB0525", message)
            .hint("check `primary`: it may have been promoted the other way round"));
    }
    let row = session.query_one("SELECT pg_current_wal_lsn()", &[]).await.map_err(failed)?;
    let identity = session.text("read the identity", IDENTITY).await?;
    session.close().await;
    Ok((row.get(0), identity))
}

async fn look(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
    // The primary first: whatever it says was written before the standby is asked.
    let asked = match &input.primary {
        Some(name) => Some(primary(ctx, name).await?),
        None => None,
    };
    let session = connect_named(ctx, &input.connection).await?;
    let (found, own) =
        (standby(&session).await?, session.text("read the identity", IDENTITY).await?);
    session.close().await;
    if !found.in_recovery {
        let message =
            format!("the server of `{}` is not in recovery: it is no standby", input.connection);
        return Err(StepError::permanent("RB0525", message)
            .hint("check the connection; a standby that was promoted is one no longer"));
    }
    if let Some((_, identity)) = asked.as_ref().filter(|(_, identity)| *identity != own) {
        let message = format!("the standby belongs to cluster {own}, the primary to {identity}");
        return Err(StepError::permanent("RB0525", message).hint("check both connections"));
    }
    let known = input.written().max(found.heard);
    let found = Standby { heard: known, ..found };
    Ok(measured(&found, asked.map(|(written, _)| written), own))
}

/// Puts together what both said.
fn measured(found: &Standby, asked: Option<PgLsn>, system_identifier: String) -> Output {
    let number = |lsn: PgLsn| u64::from(lsn);
    let none = PgLsn::from(0);
    let replayed = found.replayed.unwrap_or(none);
    let written = asked.or(found.heard).unwrap_or(none);
    let bytes = number(written).saturating_sub(number(replayed));
    let age = |until: Timestamp| found.now.duration_since(until).as_secs_f64().max(0.0);
    Output {
        bytes,
        seconds: if bytes == 0 { Some(0.0) } else { found.replayed_until.map(age) },
        streaming: found.streaming,
        primary_asked: asked.is_some(),
        written_lsn: written.to_string(),
        replayed_lsn: replayed.to_string(),
        replayed_until: found.replayed_until,
        heard_at: asked.map(|_| found.now).or(found.heard_at),
        system_identifier,
    }
}

impl Input {
    /// How far the primary had written, as it was said; nothing when that is no position.
    fn written(&self) -> Option<PgLsn> {
        self.written_lsn.as_deref()?.parse().ok()
    }

    /// What is wrong with the standby, in words.
    fn too_far(&self, found: &Output) -> Option<String> {
        let left = format!("{} bytes are left to replay", found.bytes);
        if self.streaming && !found.streaming {
            return Some(format!("it does not stream; {left}, as far as it has heard"));
        }
        if let Some(most) = self.max_bytes.filter(|most| found.bytes > most.bytes()) {
            return Some(format!("{left}, `max_bytes` is {most}"));
        }
        let most = self.max_lag?;
        match found.seconds {
            Some(seconds) if seconds <= most.duration().as_secs_f64() => None,
            Some(seconds) => Some(format!("it is {seconds:.1} s late, `max_lag` is {most}")),
            None => Some(format!("{left}, and nobody can tell since when")),
        }
    }
}

fn refused(input: &Input, why: &str) -> StepError {
    let waited = input.wait.map(|wait| format!(" after {wait}")).unwrap_or_default();
    let message = format!("the standby `{}` is too far behind{waited}: {why}", input.connection);
    StepError::permanent("RB0526", message)
        .hint("see `pg_stat_replication` on the primary and the standby's log")
}

/// Looks until the standby is near enough, or once when there is nothing to wait for. What is
/// wrong with it is kept in `latest`.
async fn near_enough(
    input: &Input,
    ctx: &StepContext,
    latest: &Mutex<String>,
) -> Result<Output, StepError> {
    loop {
        let found = look(input, ctx).await?;
        let Some(why) = input.too_far(&found) else { return Ok(found) };
        if input.wait.is_none() {
            return Err(refused(input, &why));
        }
        let (done, total) = (found.bytes, None);
        let activity = format!("wait for the standby: {why}");
        ctx.progress(Progress { activity, done, total, bytes: true });
        *latest.lock().unwrap_or_else(PoisonError::into_inner) = why;
        ctx.sleep(INTERVAL).await?;
    }
}

impl Step for ReplicationLag {
    const KIND: &'static str = "pg.replication_lag";
    const SUMMARY: &'static str = "measures how far a standby is behind, and fails when too far";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        if input.primary.as_ref() == Some(&input.connection) {
            let problem =
                InputProblem::at("primary", "the standby and the primary are one connection");
            return Err(vec![problem.help("name the other server, or leave `primary` out")]);
        }
        if let (Some(text), None) = (&input.written_lsn, input.written()) {
            let message = format!("`{text}` is no position in the WAL");
            let problem = InputProblem::at("written_lsn", message);
            return Err(vec![problem.help("write it as PostgreSQL does: `0/3000148`")]);
        }
        Ok(())
    }

    fn footprint(input: &Input) -> Footprint {
        let footprint = Footprint::new(Effect::Read, Repeat::Idempotent)
            .reads_connection(&input.connection)
            .reads(format!("how far the standby of `{}` has replayed", input.connection));
        match &input.primary {
            Some(primary) => footprint
                .reads_connection(primary)
                .reads(format!("how far the primary of `{primary}` has written")),
            None => footprint,
        }
    }

    fn example() -> Output {
        Output {
            bytes: 0,
            seconds: Some(0.0),
            streaming: true,
            primary_asked: true,
            written_lsn: "0/3000148".to_owned(),
            replayed_lsn: "0/3000148".to_owned(),
            replayed_until: Some(Timestamp::UNIX_EPOCH),
            heard_at: Some(Timestamp::UNIX_EPOCH),
            system_identifier: "7571234567890123456".to_owned(),
        }
    }

    async fn observe(_input: &Input, _ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        Ok(Observation::NotDone)
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let why = Mutex::default();
        tokio::select! {
            near = near_enough(input, ctx, &why) => near,
            slept = ctx.sleep(input.wait.map_or(Duration::ZERO, Span::duration)), if input.wait.is_some() => {
                slept?;
                let why = why.into_inner().unwrap_or_else(PoisonError::into_inner);
                Err(refused(input, &why))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn input(keys: &Value) -> Input {
        let mut input = json!({"connection": "standby"});
        input.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        serde_json::from_value(input).unwrap()
    }

    fn found(written: u64, replayed: u64, age: Option<i64>) -> Standby {
        let now = Timestamp::from_second(1_000).unwrap();
        Standby {
            in_recovery: true,
            heard: Some(PgLsn::from(written)),
            replayed: Some(PgLsn::from(replayed)),
            replayed_until: age.map(|age| Timestamp::from_second(1_000 - age).unwrap()),
            now,
            streaming: true,
            heard_at: Some(now),
        }
    }

    #[test]
    fn what_was_known_of_the_primary_counts_where_the_standby_heard_less() {
        let problems = |keys| ReplicationLag::validate(&input(&keys)).unwrap_err();
        assert_eq!(problems(json!({"written_lsn": "here"}))[0].path, ["written_lsn"]);
        let said = input(&json!({"written_lsn": "0/12C"}));
        assert!(ReplicationLag::validate(&said).is_ok());
        assert_eq!(said.written().max(Some(PgLsn::from(200))), Some(PgLsn::from(300)));
        assert_eq!(said.written().max(Some(PgLsn::from(400))), Some(PgLsn::from(400)));
    }

    #[test]
    fn positions_compare_as_numbers_and_an_idle_primary_is_not_late() {
        let id = || "7".to_owned();
        // As text, `0/9000000` stands behind `0/10000000`.
        let late = measured(&found(0x1000_0000, 0x0900_0000, Some(40)), None, id());
        assert_eq!((late.bytes, late.seconds), (0x0700_0000, Some(40.0)));
        assert_eq!((late.written_lsn.as_str(), late.primary_asked), ("0/10000000", false));
        let idle = measured(&found(0x1000_0000, 0x1000_0000, Some(86_400)), None, id());
        assert_eq!((idle.bytes, idle.seconds), (0, Some(0.0)));
        let asked = measured(&found(0x10, 0x10, Some(5)), Some(PgLsn::from(0x30)), id());
        assert_eq!((asked.bytes, asked.seconds), (0x20, Some(5.0)));
        // The standby was asked later and is further already.
        let ahead = measured(&found(0x30, 0x30, Some(5)), Some(PgLsn::from(0x10)), id());
        assert_eq!((ahead.bytes, ahead.seconds), (0, Some(0.0)));
        assert_eq!(measured(&found(0x30, 0x10, None), None, id()).seconds, None);
    }

    #[test]
    fn each_bound_is_a_gate_of_its_own() {
        let late = measured(&found(0x30, 0x10, Some(40)), None, String::new());
        let unknown = Output { seconds: None, ..late.clone() };
        let lost = Output { streaming: false, ..late.clone() };
        for (keys, found, why) in [
            (json!({}), &late, None),
            (json!({"max_bytes": "32B"}), &late, None),
            (
                json!({"max_bytes": "31B"}),
                &late,
                Some("32 bytes are left to replay, `max_bytes` is 31B"),
            ),
            (json!({"max_lag": "40s"}), &late, None),
            (json!({"max_lag": "39s"}), &late, Some("it is 40.0 s late, `max_lag` is 39s")),
            (
                json!({"max_lag": "1h"}),
                &unknown,
                Some("32 bytes are left to replay, and nobody can tell since when"),
            ),
            (
                json!({}),
                &lost,
                Some("it does not stream; 32 bytes are left to replay, as far as it has heard"),
            ),
            (json!({"streaming": false}), &lost, None),
        ] {
            assert_eq!(input(&keys).too_far(found).as_deref(), why, "{keys}");
        }
    }
}
