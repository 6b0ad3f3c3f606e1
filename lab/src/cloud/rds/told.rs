//! Instances and snapshots as RDS describes them.

use jiff::Timestamp;

use super::instance::{Instance, arn};
use super::snapshot::Snapshot;
use super::{Key, Rds, missing};
use crate::cloud::call::Form;
use crate::cloud::refusal::Refusal;
use crate::cloud::world::World;
use crate::cloud::xml::{Element, maybe, text, tree};
use crate::cloud::{Pace, door, moment};
use crate::cluster::USER;

/// The envelope of every answer.
pub(super) fn response(
    response: &'static str,
    result: &'static str,
    inside: impl IntoIterator<Item = Element>,
) -> Element {
    let metadata = tree("ResponseMetadata", [text("RequestId", door::request_id())]);
    tree(response, [tree(result, inside), metadata])
}

/// An answer with the instance that a request was about.
pub(super) fn one(
    names: (&'static str, &'static str),
    world: &World,
    key: &Key,
) -> Result<Element, Refusal> {
    let pace = world.pace();
    let state = world.lock();
    let instance = state.rds.instances.get(key).ok_or_else(|| missing(&key.1))?;
    Ok(response(names.0, names.1, [described(&state.rds, key, instance, pace)]))
}

/// `DescribeDBInstances`.
pub(super) fn instances(world: &World, region: &str, form: &Form) -> Result<Element, Refusal> {
    let pace = world.pace();
    let state = world.lock();
    let wanted = form.get("DBInstanceIdentifier").map(|id| super::instance::key_of(region, id).1);
    let filtered = form.list("Filters.Filter.1.Values");
    let filter = form.get("Filters.Filter.1.Name");
    if filter.is_some_and(|name| name != "db-instance-id") {
        return Err(Refusal::new("InvalidParameterValue", "Unrecognized filter name"));
    }
    let chosen = state.rds.instances.iter().filter(|((at, id), _)| {
        at == region
            && wanted.as_ref().is_none_or(|wanted| wanted == id)
            && filtered.as_ref().is_none_or(|ids| ids.contains(id))
    });
    let told: Vec<_> = chosen.map(|(key, it)| described(&state.rds, key, it, pace)).collect();
    if let (Some(id), true) = (form.get("DBInstanceIdentifier"), told.is_empty()) {
        return Err(missing(id));
    }
    let list = tree("DBInstances", told);
    Ok(response("DescribeDBInstancesResponse", "DescribeDBInstancesResult", [list]))
}

/// `DescribeDBSnapshots`.
pub(super) fn snapshots(world: &World, region: &str, form: &Form) -> Result<Element, Refusal> {
    let state = world.lock();
    let wanted = form.get("DBSnapshotIdentifier");
    let of = form.get("DBInstanceIdentifier");
    let chosen = state.rds.snapshots.iter().filter(|((at, id), it)| {
        at == region
            && wanted.is_none_or(|wanted| wanted == id || wanted == it.arn)
            && of.is_none_or(|of| of == it.instance)
    });
    let told: Vec<_> = chosen.map(|(key, it)| snapshot(key, it)).collect();
    if let (Some(id), true) = (wanted, told.is_empty()) {
        return Err(super::snapshot::missing(id));
    }
    let list = tree("DBSnapshots", told);
    Ok(response("DescribeDBSnapshotsResponse", "DescribeDBSnapshotsResult", [list]))
}

/// `DBSnapshot`.
pub(super) fn snapshot((_, id): &Key, it: &Snapshot) -> Element {
    let port = it.port.map(|port| text("Port", port));
    let told = [
        text("DBSnapshotIdentifier", id),
        text("DBInstanceIdentifier", &it.instance),
        text("DBSnapshotArn", &it.arn),
        text("SnapshotCreateTime", moment::told(it.created)),
        text("Status", it.status),
        text("PercentProgress", if it.status == "available" { 100 } else { 50 }),
        text("SnapshotType", "manual"),
        text("Engine", "postgres"),
        text("EngineVersion", &it.version),
        text("MasterUsername", USER),
        text("AllocatedStorage", 20),
        text("Encrypted", true),
        text("DbiResourceId", &it.resource_id),
        tree("TagList", it.tags.iter().map(tag)),
    ];
    tree("DBSnapshot", told.into_iter().chain(port))
}

/// `Tag`.
pub(super) fn tag((key, value): (&String, &String)) -> Element {
    tree("Tag", [text("Key", key), text("Value", value)])
}

/// `DBInstance`.
fn described(rds: &Rds, key: &Key, it: &Instance, pace: Pace) -> Element {
    let mut told = vec![
        text("DBInstanceIdentifier", &key.1),
        text("DBInstanceClass", &it.class),
        text("Engine", it.engine),
        text("EngineVersion", &it.version),
        text("DBInstanceStatus", it.status.name()),
        text("MasterUsername", USER),
        text("DBName", "postgres"),
        text("DBInstanceArn", arn(key)),
        text("DbiResourceId", it.resource_id()),
        text("InstanceCreateTime", moment::told(it.created)),
        text("AllocatedStorage", 20),
        text("StorageType", "gp3"),
        text("AvailabilityZone", format!("{}a", key.0)),
        text("BackupRetentionPeriod", it.retention),
        text("PreferredBackupWindow", "03:00-03:30"),
        text("PreferredMaintenanceWindow", "sun:05:00-sun:05:30"),
        text("DeletionProtection", it.protected),
        text("MultiAZ", it.multi_az),
        text("StorageEncrypted", it.encrypted),
        text("PubliclyAccessible", false),
        text("AutoMinorVersionUpgrade", false),
        text("IAMDatabaseAuthenticationEnabled", false),
        text("CopyTagsToSnapshot", false),
    ];
    told.extend(maybe("DBClusterIdentifier", it.aurora.as_ref()));
    told.extend(endpoint(key, it));
    told.extend(replication(rds, key, it));
    told.extend(maybe("LatestRestorableTime", restorable(it, pace).map(moment::told)));
    told.extend(surroundings(it));
    tree("DBInstance", told)
}

/// By name, as of AWS: its address is what the name servers say.
fn endpoint(key: &Key, it: &Instance) -> Option<Element> {
    let address = it.gate.as_ref()?.address();
    let told = [
        text("Address", super::host_name(&key.0, &key.1).trim_end_matches('.')),
        text("Port", address.port()),
        text("HostedZoneId", super::super::ZONE_ID),
    ];
    Some(tree("Endpoint", told))
}

fn replication(rds: &Rds, key: &Key, it: &Instance) -> Vec<Element> {
    let named = |region: &str, other: &Key| {
        if other.0 == region { other.1.clone() } else { arn(other) }
    };
    let replicas = rds
        .replicas_of(key)
        .map(|(replica, _)| text("ReadReplicaDBInstanceIdentifier", named(&key.0, replica)));
    let mut told = vec![tree("ReadReplicaDBInstanceIdentifiers", replicas)];
    if let Some(source) = &it.source {
        told.push(text("ReadReplicaSourceDBInstanceIdentifier", named(&key.0, source)));
        let status = [
            text("StatusType", "read replication"),
            text("Normal", true),
            text("Status", "replicating"),
        ];
        told.push(tree("StatusInfos", [tree("DBInstanceStatusInfo", status)]));
    }
    told
}

/// The groups and what is pending.
fn surroundings(it: &Instance) -> Vec<Element> {
    let groups = it.groups.iter().map(|group| {
        tree(
            "VpcSecurityGroupMembership",
            [text("VpcSecurityGroupId", &group.id), text("Status", group.status)],
        )
    });
    let parameters =
        [text("DBParameterGroupName", &it.parameters), text("ParameterApplyStatus", "in-sync")];
    let subnets = [
        text("DBSubnetGroupName", &it.subnets),
        text("VpcId", "vpc-lab"),
        text("SubnetGroupStatus", "Complete"),
    ];
    vec![
        tree("VpcSecurityGroups", groups),
        tree("DBParameterGroups", [tree("DBParameterGroup", parameters)]),
        tree("DBSubnetGroup", subnets),
        tree("PendingModifiedValues", []),
        tree("TagList", it.tags.iter().map(tag)),
    ]
}

/// The newest moment that the instance can be brought back to: some way behind now, and that of
/// its death when it is dead.
pub(super) fn restorable(it: &Instance, pace: Pace) -> Option<Timestamp> {
    let since = it.backup.as_ref()?.since;
    let alive = it.died.unwrap_or_else(moment::now);
    let behind = alive - pace.restorable;
    Some(behind.max(since))
}
