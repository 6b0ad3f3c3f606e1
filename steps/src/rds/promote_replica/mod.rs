//! `rds.promote_replica`: makes a read replica an instance of its own, once, and proves that it
//! writes.

mod asked;
mod carry_out;
mod input;

use engine::context::StepContext;
use engine::step::{Observation, Step};
use jiff::Timestamp;
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::{AwsUse, Footprint, Part};
use model::step_error::StepError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::asked::{Asked, Seen};
pub use self::input::Input;
use super::instance::{Endpoint, Instance};
use crate::aws::rds::Rds;
use crate::pg::connection::connect_pinned;
use crate::pg::promote::{self, proved};
use crate::pg::target::Target;

/// The fact that holds the output once the new primary was seen to write.
const PROVED: &str = "proved";

/// The instance of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// The instance.
    instance: String,
    /// Its ARN.
    arn: String,
    /// Its region.
    region: String,
    /// `DbiResourceId`, the same as before.
    resource_id: String,
    /// Where it listens; the same as before.
    endpoint: Option<Endpoint>,
    /// The instance whose replica it was.
    former_source: String,
    /// How many days its automated backups are kept.
    backup_retention: i32,
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
pub struct PromoteReplica;

fn output(asked: &Asked, found: Instance, sql: promote::Output) -> Output {
    Output {
        instance: found.instance,
        arn: found.arn,
        region: found.region,
        resource_id: found.resource_id,
        endpoint: found.endpoint,
        former_source: asked.source.clone(),
        backup_retention: found.backup_retention,
        system_identifier: sql.system_identifier,
        timeline: sql.timeline,
        promoted_lsn: sql.promoted_lsn,
        written_lsn: sql.written_lsn,
        lost_bytes: sql.lost_bytes,
        lost_seconds: sql.lost_seconds,
        recovery_point: sql.recovery_point,
        covered_by: sql.covered_by,
        proof: format!("RDS names no source and says `available`; {}", sql.proof),
        writable_at: sql.writable_at,
    }
}

/// Everything that must hold before anything happens; gives what is asked for.
async fn prepare(
    input: &Input,
    ctx: &StepContext,
    target: &Target,
    found: &Instance,
) -> Result<Asked, StepError> {
    let source = input.check_replica(found)?;
    let session = connect_pinned(ctx, target).await?;
    let standby = input.terms().prepare(ctx, &session).await?;
    session.close().await;
    Ok(Asked {
        attempt: ctx.id().attempt,
        at: ctx.now(),
        resource_id: found.resource_id.clone(),
        source,
        standby,
    })
}

/// Promotes, or takes up the promotion of an earlier attempt.
async fn promoted(
    input: &Input,
    ctx: &StepContext,
    rds: &Rds,
    target: &Target,
) -> Result<(Asked, Instance), StepError> {
    if let Some((asked, answer)) = Asked::of(ctx) {
        match asked.seen(rds.instance(&input.instance).await?) {
            Seen::Promoted(found) => {
                ctx.log("it was promoted by an earlier attempt, and is proved now");
                return Ok((asked, *found));
            }
            // Whoever looked before this attempt found that nothing was under way.
            Seen::Replica if !answer.is_accepted() => {}
            Seen::Replica | Seen::Underway(_) => {
                let found = carry_out::settle(input, ctx, rds, &asked, None).await?;
                return Ok((asked, found));
            }
            Seen::Foreign(why) => return Err(asked::foreign(&input.instance, &why)),
            Seen::Stuck(status) => return Err(asked::stuck(&input.instance, &status)),
        }
    }
    carry_out::promote(input, ctx, rds, target).await
}

/// What the mark of completion says.
async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
    let Some((asked, answer)) = Asked::of(ctx) else { return Ok(Observation::NotDone) };
    let rds = Rds::at(input.place()).await?;
    let seen = asked.seen(rds.instance(&input.instance).await?);
    let proved = ctx.fact(PROVED).and_then(|fact| serde_json::from_value(fact).ok());
    Ok(match (seen, proved) {
        (Seen::Promoted(_), Some(output)) => Observation::Done(output),
        // The next attempt asks for no promotion: it proves this one.
        (Seen::Promoted(_), None) => Observation::NotDone,
        (Seen::Underway(_), _) => Observation::InProgress,
        (Seen::Replica, None) => {
            let patience = if answer.is_accepted() { input.timeout } else { input.settle };
            match (asked.is_older_than(patience, ctx.now()), answer.is_accepted()) {
                (false, _) => Observation::InProgress,
                (true, false) => Observation::NotDone,
                (true, true) => Observation::Unknown,
            }
        }
        (Seen::Replica, Some(_)) | (Seen::Foreign(_) | Seen::Stuck(_), _) => Observation::Unknown,
    })
}

impl Step for PromoteReplica {
    const KIND: &'static str = "rds.promote_replica";
    const SUMMARY: &'static str =
        "makes a read replica of RDS a primary, and proves that it writes";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let problems = input.problems();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        let Input { instance, connection, .. } = input;
        let terms = input.terms();
        let covered = terms.covered_by().unwrap_or_else(|error| error.message);
        let footprint = Footprint::new(Effect::Irreversible, Repeat::Observable);
        let footprint =
            if terms.fence.is_none() { footprint.plays(Part::Unfenced) } else { footprint };
        let actions = ["DescribeDBInstances", "PromoteReadReplica"];
        footprint
            .plays(Part::Promote)
            .plays(Part::ProveWritable)
            .writes_connection(connection)
            .aws(AwsUse::control("rds", input.place().region, &actions))
            .reads(format!("how far the replica of `{connection}` has come; {}", terms.bound()))
            .writes(format!("makes the read replica `{instance}` a primary; {covered}"))
            .writes("commits a row there as the proof that it writes, and removes it")
    }

    fn example() -> Output {
        let found = Instance { source: None, ..Instance::example() };
        Output {
            instance: found.instance,
            arn: found.arn,
            region: found.region,
            resource_id: found.resource_id,
            endpoint: found.endpoint,
            former_source: "arn:aws:rds:us-east-1:123456789012:db:app-primary".to_owned(),
            backup_retention: found.backup_retention,
            system_identifier: "7571234567890123456".to_owned(),
            timeline: 2,
            promoted_lsn: Some("0/3000148".to_owned()),
            written_lsn: Some("0/3000148".to_owned()),
            lost_bytes: Some(0),
            lost_seconds: Some(0.0),
            recovery_point: Some(Timestamp::UNIX_EPOCH),
            covered_by: "fence confirmed: app-primary is in sg-isolated alone".to_owned(),
            proof: "RDS names no source and says `available`; a row was committed, read back in \
                    another session and removed"
                .to_owned(),
            writable_at: Timestamp::UNIX_EPOCH,
        }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        observe(input, ctx).await
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let covered_by = input.terms().covered_by()?;
        ctx.log(&covered_by);
        let target = Target::resolve(&ctx.connection(&input.connection).await?)?;
        let rds = Rds::at(input.place()).await?;
        let (asked, found) = promoted(input, ctx, &rds, &target).await?;
        let standing = carry_out::writable(input, ctx, &target, &asked).await?;
        proved(ctx, &target).await?;
        let now = carry_out::writable(input, ctx, &target, &asked).await?.now();
        let sql = promote::output(&asked.standby, &standing, covered_by, now);
        let output = output(&asked, found, sql);
        ctx.record(PROVED, &output).await?;
        Ok(output)
    }
}
