//! New instances from a snapshot, or from a moment of another instance.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;

use super::backup::{archive, back_up, restore_command};
use super::check::{fill, free, named};
use super::instance::{Instance, key_of};
use super::replica::put;
use super::told::{one, restorable};
use super::{Done, Key, Status, Trouble, snapshot};
use crate::cloud::call::Form;
use crate::cloud::refusal::Refusal;
use crate::cloud::world::{State, World};
use crate::cloud::xml::Element;
use crate::cluster::Cluster;

pub(super) fn from_snapshot(world: &World, region: &str, form: &Form) -> Result<Element, Refusal> {
    let key = named(region, form)?;
    let id = form.need("DBSnapshotIdentifier")?;
    let name = key_of(region, id);
    let (base, password) = {
        let of = &mut *world.lock();
        free(&of.rds, &key)?;
        let found = of.rds.snapshots.get(&name).ok_or_else(|| snapshot::missing(id))?;
        if found.status != "available" {
            return Err(Refusal::new("InvalidDBSnapshotState", "The snapshot is not available."));
        }
        let (base, password) = (found.base.clone(), found.password.clone());
        let encrypted = found.encrypted;
        insert(of, &key, form, encrypted)?;
        let detail = json!({"snapshot": name.1});
        let action = "RestoreDBInstanceFromDBSnapshot";
        of.effects.record(("rds", region), action, &key.1, detail);
        (base, password)
    };
    world.beside(&key, move |world, key| {
        let cluster = Cluster::from_backup(&base, &password, None)?;
        arrived(world, key, cluster)
    });
    let names =
        ("RestoreDBInstanceFromDBSnapshotResponse", "RestoreDBInstanceFromDBSnapshotResult");
    one(names, world, &key)
}

/// What a restore to a moment reads.
struct Origin {
    base: PathBuf,
    cluster: Arc<Cluster>,
    alive: bool,
    /// Nothing: as new as it can be.
    moment: Option<Timestamp>,
}

pub(super) fn to_time(world: &World, region: &str, form: &Form) -> Result<Element, Refusal> {
    let target = form.need("TargetDBInstanceIdentifier")?.to_lowercase();
    let key = (region.to_owned(), target);
    let source = key_of(region, form.need("SourceDBInstanceIdentifier")?);
    let pace = world.pace();
    let origin = {
        let of = &mut *world.lock();
        free(&of.rds, &key)?;
        let instance = of.rds.instance(&source.0, &source.1)?;
        let (origin, encrypted) =
            (origin(instance, restorable(instance, pace), form)?, instance.encrypted);
        insert(of, &key, form, encrypted)?;
        let detail = json!({"source": source.1, "moment": origin.moment});
        of.effects.record(("rds", region), "RestoreDBInstanceToPointInTime", &key.1, detail);
        origin
    };
    world.beside(&key, move |world, key| {
        let cluster = recovered(&origin)?;
        arrived(world, key, cluster)
    });
    let names = ("RestoreDBInstanceToPointInTimeResponse", "RestoreDBInstanceToPointInTimeResult");
    one(names, world, &key)
}

/// Whether the instance can be brought back to the moment, and from what.
fn origin(instance: &Instance, latest: Option<Timestamp>, form: &Form) -> Result<Origin, Refusal> {
    let fault = |message: &str| Refusal::new("InvalidRestoreFault", message);
    let newest = form.says("UseLatestRestorableTime").unwrap_or(false);
    let asked = form.get("RestoreTime");
    let (Some(backup), Some(latest), Some(cluster)) = (&instance.backup, latest, &instance.cluster)
    else {
        return Err(Refusal::new(
            "PointInTimeRestoreNotEnabled",
            "The source DB instance has no automated backups.",
        ));
    };
    let moment = match (newest, asked) {
        (true, None) => None,
        (false, Some(time)) => {
            let time: Timestamp = time
                .parse()
                .map_err(|_| Refusal::new("InvalidParameterValue", "RestoreTime is no time."))?;
            if time > latest || time < backup.since {
                return Err(fault("The specified time is not within the restorable range."));
            }
            Some(time)
        }
        _ => {
            return Err(Refusal::new(
                "InvalidParameterCombination",
                "Give either RestoreTime or UseLatestRestorableTime.",
            ));
        }
    };
    let base = backup.base.clone();
    Ok(Origin { base, cluster: Arc::clone(cluster), alive: !instance.down, moment })
}

/// A server brought back to the moment.
fn recovered(origin: &Origin) -> Result<Cluster, Trouble> {
    if origin.alive {
        // A commit after the moment, so that recovery sees that it is past it, and on disk.
        let mark = "SELECT pg_logical_emit_message(true, 'lab', 'restore')";
        origin.cluster.execute("postgres", mark)?;
        origin.cluster.archive_now()?;
    }
    // The server does not know the zone `Z` yet when it reads its settings.
    let moment = origin
        .moment
        .map(|it| it.strftime("recovery_target_time = '%Y-%m-%d %H:%M:%S.%6f+00'\n").to_string());
    let common = format!(
        "restore_command = '{}'\nrecovery_target_action = 'promote'\n",
        restore_command(&origin.cluster)
    );
    let lines = format!("{common}{}", moment.unwrap_or_default());
    let (base, password) = (&origin.base, origin.cluster.password());
    let recovered = Cluster::from_backup(base, password, Some(&lines));
    if recovered.is_err() && !origin.alive {
        // Nothing was committed after the moment: all that there is, is what was there then.
        return Ok(Cluster::from_backup(base, password, Some(&common))?);
    }
    Ok(recovered?)
}

/// Notes an instance that is being made.
fn insert(of: &mut State, key: &Key, form: &Form, encrypted: bool) -> Result<(), Refusal> {
    let mut instance = Instance::new(of.rds.next_number());
    instance.encrypted = encrypted;
    fill(&mut instance, form)?;
    of.rds.instances.insert(key.clone(), instance);
    Ok(())
}

/// Its server is there: the rest of its way to `available`.
fn arrived(world: &World, key: &Key, cluster: Cluster) -> Done {
    archive(&cluster)?;
    put(world, key, cluster)?;
    world.record(("rds", &key.0), "Created", &key.1, json!({}));
    let keeps = world.change(key, |it| {
        let keeps = it.retention > 0;
        it.status = if keeps { Status::BackingUp } else { Status::Available };
        keeps
    })?;
    if keeps {
        back_up(world, key)?;
        world.pause(world.pace().backing_up)?;
        world.change(key, |it| it.status = Status::Available)?;
    }
    Ok(())
}
