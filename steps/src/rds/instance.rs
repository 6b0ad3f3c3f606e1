//! What RDS says of an instance and of a snapshot.

use std::collections::BTreeMap;

use jiff::Timestamp;
use model::step_error::StepError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A database instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Instance {
    /// Its identifier.
    pub instance: String,
    /// Its ARN.
    pub arn: String,
    /// The region that was asked.
    pub region: String,
    /// `DbiResourceId`: no other instance ever has it, whatever it is called.
    pub resource_id: String,
    /// Its status: `available`, `backing-up`, `modifying`, `rebooting` and others.
    pub status: String,
    /// Where it listens; absent while it is being made.
    pub endpoint: Option<Endpoint>,
    /// Its engine: `postgres`.
    pub engine: String,
    /// The version of the engine.
    pub engine_version: String,
    /// Its class: `db.r6g.large`.
    pub class: String,
    /// The cluster that it belongs to, if it does: of Aurora, or a Multi-AZ cluster.
    pub cluster: Option<String>,
    /// The instance whose replica it is: an identifier, or an ARN when that is in another region.
    pub source: Option<String>,
    /// Its own replicas.
    pub replicas: Vec<String>,
    /// How many days its automated backups are kept; 0 when there are none.
    pub backup_retention: i32,
    /// The latest moment to which it can be restored.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub latest_restorable_time: Option<Timestamp>,
    /// It cannot be deleted.
    pub deletion_protection: bool,
    /// It has a synchronous standby in another zone.
    pub multi_az: bool,
    /// Its storage is encrypted.
    pub storage_encrypted: bool,
    /// Its security groups, each with its status.
    pub security_groups: Vec<Group>,
    /// Its parameter groups.
    pub parameter_groups: Vec<String>,
    /// Its subnet group.
    pub subnet_group: Option<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// Where an instance listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Endpoint {
    /// The name.
    pub address: String,
    /// The port.
    pub port: u16,
}

/// A security group of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Group {
    /// The group: `sg-0a1b2c3d`.
    pub id: String,
    /// `active`, or `adding` and `removing` while it changes.
    pub status: String,
}

/// A snapshot of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Snapshot {
    /// Its identifier.
    pub snapshot: String,
    /// Its ARN.
    pub arn: String,
    /// The instance that it was taken of.
    pub instance: String,
    /// Its status: `available` when it is whole.
    pub status: String,
    /// The engine of the instance.
    pub engine: String,
    /// How much of it is done.
    pub percent: Option<u8>,
    /// When it was taken.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub taken_at: Option<Timestamp>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// Statuses that an instance does not leave by itself.
/// <https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/accessing-monitoring.html>
const STUCK: [&str; 9] = [
    "failed",
    "deleted",
    "inaccessible-encryption-credentials",
    "insufficient-capacity",
    "restore-error",
    "stopped",
    "storage-full",
    "upgrade-failed",
    "delete-precheck",
];

impl Instance {
    /// A replica, as plans and pages show it.
    pub(crate) fn example() -> Self {
        let group = Group { id: "sg-app".to_owned(), status: "active".to_owned() };
        let address = "app-replica.c1a2b3c4d5e6.us-west-2.rds.amazonaws.com".to_owned();
        Self {
            instance: "app-replica".to_owned(),
            arn: "arn:aws:rds:us-west-2:123456789012:db:app-replica".to_owned(),
            region: "us-west-2".to_owned(),
            resource_id: "db-ABCDEFGHIJKLMNOPQRSTUVWXY".to_owned(),
            status: "available".to_owned(),
            endpoint: Some(Endpoint { address, port: 5432 }),
            engine: "postgres".to_owned(),
            engine_version: "15.14".to_owned(),
            class: "db.r6g.large".to_owned(),
            cluster: None,
            source: Some("arn:aws:rds:us-east-1:123456789012:db:app-primary".to_owned()),
            replicas: Vec::new(),
            backup_retention: 7,
            latest_restorable_time: Some(Timestamp::UNIX_EPOCH),
            deletion_protection: true,
            multi_az: false,
            storage_encrypted: true,
            security_groups: vec![group],
            parameter_groups: vec!["app-postgres15".to_owned()],
            subnet_group: Some("app".to_owned()),
            tags: BTreeMap::new(),
        }
    }

    /// Whether it takes connections and changes.
    pub(crate) fn is_available(&self) -> bool {
        self.status == "available"
    }

    /// Whether somebody has to do something before it is available.
    pub(crate) fn is_stuck(&self) -> bool {
        STUCK.contains(&self.status.as_str()) || self.status.starts_with("incompatible-")
    }

    /// Whether it is in exactly these security groups, and they hold.
    pub(crate) fn is_in(&self, groups: &[String]) -> bool {
        let mut own: Vec<_> = self.security_groups.iter().map(|group| &group.id).collect();
        let mut asked: Vec<_> = groups.iter().collect();
        own.sort_unstable();
        asked.sort_unstable();
        own == asked && self.security_groups.iter().all(|group| group.status == "active")
    }

    /// The identifiers of its security groups.
    pub(crate) fn group_ids(&self) -> Vec<String> {
        self.security_groups.iter().map(|group| group.id.clone()).collect()
    }

    /// Whether it is the replica of that instance, which is named by its identifier or its ARN.
    pub(crate) fn follows(&self, source: &str) -> bool {
        let last = |name: &str| name.rsplit(':').next().unwrap_or(name).to_owned();
        self.source.as_deref().is_some_and(|own| {
            own == source
                || (!(own.contains(':') && source.contains(':')) && last(own) == last(source))
        })
    }

    /// Refuses members of clusters, which have another API.
    pub(crate) fn check_single(&self) -> Result<(), StepError> {
        let aurora = self.engine.starts_with("aurora");
        let Some(cluster) = self.cluster.as_deref().or(aurora.then_some("of Aurora")) else {
            return Ok(());
        };
        let message = format!(
            "`{}` in {} belongs to the cluster `{cluster}` ({}), and clusters have another API",
            self.instance, self.region, self.engine
        );
        Err(StepError::permanent("RB0670", message).hint(
            "a cluster fails over by `aws rds failover-global-cluster` or `failover-db-cluster`: \
             say that in `command.run`, and prove it with `pg.wait_ready`",
        ))
    }
}

/// There is no such instance or snapshot.
pub(crate) fn missing(what: &str, name: &str, region: &str) -> StepError {
    let message = format!("there is no {what} `{name}` in {region}");
    StepError::permanent("RB0671", message).hint(
        "check the identifier, `region` and the account; a cluster, also of Aurora, is no instance",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_named_by_its_identifier_or_its_arn() {
        let one = Instance::example();
        assert!(one.follows("app-primary"));
        assert!(one.follows("arn:aws:rds:us-east-1:123456789012:db:app-primary"));
        assert!(!one.follows("arn:aws:rds:eu-west-1:123456789012:db:app-primary"));
        assert!(!one.follows("primary"));
        assert!(!Instance { source: None, ..one }.follows("app-primary"));
    }

    #[test]
    fn groups_hold_when_they_are_the_ones_asked_for_and_active() {
        let group = |id: &str, status: &str| Group { id: id.to_owned(), status: status.to_owned() };
        let asked = ["sg-isolated".to_owned()];
        for (groups, holds) in [
            (vec![group("sg-isolated", "active")], true),
            (vec![group("sg-isolated", "adding")], false),
            (vec![group("sg-isolated", "active"), group("sg-app", "removing")], false),
            (vec![group("sg-app", "active")], false),
            (vec![], false),
        ] {
            let one = Instance { security_groups: groups, ..Instance::example() };
            assert_eq!(one.is_in(&asked), holds, "{:?}", one.security_groups);
        }
    }

    #[test]
    fn members_of_clusters_are_refused_with_a_pointer() {
        let one = Instance { engine: "aurora-postgresql".to_owned(), ..Instance::example() };
        assert_eq!(one.check_single().unwrap_err().code, "RB0670");
        let one = Instance { cluster: Some("app".to_owned()), ..Instance::example() };
        let refused = one.check_single().unwrap_err();
        assert!(refused.hint.unwrap().contains("failover-global-cluster"));
        assert!(Instance::example().check_single().is_ok());
    }
}
