//! Streaming standbys: `pg_basebackup` of a running cluster, started beside it.
//! <https://www.postgresql.org/docs/current/warm-standby.html#STREAMING-REPLICATION>

use std::time::{Duration, Instant};

use super::error::ClusterError;
use super::home::{Claimed, Home};
use super::programs::{Programs, output};
use super::{Cluster, literal, template};

/// A standby has taken up streaming within this time.
const PATIENCE: Duration = Duration::from_mins(1);

impl Cluster {
    /// Makes a standby that streams from this cluster as `name`, which `pg_stat_replication` shows.
    /// It is a cluster of its own, with the same password and system identifier. Blocks for about
    /// half a second, until it streams.
    pub fn standby(&self, name: &str) -> Result<Self, ClusterError> {
        let programs = Programs::find()?;
        let Claimed { path, owner } = Home::open()?.claim(programs.account())?;
        let password = self.password.clone();
        let mut standby = Self { folder: path, programs, port: 0, password, owner: Some(owner) };
        standby.copy_from(self, name)?;
        standby.start_on_a_free_port()?;
        standby.wait_until("it streams", || {
            let sql = format!(
                "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' \
                 AND application_name = {}",
                literal(name)
            );
            Ok(self.query_one("postgres", &sql)? == "1")
        })?;
        Ok(standby)
    }

    /// Waits until a standby has replayed everything that its primary has written so far.
    pub fn caught_up_with(&self, primary: &Self) -> Result<(), ClusterError> {
        let written = primary.query_one("postgres", "SELECT pg_current_wal_insert_lsn()")?;
        let sql = format!("SELECT pg_last_wal_replay_lsn() >= {}::pg_lsn", literal(&written));
        self.wait_until("it has replayed", || Ok(self.query_one("postgres", &sql)? == "t"))
    }

    fn copy_from(&self, primary: &Self, name: &str) -> Result<(), ClusterError> {
        let source = format!(
            "host={} port={} user={} application_name={name}",
            primary.folder.display(),
            primary.port,
            super::USER
        );
        output(
            self.programs
                .server_command("pg_basebackup")
                .args(["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast"])
                .args(["--no-sync", "--dbname", &source, "--pgdata"])
                .arg(self.data_dir()),
        )?;
        template::keep_password(&self.folder, &self.password, self.programs.account())?;
        let sockets = literal(&self.folder.to_string_lossy());
        let settings = format!("unix_socket_directories = {sockets}\n");
        template::append(&self.data_dir().join("postgresql.conf"), &settings)
    }

    pub(super) fn wait_until(
        &self,
        what: &str,
        holds: impl Fn() -> Result<bool, ClusterError>,
    ) -> Result<(), ClusterError> {
        let until = Instant::now() + PATIENCE;
        while !holds()? {
            if Instant::now() > until {
                let (log, tail) = (self.log(), super::last_lines(&self.log()));
                let message = format!("gave up waiting until {what}");
                return Err(ClusterError::Start { message, tail, log });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}
