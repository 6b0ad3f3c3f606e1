//! `rds.delete_instance`: takes back what this run made.

use std::time::Duration;

use engine::context::StepContext;
use engine::step::{Observation, Step};
use model::effect::{Effect, Repeat};
use model::footprint::{AwsUse, Footprint};
use model::step_error::{ErrorClass, StepError};
use model::units::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::instance::{Instance, missing};
use super::making::unfinished;
use super::settings::{RUN, of_this_run, ten_seconds, two_minutes};
use super::watch::{Pace, Watch};
use crate::aws::place::Place;
use crate::aws::rds::{Rds, Sent};

/// The fact that is durable before RDS is asked.
const FACT: &str = "deletion";

/// Deletes an instance that this run made, and keeps its last state as a snapshot.
///
/// ## What it does
/// It refuses an instance that another run or a person made, which the tag `runbook:run` tells, one
/// that is protected against deletion, and one that has replicas. It writes down what it is going to
/// ask, asks RDS once, and waits until the instance is gone. RDS keeps its last state as the snapshot
/// `snapshot`; a read replica, whose data its source has, leaves none.
///
/// ## When to use it
/// As the `undo` of `rds.create_replica`, `rds.restore_snapshot` and `rds.restore_to_time`, and at the
/// end of a rehearsal.
///
/// ## What it changes
/// The instance is gone. The snapshot costs money and stays until somebody deletes it.
///
/// ## How it can fail
/// There is no such instance; it is not of this run; it is protected or has replicas; it is not gone
/// after `timeout`.
///
/// ## Example
/// ```yaml
/// - id: clear
///   uses: rds.delete_instance
///   with: {instance: app-restored, region: us-west-2}
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The instance's identifier.
    instance: String,
    /// The snapshot of its last state. Without it, a name of the instance and the run.
    snapshot: Option<String>,
    /// How long nothing may be seen of a request whose answer was lost.
    #[serde(default = "two_minutes")]
    settle: Span,
    /// How long it may take until it is gone.
    #[serde(default = "an_hour")]
    timeout: Span,
    /// The time between two looks.
    #[serde(default = "ten_seconds")]
    interval: Span,
    /// The region of the instance. Without it, what `aws` or the environment says.
    region: Option<String>,
    /// A profile of the files of AWS. Without it, what `aws` or the environment says.
    profile: Option<String>,
    /// Another endpoint than that of AWS, such as one in a private network.
    endpoint_url: Option<String>,
}

/// What was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// The instance.
    instance: String,
    /// The snapshot of its last state; nothing when it was a read replica.
    snapshot: Option<String>,
}

/// The step kind.
pub struct DeleteInstance;

fn an_hour() -> Span {
    Duration::from_hours(1).into()
}

fn begun(ctx: &StepContext) -> Option<Output> {
    ctx.fact(FACT).and_then(|fact| serde_json::from_value(fact).ok())
}

impl Input {
    fn place(&self) -> Place<'_> {
        Place {
            region: self.region.as_deref(),
            profile: self.profile.as_deref(),
            endpoint_url: self.endpoint_url.as_deref(),
        }
    }

    /// Refuses what must stay.
    fn check(ctx: &StepContext, found: &Instance) -> Result<(), StepError> {
        let made_by = found.tags.get(RUN).map_or("no run at all", String::as_str);
        let why = if !of_this_run(&found.tags, ctx) {
            format!("it was made by {made_by}, not by this run")
        } else if found.deletion_protection {
            "it is protected against deletion".to_owned()
        } else if !found.replicas.is_empty() {
            format!("it has the replicas {}", found.replicas.join(", "))
        } else {
            return Ok(());
        };
        let message = format!("`{}` in {} is not deleted: {why}", found.instance, found.region);
        Err(StepError::permanent("RB0686", message)
            .hint("nothing was changed; what has to go nevertheless is deleted by hand"))
    }

    fn output(&self, ctx: &StepContext, found: &Instance) -> Output {
        let run = ctx.id().run.to_string().to_lowercase();
        let own = || format!("{}-final-{run}", self.instance);
        let snapshot = self.snapshot.clone().filter(|name| !name.is_empty()).unwrap_or_else(own);
        let snapshot = found.source.is_none().then_some(snapshot);
        Output { instance: self.instance.clone(), snapshot }
    }

    /// Waits until it is gone.
    async fn gone(
        &self,
        ctx: &StepContext,
        rds: &Rds,
        lost: Option<StepError>,
    ) -> Result<(), StepError> {
        let pace = Pace::new(self.interval, self.timeout);
        let mut watch = Watch::new(ctx, pace);
        let (mut calm, settle) = (Duration::ZERO, self.settle.duration());
        loop {
            let seen = match (rds.instance(&self.instance).await, &lost) {
                (Ok(None), _) => return Ok(()),
                (Ok(Some(found)), Some(error)) if found.is_available() && calm >= settle => {
                    return Err(error.clone());
                }
                (Ok(Some(found)), _) => {
                    calm += if found.is_available() { pace.interval } else { Duration::ZERO };
                    Ok(format!("`{}` is {}", self.instance, found.status))
                }
                (Err(error), _) => Err(error),
            };
            let again = watch.again(seen).await.map_err(|error| match error.class {
                ErrorClass::Cancelled => error,
                _ => StepError { class: ErrorClass::Ambiguous, ..error },
            });
            if !again? {
                return Err(unfinished("deletion of", &self.instance, pace.limit, &watch.last));
            }
        }
    }
}

impl Step for DeleteInstance {
    const KIND: &'static str = "rds.delete_instance";
    const SUMMARY: &'static str = "deletes an instance of RDS that this run made";
    type Input = Input;
    type Output = Output;

    fn footprint(input: &Input) -> Footprint {
        let actions = ["DescribeDBInstances", "DeleteDBInstance", "CreateDBSnapshot"];
        Footprint::new(Effect::Destructive, Repeat::Observable)
            .aws(AwsUse::control("rds", input.region.as_deref(), &actions))
            .reads(format!("who made the instance `{}`", input.instance))
            .writes(format!("deletes the instance `{}`, if this run made it", input.instance))
    }

    fn example() -> Output {
        let (instance, snapshot) = ("app-restored".to_owned(), "app-restored-final".to_owned());
        Output { instance, snapshot: Some(snapshot) }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        let Some(output) = begun(ctx) else { return Ok(Observation::NotDone) };
        let rds = Rds::at(input.place()).await?;
        Ok(match rds.instance(&input.instance).await? {
            None => Observation::Done(output),
            Some(found) if found.status == "deleting" => Observation::InProgress,
            // A second request finds the instance being deleted, or gone.
            Some(_) => Observation::NotDone,
        })
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let rds = Rds::at(input.place()).await?;
        let found = match (rds.instance(&input.instance).await?, begun(ctx)) {
            (Some(found), _) => found,
            (None, Some(output)) => return Ok(output),
            (None, None) => return Err(missing("DB instance", &input.instance, rds.region())),
        };
        Input::check(ctx, &found)?;
        let output = begun(ctx).unwrap_or_else(|| input.output(ctx, &found));
        if found.status == "deleting" {
            input.gone(ctx, &rds, None).await?;
            return Ok(output);
        }
        ctx.record(FACT, &output).await?;
        match rds.delete(&input.instance, output.snapshot.as_deref()).await {
            Sent::Accepted => input.gone(ctx, &rds, None).await?,
            Sent::State(why) | Sent::Taken(why) => {
                return Err(StepError::transient("RB0673", why));
            }
            Sent::Refused(error) => return Err(error),
            Sent::Lost(error) => input.gone(ctx, &rds, Some(error)).await?,
        }
        Ok(output)
    }
}
