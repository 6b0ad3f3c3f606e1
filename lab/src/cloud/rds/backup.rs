//! Automatic backups: a base backup and the archived WAL that follows it.

use super::instance::Backup;
use super::{Done, Key};
use crate::cloud::moment;
use crate::cloud::world::World;
use crate::cluster::{Cluster, ClusterError};

/// Takes a base backup of an instance and keeps it as the one to restore from.
pub(super) fn back_up(world: &World, key: &Key) -> Done {
    let number = world.lock().rds.next_number();
    let base = world.folder().join(format!("base-{number}"));
    let cluster = world.change(key, |it| it.cluster.clone())?.ok_or("it has no server")?;
    cluster.base_backup(&base)?;
    // Commits of the same moment as the backup's end belong to it.
    let since = moment::now();
    world.change(key, |it| it.backup = Some(Backup { base, since }))
}

/// Lets a server archive into its own folder.
pub(super) fn archive(cluster: &Cluster) -> Result<(), ClusterError> {
    let folder = archive_of(cluster);
    cluster.archive_with(&format!("mkdir -p {folder} && cp %p {folder}/%f"))
}

/// How another server reads what this one has written: what is archived, and what is not archived
/// yet from where it was written.
pub(super) fn restore_command(cluster: &Cluster) -> String {
    let (folder, data) = (archive_of(cluster), cluster.data_dir());
    format!("cp {folder}/%f %p 2>/dev/null || cp {}/pg_wal/%f %p", data.display())
}

fn archive_of(cluster: &Cluster) -> String {
    cluster.host_dir().join("archive").display().to_string()
}
