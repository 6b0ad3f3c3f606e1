//! Base backups, clusters made from them, and servers that die.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use super::error::{Attempt, ClusterError};
use super::home::{Claimed, Home, is_running};
use super::programs::{Programs, output};
use super::{Cluster, literal, template};

impl Cluster {
    /// Kills the server as a power cut would: sessions end without a word, nothing is flushed. One
    /// that does not run is as it should be.
    pub fn kill(&self) -> Result<(), ClusterError> {
        let killed = self.control(&["stop", "--mode=immediate"]);
        if is_running(&self.data_dir(), &self.programs) { killed } else { Ok(()) }
    }

    /// Copies the running server's data into a folder that does not exist yet.
    pub fn base_backup(&self, to: &Path) -> Result<(), ClusterError> {
        let mut command = self.command("pg_basebackup");
        command.args(["--wal-method=stream", "--checkpoint=fast", "--no-sync", "--pgdata"]);
        output(command.arg(to)).map(drop)
    }

    /// Makes a cluster from a base backup and starts it. With `recovery`, lines that name at least
    /// a `restore_command`, it recovers by them first and is then a primary.
    pub fn from_backup(
        base: &Path,
        password: &str,
        recovery: Option<&str>,
    ) -> Result<Self, ClusterError> {
        let programs = Programs::find()?;
        let Claimed { path, owner } = Home::open()?.claim(programs.account())?;
        let password = password.to_owned();
        let mut cluster = Self { folder: path, programs, port: 0, password, owner: Some(owner) };
        cluster.take_over(base, recovery)?;
        cluster.start_on_a_free_port()?;
        let sql = "SELECT pg_is_in_recovery()";
        cluster
            .wait_until("it has recovered", || Ok(cluster.query_one("postgres", sql)? == "f"))?;
        Ok(cluster)
    }

    fn take_over(&self, base: &Path, recovery: Option<&str>) -> Result<(), ClusterError> {
        let data = self.data_dir();
        output(Command::new("cp").arg("-a").arg(base).arg(&data))?;
        let standby = data.join("standby.signal");
        if standby.exists() {
            fs::remove_file(&standby).attempt("remove", &standby)?;
        }
        let sockets = literal(&self.folder.to_string_lossy());
        let mut settings = format!(
            "unix_socket_directories = {sockets}\nprimary_conninfo = ''\n\
             archive_command = '/bin/true'\n"
        );
        if let Some(recovery) = recovery {
            settings += recovery;
            let signal = data.join("recovery.signal");
            fs::write(&signal, "").attempt("write", &signal)?;
        }
        // What `ALTER SYSTEM` said in the original stands above, and the last line counts.
        template::append(&data.join("postgresql.auto.conf"), &settings)?;
        template::keep_password(&self.folder, &self.password, self.programs.account())?;
        self.own(&data)
    }

    /// Gives a folder and all in it to the account that runs the server.
    fn own(&self, folder: &Path) -> Result<(), ClusterError> {
        let Some(account) = self.programs.account() else { return Ok(()) };
        chown(folder, Some(account.uid), Some(account.gid)).attempt("hand over", folder)?;
        for entry in fs::read_dir(folder).attempt("list", folder)?.filter_map(Result::ok) {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.own(&path)?;
            } else {
                chown(&path, Some(account.uid), Some(account.gid)).attempt("hand over", &path)?;
            }
        }
        Ok(())
    }
}

impl Cluster {
    /// Waits until a query gives this one row.
    pub fn until(&self, database: &str, sql: &str, row: &str) -> Result<(), ClusterError> {
        self.wait_until(sql, || Ok(self.query_one(database, sql)? == row))
    }
}
