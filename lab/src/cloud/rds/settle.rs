//! The instances that are there from the start.

use std::io;

use super::backup::{archive, back_up};
use super::instance::{Instance, groups};
use super::replica::{make, put};
use super::{Done, Key, Status};
use crate::cloud::world::World;
use crate::cloud::{PRIMARY, PRIMARY_REGION, Prepare, REPLICA, REPLICA_REGION};
use crate::cluster::ClusterOptions;

/// Makes the primary and its replica in the other region.
pub(in crate::cloud) fn settle(world: &World, prepare: Option<Prepare>) -> io::Result<()> {
    let primary = (PRIMARY_REGION.to_owned(), PRIMARY.to_owned());
    let replica = (REPLICA_REGION.to_owned(), REPLICA.to_owned());
    settle_primary(world, &primary, prepare)
        .and_then(|()| settle_replica(world, &replica, &primary))
        .map_err(io::Error::other)?;
    world.begin_task(move |world| {
        // The status stays `available`: AWS took this backup long ago.
        if let Err(error) = back_up(world, &primary)
            && !world.lock().ended
        {
            eprintln!("the laboratory could not back up its primary: {error}");
        }
    });
    Ok(())
}

fn settle_primary(world: &World, key: &Key, prepare: Option<Prepare>) -> Done {
    let cluster = ClusterOptions::new()
        .setting("archive_mode", "on")
        .setting("synchronous_commit", "on")
        // A backup of a replica needs them.
        .setting("full_page_writes", "on")
        .setting("wal_keep_size", "256MB")
        .setting("wal_retrieve_retry_interval", "200ms")
        .start()?;
    archive(&cluster)?;
    if let Some(prepare) = prepare {
        prepare(&cluster)?;
    }
    let number = world.lock().rds.next_number();
    let instance = Instance {
        retention: 7,
        protected: true,
        groups: groups(&["sg-app".to_owned()]),
        ..Instance::new(number)
    };
    world.lock().rds.instances.insert(key.clone(), instance);
    put(world, key, cluster)?;
    world.change(key, |it| it.status = Status::Available)
}

fn settle_replica(world: &World, key: &Key, source: &Key) -> Done {
    let number = world.lock().rds.next_number();
    let instance = Instance {
        retention: 0,
        source: Some(source.clone()),
        groups: groups(&["sg-app".to_owned()]),
        ..Instance::new(number)
    };
    world.lock().rds.instances.insert(key.clone(), instance);
    make(world, key)?;
    world.change(key, |it| it.status = Status::Available)
}

/// An instance of Aurora, which is described and nothing else.
pub(in crate::cloud) fn settle_aurora(world: &World, id: &str) {
    let rds = &mut world.lock().rds;
    let instance = Instance {
        status: Status::Available,
        engine: "aurora-postgresql",
        aurora: Some(format!("{id}-cluster")),
        ..Instance::new(rds.next_number())
    };
    rds.instances.insert((PRIMARY_REGION.to_owned(), id.to_lowercase()), instance);
}
