//! Changes of an instance: `ModifyDBInstance`, reboots, stops, starts and deletion.

use serde_json::json;

use super::backup::back_up;
use super::check::{asked_groups, available, named, retention, state};
use super::instance::{Group, Instance};
use super::told::one;
use super::{Done, Key, Status};
use crate::cloud::call::Form;
use crate::cloud::refusal::Refusal;
use crate::cloud::world::{State, World};
use crate::cloud::xml::Element;

pub(super) fn modify(world: &World, region: &str, form: &Form) -> Result<Element, Refusal> {
    let key = named(region, form)?;
    let (days, groups) = (retention(form)?, asked_groups(form)?);
    let protected = form.says("DeletionProtection");
    let (regroups, resumes) = {
        let state_of = &mut *world.lock();
        available(&state_of.rds, &key)?;
        let detail = json!({
            "groups": groups.as_ref().map(|all| all.iter().map(|it| &it.id).collect::<Vec<_>>()),
            "retention": days, "deletion_protection": protected,
        });
        state_of.effects.record(("rds", region), "ModifyDBInstance", &key.1, detail);
        let instance = state_of.rds.instance_mut(&key)?;
        instance.protected = protected.unwrap_or(instance.protected);
        let before = instance.retention;
        let resumes = days.filter(|days| *days != before);
        let regroups = groups.is_some();
        if let Some(groups) = groups {
            regroup(instance, groups);
        }
        (regroups, resumes)
    };
    if regroups {
        world.beside(&key, settle_groups);
    }
    if let Some(days) = resumes {
        world.beside(&key, move |world, key| keep_for(world, key, days));
    }
    one(("ModifyDBInstanceResponse", "ModifyDBInstanceResult"), world, &key)
}

/// The old groups go and the new ones come; both are told until it is done.
fn regroup(instance: &mut Instance, mut asked: Vec<Group>) {
    for group in &mut instance.groups {
        let stays = asked.iter().position(|it| it.id == group.id);
        group.status = if stays.is_some() { "active" } else { "removing" };
        stays.map(|place| asked.remove(place));
    }
    instance.groups.extend(asked.into_iter().map(|group| Group { status: "adding", ..group }));
}

fn settle_groups(world: &World, key: &Key) -> Done {
    world.pause(world.pace().groups)?;
    let ids = world.change(key, |it| {
        it.groups.retain(|group| group.status != "removing");
        it.groups.iter_mut().for_each(|group| group.status = "active");
        it.groups.iter().map(|group| group.id.clone()).collect::<Vec<_>>()
    })?;
    world.record(("rds", &key.0), "SecurityGroupsActive", &key.1, json!({"groups": ids}));
    Ok(())
}

/// Takes up or ends the keeping of backups.
fn keep_for(world: &World, key: &Key, days: u8) -> Done {
    let pace = world.pace();
    world.change(key, |it| it.status = Status::Modifying)?;
    world.pause(pace.modifying)?;
    let begins = world.change(key, |it| {
        let begins = it.retention == 0 && days > 0;
        it.retention = days;
        if days == 0 {
            it.backup = None;
        }
        if begins {
            it.status = Status::BackingUp;
        }
        begins
    })?;
    if begins {
        back_up(world, key)?;
        world.pause(pace.backing_up)?;
    }
    world.change(key, |it| it.status = Status::Available)
}

pub(super) fn reboot(world: &World, region: &str, form: &Form) -> Result<Element, Refusal> {
    let key = named(region, form)?;
    {
        let state_of = &mut *world.lock();
        available(&state_of.rds, &key)?;
        turn_to(state_of, &key, "RebootDBInstance", Status::Rebooting)?;
    }
    world.beside(&key, |world, key| {
        let cluster = world.change(key, |it| it.cluster.clone())?.ok_or("it has no server")?;
        cluster.stop()?;
        world.pause(world.pace().rebooting)?;
        cluster.start_again()?;
        world.change(key, |it| it.status = Status::Available)
    });
    one(("RebootDBInstanceResponse", "RebootDBInstanceResult"), world, &key)
}

pub(super) fn stop(world: &World, region: &str, form: &Form) -> Result<Element, Refusal> {
    let key = named(region, form)?;
    {
        let state_of = &mut *world.lock();
        let replicates = available(&state_of.rds, &key)?.source.is_some()
            || state_of.rds.replicas_of(&key).next().is_some();
        if replicates {
            return Err(state(format!(
                "Cannot stop DB instance {}: it is a read replica, or has one.",
                key.1
            )));
        }
        turn_to(state_of, &key, "StopDBInstance", Status::Stopping)?;
    }
    world.beside(&key, |world, key| {
        let cluster = world.change(key, |it| it.cluster.clone())?.ok_or("it has no server")?;
        cluster.stop()?;
        world.pause(world.pace().rebooting)?;
        world.change(key, |it| it.status = Status::Stopped)
    });
    one(("StopDBInstanceResponse", "StopDBInstanceResult"), world, &key)
}

pub(super) fn start(world: &World, region: &str, form: &Form) -> Result<Element, Refusal> {
    let key = named(region, form)?;
    {
        let state_of = &mut *world.lock();
        if state_of.rds.instance(&key.0, &key.1)?.status != Status::Stopped {
            return Err(state(format!("Instance {} is not stopped.", key.1)));
        }
        turn_to(state_of, &key, "StartDBInstance", Status::Starting)?;
    }
    world.beside(&key, |world, key| {
        let cluster = world.change(key, |it| it.cluster.clone())?.ok_or("it has no server")?;
        cluster.start_again()?;
        world.pause(world.pace().rebooting)?;
        world.change(key, |it| it.status = Status::Available)
    });
    one(("StartDBInstanceResponse", "StartDBInstanceResult"), world, &key)
}

pub(super) fn delete(world: &World, region: &str, form: &Form) -> Result<Element, Refusal> {
    let key = named(region, form)?;
    let skips = form.says("SkipFinalSnapshot").unwrap_or(false);
    let last = form.get("FinalDBSnapshotIdentifier").map(str::to_owned);
    {
        let state_of = &mut *world.lock();
        can_go(state_of, &key, skips, last.as_deref())?;
        turn_to(state_of, &key, "DeleteDBInstance", Status::Deleting)?;
        if let Some(id) = &last {
            super::snapshot::begin(state_of, &key, id, std::collections::BTreeMap::new())?;
        }
    }
    world.beside(&key, move |world, key| {
        if let Some(id) = last {
            super::snapshot::take(world, key, &(key.0.clone(), id))?;
        }
        world.pause(world.pace().modifying)?;
        let gone = world.lock().rds.instances.remove(key);
        world.record(("rds", &key.0), "Deleted", &key.1, json!({}));
        // Its server stops without the lock.
        drop(gone);
        Ok(())
    });
    one(("DeleteDBInstanceResponse", "DeleteDBInstanceResult"), world, &key)
}

/// Whether an instance may be deleted in this way.
fn can_go(of: &State, key: &Key, skips: bool, last: Option<&str>) -> Result<(), Refusal> {
    let instance = of.rds.instance(&key.0, &key.1)?;
    let combination = |message: &str| Err(Refusal::new("InvalidParameterCombination", message));
    if instance.protected {
        return combination(
            "Cannot delete protected DB Instance, please disable deletion protection and try again.",
        );
    }
    if instance.status == Status::Deleting || instance.promoting {
        return Err(state(format!("Instance {} is already being deleted.", key.1)));
    }
    match (skips, last) {
        (false, None) => combination(
            "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified.",
        ),
        (true, Some(_)) => {
            combination("FinalDBSnapshotIdentifier can not be specified when SkipFinalSnapshot is.")
        }
        (false, Some(_)) if instance.source.is_some() => combination(
            "FinalDBSnapshotIdentifier can not be specified when deleting a read replica.",
        ),
        _ => Ok(()),
    }
}

/// Accepts a request that turns an instance to a state.
fn turn_to(of: &mut State, key: &Key, action: &str, status: Status) -> Result<(), Refusal> {
    of.effects.record(("rds", &key.0), action, &key.1, json!({}));
    let instance = of.rds.instance_mut(key)?;
    instance.status = status;
    instance.turn().map_err(|_| Refusal::internal())
}
