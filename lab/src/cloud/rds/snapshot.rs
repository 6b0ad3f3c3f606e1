//! Snapshots: base backups under a name.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::json;

use super::check::{available, named, tags};
use super::told::{response, snapshot};
use super::{Done, Key, Rds, Status, instance};
use crate::cloud::call::Form;
use crate::cloud::refusal::Refusal;
use crate::cloud::world::{State, World};
use crate::cloud::xml::Element;
use crate::cloud::{ACCOUNT, moment};

/// One snapshot.
pub(super) struct Snapshot {
    pub(super) instance: String,
    pub(super) arn: String,
    /// `creating`, `available`.
    pub(super) status: &'static str,
    pub(super) created: Timestamp,
    pub(super) version: String,
    pub(super) resource_id: String,
    pub(super) port: Option<u16>,
    pub(super) encrypted: bool,
    pub(super) password: String,
    pub(super) base: PathBuf,
    pub(super) tags: BTreeMap<String, String>,
}

pub(super) fn missing(id: &str) -> Refusal {
    Refusal::missing("DBSnapshotNotFound", format!("DBSnapshot not found: {id}"))
}

pub(super) fn asked(world: &World, region: &str, form: &Form) -> Result<Element, Refusal> {
    let key = named(region, form)?;
    let id = form.need("DBSnapshotIdentifier")?.to_lowercase();
    {
        let of = &mut *world.lock();
        available(&of.rds, &key)?;
        begin(of, &key, &id, tags(form))?;
        let detail = json!({"instance": key.1});
        of.effects.record(("rds", region), "CreateDBSnapshot", &id, detail);
        // As with an instance in one zone.
        of.rds.instance_mut(&key)?.status = Status::BackingUp;
    }
    let name = (region.to_owned(), id);
    let taken = name.clone();
    world.beside(&key, move |world, key| {
        take(world, key, &taken)?;
        world.change(key, |it| it.status = Status::Available)
    });
    told(&world.lock().rds, &name, ("CreateDBSnapshotResponse", "CreateDBSnapshotResult"))
}

/// Notes a snapshot that is being made.
pub(super) fn begin(
    of: &mut State,
    key: &Key,
    id: &str,
    tags: BTreeMap<String, String>,
) -> Result<(), Refusal> {
    let name = (key.0.clone(), id.to_owned());
    if of.rds.snapshots.contains_key(&name) {
        return Err(Refusal::new(
            "DBSnapshotAlreadyExists",
            format!(
                "Cannot create the snapshot because a snapshot with the identifier {id} already exists."
            ),
        ));
    }
    let number = of.rds.next_number();
    let instance = of.rds.instance(&key.0, &key.1)?;
    let password = instance.cluster.as_ref().map(|it| it.password().to_owned());
    let snapshot = Snapshot {
        instance: key.1.clone(),
        arn: format!("arn:aws:rds:{}:{ACCOUNT}:snapshot:{id}", key.0),
        status: "creating",
        created: moment::now(),
        version: instance.version.clone(),
        resource_id: instance.resource_id(),
        port: instance.gate.as_ref().map(|gate| gate.address().port()),
        encrypted: instance.encrypted,
        password: password.unwrap_or_default(),
        base: PathBuf::from(format!("snapshot-{number}")),
        tags,
    };
    of.rds.snapshots.insert(name, snapshot);
    Ok(())
}

/// Takes a snapshot that is noted.
pub(super) fn take(world: &World, key: &Key, name: &Key) -> Done {
    let gone = "the snapshot is gone";
    let base = {
        let mut of = world.lock();
        let snapshot = of.rds.snapshots.get_mut(name).ok_or(gone)?;
        snapshot.base = world.folder().join(&snapshot.base);
        snapshot.base.clone()
    };
    let cluster = world.change(key, |it| it.cluster.clone())?.ok_or("it has no server")?;
    cluster.base_backup(&base)?;
    world.pause(world.pace().backing_up)?;
    let of = &mut *world.lock();
    let snapshot = of.rds.snapshots.get_mut(name).ok_or(gone)?;
    snapshot.status = "available";
    let detail = json!({"instance": key.1});
    of.effects.record(("rds", &key.0), "SnapshotTaken", &name.1, detail);
    Ok(())
}

pub(super) fn delete(world: &World, region: &str, form: &Form) -> Result<Element, Refusal> {
    let id = form.need("DBSnapshotIdentifier")?;
    let name = instance::key_of(region, id);
    let of = &mut *world.lock();
    let answer = told(&of.rds, &name, ("DeleteDBSnapshotResponse", "DeleteDBSnapshotResult"))?;
    let snapshot = of.rds.snapshots.remove(&name).ok_or_else(|| missing(id))?;
    // What is left behind goes with the laboratory's folder.
    std::fs::remove_dir_all(snapshot.base).ok();
    of.effects.record(("rds", region), "DeleteDBSnapshot", id, json!({}));
    Ok(answer)
}

fn told(rds: &Rds, name: &Key, names: (&'static str, &'static str)) -> Result<Element, Refusal> {
    let it = rds.snapshots.get(name).ok_or_else(|| missing(&name.1))?;
    Ok(response(names.0, names.1, [snapshot(name, it)]))
}
