//! `rds.describe`: what RDS says of an instance, and whether that is as it should be.

use std::time::Duration;

use engine::context::StepContext;
use engine::step::{Observation, Step};
use jiff::Timestamp;
use model::effect::{Effect, Repeat};
use model::footprint::{AwsUse, Footprint, Part};
use model::step_error::StepError;
use model::units::Span;
use schemars::JsonSchema;
use serde::Deserialize;

use super::instance::Instance;
use super::watch::single;
use crate::aws::place::Place;
use crate::aws::rds::Rds;

/// Reads what RDS says of an instance, and fails when that is not as expected.
///
/// ## What it does
/// It asks RDS once: status, endpoint, engine, whose replica it is, its replicas, its security
/// groups, and the health of its backups: how many days they are kept, and to which moment it
/// could be restored. With `expect` it fails with all that is not as expected.
///
/// ## When to use it
/// In front of a failover, so that the report says which instance it was and the promotion is of the
/// right replica. On a schedule, as an alarm: backups that are off, a latest restorable time that
/// stands still, an instance that anybody could delete.
///
/// ## What it changes
/// Nothing.
///
/// ## How it can fail
/// There is no such instance in the region; it belongs to a cluster (Aurora), which has another API;
/// AWS does not answer or does not permit it; something is not as expected.
///
/// ## Example
/// ```yaml
/// - id: replica
///   uses: rds.describe
///   with:
///     instance: app-replica
///     region: us-west-2
///     expect: {status: available, replica: true, source: app-primary}
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The instance's identifier.
    instance: String,
    /// What must hold; what is left out is not checked.
    #[serde(default)]
    expect: Expect,
    /// The region of the instance. Without it, what `aws` or the environment says.
    region: Option<String>,
    /// A profile of the files of AWS. Without it, what `aws` or the environment says.
    profile: Option<String>,
    /// Another endpoint than that of AWS, such as one in a private network.
    endpoint_url: Option<String>,
}

/// What must hold of an instance.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Expect {
    /// Its status: `available`.
    status: Option<String>,
    /// It is a replica (true), or an instance of its own (false).
    replica: Option<bool>,
    /// The instance whose replica it is: an identifier, or an ARN.
    source: Option<String>,
    /// Its automated backups are kept for so many days at least.
    min_backup_retention: Option<i32>,
    /// The latest moment to which it can be restored is not longer ago. About five minutes are
    /// usual.
    max_restorable_age: Option<Span>,
    /// It can (false) or cannot (true) be deleted.
    deletion_protection: Option<bool>,
}

/// The step kind.
pub struct Describe;

impl Expect {
    fn is_empty(&self) -> bool {
        let Self { status, replica, source, min_backup_retention: days, .. } = self;
        status.is_none()
            && replica.is_none()
            && source.is_none()
            && days.is_none()
            && self.max_restorable_age.is_none()
            && self.deletion_protection.is_none()
    }

    /// Everything that is not as expected, in words.
    fn differences(&self, found: &Instance, now: Timestamp) -> Vec<String> {
        let source = found.source.as_deref().unwrap_or("no instance");
        let mut all = Vec::new();
        let mut check = |holds: bool, why: String| all.extend((!holds).then_some(why));
        if let Some(status) = &self.status {
            let why = format!("its status is `{}`, and `{status}` is expected", found.status);
            check(*status == found.status, why);
        }
        if let Some(replica) = self.replica {
            let expected = if replica { "a replica" } else { "no replica" };
            let why = format!("it is the replica of {source}, and {expected} is expected");
            check(replica == found.source.is_some(), why);
        }
        if let Some(expected) = &self.source {
            let why = format!("it is the replica of {source}, not of `{expected}`");
            check(found.follows(expected), why);
        }
        if let Some(days) = self.min_backup_retention {
            let own = found.backup_retention;
            check(own >= days, format!("its backups are kept for {own} days, not for {days}"));
        }
        if let Some(protected) = self.deletion_protection {
            let own = if found.deletion_protection { "cannot" } else { "can" };
            check(protected == found.deletion_protection, format!("it {own} be deleted"));
        }
        all.extend(self.staleness(found, now));
        all
    }

    fn staleness(&self, found: &Instance, now: Timestamp) -> Option<String> {
        let most = self.max_restorable_age?;
        let Some(latest) = found.latest_restorable_time else {
            return Some("it cannot be restored to any moment: it has no backups".to_owned());
        };
        let age = Duration::try_from(now.duration_since(latest)).unwrap_or_default();
        let age = Duration::from_secs(age.as_secs());
        (age > most.duration()).then(|| {
            let age = Span::from(age);
            format!(
                "it can be restored to {latest} at the latest: {age} ago, and {most} is allowed"
            )
        })
    }
}

impl Input {
    fn place(&self) -> Place<'_> {
        Place {
            region: self.region.as_deref(),
            profile: self.profile.as_deref(),
            endpoint_url: self.endpoint_url.as_deref(),
        }
    }
}

impl Step for Describe {
    const KIND: &'static str = "rds.describe";
    const SUMMARY: &'static str = "reads what RDS says of an instance, and checks it";
    type Input = Input;
    type Output = Instance;

    fn footprint(input: &Input) -> Footprint {
        let asked = AwsUse::control("rds", input.region.as_deref(), &["DescribeDBInstances"]);
        let footprint = Footprint::new(Effect::Read, Repeat::Idempotent)
            .reads(format!("what RDS says of the instance `{}`", input.instance))
            .aws(asked);
        if input.expect.is_empty() { footprint } else { footprint.plays(Part::Verify) }
    }

    fn example() -> Instance {
        Instance::example()
    }

    async fn observe(_: &Input, _: &StepContext) -> Result<Observation<Instance>, StepError> {
        Ok(Observation::NotDone)
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Instance, StepError> {
        let rds = Rds::at(input.place()).await?;
        let found = single(&rds, &input.instance).await?;
        let differences = input.expect.differences(&found, ctx.now());
        if differences.is_empty() {
            return Ok(found);
        }
        let message = format!("`{}` in {} is not as expected", found.instance, found.region);
        let mut error = StepError::permanent("RB0676", message);
        error.causes = differences;
        Err(error.hint("`instance` and `region` may name another one than is meant"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn each_expectation_is_told_when_it_does_not_hold() {
        let now = Timestamp::from_second(3_600).unwrap();
        let differences = |expect: &Value| {
            let expect: Expect = serde_json::from_value(expect.clone()).unwrap();
            expect.differences(&Instance::example(), now)
        };
        for right in [
            json!({}),
            json!({"status": "available", "replica": true, "source": "app-primary"}),
            json!({"min_backup_retention": 7, "max_restorable_age": "1h"}),
            json!({"deletion_protection": true}),
        ] {
            assert_eq!(differences(&right), Vec::<String>::new(), "{right}");
        }
        let arn = "arn:aws:rds:us-east-1:123456789012:db:app-primary";
        for (wrong, why) in [
            (
                json!({"status": "backing-up"}),
                "its status is `available`, and `backing-up` is expected".to_owned(),
            ),
            (
                json!({"replica": false}),
                format!("it is the replica of {arn}, and no replica is expected"),
            ),
            (json!({"source": "other"}), format!("it is the replica of {arn}, not of `other`")),
            (
                json!({"min_backup_retention": 8}),
                "its backups are kept for 7 days, not for 8".to_owned(),
            ),
            (
                json!({"max_restorable_age": "59m"}),
                "it can be restored to 1970-01-01T00:00:00Z at the latest: 1h ago, and 59m is allowed"
                    .to_owned(),
            ),
            (json!({"deletion_protection": false}), "it cannot be deleted".to_owned()),
        ] {
            assert_eq!(differences(&wrong), [why], "{wrong}");
        }
    }
}
