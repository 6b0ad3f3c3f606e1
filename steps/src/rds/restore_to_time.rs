//! `rds.restore_to_time`: a new instance that is as another one was at a moment.

use engine::context::StepContext;
use engine::step::{Observation, Step};
use jiff::Timestamp;
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::{AwsUse, Footprint};
use model::step_error::StepError;
use model::units::Span;
use schemars::JsonSchema;
use serde::Deserialize;

use super::making::Order;
use super::restored::{self, Output, output};
use super::settings::{Settings, ten_seconds, two_hours, two_minutes};
use super::watch::{Pace, Watch, single};
use crate::aws::place::Place;
use crate::aws::rds::Rds;

/// Makes a new instance that is as another one was at a moment.
///
/// ## What it does
/// It reads up to which moment the source can be restored, which is about five minutes behind, and
/// refuses a later one, or waits for it as long as `wait` says. It refuses a name that is taken,
/// writes down what it is going to ask, and asks RDS once. The new instance carries the tags
/// `runbook:run` and `runbook:step`, by which a later look knows it again. Then it waits until the
/// instance is available and its security groups are active.
///
/// ## When to use it
/// After a mistake in the data, beside the instance that is there: take back from the new one what is
/// missing, and compare before it is used. With `latest` to rehearse that. RDS loads the storage as
/// it is read, so that the first reads are slow.
///
/// ## What it changes
/// It adds an instance, which costs money. Its `undo` is `rds.delete_instance`.
///
/// ## How it can fail
/// The source has no backups, or the moment is out of their reach; the name is taken; a group of
/// `settings` is not there; the instance is not available after `timeout`: it is looked at again, and
/// never made twice.
///
/// ## Example
/// ```yaml
/// - id: restore
///   uses: rds.restore_to_time
///   with:
///     instance: app-before
///     source: app-primary
///     time: "2026-11-20T01:59:00Z"
///     region: us-east-1
///     settings: {subnet_group: app, security_groups: [sg-app], parameter_group: app-postgres15}
///   undo: {uses: rds.delete_instance, with: {instance: app-before, region: us-east-1}}
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The new instance's identifier.
    instance: String,
    /// The instance whose backups are used.
    source: String,
    /// The moment, RFC 3339 with a zone; whole seconds. Either this or `latest`.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    time: Option<Timestamp>,
    /// The latest moment to which the source can be restored.
    #[serde(default)]
    latest: bool,
    /// How long to wait until the source can be restored to `time`; without it, one look decides.
    wait: Option<Span>,
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
    /// The region of both instances. Without it, what `aws` or the environment says.
    region: Option<String>,
    /// A profile of the files of AWS. Without it, what `aws` or the environment says.
    profile: Option<String>,
    /// Another endpoint than that of AWS, such as one in a private network.
    endpoint_url: Option<String>,
}

/// The step kind.
pub struct RestoreToTime;

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

    fn shown(&self) -> String {
        self.time.map_or_else(|| "the latest moment".to_owned(), |time| time.to_string())
    }

    /// Waits until the source reaches the moment; gives the moment that its data will be of.
    async fn reached(&self, ctx: &StepContext, rds: &Rds) -> Result<Timestamp, StepError> {
        let limit = self.wait.unwrap_or_default();
        let mut watch = Watch::new(ctx, Pace::new(self.interval, limit));
        loop {
            let latest = single(rds, &self.source).await.map(|found| found.latest_restorable_time);
            let how = match (latest, self.time) {
                (Ok(None), _) => {
                    return Err(self.unreachable("it has no automated backups"));
                }
                (Ok(Some(latest)), Some(time)) if time <= latest => return Ok(time),
                (Ok(Some(latest)), None) => return Ok(latest),
                (Ok(Some(latest)), Some(_)) => Ok(format!("its backups reach to {latest}")),
                (Err(error), _) => Err(error),
            };
            let failed = how.clone().err();
            if !watch.again(how).await? {
                return Err(failed.unwrap_or_else(|| self.unreachable(&watch.last)));
            }
        }
    }

    fn unreachable(&self, why: &str) -> StepError {
        let (source, moment) = (&self.source, self.shown());
        let message = format!("`{source}` cannot be restored to {moment}: {why}");
        StepError::permanent("RB0679", message).hint(
            "nothing was made; choose an earlier moment, or wait with `wait`: backups of RDS are \
             about five minutes behind",
        )
    }
}

impl Step for RestoreToTime {
    const KIND: &'static str = "rds.restore_to_time";
    const SUMMARY: &'static str = "makes an instance of RDS as another one was at a moment";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let mut problems = input.settings.problems();
        if input.time.is_some() == input.latest {
            let message = "give either `time` or `latest: true`";
            problems.push(InputProblem::at("time", message));
        }
        if input.time.is_some_and(|time| time.subsec_nanosecond() != 0) {
            problems.push(InputProblem::at("time", "RDS restores to whole seconds"));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        let Input { instance, source, .. } = input;
        let moment = input.shown();
        let actions =
            ["DescribeDBInstances", "RestoreDBInstanceToPointInTime", "AddTagsToResource"];
        Footprint::new(Effect::Reversible, Repeat::Observable)
            .aws(AwsUse::control("rds", input.region.as_deref(), &actions))
            .reads(format!("the automated backups of `{source}` up to {moment}"))
            .writes(format!("makes the instance `{instance}`, as `{source}` was at {moment}"))
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
        let moment = input.reached(ctx, &rds).await?;
        order.announce(Some(moment)).await?;
        let copied = input.settings.copied(&input.instance, ctx);
        let sent = rds.restore_to_time(&input.source, input.time, &copied).await;
        Ok(output(order.finish(sent).await?, Some(moment)))
    }
}
