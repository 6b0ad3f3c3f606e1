//! RDS: `RB0670` to `RB0679` and `RB0684` to `RB0689`.

use model::codes::CodeInfo;

pub(super) const CODES: &[CodeInfo] = &[
    CodeInfo::new(
        "RB0670",
        "an instance of RDS belongs to a cluster",
        "Clusters, of Aurora and Multi-AZ ones, have another API and fail over in another way: \
         `aws rds failover-global-cluster` or `failover-db-cluster`, which a `command.run` can start. Nothing was done.",
        "engine: aurora-postgresql",
    ),
    CodeInfo::new(
        "RB0671",
        "there is no such instance or snapshot",
        "RDS knows none of that name in the region that was asked, for the account that asks. Nothing was done.",
        "uses: rds.describe, with: {instance: app-replica, region: us-east-1}",
    ),
    CodeInfo::new(
        "RB0672",
        "an instance is not the replica that is meant",
        "It is an instance of its own, perhaps because it was promoted already, or the replica of another one. \
         Nothing was done.",
        "uses: rds.promote_replica, with: {instance: app-primary}",
    ),
    CodeInfo::new(
        "RB0673",
        "an instance cannot be changed in its status",
        "RDS changes only what is available: a backup or another change goes on, or it is stopped or broken. \
         Nothing was done.",
        "a backup that takes longer than `wait`",
    ),
    CodeInfo::new(
        "RB0674",
        "the promotion of a replica has not ended in time",
        "RDS promotes asynchronously, and a replica that is behind replays first. It is looked at again; it is never \
         asked for a second time while that goes on.",
        "uses: rds.promote_replica, with: {timeout: 1m}",
    ),
    CodeInfo::new(
        "RB0675",
        "an instance has come to a status that it does not leave",
        "Its events in RDS say why. What was asked of it may have been done in part, so that a person has to look.",
        "status: incompatible-parameters",
    ),
    CodeInfo::new(
        "RB0676",
        "an instance is not as expected",
        "The causes say each difference from `expect`.",
        "expect: {min_backup_retention: 7, max_restorable_age: 15m}",
    ),
];
