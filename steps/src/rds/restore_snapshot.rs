//! `rds.restore_snapshot`: a new instance from a snapshot.

use engine::context::StepContext;
use engine::step::{Observation, Step};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::{AwsUse, Footprint};
use model::step_error::StepError;
use model::units::Span;
use schemars::JsonSchema;
use serde::Deserialize;

use super::instance::{Snapshot, missing};
use super::making::Order;
use super::restored::{self, Output, output};
use super::settings::{Settings, ten_seconds, two_hours, two_minutes};
use super::watch::Pace;
use crate::aws::place::Place;
use crate::aws::rds::Rds;

/// Makes a new instance from a snapshot.
///
/// ## What it does
/// It looks whether the snapshot is whole, refuses a name that is taken, writes down what it is going
/// to ask, and asks RDS once. The new instance carries the tags `runbook:run` and `runbook:step`, by
/// which a later look knows it again. Then it waits until the instance is available and its security
/// groups are active.
///
/// ## When to use it
/// To bring a database back beside the one that is there, and to rehearse that. Compare it before it
/// is used, with `pg.verify_backup`, `pg.amcheck` or `pg.assert`: available says nothing of the data.
/// RDS loads the storage as it is read, so that the first reads are slow.
///
/// ## What it changes
/// It adds an instance, which costs money. Its `undo` is `rds.delete_instance`.
///
/// ## How it can fail
/// The name is taken; there is no such snapshot, or it is not whole; a group of `settings` is not
/// there; the instance is not available after `timeout`: it is looked at again, and never made twice.
///
/// ## Example
/// ```yaml
/// - id: restore
///   uses: rds.restore_snapshot
///   with:
///     instance: app-restored
///     snapshot: app-before-release
///     region: us-west-2
///     settings: {subnet_group: app, security_groups: [sg-app], parameter_group: app-postgres15}
///   undo: {uses: rds.delete_instance, with: {instance: app-restored, region: us-west-2}}
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The new instance's identifier.
    instance: String,
    /// The snapshot: an identifier, or an ARN.
    snapshot: String,
    /// How the new instance is made.
    settings: Settings,
    /// How long nothing may be seen of a request whose answer was lost.
    #[serde(default = "two_minutes")]
    settle: Span,
    /// How long it may take until it is available.
    #[serde(default = "two_hours")]
    timeout: Span,
    /// The time between two looks.
    #[serde(default = "ten_seconds")]
    interval: Span,
    /// The region of the snapshot and of the instance. Without it, what `aws` or the environment says.
    region: Option<String>,
    /// A profile of the files of AWS. Without it, what `aws` or the environment says.
    profile: Option<String>,
    /// Another endpoint than that of AWS, such as one in a private network.
    endpoint_url: Option<String>,
}

/// The step kind.
pub struct RestoreSnapshot;

impl Input {
    fn place(&self) -> Place<'_> {
        Place {
            region: self.region.as_deref(),
            profile: self.profile.as_deref(),
            endpoint_url: self.endpoint_url.as_deref(),
        }
    }

    fn order<'a>(&'a self, ctx: &'a StepContext, rds: &'a Rds) -> Order<'a> {
        Order {
            ctx,
            rds,
            instance: &self.instance,
            security_groups: &self.settings.security_groups,
            settle: self.settle,
            pace: Pace::new(self.interval, self.timeout),
        }
    }

    async fn whole_snapshot(&self, rds: &Rds) -> Result<Snapshot, StepError> {
        let found = rds.snapshot(&self.snapshot).await?;
        let found = found.ok_or_else(|| missing("snapshot", &self.snapshot, rds.region()))?;
        if found.status == "available" {
            return Ok(found);
        }
        let (status, region) = (&found.status, rds.region());
        let message =
            format!("the snapshot `{}` in {region} is not whole: it is {status}", self.snapshot);
        Err(StepError::permanent("RB0685", message)
            .hint("nothing was made; `rds.wait` waits for a snapshot"))
    }
}

impl Step for RestoreSnapshot {
    const KIND: &'static str = "rds.restore_snapshot";
    const SUMMARY: &'static str = "makes an instance of RDS from a snapshot";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let problems = input.settings.problems();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        let Input { instance, snapshot, .. } = input;
        let actions = [
            "DescribeDBInstances",
            "DescribeDBSnapshots",
            "RestoreDBInstanceFromDBSnapshot",
            "AddTagsToResource",
        ];
        Footprint::new(Effect::Reversible, Repeat::Observable)
            .aws(AwsUse::control("rds", input.region.as_deref(), &actions))
            .reads(format!("the snapshot `{snapshot}`"))
            .writes(format!("makes the instance `{instance}` from the snapshot `{snapshot}`"))
    }

    fn example() -> Output {
        restored::example()
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        let rds = Rds::at(input.place()).await?;
        Ok(restored::seen(input.order(ctx, &rds).observe().await?))
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let rds = Rds::at(input.place()).await?;
        let order = input.order(ctx, &rds);
        if order.is_begun().await? {
            let moment = order.begun().and_then(|begun| begun.moment);
            return Ok(output(order.ready(None).await?, moment));
        }
        let moment = input.whole_snapshot(&rds).await?.taken_at;
        order.announce(moment).await?;
        let copied = input.settings.copied(&input.instance, ctx);
        let sent = rds.restore_snapshot(&input.snapshot, &copied).await;
        Ok(output(order.finish(sent).await?, moment))
    }
}
