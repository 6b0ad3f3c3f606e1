//! `pg.promote`: makes a standby the primary, once, and proves that it writes.

mod carry_out;
mod gate;
mod proof;
mod standing;

use std::time::Duration;

use engine::clock::pause;
use engine::context::StepContext;
use engine::step::{Observation, Step};
use jiff::Timestamp;
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::{Footprint, Part};
use model::step_error::{ErrorClass, StepError};
use model::units::{ByteSize, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_postgres::types::PgLsn;

use self::carry_out::{Announced, Seen};
use self::gate::{loss, written};
use self::standing::{Standing, look};
use super::classify;
use super::connection::{Session, connect_named, connect_pinned};
use super::target::Target;

/// The fact that holds the output once the new primary was seen to write.
const PROVED: &str = "proved";

/// The old primary was stopped, or refuses writes.
const CONFIRMED: &str = "confirmed";

/// Nobody can reach the old primary, so that nobody can fence it.
const UNREACHABLE: &str = "impossible_unreachable";

/// While the standby streams, a commit that arrives within this time is one too many.
const LISTEN: Duration = Duration::from_secs(1);

/// Between two attempts at the proof when the server could not be asked.
const AGAIN: Duration = Duration::from_millis(500);

/// Attempts at the proof.
const PROOFS: u32 = 10;

/// Makes a standby the primary, once, and proves that it writes.
///
/// ## What it does
/// It refuses a server that is no standby or that belongs to another cluster, and a promotion that
/// no `fence` covers. Then comes the gate: what the old primary had written (`expected_lsn`, as it
/// was read when it was fenced, else what the standby hears while it streams) less what the standby
/// has received. Positions compare as numbers, so an idle primary is not late. Only then it writes
/// down what the standby is (system identifier, timeline, position) and calls `pg_promote`.
///
/// The new primary has to prove itself: it is not in recovery, has the same system identifier and
/// the next timeline, new transactions may write, and a row is committed, read back in another
/// session and removed. When the connection is lost in the middle, the server is asked what
/// became of it; a promotion that has begun is never asked for again.
///
/// ## When to use it
/// After `fence`, when the primary is lost or is to be replaced. With `max_bytes` left out nothing
/// may be lost; with `max_lag` alone, when the primary is gone, the loss is bounded in time: from
/// the last transaction that was replayed to the fence.
///
/// ## What it changes
/// The standby becomes a primary on a timeline of its own. Nothing takes that back: the old primary
/// must never be started as a primary again (`pg.rewind_rejoin`). The row of the proof is a large
/// object in the connection's database, gone at the end.
///
/// ## How it can fail
/// Nothing covers the promotion; the old primary still commits; the loss would be more than
/// allowed, or nobody can tell; the role may not call `pg_promote`; the server is promoted and
/// takes no writes, which a person puts right before `runbook resume` proves it again.
///
/// ## Example
/// ```yaml
/// - id: promote
///   uses: pg.promote
///   with:
///     connection: standby
///     fence: {outcome: confirmed, proof: "port 5432 of db1 is closed"}
///     expected_lsn: 0/3000148
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The standby: a name under `connections:`.
    connection: String,
    /// What `fence` found out about the old primary. Either this or `without_fence`.
    fence: Option<Fence>,
    /// Why nothing keeps the old primary from writing, and that this is accepted; recorded.
    without_fence: Option<String>,
    /// Why the old primary may stay unfenced because nobody can reach it; recorded. Needed when
    /// the fence's outcome is `impossible_unreachable`.
    accept_unreachable: Option<String>,
    /// At most so many bytes of what the old primary had written may be lost. Without it and
    /// without `max_lag`: none.
    max_bytes: Option<ByteSize>,
    /// At most the commits of so long may be lost: from the last one that was replayed to the
    /// fence. Without `max_bytes` it is the only bound.
    max_lag: Option<Span>,
    /// How far the old primary had written when it was fenced: `0/3000148`.
    expected_lsn: Option<String>,
    /// The cluster's system identifier, as text; a standby of another one is refused.
    system_identifier: Option<String>,
    /// How long the promotion may take.
    #[serde(default = "a_minute")]
    timeout: Span,
}

/// What keeps the old primary from writing.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Fence {
    /// The outcome of `fence`: `confirmed` or `impossible_unreachable`.
    outcome: String,
    /// How that was proved, in a sentence.
    proof: String,
    /// Since when it commits nothing (RFC 3339 with a zone). Without it the loss counts until now.
    #[schemars(with = "Option<String>")]
    fenced_at: Option<Timestamp>,
}

/// The new primary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// The cluster's system identifier, the same as before.
    system_identifier: String,
    /// Its timeline: one more than before.
    timeline: u32,
    /// Where the old timeline ends.
    promoted_lsn: Option<String>,
    /// How far the old primary had written; nothing when nobody can tell.
    written_lsn: Option<String>,
    /// Bytes that the old primary had written and that are lost; nothing when nobody can tell.
    lost_bytes: Option<u64>,
    /// Seconds of commits that are lost, at most; nothing when no transaction was ever replayed.
    lost_seconds: Option<f64>,
    /// When the last transaction that it has was committed on the old primary.
    #[schemars(with = "Option<String>")]
    recovery_point: Option<Timestamp>,
    /// What kept the old primary from writing, or who accepted that nothing did and why.
    covered_by: String,
    /// What proves that it writes.
    proof: String,
    /// When it was proved to write, by the server's clock.
    #[schemars(with = "String")]
    writable_at: Timestamp,
}

/// The step kind.
pub struct Promote;

fn a_minute() -> Span {
    Duration::from_mins(1).into()
}

/// A text that says something.
fn said(text: Option<&String>) -> Option<&str> {
    text.map(|text| text.trim()).filter(|text| !text.is_empty())
}

impl Input {
    /// What covers the promotion; an error when nothing does.
    fn covered_by(&self) -> Result<String, StepError> {
        let Some(fence) = &self.fence else {
            let reason = said(self.without_fence.as_ref());
            let why = || uncovered("neither `fence` nor a reason in `without_fence` is given");
            return reason.map(|reason| format!("no fence, accepted: {reason}")).ok_or_else(why);
        };
        match (fence.outcome.as_str(), said(self.accept_unreachable.as_ref())) {
            (CONFIRMED, _) => Ok(format!("fence confirmed: {}", fence.proof)),
            (UNREACHABLE, Some(reason)) => {
                Ok(format!("the old primary is unreachable ({}), accepted: {reason}", fence.proof))
            }
            (UNREACHABLE, None) => {
                let why = format!(
                    "nobody reaches the old primary ({}), and nobody accepted that it may still \
                     write",
                    fence.proof
                );
                Err(uncovered(&why))
            }
            (other, _) => Err(uncovered(&format!("the fence's outcome is `{other}`"))),
        }
    }

    fn expected(&self) -> Result<Option<PgLsn>, StepError> {
        let Some(text) = said(self.expected_lsn.as_ref()) else { return Ok(None) };
        let wrong = |_| StepError::permanent("RB0401", not_a_position(text));
        text.parse().map(Some).map_err(wrong)
    }

    /// Since when the old primary commits nothing.
    fn ended(&self, now: Timestamp) -> Timestamp {
        self.fence.as_ref().and_then(|fence| fence.fenced_at).map_or(now, |at| at.min(now))
    }

    fn override_problem(&self) -> Option<InputProblem> {
        match (&self.fence, &self.without_fence) {
            (None, None) => Some(
                InputProblem::at("fence", "neither `fence` nor `without_fence` is given")
                    .help("fence the old primary, or say in `without_fence` why it cannot write"),
            ),
            (Some(_), Some(reason)) if !reason.trim().is_empty() => {
                Some(InputProblem::at("without_fence", "`fence` is given as well"))
            }
            (Some(fence), _) if ![CONFIRMED, UNREACHABLE].contains(&fence.outcome.as_str()) => {
                let message = format!("`{}` is no outcome of a fence", fence.outcome);
                Some(
                    InputProblem::at("fence", message)
                        .help(format!("it is `{CONFIRMED}` or `{UNREACHABLE}`")),
                )
            }
            _ => None,
        }
    }
}

fn not_a_position(text: &str) -> String {
    format!("`{text}` is not a position in the WAL, such as `0/3000148`")
}

fn uncovered(why: &str) -> StepError {
    StepError::permanent("RB0552", format!("nothing covers the promotion: {why}")).hint(
        "two primaries lose data: fence the old one, or say in `accept_unreachable` or \
         `without_fence` who accepts that it may write",
    )
}

fn no_standby(input: &Input, why: &str) -> StepError {
    let message = format!("the server of `{}` cannot be promoted: {why}", input.connection);
    StepError::permanent("RB0525", message).hint("check the connection's host and port")
}

/// Refuses what is no standby of the cluster.
fn check_identity(input: &Input, found: &Standing) -> Result<(), StepError> {
    let own = &found.system_identifier;
    if let Some(expected) = said(input.system_identifier.as_ref()).filter(|id| id != own) {
        return Err(no_standby(input, &format!("it belongs to cluster {own}, not to {expected}")));
    }
    if !found.in_recovery {
        let why = format!("it is not in recovery, but a primary on timeline {}", found.timeline);
        return Err(no_standby(input, &why));
    }
    Ok(())
}

/// Refuses to promote beside a primary that goes on committing.
async fn check_silence(ctx: &StepContext, session: &Session) -> Result<Standing, StepError> {
    let before = look(session).await?;
    if !before.streaming {
        return Ok(before);
    }
    ctx.sleep(LISTEN).await?;
    let after = look(session).await?;
    if after.replayed_until > before.replayed_until {
        return Err(uncovered("the old primary still commits, and the standby streams it"));
    }
    Ok(after)
}

/// Everything that must hold before anything happens; gives what is announced.
async fn prepare(
    input: &Input,
    ctx: &StepContext,
    session: &Session,
) -> Result<Announced, StepError> {
    check_identity(input, &look(session).await?)?;
    let found = check_silence(ctx, session).await?;
    check_identity(input, &found)?;
    let (written, ended) = (written(input.expected()?, &found), input.ended(found.now));
    let loss = loss(written, found.received, found.replayed_until, ended);
    input.check_loss(&loss)?;
    ctx.log(format!(
        "standby on timeline {}, has everything up to {}; loss: {} bytes, {} seconds at most",
        found.timeline,
        found.received.map_or("nothing".to_owned(), |lsn| lsn.to_string()),
        loss.bytes.map_or("unknown".to_owned(), |bytes| bytes.to_string()),
        loss.seconds.map_or("unknown".to_owned(), |seconds| format!("{seconds:.1}")),
    ));
    Ok(Announced {
        system_identifier: found.system_identifier,
        timeline: found.timeline,
        received: found.received.map(|lsn| lsn.to_string()),
        replayed_until: found.replayed_until,
        written: written.map(|lsn| lsn.to_string()),
        ended,
    })
}

/// Promotes, or takes up the promotion of an earlier attempt.
async fn promoted(
    input: &Input,
    ctx: &StepContext,
    target: &Target,
) -> Result<(Announced, Standing), StepError> {
    let session = connect_pinned(ctx, target).await?;
    if let Some(announced) = Announced::of(ctx) {
        match announced.seen(ctx, &session).await? {
            Seen::Promoted(standing) => {
                ctx.log("it was promoted by an earlier attempt, and is proved now");
                return Ok((announced, standing));
            }
            Seen::Underway => {
                session.close().await;
                let standing = carry_out::settle(input, ctx, target, &announced, None).await?;
                return Ok((announced, standing));
            }
            Seen::Foreign(why) => return Err(carry_out::foreign(&target.name, &why)),
            Seen::Standby => {}
        }
    }
    let announced = prepare(input, ctx, &session).await?;
    ctx.record(carry_out::FACT, &announced).await?;
    if ctx.cancel().is_cancelled() {
        return Err(StepError::cancelled());
    }
    let standing = carry_out::promote(input, ctx, session, &announced).await?;
    Ok((announced, standing))
}

/// Proves that the new primary writes. The server may be busy yet: what is lost on the way is
/// tried again, because a proof does no harm twice.
async fn proved(ctx: &StepContext, target: &Target) -> Result<(), StepError> {
    for left in (0..PROOFS).rev() {
        match proof::writes(ctx, target).await {
            Err(error)
                if left > 0
                    && [ErrorClass::Transient, ErrorClass::Ambiguous].contains(&error.class) =>
            {
                ctx.log(format!("{error}: the proof is tried again"));
                pause(AGAIN).await;
            }
            Err(error) if error.class == ErrorClass::NeedsOperator => return Err(error),
            Err(error) => return Err(proof::not_writing(&target.name, &error.message)),
            Ok(()) => return Ok(()),
        }
    }
    unreachable!("the last attempt settles it")
}

fn output(
    announced: &Announced,
    found: &Standing,
    covered_by: String,
    writable_at: Timestamp,
) -> Output {
    let position = |text: &Option<String>| text.as_ref().and_then(|text| text.parse().ok());
    // What was replayed is forgotten when the server is started again.
    let end = found.replayed.or_else(|| position(&announced.received));
    let recovery_point = found.replayed_until.or(announced.replayed_until);
    let loss = loss(position(&announced.written), end, recovery_point, announced.ended);
    Output {
        system_identifier: found.system_identifier.clone(),
        timeline: found.timeline,
        promoted_lsn: end.map(|lsn| lsn.to_string()),
        written_lsn: announced.written.clone(),
        lost_bytes: loss.bytes,
        lost_seconds: loss.seconds,
        recovery_point,
        covered_by,
        proof: "a row was committed, read back in another session and removed".to_owned(),
        writable_at,
    }
}

async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
    let Some(announced) = Announced::of(ctx) else { return Ok(Observation::NotDone) };
    let session = connect_named(ctx, &input.connection).await?;
    let seen = announced.seen(ctx, &session).await?;
    session.close().await;
    let proved = ctx.fact(PROVED).and_then(|fact| serde_json::from_value(fact).ok());
    Ok(match (seen, proved) {
        (Seen::Promoted(_), Some(output)) => Observation::Done(output),
        // The next attempt asks for no promotion: it proves this one.
        (Seen::Promoted(_) | Seen::Standby, None) => Observation::NotDone,
        (Seen::Underway, _) => Observation::InProgress,
        (Seen::Foreign(_), _) | (Seen::Standby, Some(_)) => Observation::Unknown,
    })
}

impl Step for Promote {
    const KIND: &'static str = "pg.promote";
    const SUMMARY: &'static str = "makes a standby the primary, and proves that it writes";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let mut problems: Vec<_> = input.override_problem().into_iter().collect();
        if let (Some(text), Err(_)) = (&input.expected_lsn, input.expected()) {
            problems.push(InputProblem::at("expected_lsn", not_a_position(text)));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        let Input { connection, .. } = input;
        let bound = match (input.max_bytes, input.max_lag) {
            (None, None) => "nothing may be lost".to_owned(),
            (Some(bytes), None) => format!("at most {bytes} may be lost"),
            (None, Some(span)) => format!("at most {span} of commits may be lost"),
            (Some(bytes), Some(span)) => format!("at most {bytes} and {span} may be lost"),
        };
        let covered = input.covered_by().unwrap_or_else(|error| error.message);
        let footprint = Footprint::new(Effect::Irreversible, Repeat::Observable);
        let footprint =
            if input.fence.is_none() { footprint.plays(Part::Unfenced) } else { footprint };
        footprint
            .plays(Part::Promote)
            .plays(Part::ProveWritable)
            .writes_connection(connection)
            .reads(format!("how far the standby of `{connection}` has come; {bound}"))
            .writes(format!("makes the standby of `{connection}` the primary; {covered}"))
            .writes("commits a row there as the proof that it writes, and removes it")
    }

    fn example() -> Output {
        Output {
            system_identifier: "7571234567890123456".to_owned(),
            timeline: 2,
            promoted_lsn: Some("0/3000148".to_owned()),
            written_lsn: Some("0/3000148".to_owned()),
            lost_bytes: Some(0),
            lost_seconds: Some(0.0),
            recovery_point: Some(Timestamp::UNIX_EPOCH),
            covered_by: "fence confirmed: port 5432 of db1 is closed".to_owned(),
            proof: "a row was committed, read back in another session and removed".to_owned(),
            writable_at: Timestamp::UNIX_EPOCH,
        }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        observe(input, ctx).await.map_err(classify::not_applied)
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        if ctx.cancel().is_cancelled() {
            return Err(StepError::cancelled());
        }
        let covered_by = input.covered_by()?;
        ctx.log(&covered_by);
        let target = Target::resolve(&ctx.connection(&input.connection).await?)?;
        let (announced, found) = promoted(input, ctx, &target).await?;
        proved(ctx, &target).await?;
        let session = super::connection::connect_even_cancelled(ctx, &target).await?;
        let Seen::Promoted(now) = announced.seen(ctx, &session).await? else {
            return Err(carry_out::foreign(&target.name, "it is no primary any more"));
        };
        session.close().await;
        let output = output(&announced, &found, covered_by, now.now);
        ctx.record(PROVED, &output).await?;
        Ok(output)
    }
}
