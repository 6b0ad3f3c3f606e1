//! One instance.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Key, Seen};
use crate::cloud::gate::Gate;
use crate::cloud::{ACCOUNT, moment};
use crate::cluster::Cluster;

/// The groups that there are, and whether they let anyone in.
const GROUPS: [(&str, bool); 3] = [("sg-app", true), ("sg-default", true), ("sg-isolated", false)];

/// What RDS calls the state of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cloud) enum Status {
    Available,
    BackingUp,
    Creating,
    Deleting,
    Failed,
    Modifying,
    Rebooting,
    Starting,
    Stopped,
    Stopping,
}

impl Status {
    pub(in crate::cloud) fn name(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::BackingUp => "backing-up",
            Self::Creating => "creating",
            Self::Deleting => "deleting",
            Self::Failed => "failed",
            Self::Modifying => "modifying",
            Self::Rebooting => "rebooting",
            Self::Starting => "starting",
            Self::Stopped => "stopped",
            Self::Stopping => "stopping",
        }
    }

    /// Whether clients are served.
    fn serves(self) -> bool {
        matches!(self, Self::Available | Self::BackingUp | Self::Modifying)
    }
}

/// A security group of an instance.
#[derive(Clone, Debug)]
pub(in crate::cloud) struct Group {
    pub(in crate::cloud) id: String,
    /// `active`, `adding`, `removing`.
    pub(in crate::cloud) status: &'static str,
}

/// What an instance can be brought back from.
#[derive(Clone, Debug)]
pub(in crate::cloud) struct Backup {
    pub(in crate::cloud) base: PathBuf,
    pub(in crate::cloud) since: Timestamp,
}

/// One instance.
#[derive(Clone)]
#[expect(clippy::struct_excessive_bools, reason = "AWS has them one by one")]
pub(in crate::cloud) struct Instance {
    pub(in crate::cloud) status: Status,
    /// The server: not there for Aurora, and while the instance is made.
    pub(in crate::cloud) cluster: Option<Arc<Cluster>>,
    pub(in crate::cloud) gate: Option<Arc<Gate>>,
    /// What a replica streams through.
    pub(in crate::cloud) link: Option<Arc<Gate>>,
    pub(in crate::cloud) source: Option<Key>,
    pub(in crate::cloud) promoting: bool,
    pub(in crate::cloud) engine: &'static str,
    pub(in crate::cloud) version: String,
    pub(in crate::cloud) aurora: Option<String>,
    pub(in crate::cloud) number: u32,
    pub(in crate::cloud) created: Timestamp,
    pub(in crate::cloud) retention: u8,
    pub(in crate::cloud) protected: bool,
    pub(in crate::cloud) groups: Vec<Group>,
    pub(in crate::cloud) parameters: String,
    pub(in crate::cloud) subnets: String,
    pub(in crate::cloud) class: String,
    pub(in crate::cloud) multi_az: bool,
    pub(in crate::cloud) encrypted: bool,
    pub(in crate::cloud) tags: BTreeMap<String, String>,
    pub(in crate::cloud) backup: Option<Backup>,
    /// Since when its server is killed.
    pub(in crate::cloud) down: bool,
    pub(in crate::cloud) died: Option<Timestamp>,
}

impl Instance {
    /// An instance that is being made, with what AWS takes when nothing is said.
    pub(in crate::cloud) fn new(number: u32) -> Self {
        Self {
            status: Status::Creating,
            cluster: None,
            gate: None,
            link: None,
            source: None,
            promoting: false,
            engine: "postgres",
            version: "15".to_owned(),
            aurora: None,
            number,
            created: moment::now(),
            retention: 1,
            protected: false,
            groups: groups(&["sg-default".to_owned()]),
            parameters: "default.postgres15".to_owned(),
            subnets: "default".to_owned(),
            class: "db.t4g.medium".to_owned(),
            multi_az: false,
            encrypted: true,
            tags: BTreeMap::new(),
            backup: None,
            down: false,
            died: None,
        }
    }

    /// The identifier that no other instance ever has.
    pub(in crate::cloud) fn resource_id(&self) -> String {
        format!("db-LABORATORY{:013}", self.number)
    }

    /// Opens or closes the endpoint, as the state wants it.
    pub(in crate::cloud) fn turn(&self) -> io::Result<()> {
        let Some(gate) = &self.gate else { return Ok(()) };
        if self.down || !self.status.serves() {
            gate.close();
            gate.cut();
        } else if self.lets_in() {
            gate.open()?;
        } else {
            gate.close();
        }
        Ok(())
    }

    fn lets_in(&self) -> bool {
        let in_force = self.groups.iter().filter(|group| group.status != "adding");
        in_force.into_iter().any(|group| GROUPS.contains(&(group.id.as_str(), true)))
    }

    /// How it is seen by others of the laboratory.
    pub(in crate::cloud) fn seen(&self, (region, id): &Key) -> Seen {
        let address = self.gate.as_ref().map(|gate| gate.address());
        Seen {
            region: region.clone(),
            id: id.clone(),
            status: self.status.name().to_owned(),
            address: address.map(|it| it.ip().to_string()),
            port: address.map(|it| it.port()),
            source: self.source.as_ref().map(arn),
            groups: self.groups.iter().map(|group| group.id.clone()).collect(),
            down: self.down,
        }
    }
}

/// Groups that are in force.
pub(in crate::cloud) fn groups(ids: &[String]) -> Vec<Group> {
    ids.iter().map(|id| Group { id: id.clone(), status: "active" }).collect()
}

/// Whether there is such a group.
pub(in crate::cloud) fn is_group(id: &str) -> bool {
    GROUPS.iter().any(|(name, _)| *name == id)
}

/// The name that an instance has in all of AWS.
pub(in crate::cloud) fn arn((region, id): &Key) -> String {
    format!("arn:aws:rds:{region}:{ACCOUNT}:db:{id}")
}

/// The instance that an ARN names, or that a name names in a region.
pub(in crate::cloud) fn key_of(region: &str, named: &str) -> Key {
    let mut words = named.split(':');
    match (words.next(), words.nth(2), words.nth(2)) {
        (Some("arn"), Some(region), Some(id)) => (region.to_owned(), id.to_lowercase()),
        _ => (region.to_owned(), named.to_lowercase()),
    }
}
