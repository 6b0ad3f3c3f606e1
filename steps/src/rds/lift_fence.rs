//! `rds.lift_fence`: a failover that was called off gives the old primary back.

use std::time::Duration;

use engine::context::StepContext;
use engine::step::{Observation, Step};
use model::effect::{Effect, Repeat};
use model::footprint::{AwsUse, Footprint};
use model::step_error::StepError;
use model::units::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::groups::put_into;
use super::settings::ten_seconds;
use super::watch::{Pace, Watch, available, single};
use crate::aws::place::Place;
use crate::aws::rds::Rds;
use crate::pg::classify::statement;
use crate::pg::connection::connect_named;

/// How long one look at a server may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Gives a primary back that `fence` shut in, as long as nothing was promoted.
///
/// ## What it does
/// It makes sure that the old primary is still the only one: RDS must say that `replica` is
/// available and still its replica, and `standby` that it is in recovery. Then it puts the instance
/// back into `security_groups`, waits until RDS says that they hold, and until a new connection gets
/// in and finds a primary. Without groups the fence changed none, and there is nothing to lift.
///
/// ## When to use it
/// As the `undo` of a `fence` with `method: rds`: the failover was called off after the fence, at the
/// lag gate for example, and the application is to go on where it was.
///
/// ## What it changes
/// The security groups of the instance. Whoever they let in gets in again.
///
/// ## How it can fail
/// The replica was promoted or is on its way: two primaries would lose data, so nothing is changed.
/// The replica or RDS does not answer, so that nobody can tell. The groups do not hold, or nobody gets
/// in, within `timeout`.
///
/// ## Example
/// ```yaml
/// - id: give_back
///   uses: rds.lift_fence
///   with:
///     connection: primary
///     instance: app-primary
///     region: us-east-1
///     security_groups: [sg-0a1b2c3d]
///     replica: app-replica
///     replica_region: us-west-2
///     standby: replica
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The instance that is shut in.
    instance: String,
    /// The security groups that it was in before: `former_security_groups` of the fence.
    security_groups: Vec<String>,
    /// The server of the instance: a name under `connections:`.
    connection: String,
    /// The replica that was to take over.
    replica: String,
    /// The server of the replica: a name under `connections:`.
    standby: String,
    /// How long RDS and the server may take, each.
    #[serde(default = "five_minutes")]
    timeout: Span,
    /// The time between two looks.
    #[serde(default = "ten_seconds")]
    interval: Span,
    /// The region of the instance. Without it, what `aws` or the environment says.
    region: Option<String>,
    /// The region of the replica. Without it, that of the instance.
    replica_region: Option<String>,
    /// A profile of the files of AWS. Without it, what `aws` or the environment says.
    profile: Option<String>,
    /// Another endpoint than that of AWS, such as one in a private network.
    endpoint_url: Option<String>,
}

/// Where the instance is again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// The instance.
    instance: String,
    /// Its security groups.
    security_groups: Vec<String>,
}

/// The step kind.
pub struct LiftFence;

fn five_minutes() -> Span {
    Duration::from_mins(5).into()
}

impl Input {
    fn place(&self) -> Place<'_> {
        Place {
            region: self.region.as_deref(),
            profile: self.profile.as_deref(),
            endpoint_url: self.endpoint_url.as_deref(),
        }
    }

    fn region_of_replica(&self) -> Option<&str> {
        self.replica_region.as_deref().or(self.region.as_deref())
    }

    fn pace(&self) -> Pace {
        Pace::new(self.interval, self.timeout)
    }

    fn output(&self) -> Output {
        let (instance, security_groups) = (self.instance.clone(), self.security_groups.clone());
        Output { instance, security_groups }
    }

    /// Refuses to let anybody into one primary beside another.
    async fn check_single_primary(&self, ctx: &StepContext) -> Result<(), StepError> {
        let place = Place { region: self.region_of_replica(), ..self.place() };
        let found = available(ctx, &Rds::at(place).await?, &self.replica, self.pace()).await?;
        if !found.follows(&self.instance) {
            let now =
                found.source.map_or("a primary".to_owned(), |it| format!("a replica of {it}"));
            return Err(self.promoted(&format!("RDS says that `{}` is {now}", self.replica)));
        }
        if !is_in_recovery(ctx, &self.standby).await? {
            return Err(self.promoted(&format!("the server of `{}` takes writes", self.standby)));
        }
        Ok(())
    }

    fn promoted(&self, why: &str) -> StepError {
        let message = format!("the fence of `{}` stays: {why}", self.instance);
        StepError::permanent("RB0687", message).hint(
            "two primaries lose data: go on with the new one, and come back by a failback; nothing \
             was changed",
        )
    }

    /// Waits until somebody gets in and finds a primary.
    async fn let_in(&self, ctx: &StepContext) -> Result<(), StepError> {
        let mut watch = Watch::new(ctx, self.pace());
        loop {
            let seen = match timeout(PATIENCE, is_in_recovery(ctx, &self.connection)).await {
                Ok(Ok(false)) => return Ok(()),
                Ok(Ok(true)) => Ok(format!("the server of `{}` is in recovery", self.connection)),
                Ok(Err(error)) => Err(error),
                Err(_) => Ok(format!("the server of `{}` does not answer", self.connection)),
            };
            if !watch.again(seen).await? {
                return Err(self.unfinished(&watch.last));
            }
        }
    }

    fn unfinished(&self, how: &str) -> StepError {
        let message = format!("`{}` is not back after {}: {how}", self.instance, self.timeout);
        StepError::transient("RB0688", message)
            .hint("look at its security groups, and at who may get in by them; then run it again")
    }
}

async fn is_in_recovery(ctx: &StepContext, connection: &str) -> Result<bool, StepError> {
    let session = connect_named(ctx, connection).await?;
    let answer = session.query_one("SELECT pg_is_in_recovery()", &[]).await;
    let answer = answer.map_err(|error| statement("ask whether it is in recovery", &error));
    session.close().await;
    Ok(answer?.get(0))
}

impl Step for LiftFence {
    const KIND: &'static str = "rds.lift_fence";
    const SUMMARY: &'static str =
        "gives a fenced instance of RDS back, as long as nothing is promoted";
    type Input = Input;
    type Output = Output;

    fn footprint(input: &Input) -> Footprint {
        let actions = ["DescribeDBInstances", "ModifyDBInstance"];
        Footprint::new(Effect::Reversible, Repeat::Observable)
            .reads_connection(&input.connection)
            .that_may_be_away()
            .reads_connection(&input.standby)
            .aws(AwsUse::control("rds", input.region.as_deref(), &actions))
            .aws(AwsUse::control("rds", input.region_of_replica(), &actions[..1]))
            .reads(format!("whether `{}` is still a replica", input.replica))
            .writes(format!("security groups of the instance `{}`", input.instance))
    }

    fn example() -> Output {
        let groups = vec!["sg-0a1b2c3d".to_owned()];
        Output { instance: "app-primary".to_owned(), security_groups: groups }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        if input.security_groups.is_empty() {
            return Ok(Observation::Done(input.output()));
        }
        let found = single(&Rds::at(input.place()).await?, &input.instance).await?;
        let gets_in = timeout(PATIENCE, is_in_recovery(ctx, &input.connection)).await;
        Ok(if found.is_in(&input.security_groups) && matches!(gets_in, Ok(Ok(false))) {
            Observation::Done(input.output())
        } else {
            Observation::NotDone
        })
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        if input.security_groups.is_empty() {
            ctx.log("the fence changed no security groups: there is nothing to lift");
            return Ok(input.output());
        }
        let rds = Rds::at(input.place()).await?;
        single(&rds, &input.instance).await?;
        input.check_single_primary(ctx).await?;
        let limit = input.timeout.duration();
        if !put_into(ctx, &rds, &input.instance, &input.security_groups, limit).await? {
            return Err(input.unfinished("RDS does not say that its security groups hold"));
        }
        input.let_in(ctx).await?;
        Ok(input.output())
    }
}
