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
    CodeInfo::new(
        "RB0677",
        "a name is taken in RDS",
        "There is an instance or a snapshot of that name, and its tags `runbook:run` and `runbook:step` do not say \
         that this step made it. Nothing was made or changed. Take another name.",
        "uses: rds.restore_snapshot, with: {instance: app-primary}",
    ),
    CodeInfo::new(
        "RB0678",
        "what RDS makes is not ready in time",
        "An instance or a snapshot was asked for, and is not whole after `timeout`; or a deletion has not ended. It \
         is looked at again, and nothing is asked for twice while that goes on.",
        "uses: rds.create_replica, with: {timeout: 1m}",
    ),
    CodeInfo::new(
        "RB0679",
        "an instance cannot be restored to that moment",
        "Its automated backups do not reach that far: they are about five minutes behind, and there are none \
         without a retention period. Nothing was made.",
        "uses: rds.restore_to_time, with: {time: \"2099-01-01T00:00:00Z\"}",
    ),
    CodeInfo::new(
        "RB0684",
        "an instance or a snapshot does not come to a status",
        "It was waited for as long as `timeout` says, or it is in a status that it does not leave by itself.",
        "uses: rds.wait, with: {instance: app-primary, status: stopped}",
    ),
    CodeInfo::new(
        "RB0685",
        "a snapshot is not whole",
        "Only a snapshot whose status is `available` can be restored. Nothing was made.",
        "a snapshot that is being taken",
    ),
    CodeInfo::new(
        "RB0686",
        "an instance is not deleted",
        "`rds.delete_instance` takes back what the run made: the tag `runbook:run` says who made an instance. One \
         that is protected or has replicas stays as well. Nothing was changed.",
        "uses: rds.delete_instance, with: {instance: app-primary}",
    ),
    CodeInfo::new(
        "RB0687",
        "a fence is not lifted",
        "The replica was promoted, or is no longer one of the instance that is shut in. Whoever got in there again would \
         write to a second primary. Nothing was changed: go on with the new primary, and come back by a failback.",
        "uses: rds.lift_fence, after the promotion",
    ),
    CodeInfo::new(
        "RB0688",
        "an instance is not back after a fence",
        "Its security groups do not hold yet, or they let nobody in, or its server does not answer. Nothing was promoted. \
         Look at the groups, and run it again.",
        "uses: rds.lift_fence, with: {security_groups: [sg-isolated]}",
    ),
];
