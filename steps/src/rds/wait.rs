//! `rds.wait`: waits for a status of an instance or a snapshot.

use std::time::Duration;

use engine::context::StepContext;
use engine::step::{Observation, Step};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::{AwsUse, Footprint};
use model::step_error::StepError;
use model::units::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::settings::ten_seconds;
use super::watch::{Pace, Watch};
use crate::aws::place::Place;
use crate::aws::rds::Rds;

/// What is told of something that is not there.
const ABSENT: &str = "absent";

/// Statuses of a snapshot that it does not leave.
const BROKEN: [&str; 2] = ["failed", "deleted"];

/// Waits until an instance or a snapshot has a status.
///
/// ## What it does
/// It looks again and again, shows what it sees, and ends when the status is the one asked for. It
/// ends at once when the status is one that nothing leaves by itself, such as `failed`.
///
/// ## When to use it
/// For what something else has begun: a backup, a change in the console, a deletion
/// (`status: absent`). The other steps of RDS wait by themselves. A status tells little after a
/// request of your own: RDS says `available` for a while before it begins, so that waiting for
/// `available` right after a promotion passes at once. `rds.promote_replica` knows better.
///
/// ## What it changes
/// Nothing.
///
/// ## How it can fail
/// When it is not so after `timeout`, or cannot become so by itself.
///
/// ## Example
/// ```yaml
/// - id: whole
///   uses: rds.wait
///   with: {snapshot: app-before-release, status: available, region: us-east-1, timeout: 1h}
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The instance's identifier. Either this or `snapshot`.
    instance: Option<String>,
    /// The snapshot's identifier.
    snapshot: Option<String>,
    /// The status to wait for; `absent` when it is to be gone.
    #[serde(default = "available")]
    status: String,
    /// How long to wait.
    #[serde(default = "half_an_hour")]
    timeout: Span,
    /// The time between two looks.
    #[serde(default = "ten_seconds")]
    interval: Span,
    /// The region. Without it, what `aws` or the environment says.
    region: Option<String>,
    /// A profile of the files of AWS. Without it, what `aws` or the environment says.
    profile: Option<String>,
    /// Another endpoint than that of AWS, such as one in a private network.
    endpoint_url: Option<String>,
}

/// What was waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// The instance or the snapshot.
    name: String,
    /// Its status.
    status: String,
}

/// The step kind.
pub struct Wait;

fn available() -> String {
    "available".to_owned()
}

fn half_an_hour() -> Span {
    Duration::from_mins(30).into()
}

impl Input {
    fn place(&self) -> Place<'_> {
        Place {
            region: self.region.as_deref(),
            profile: self.profile.as_deref(),
            endpoint_url: self.endpoint_url.as_deref(),
        }
    }

    fn name(&self) -> &str {
        let name = self.instance.as_deref().or(self.snapshot.as_deref());
        name.unwrap_or_default()
    }

    fn what(&self) -> &'static str {
        if self.instance.is_some() { "instance" } else { "snapshot" }
    }

    /// Its status, and whether it stays so until somebody does something.
    async fn look(&self, rds: &Rds) -> Result<(String, bool), StepError> {
        let found = if let Some(name) = &self.instance {
            let found = rds.instance(name).await?;
            found.map(|found| (found.status.clone(), found.is_stuck()))
        } else {
            let found = rds.snapshot(self.name()).await?.map(|found| found.status);
            found.map(|status| (status.clone(), BROKEN.contains(&status.as_str())))
        };
        Ok(found.unwrap_or_else(|| (ABSENT.to_owned(), false)))
    }

    fn failed(&self, rds: &Rds, how: &str) -> StepError {
        let (what, name, status) = (self.what(), self.name(), &self.status);
        let region = rds.region();
        let message = format!("the {what} `{name}` in {region} is not `{status}`: {how}");
        StepError::permanent("RB0684", message)
            .hint("look at its events in RDS, and at `instance`, `snapshot` and `region`")
    }
}

impl Step for Wait {
    const KIND: &'static str = "rds.wait";
    const SUMMARY: &'static str = "waits for a status of an instance or a snapshot of RDS";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        if input.instance.is_some() == input.snapshot.is_some() {
            let message = "give either `instance` or `snapshot`";
            return Err(vec![InputProblem::at("instance", message)]);
        }
        Ok(())
    }

    fn footprint(input: &Input) -> Footprint {
        let action =
            if input.instance.is_some() { "DescribeDBInstances" } else { "DescribeDBSnapshots" };
        Footprint::new(Effect::Read, Repeat::Idempotent)
            .aws(AwsUse::control("rds", input.region.as_deref(), &[action]))
            .reads(format!("the status of the {} `{}`", input.what(), input.name()))
            .gives_up_after(Some(input.timeout))
    }

    fn example() -> Output {
        Output { name: "app-before-release".to_owned(), status: available() }
    }

    async fn observe(_: &Input, _: &StepContext) -> Result<Observation<Output>, StepError> {
        Ok(Observation::NotDone)
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let rds = Rds::at(input.place()).await?;
        let mut watch = Watch::new(ctx, Pace::new(input.interval, input.timeout));
        loop {
            let seen = match input.look(&rds).await {
                Ok((status, _)) if status == input.status => {
                    return Ok(Output { name: input.name().to_owned(), status });
                }
                Ok((status, true)) => {
                    let how = format!("it is `{status}`, and does not leave that by itself");
                    return Err(input.failed(&rds, &how));
                }
                Ok((status, false)) => {
                    let (what, name) = (input.what(), input.name());
                    Ok(format!("the {what} `{name}` is `{status}`: wait for `{}`", input.status))
                }
                Err(error) => Err(error),
            };
            if !watch.again(seen).await? {
                let how = format!("after {}, {}", input.timeout, watch.last);
                return Err(input.failed(&rds, &how));
            }
        }
    }
}
