//! What stands under `with` of a promotion.

use std::time::Duration;

use model::catalog::InputProblem;
use model::step_error::StepError;
use model::units::{ByteSize, Span};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::aws::place::Place;
use crate::pg::promote::{Fence, Terms};
use crate::rds::instance::Instance;
use crate::rds::watch::Pace;

/// Makes a read replica of RDS an instance of its own, once, and proves that it writes.
///
/// ## What it does
/// It refuses an instance that is no replica, or not that of `source`, a member of a cluster
/// (Aurora), and a promotion that no `fence` covers. RDS promotes nothing while it takes a backup,
/// so it waits, `wait` at most, until the replica is available. Then comes the gate, as in
/// `pg.promote`: what the old primary had written (`expected_lsn`, else what the replica hears while
/// it streams) less what the replica has received. Only then it writes down what it is going to ask,
/// and asks RDS once.
///
/// RDS answers at once and promotes later, and for a while the status still is `available`. The step
/// waits until RDS names no source any more and says `available`, and then lets the new primary prove
/// itself by SQL: it is not in recovery, has the same system identifier and the next timeline, and a
/// row is committed, read back in another session and removed. When the answer of RDS is lost, the
/// state of the instance tells what happened: a replica that stays available for `settle` was not
/// promoted.
///
/// ## When to use it
/// After `fence`, when the region of the primary is lost or is to be left. With `max_bytes` left out
/// nothing may be lost; with `max_lag` alone, when the primary is gone, the loss is bounded in time:
/// from the last transaction that was replayed to the fence.
///
/// ## What it changes
/// The replica becomes an instance of its own, for good: RDS cannot make it a replica again. It is
/// rebooted on the way, so that its connections are lost, and its name and endpoint stay. Before
/// PostgreSQL 17 its logical replication slots are gone. Give it `backup_retention`, unless it has
/// that already, and a replica of its own with `rds.create_replica`.
///
/// ## How it can fail
/// Nothing covers the promotion; the old primary still commits; the loss would be more than allowed,
/// or nobody can tell; the replica is not available in time; RDS does not permit it; it is promoted
/// and takes no writes, which a person puts right before `runbook resume` proves it again.
///
/// ## Example
/// ```yaml
/// - id: promote
///   uses: rds.promote_replica
///   with:
///     instance: app-replica
///     region: us-west-2
///     source: app-primary
///     connection: standby
///     fence: {outcome: confirmed, proof: "app-primary is in sg-isolated alone"}
///     expected_lsn: 0/3000148
///     backup_retention: 7
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The replica's identifier.
    pub(super) instance: String,
    /// The replica's database: a name under `connections:`. The loss is measured there, and that it
    /// writes is proved.
    pub(super) connection: String,
    /// The instance whose replica it must be: an identifier, or an ARN.
    source: Option<String>,
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
    /// The cluster's system identifier, as text; a replica of another one is refused.
    system_identifier: Option<String>,
    /// For how many days the new primary's automated backups are kept, from 1 to 35, or 0 for none.
    /// Without it, as it is now.
    pub(super) backup_retention: Option<i32>,
    /// How long to wait until the replica is available: a backup may be going on.
    #[serde(default = "fifteen_minutes")]
    pub(super) wait: Span,
    /// How long a replica that stays available may still have heard a request whose answer was lost.
    #[serde(default = "two_minutes")]
    pub(super) settle: Span,
    /// How long the promotion may take.
    #[serde(default = "an_hour")]
    pub(super) timeout: Span,
    /// The time between two looks.
    #[serde(default = "five_seconds")]
    interval: Span,
    /// The region of the replica. Without it, what `aws` or the environment says.
    region: Option<String>,
    /// A profile of the files of AWS. Without it, what `aws` or the environment says.
    profile: Option<String>,
    /// Another endpoint than that of AWS, such as one in a private network.
    endpoint_url: Option<String>,
}

fn fifteen_minutes() -> Span {
    Duration::from_mins(15).into()
}

fn two_minutes() -> Span {
    Duration::from_mins(2).into()
}

fn an_hour() -> Span {
    Duration::from_hours(1).into()
}

fn five_seconds() -> Span {
    Duration::from_secs(5).into()
}

impl Input {
    pub(super) fn place(&self) -> Place<'_> {
        Place {
            region: self.region.as_deref(),
            profile: self.profile.as_deref(),
            endpoint_url: self.endpoint_url.as_deref(),
        }
    }

    pub(super) fn terms(&self) -> Terms<'_> {
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

    pub(super) fn pace(&self, limit: Span) -> Pace {
        Pace::new(self.interval, limit)
    }

    pub(super) fn problems(&self) -> Vec<InputProblem> {
        let mut problems = self.terms().problems();
        if let Some(days) = self.backup_retention.filter(|days| !(0..=35).contains(days)) {
            let message = format!("backups are kept for 0 to 35 days, not for {days}");
            problems.push(InputProblem::at("backup_retention", message));
        }
        problems
    }

    /// Refuses what is no replica, or not that of the right instance. Gives its source.
    pub(super) fn check_replica(&self, found: &Instance) -> Result<String, StepError> {
        let Instance { instance, region, .. } = found;
        let refused = |why: String| {
            let message = format!("`{instance}` in {region} {why}");
            StepError::permanent("RB0672", message).hint(
                "nothing was asked of it: `rds.describe` says whose replica it is; one that was \
                 promoted is a replica no longer",
            )
        };
        let source = found.source.as_deref();
        let source = source.ok_or_else(|| refused("is no read replica".to_owned()))?;
        match self.source.as_deref().filter(|expected| !expected.is_empty()) {
            Some(expected) if !found.follows(expected) => {
                Err(refused(format!("is the replica of {source}, not of `{expected}`")))
            }
            _ => Ok(source.to_owned()),
        }
    }
}
