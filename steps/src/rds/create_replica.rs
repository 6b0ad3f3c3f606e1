//! `rds.create_replica`: a new read replica, also in another region.

use engine::context::StepContext;
use engine::step::{Observation, Step};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::{AwsUse, Footprint};
use model::step_error::StepError;
use model::units::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::instance::{Endpoint, Instance};
use super::making::Order;
use super::settings::{Settings, ten_seconds, two_hours, two_minutes};
use super::watch::Pace;
use crate::aws::place::Place;
use crate::aws::rds::Rds;

/// Makes a read replica of an instance, in its region or in another one.
///
/// ## What it does
/// It refuses a name that is taken, writes down what it is going to ask, and asks RDS once, in the
/// region in which the replica is to be. The new instance carries the tags `runbook:run` and
/// `runbook:step`, by which a later look knows it again. Then it waits until the replica is
/// available, says whose replica it is, and its security groups are active.
///
/// ## When to use it
/// After a promotion, so that the new primary has a replica again; in `failback`, to make the way
/// back. The source needs automated backups (`backup_retention` above 0). How far the replica has come
/// is then for `pg.replication_lag`.
///
/// ## What it changes
/// It adds an instance, which costs money. Its `undo` is `rds.delete_instance`.
///
/// ## How it can fail
/// The name is taken; the source has no backups or is busy, which another attempt may find otherwise;
/// AWS does not permit it; the replica is not available after `timeout`: it is looked at again, and
/// never made twice. Between regions of `GovCloud` or of China, AWS asks for a presigned request when the
/// source is encrypted, which this step does not make; between others it does not
/// (<https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBInstanceReadReplica.html>).
///
/// ## Example
/// ```yaml
/// - id: replica
///   uses: rds.create_replica
///   with:
///     instance: app-replica-2
///     source: arn:aws:rds:us-west-2:123456789012:db:app-replica
///     region: us-east-1
///     settings: {subnet_group: app, security_groups: [sg-app], parameter_group: app-postgres15}
///   undo: {uses: rds.delete_instance, with: {instance: app-replica-2, region: us-east-1}}
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The new instance's identifier.
    instance: String,
    /// The instance to follow: an identifier, or the ARN of one in another region.
    source: String,
    /// The name under `connections:` that leads to the new instance, where there is one: nothing is
    /// looked for there before the run.
    connection: Option<String>,
    /// How the new instance is made.
    settings: Settings,
    /// The key of KMS of this region that encrypts the replica of an encrypted instance of another
    /// region.
    kms_key: Option<String>,
    /// How long nothing may be seen of a request whose answer was lost.
    #[serde(default = "two_minutes")]
    settle: Span,
    /// How long it may take until it is available.
    #[serde(default = "two_hours")]
    timeout: Span,
    /// The time between two looks.
    #[serde(default = "ten_seconds")]
    interval: Span,
    /// The region of the new replica. Without it, what `aws` or the environment says.
    region: Option<String>,
    /// A profile of the files of AWS. Without it, what `aws` or the environment says.
    profile: Option<String>,
    /// Another endpoint than that of AWS, such as one in a private network.
    endpoint_url: Option<String>,
}

/// The new replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// The instance.
    instance: String,
    /// Its ARN.
    arn: String,
    /// Its region.
    region: String,
    /// `DbiResourceId`.
    resource_id: String,
    /// Where it listens.
    endpoint: Option<Endpoint>,
    /// The instance that it follows.
    source: Option<String>,
}

/// The step kind.
pub struct CreateReplica;

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
}

impl From<Instance> for Output {
    fn from(found: Instance) -> Self {
        let Instance { instance, arn, region, resource_id, endpoint, source, .. } = found;
        Self { instance, arn, region, resource_id, endpoint, source }
    }
}

impl Step for CreateReplica {
    const KIND: &'static str = "rds.create_replica";
    const SUMMARY: &'static str = "makes a read replica of RDS, also in another region";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let problems = input.settings.problems();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        let Input { instance, source, .. } = input;
        let actions = ["DescribeDBInstances", "CreateDBInstanceReadReplica", "AddTagsToResource"];
        let footprint = Footprint::new(Effect::Reversible, Repeat::Observable)
            .aws(AwsUse::control("rds", input.region.as_deref(), &actions))
            .reads(format!("the data of `{source}`"))
            .writes(format!("makes the instance `{instance}`, a read replica of `{source}`"));
        match &input.connection {
            Some(connection) => footprint.makes_connection(connection),
            None => footprint,
        }
    }

    fn example() -> Output {
        Instance::example().into()
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        let rds = Rds::at(input.place()).await?;
        Ok(input.order(ctx, &rds).observe().await?.map(|(_, found)| found.into()))
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let rds = Rds::at(input.place()).await?;
        let order = input.order(ctx, &rds);
        if order.is_begun().await? {
            return Ok(order.ready(None).await?.into());
        }
        order.announce(None).await?;
        let copied = input.settings.copied(&input.instance, ctx);
        let sent = rds.replicate(&input.source, input.kms_key.as_deref(), &copied).await;
        Ok(order.finish(sent).await?.into())
    }
}
