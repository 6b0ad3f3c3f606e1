//! The laboratory's folder under the temporary folder: one place for every cluster of one user,
//! so that what a killed process left behind is found and removed.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use super::error::{Attempt, ClusterError};
use super::programs::{self, Account, Programs};

/// The longest folder a socket may lie in: 107 bytes less `/.s.PGSQL.65535`, a folder's name and
/// some room.
const LONGEST_HOME: usize = 70;
/// The file whose lock says that the process that started a cluster lives.
const OWNER: &str = "owner.lock";

/// The folder that holds a user's clusters and templates.
pub(super) struct Home {
    path: PathBuf,
}

/// A cluster's own folder, held for as long as the process lives.
pub(super) struct Claimed {
    /// The folder.
    pub(super) path: PathBuf,
    /// The lock that says so.
    pub(super) owner: File,
}

impl Home {
    /// Opens, or makes, the folder.
    pub(super) fn open() -> Result<Self, ClusterError> {
        let uid = rustix::process::geteuid().as_raw();
        let name = format!("runbook-lab-{uid}");
        let mut path = std::env::temp_dir().join(&name);
        if path.as_os_str().len() > LONGEST_HOME {
            path = Path::new("/tmp").join(name);
        }
        // Others may pass through, the server's account among them; each cluster is closed itself.
        match fs::DirBuilder::new().mode(0o711).create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.attempt("create", &path)?,
        }
        let found = fs::symlink_metadata(&path).attempt("look at", &path)?;
        if found.uid() == uid && found.is_dir() {
            Ok(Self { path })
        } else {
            let owner = found.uid();
            Err(ClusterError::ForeignHome { path, owner })
        }
    }

    /// A path in it.
    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Waits until no other process changes what is shared; the lock ends with the file.
    pub(super) fn lock(&self) -> Result<File, ClusterError> {
        let path = self.join("lock");
        let file = File::create(&path).attempt("create", &path)?;
        file.lock().attempt("lock", &path)?;
        Ok(file)
    }

    /// Makes a folder for one cluster.
    pub(super) fn claim(&self, account: Option<Account>) -> Result<Claimed, ClusterError> {
        let _alone = self.lock()?;
        let path = tempfile::Builder::new()
            .prefix("c-")
            .tempdir_in(&self.path)
            .attempt("create a folder in", &self.path)?
            .keep();
        hand_over(&path, account)?;
        let lock = path.join(OWNER);
        let owner = File::create(&lock).attempt("create", &lock)?;
        owner.lock().attempt("lock", &lock)?;
        Ok(Claimed { path, owner })
    }

    /// Stops and removes the clusters whose process is gone.
    pub(super) fn sweep(&self, programs: &Programs) -> Result<(), ClusterError> {
        let _alone = self.lock()?;
        let entries = fs::read_dir(&self.path).attempt("list", &self.path)?;
        for entry in entries.filter_map(Result::ok) {
            let folder = entry.path();
            let orphaned = File::open(folder.join(OWNER)).is_ok_and(|file| file.try_lock().is_ok());
            if orphaned {
                remove(&folder, programs)?;
            }
        }
        Ok(())
    }
}

/// Gives a file or folder to the account that runs the server.
pub(super) fn give(path: &Path, account: Option<Account>) -> Result<(), ClusterError> {
    if let Some(Account { uid, gid }) = account {
        chown(path, Some(uid), Some(gid)).attempt("hand over", path)?;
    }
    Ok(())
}

/// Gives a folder to the account that runs the server, closed to everyone else.
pub(super) fn hand_over(folder: &Path, account: Option<Account>) -> Result<(), ClusterError> {
    give(folder, account)?;
    let closed = fs::Permissions::from_mode(0o700);
    fs::set_permissions(folder, closed).attempt("close", folder)
}

/// Lets a cluster outlive the process that started it.
pub(super) fn release(folder: &Path) -> Result<(), ClusterError> {
    let lock = folder.join(OWNER);
    fs::remove_file(&lock).attempt("remove", &lock)
}

/// Stops whatever server runs in a cluster's folder, at once, and removes the folder.
pub(super) fn remove(folder: &Path, programs: &Programs) -> Result<(), ClusterError> {
    let data = folder.join("data");
    if data.join("postmaster.pid").exists() {
        let stop = programs::output(
            programs
                .server_command("pg_ctl")
                .args(["stop", "--wait", "--silent", "--mode=immediate", "--pgdata"])
                .arg(&data),
        );
        // A server that died by itself leaves its pid file; then there is nothing to stop.
        if stop.is_err() && is_running(&data, programs) {
            stop?;
        }
    }
    fs::remove_dir_all(folder).attempt("remove", folder)
}

/// Whether a server runs on a data folder.
pub(super) fn is_running(data: &Path, programs: &Programs) -> bool {
    let mut status = programs.server_command("pg_ctl");
    programs::output(status.args(["status", "--pgdata"]).arg(data)).is_ok()
}
