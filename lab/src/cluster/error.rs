//! What can go wrong with a private cluster.

use std::io;
use std::path::PathBuf;

/// Why a cluster could not be made, started, stopped or asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// The PostgreSQL server programs are not installed.
    #[error(
        "no PostgreSQL server programs (`initdb`, `pg_ctl`, `postgres`) on PATH or under \
         `/usr/lib/postgresql/*/bin`: install them with `apt-get install postgresql`"
    )]
    NoPrograms,
    /// The caller is root and the account that would run the server does not exist.
    #[error(
        "PostgreSQL refuses to run as root and there is no user `postgres` in `/etc/passwd`: \
         create it with `apt-get install postgresql`, or run as another user"
    )]
    NoAccount,
    /// The laboratory's folder belongs to somebody else.
    #[error("`{}` belongs to user {owner}: remove it, or set TMPDIR to another folder", .path.display())]
    ForeignHome {
        /// The folder.
        path: PathBuf,
        /// The numeric id of its owner.
        owner: u32,
    },
    /// The server did not start.
    #[error("the server did not start: {message}; its log is `{}`:\n{tail}", .log.display())]
    Start {
        /// What `pg_ctl` said.
        message: String,
        /// Where the server's log lies.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// One of PostgreSQL's programs ended with an error.
    #[error("`{program}` failed ({status}): {stderr}")]
    Program {
        /// The program's name.
        program: String,
        /// Its exit status.
        status: std::process::ExitStatus,
        /// What it wrote to standard error.
        stderr: String,
    },
    /// A query that should have given one value gave another number of rows.
    #[error("the query gave {rows} rows where one was expected: {sql}")]
    NotOneRow {
        /// How many rows came.
        rows: usize,
        /// The query.
        sql: String,
    },
    /// The record of a detached cluster cannot be read.
    #[error("`{}` is not the folder of a cluster: {reason}", .folder.display())]
    NotACluster {
        /// The folder.
        folder: PathBuf,
        /// What was wrong with it.
        reason: String,
    },
    /// The operating system refused.
    #[error("cannot {action} `{}`: {source}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file, folder or program.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

/// Gives an `io::Result` the action and path it lacks.
pub(super) trait Attempt<T> {
    /// Names what was tried.
    fn attempt(self, action: &'static str, path: &std::path::Path) -> Result<T, ClusterError>;
}

impl<T> Attempt<T> for io::Result<T> {
    fn attempt(self, action: &'static str, path: &std::path::Path) -> Result<T, ClusterError> {
        self.map_err(|source| ClusterError::Io { action, path: path.to_path_buf(), source })
    }
}
