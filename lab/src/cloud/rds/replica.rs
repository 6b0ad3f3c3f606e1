//! `CreateDBInstanceReadReplica`: a standby that streams through a wire of its own.

use std::sync::Arc;

use serde_json::json;

use super::backup::archive;
use super::check::{fill, free, named, state};
use super::instance::{Instance, key_of};
use super::told::one;
use super::{Done, Key, Status, Trouble};
use crate::cloud::call::Form;
use crate::cloud::gate::Gate;
use crate::cloud::refusal::Refusal;
use crate::cloud::world::World;
use crate::cloud::xml::Element;
use crate::cluster::{Cluster, USER};

pub(super) fn asked(world: &World, region: &str, form: &Form) -> Result<Element, Refusal> {
    let key = named(region, form)?;
    let source = key_of(region, form.need("SourceDBInstanceIdentifier")?);
    {
        let state_of = &mut *world.lock();
        free(&state_of.rds, &key)?;
        can_be_copied(state_of.rds.instance(&source.0, &source.1)?, &source)?;
        let mut instance = Instance::new(state_of.rds.next_number());
        instance.retention = 0;
        fill(&mut instance, form)?;
        instance.source = Some(source.clone());
        state_of.rds.instances.insert(key.clone(), instance);
        let detail = json!({"source": source});
        state_of.effects.record(("rds", region), "CreateDBInstanceReadReplica", &key.1, detail);
    }
    world.beside(&key, |world, key| {
        make(world, key)?;
        world.record(("rds", &key.0), "Created", &key.1, json!({}));
        world.change(key, |it| it.status = Status::Available)
    });
    let names = ("CreateDBInstanceReadReplicaResponse", "CreateDBInstanceReadReplicaResult");
    one(names, world, &key)
}

fn can_be_copied(source: &Instance, key: &Key) -> Result<(), Refusal> {
    if source.status != Status::Available || source.down {
        return Err(state(format!("DB Instance {} is not in the available state.", key.1)));
    }
    if source.retention == 0 {
        return Err(state(format!(
            "Automated backups are not enabled for this database instance. To enable automated \
             backups, use ModifyDBInstance to set the backup retention period to a non-zero \
             value: {}",
            key.1
        )));
    }
    Ok(())
}

/// Makes the server of a replica, and its endpoint.
pub(super) fn make(world: &World, key: &Key) -> Done {
    let source = world.change(key, |it| it.source.clone())?.ok_or("it has no source")?;
    let from = world.change(&source, |it| it.cluster.clone())?.ok_or("the source has no server")?;
    let standby = from.standby(&key.1)?;
    archive(&standby)?;
    let link = Gate::anywhere(from.port())?;
    stream_through(&standby, &from, &key.1, link.address().port())?;
    put(world, key, standby)?;
    world.change(key, |it| it.link = Some(Arc::new(link)))
}

/// Lets a standby stream through a port.
fn stream_through(standby: &Cluster, from: &Cluster, name: &str, port: u16) -> Result<(), Trouble> {
    standby.execute(
        "postgres",
        &format!(
            "ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port={port} user={USER} \
             password={} application_name={name}'; SELECT pg_reload_conf()",
            from.password()
        ),
    )?;
    let sql = format!(
        "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' \
         AND application_name = '{name}' AND client_addr IS NOT NULL"
    );
    from.until("postgres", &sql, "1")?;
    Ok(())
}

/// Gives an instance its server and an endpoint before it.
pub(super) fn put(world: &World, key: &Key, cluster: Cluster) -> Done {
    let address = world.lock().rds.next_address(&key.0)?;
    let gate = Gate::at(address, cluster.port())?;
    let version = cluster.query_one("postgres", "SHOW server_version")?;
    let version = version.split(' ').next().unwrap_or_default().to_owned();
    world.change(key, |it| {
        let major = version.split('.').next().unwrap_or_default();
        it.parameters = it.parameters.replace("postgres15", &format!("postgres{major}"));
        it.version.clone_from(&version);
        it.cluster = Some(Arc::new(cluster));
        it.gate = Some(Arc::new(gate));
    })
}
