//! Clusters that archive their WAL.

use super::error::ClusterError;
use super::{Cluster, literal};

impl Cluster {
    /// Lets the server archive by this command; it was started with `archive_mode = on`.
    pub fn archive_with(&self, command: &str) -> Result<(), ClusterError> {
        let sql = format!("ALTER SYSTEM SET archive_command = {}", literal(command));
        self.execute("postgres", &sql)?;
        self.execute("postgres", "SELECT pg_reload_conf()")
    }

    /// Ends the segment that is written now; gives its name.
    pub fn switch_wal(&self) -> Result<String, ClusterError> {
        // A segment without a record is not ended.
        self.execute("postgres", "SELECT pg_logical_emit_message(false, 'lab', 'switch')")?;
        // What is inserted, not what is written yet: commits are asynchronous here.
        let name = "SELECT pg_walfile_name(pg_current_wal_insert_lsn())";
        let name = self.query_one("postgres", name)?;
        self.execute("postgres", "SELECT pg_switch_wal()")?;
        Ok(name)
    }

    /// Ends the segment that is written now and waits until the server has archived it; gives its
    /// name.
    pub fn archive_now(&self) -> Result<String, ClusterError> {
        let name = self.switch_wal()?;
        let sql = format!(
            "SELECT coalesce(left(last_archived_wal, 24) >= {}, false) FROM pg_stat_archiver",
            literal(&name)
        );
        self.wait_until(
            "the segment is archived",
            || Ok(self.query_one("postgres", &sql)? == "t"),
        )?;
        Ok(name)
    }
}
