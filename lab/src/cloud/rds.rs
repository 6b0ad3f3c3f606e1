//! RDS over real PostgreSQL: instances with their endpoints, and what AWS lets happen to them.
//! <https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/>

mod backup;
mod change;
mod check;
mod instance;
mod promote;
mod replica;
mod restore;
mod settle;
mod snapshot;
mod tags;
mod told;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::{error, io};

use serde::Serialize;

pub(super) use self::instance::{Instance, Status};
pub(super) use self::settle::{settle, settle_aurora};
use self::snapshot::Snapshot;
use super::call::{Answer, Answered, Call};
use super::refusal::Refusal;
use super::world::{Ended, World};
use super::{PRIMARY_REGION, REPLICA_REGION, gate};
use crate::cluster::Cluster;

/// The region and the identifier of an instance or a snapshot.
pub(super) type Key = (String, String);

/// What can end a change of an instance early.
type Trouble = Box<dyn error::Error + Send + Sync>;
type Done = Result<(), Trouble>;

/// All instances and snapshots of all regions.
#[derive(Default)]
pub(super) struct Rds {
    pub(super) instances: BTreeMap<Key, Instance>,
    snapshots: BTreeMap<Key, Snapshot>,
    port: Option<u16>,
    /// How many endpoints a region has had.
    endpoints: BTreeMap<String, u8>,
    made: u32,
}

/// An instance as it is now.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Seen {
    /// Its region.
    pub region: String,
    /// Its identifier.
    pub id: String,
    /// `available`, `modifying`, ...
    pub status: String,
    /// The host of its endpoint.
    pub address: Option<String>,
    /// The port of its endpoint.
    pub port: Option<u16>,
    /// The ARN of what it is a replica of.
    pub source: Option<String>,
    /// Its security groups.
    pub groups: Vec<String>,
    /// Whether its server was killed by a fault and has not come back.
    pub down: bool,
}

/// The name of an instance's endpoint, as the zone has it.
pub(super) fn host_name(region: &str, id: &str) -> String {
    format!("{id}.{region}.rds.{}", super::ZONE)
}

pub(super) fn answer(world: &World, call: &Call) -> Answered {
    let form = call.form()?;
    let act = match call.action.as_str() {
        "DescribeDBInstances" => told::instances,
        "DescribeDBSnapshots" => told::snapshots,
        "PromoteReadReplica" => promote::asked,
        "CreateDBInstanceReadReplica" => replica::asked,
        "ModifyDBInstance" => change::modify,
        "RebootDBInstance" => change::reboot,
        "StartDBInstance" => change::start,
        "StopDBInstance" => change::stop,
        "DeleteDBInstance" => change::delete,
        "CreateDBSnapshot" => snapshot::asked,
        "DeleteDBSnapshot" => snapshot::delete,
        "RestoreDBInstanceFromDBSnapshot" => restore::from_snapshot,
        "RestoreDBInstanceToPointInTime" => restore::to_time,
        "AddTagsToResource" => tags::add,
        "RemoveTagsFromResource" => tags::remove,
        "ListTagsForResource" => tags::list,
        other => return Err(Refusal::unknown(other)),
    };
    act(world, &call.region, form).map(Answer::Xml)
}

impl Rds {
    /// The address for a new endpoint: each region has a network of its own on loopback, and all
    /// instances have the same port.
    fn next_address(&mut self, region: &str) -> io::Result<SocketAddrV4> {
        let port = if let Some(port) = self.port {
            port
        } else {
            let hosts = [PRIMARY_REGION, REPLICA_REGION].map(|it| host(it, 1));
            gate::free_address(&hosts)?.port()
        };
        self.port = Some(port);
        let number = self.endpoints.entry(region.to_owned()).or_default();
        *number += 1;
        Ok(SocketAddrV4::new(host(region, *number), port))
    }

    /// A number that no other thing has.
    fn next_number(&mut self) -> u32 {
        self.made += 1;
        self.made
    }

    fn instance(&self, region: &str, id: &str) -> Result<&Instance, Refusal> {
        let key = (region.to_owned(), id.to_lowercase());
        self.instances.get(&key).ok_or_else(|| missing(id))
    }

    fn instance_mut(&mut self, key: &Key) -> Result<&mut Instance, Refusal> {
        self.instances.get_mut(key).ok_or_else(|| missing(&key.1))
    }

    /// The replicas of an instance.
    fn replicas_of<'a>(&'a self, key: &'a Key) -> impl Iterator<Item = (&'a Key, &'a Instance)> {
        self.instances.iter().filter(move |(_, it)| it.source.as_ref() == Some(key))
    }
}

fn host(region: &str, number: u8) -> Ipv4Addr {
    let net = match region {
        PRIMARY_REGION => 1,
        REPLICA_REGION => 2,
        // Any other region: one network for each length of name is enough for a laboratory.
        other => 3 + u8::try_from(other.len() % 100).unwrap_or_default(),
    };
    Ipv4Addr::new(127, 0, net, number)
}

fn missing(id: &str) -> Refusal {
    Refusal::missing("DBInstanceNotFound", format!("DBInstance {id} not found."))
}

impl World {
    /// The instances as they are now.
    pub fn instances(&self) -> Vec<Seen> {
        self.lock().rds.instances.iter().map(|(key, it)| it.seen(key)).collect()
    }

    /// The server behind an instance, past its endpoint.
    pub fn cluster(&self, region: &str, id: &str) -> Option<Arc<Cluster>> {
        let state = self.lock();
        state.rds.instance(region, id).ok().and_then(|it| it.cluster.clone())
    }

    /// The address of a database through an instance's endpoint, with the master's password.
    pub fn database_url(&self, region: &str, id: &str, database: &str) -> Option<String> {
        let state = self.lock();
        let instance = state.rds.instance(region, id).ok()?;
        let (cluster, gate) = (instance.cluster.as_ref()?, instance.gate.as_ref()?);
        let local = format!("127.0.0.1:{}", cluster.port());
        Some(cluster.url(database).replacen(&local, &gate.address().to_string(), 1))
    }

    /// Changes an instance, and opens or closes its endpoint as that wants it.
    fn change<T>(&self, key: &Key, change: impl FnOnce(&mut Instance) -> T) -> Result<T, Trouble> {
        let mut state = self.lock();
        let instance = state.rds.instances.get_mut(key).ok_or("the instance is gone")?;
        let done = change(instance);
        instance.turn()?;
        Ok(done)
    }

    /// Changes an instance beside the requests; one whose change fails is `failed`.
    fn beside(&self, key: &Key, task: impl FnOnce(&Self, &Key) -> Done + Send + 'static) {
        let key = key.clone();
        self.begin_task(move |world| {
            let Err(trouble) = task(world, &key) else { return };
            if trouble.is::<Ended>() {
                return;
            }
            let mut state = world.lock();
            let Some(instance) = state.rds.instances.get_mut(&key) else { return };
            // A server that a fault has killed is as it should be.
            if !instance.down {
                eprintln!("the laboratory's instance `{}` failed: {trouble}", key.1);
                instance.status = Status::Failed;
            }
        });
    }
}
