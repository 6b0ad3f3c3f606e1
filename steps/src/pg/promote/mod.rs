//! `pg.promote`: makes a standby the primary, once, and proves that it writes.

mod carry_out;
mod gate;
mod proof;
mod silence;
mod standing;
mod terms;

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

pub(crate) use self::carry_out::{Announced, Seen, foreign};
use self::gate::loss;
pub(crate) use self::standing::Standing;
pub(crate) use self::terms::{Fence, Terms};
use super::classify;
use super::connection::{connect_named, connect_pinned};
use super::target::Target;

/// The fact that holds the output once the new primary was seen to write.
const PROVED: &str = "proved";

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
/// has received. Positions compare as numbers, so an idle primary is not late. While the standby
/// streams, it listens for a second whether the old primary still commits. A commit that arrives may
/// be the server's own, of autovacuum or of RDS, so it then waits for five seconds without one; after
/// five seconds with one, somebody writes, and nothing is promoted. What the standby was told of and
/// does not have yet gets the same five seconds to arrive. Only then it writes
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

/// The new primary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// The cluster's system identifier, the same as before.
    pub(crate) system_identifier: String,
    /// Its timeline: one more than before.
    pub(crate) timeline: u32,
    /// Where the old timeline ends.
    pub(crate) promoted_lsn: Option<String>,
    /// How far the old primary had written; nothing when nobody can tell.
    pub(crate) written_lsn: Option<String>,
    /// Bytes that the old primary had written and that are lost; nothing when nobody can tell.
    pub(crate) lost_bytes: Option<u64>,
    /// Seconds of commits that are lost, at most; nothing when no transaction was ever replayed.
    pub(crate) lost_seconds: Option<f64>,
    /// When the last transaction that it has was committed on the old primary.
    #[schemars(with = "Option<String>")]
    pub(crate) recovery_point: Option<Timestamp>,
    /// What kept the old primary from writing, or who accepted that nothing did and why.
    pub(crate) covered_by: String,
    /// What proves that it writes.
    pub(crate) proof: String,
    /// When it was proved to write, by the server's clock.
    #[schemars(with = "String")]
    pub(crate) writable_at: Timestamp,
}

/// The step kind.
pub struct Promote;

fn a_minute() -> Span {
    Duration::from_mins(1).into()
}

impl Input {
    fn terms(&self) -> Terms<'_> {
        Terms {
            connection: &self.connection,
            fence: self.fence.as_ref(),
            without_fence: self.without_fence.as_ref(),
            accept_unreachable: self.accept_unreachable.as_ref(),
            max_bytes: self.max_bytes,
            max_lag: self.max_lag,
            expected_lsn: self.expected_lsn.as_ref(),
            system_identifier: self.system_identifier.as_ref(),
        }
    }
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
    let announced = input.terms().prepare(ctx, &session).await?;
    ctx.record(carry_out::FACT, &announced).await?;
    if ctx.cancel().is_cancelled() {
        return Err(StepError::cancelled());
    }
    let standing = carry_out::promote(input, ctx, session, &announced).await?;
    Ok((announced, standing))
}

/// Proves that the new primary writes. The server may be busy yet: what is lost on the way is
/// tried again, because a proof does no harm twice.
pub(crate) async fn proved(ctx: &StepContext, target: &Target) -> Result<(), StepError> {
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

/// What is told of a promotion that was proved.
pub(crate) fn output(
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
        let problems = input.terms().problems();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        let Input { connection, .. } = input;
        let (terms, bound) = (input.terms(), input.terms().bound());
        let covered = terms.covered_by().unwrap_or_else(|error| error.message);
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
        let covered_by = input.terms().covered_by()?;
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
