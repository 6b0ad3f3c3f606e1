//! `PromoteReadReplica`: accepted at once, done later, never taken back.

use std::time::{Duration, Instant};

use serde_json::json;

use super::backup::back_up;
use super::check::{available, named, retention, state};
use super::told::one;
use super::{Done, Key, Status, Trouble};
use crate::cloud::call::Form;
use crate::cloud::faults::FaultKind;
use crate::cloud::refusal::Refusal;
use crate::cloud::world::World;
use crate::cloud::xml::Element;
use crate::cluster::Cluster;

/// How often a slow promotion looks whether it may go on.
const LOOK: Duration = Duration::from_millis(20);

pub(super) fn asked(world: &World, region: &str, form: &Form) -> Result<Element, Refusal> {
    let key = named(region, form)?;
    let days = retention(form)?;
    {
        let state_of = &mut *world.lock();
        if state_of.rds.instance(&key.0, &key.1)?.source.is_none() {
            return Err(state(format!("DB Instance {} is not a read replica.", key.1)));
        }
        available(&state_of.rds, &key)?;
        let instance = state_of.rds.instance_mut(&key)?;
        instance.promoting = true;
        // A replica without backups has them for a day when it is promoted.
        instance.retention = days.unwrap_or(instance.retention.max(1));
        let detail = json!({"source": instance.source});
        state_of.effects.record(("rds", region), "PromoteReadReplica", &key.1, detail);
    }
    world.beside(&key, promote);
    one(("PromoteReadReplicaResponse", "PromoteReadReplicaResult"), world, &key)
}

fn promote(world: &World, key: &Key) -> Done {
    let pace = world.pace();
    world.pause(pace.unnoticed)?;
    world.change(key, |it| it.status = Status::Modifying)?;
    world.pause(pace.modifying)?;
    wait_while_slow(world, &key.0)?;
    let cluster = world.change(key, |it| {
        it.status = Status::Rebooting;
        it.cluster.clone()
    })?;
    let cluster = cluster.ok_or("the instance has no server")?;
    let said = cluster.query_one("postgres", "SELECT pg_promote(true, 60)")?;
    if said != "t" {
        return Err("PostgreSQL did not promote".into());
    }
    recorded(world, key, &cluster)?;
    world.pause(pace.rebooting)?;
    let keeps = world.change(key, |it| {
        it.source = None;
        it.link = None;
        it.promoting = false;
        // Set together with the source: nobody sees the one without the other.
        it.status = if it.retention > 0 { Status::BackingUp } else { Status::Available };
        it.retention > 0
    })?;
    if keeps {
        back_up(world, key)?;
        world.pause(pace.backing_up)?;
        world.change(key, |it| it.status = Status::Available)?;
    }
    Ok(())
}

/// The promotion itself took effect.
fn recorded(world: &World, key: &Key, cluster: &Cluster) -> Result<(), Trouble> {
    let sql = "SELECT timeline_id FROM pg_control_checkpoint()";
    cluster.execute("postgres", "CHECKPOINT")?;
    let timeline = cluster.query_one("postgres", sql)?;
    world.record(("rds", &key.0), "Promoted", &key.1, json!({"timeline": timeline}));
    Ok(())
}

/// Waits as long as a fault wants: its seconds, or until it ends.
fn wait_while_slow(world: &World, region: &str) -> Done {
    let begun = Instant::now();
    loop {
        let wants = {
            let faults = &world.lock().faults;
            faults
                .stands(FaultKind::SlowPromote)
                .then(|| faults.seconds(FaultKind::SlowPromote, region))
        };
        match wants {
            None => return Ok(()),
            Some(seconds) if seconds > 0.0 && begun.elapsed().as_secs_f64() >= seconds => {
                return Ok(());
            }
            Some(_) => world.pause(LOOK)?,
        }
    }
}
