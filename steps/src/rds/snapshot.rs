//! `rds.snapshot`: takes a snapshot of an instance, once.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::context::StepContext;
use engine::step::{Observation, Step};
use jiff::{SignedDuration, Timestamp};
use model::effect::{Effect, Repeat};
use model::footprint::{AwsUse, Footprint};
use model::step_error::{ErrorClass, StepError};
use model::units::Span;
use schemars::JsonSchema;
use serde::Deserialize;

use super::instance::Snapshot;
use super::making::{taken, unfinished};
use super::settings::{of_this_step, tags, ten_seconds, two_hours, two_minutes};
use super::watch::{Pace, Watch, available};
use crate::aws::place::Place;
use crate::aws::rds::{Rds, Sent};

/// The fact that is durable before RDS is asked.
const FACT: &str = "snapshot";

/// Takes a snapshot of an instance.
///
/// ## What it does
/// It waits until the instance is available, refuses a name that is taken, writes down what it is
/// going to ask, and asks RDS once. The snapshot carries the tags `runbook:run` and `runbook:step`,
/// by which a later look knows it again. Then it waits until the snapshot is whole.
///
/// ## When to use it
/// In front of a change that may go wrong. It lives in the account and the region of its instance,
/// and nothing proves that it can be restored: `pg.dump` into a store and `pg.verify_backup` do that.
///
/// ## What it changes
/// It adds a snapshot, which costs money and stays until somebody deletes it. The instance goes on,
/// a little slower for a moment when it has no standby.
///
/// ## How it can fail
/// The name is taken; the instance is not available in time; the snapshot is not whole after
/// `timeout`: it is looked at again, and never taken twice.
///
/// ## Example
/// ```yaml
/// - id: before
///   uses: rds.snapshot
///   with: {instance: app-primary, snapshot: app-before-release, region: us-east-1}
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The instance's identifier.
    instance: String,
    /// The snapshot's identifier. Without it, that of the instance and the run.
    snapshot: Option<String>,
    /// Tags besides those of the run.
    #[serde(default)]
    tags: BTreeMap<String, String>,
    /// How long to wait until the instance is available.
    #[serde(default = "fifteen_minutes")]
    wait: Span,
    /// How long nothing may be seen of a request whose answer was lost.
    #[serde(default = "two_minutes")]
    settle: Span,
    /// How long it may take until it is whole.
    #[serde(default = "two_hours")]
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

/// The step kind.
pub struct TakeSnapshot;

fn fifteen_minutes() -> Span {
    Duration::from_mins(15).into()
}

/// What a look at the snapshot says.
enum Seen {
    Whole(Snapshot),
    Underway(String),
    Absent,
    Foreign,
    Broken(String),
}

impl Input {
    fn place(&self) -> Place<'_> {
        Place {
            region: self.region.as_deref(),
            profile: self.profile.as_deref(),
            endpoint_url: self.endpoint_url.as_deref(),
        }
    }

    fn pace(&self, limit: Span) -> Pace {
        Pace::new(self.interval, limit)
    }

    fn name(&self, ctx: &StepContext) -> String {
        let own = || format!("{}-{}", self.instance, ctx.id().run.to_string().to_lowercase());
        self.snapshot.clone().filter(|name| !name.is_empty()).unwrap_or_else(own)
    }

    async fn seen(&self, ctx: &StepContext, rds: &Rds) -> Result<Seen, StepError> {
        let Some(found) = rds.snapshot(&self.name(ctx)).await? else { return Ok(Seen::Absent) };
        if !of_this_step(&found.tags, ctx) {
            return Ok(Seen::Foreign);
        }
        Ok(match (found.status.as_str(), found.percent) {
            ("available", _) => Seen::Whole(found),
            ("creating", percent) => {
                Seen::Underway(format!("the snapshot is at {} %", percent.unwrap_or_default()))
            }
            _ => Seen::Broken(found.status),
        })
    }

    /// Waits until it is whole.
    async fn whole(
        &self,
        ctx: &StepContext,
        rds: &Rds,
        lost: Option<StepError>,
    ) -> Result<Snapshot, StepError> {
        let (name, pace) = (self.name(ctx), self.pace(self.timeout));
        let mut watch = Watch::new(ctx, pace);
        let (mut calm, settle) = (Duration::ZERO, self.settle.duration());
        loop {
            let how = match (self.seen(ctx, rds).await, &lost) {
                (Ok(Seen::Whole(found)), _) => return Ok(found),
                (Ok(Seen::Underway(how)), _) => Ok(how),
                (Ok(Seen::Absent), Some(error)) if calm >= settle => return Err(error.clone()),
                (Ok(Seen::Absent), _) => {
                    calm += pace.interval;
                    Ok("the snapshot is not there yet".to_owned())
                }
                (Ok(Seen::Foreign), _) => return Err(taken("snapshot", &name, rds.region())),
                (Ok(Seen::Broken(status)), _) => {
                    let how = format!("its status is `{status}`");
                    return Err(unfinished("snapshot", &name, Duration::ZERO, &how));
                }
                (Err(error), _) => Err(error),
            };
            if !watch.again(how).await.map_err(after)? {
                return Err(unfinished("snapshot", &name, pace.limit, &watch.last));
            }
        }
    }
}

/// What ends the looks, once it may have been taken.
fn after(error: StepError) -> StepError {
    match error.class {
        ErrorClass::Cancelled => error,
        _ => StepError { class: ErrorClass::Ambiguous, ..error },
    }
}

fn begun(ctx: &StepContext) -> Option<Timestamp> {
    ctx.fact(FACT).and_then(|fact| serde_json::from_value(fact).ok())
}

impl Step for TakeSnapshot {
    const KIND: &'static str = "rds.snapshot";
    const SUMMARY: &'static str = "takes a snapshot of an instance of RDS";
    type Input = Input;
    type Output = Snapshot;

    fn footprint(input: &Input) -> Footprint {
        let actions =
            ["DescribeDBInstances", "DescribeDBSnapshots", "CreateDBSnapshot", "AddTagsToResource"];
        Footprint::new(Effect::Reversible, Repeat::Observable)
            .aws(AwsUse::control("rds", input.region.as_deref(), &actions))
            .reads(format!("the storage of the instance `{}`", input.instance))
            .writes(match &input.snapshot {
                Some(name) => format!("takes the snapshot `{name}`"),
                None => format!("takes a snapshot of `{}`", input.instance),
            })
    }

    fn example() -> Snapshot {
        Snapshot {
            snapshot: "app-before-release".to_owned(),
            arn: "arn:aws:rds:us-east-1:123456789012:snapshot:app-before-release".to_owned(),
            instance: "app-primary".to_owned(),
            status: "available".to_owned(),
            engine: "postgres".to_owned(),
            percent: Some(100),
            taken_at: Some(Timestamp::UNIX_EPOCH),
            tags: BTreeMap::new(),
        }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Snapshot>, StepError> {
        let Some(at) = begun(ctx) else { return Ok(Observation::NotDone) };
        let rds = Rds::at(input.place()).await?;
        Ok(match input.seen(ctx, &rds).await? {
            Seen::Whole(found) => Observation::Done(found),
            Seen::Underway(_) => Observation::InProgress,
            Seen::Absent => {
                let settle = SignedDuration::try_from(input.settle.duration());
                let until = at.checked_add(settle.unwrap_or(SignedDuration::MAX));
                let late = until.is_ok_and(|until| until <= ctx.now());
                if late { Observation::NotDone } else { Observation::InProgress }
            }
            Seen::Foreign | Seen::Broken(_) => Observation::Unknown,
        })
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Snapshot, StepError> {
        let (rds, name) = (Rds::at(input.place()).await?, input.name(ctx));
        match (begun(ctx), input.seen(ctx, &rds).await?) {
            (_, Seen::Absent) => {}
            (Some(_), _) => return input.whole(ctx, &rds, None).await,
            (None, _) => return Err(taken("snapshot", &name, rds.region())),
        }
        available(ctx, &rds, &input.instance, input.pace(input.wait)).await?;
        if ctx.cancel().is_cancelled() {
            return Err(StepError::cancelled());
        }
        ctx.record(FACT, ctx.now()).await?;
        match rds.take_snapshot(&name, &input.instance, &tags(&input.tags, ctx)).await {
            Sent::Accepted | Sent::Taken(_) => input.whole(ctx, &rds, None).await,
            Sent::State(why) => Err(StepError::transient("RB0673", why)),
            Sent::Refused(error) => Err(error),
            Sent::Lost(error) => {
                ctx.log(format!("{error}: what became of it is looked at"));
                input.whole(ctx, &rds, Some(error)).await
            }
        }
    }
}
