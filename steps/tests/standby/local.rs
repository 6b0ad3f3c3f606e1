//! Servers in folders of the test's own, run by the account of the laboratory's clusters.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use lab::cluster::Cluster;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder in which the account of `cluster` may make a data directory. The server in it is
/// stopped with the value.
pub(crate) struct Place {
    folder: TempDir,
    pg_ctl: PathBuf,
    owner: (u32, u32),
    pub(crate) port: u16,
}

impl Place {
    pub(crate) fn beside(cluster: &Cluster) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let facts = std::fs::metadata(cluster.data_dir()).unwrap();
        let owner = (facts.uid(), facts.gid());
        chown(folder.path(), Some(owner.0), Some(owner.1)).unwrap();
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        Self { folder, pg_ctl: cluster.program("pg_ctl"), owner, port }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("main")
    }

    /// Makes the data directory, empty.
    pub(crate) fn make_data(&self) {
        std::fs::create_dir(self.data()).unwrap();
        chown(self.data(), Some(self.owner.0), Some(self.owner.1)).unwrap();
    }

    /// What lies in the folder.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    /// `server` of an input.
    pub(crate) fn server(&self) -> Value {
        json!({"data_directory": self.data(), "settings": {"port": self.port.to_string()}})
    }

    /// A folder of programs in which `broken` tells its version and then fails.
    pub(crate) fn programs(&self, broken: &str) -> PathBuf {
        let bin = self.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        for entry in std::fs::read_dir(self.pg_ctl.parent().unwrap()).unwrap() {
            let entry = entry.unwrap();
            std::os::unix::fs::symlink(entry.path(), bin.join(entry.file_name())).unwrap();
        }
        let real = self.pg_ctl.with_file_name(broken);
        let script = format!(
            "#!/bin/sh\ncase \"$*\" in *--version*) exec {} --version;; esac\necho broken >&2\nexit 1\n",
            real.display()
        );
        let program = bin.join(broken);
        std::fs::remove_file(&program).unwrap();
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        bin
    }
}

/// Stops the server of a data directory as a power cut would.
pub(crate) fn crash(pg_ctl: &Path, data: &Path, (uid, gid): (u32, u32)) {
    let mut command = Command::new(pg_ctl);
    command.args(["stop", "--mode=immediate", "--silent", "--pgdata"]).arg(data);
    command.current_dir("/");
    if uid != rustix::process::geteuid().as_raw() {
        command.uid(uid).gid(gid);
    }
    command.output().unwrap();
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.data().join("postmaster.pid").exists() {
            crash(&self.pg_ctl, &self.data(), self.owner);
        }
    }
}
