//! The archive of WAL on the command line.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What both commands have in common.
#[derive(Debug, Args)]
pub(crate) struct ArchivePlace {
    /// URL of the store that holds the archive.
    #[arg(long, env = "RUNBOOK_WAL_STORE", value_name = "URL")]
    pub(crate) store: String,
    /// The cluster's system identifier; by default what the segment or `pg_control` says.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) cluster: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Archive {
    /// Put a file of `pg_wal` into the archive, for `archive_command`.
    ///
    /// A file that is there already with the same content is a success; another content under the
    /// same name is refused and nothing changes.
    #[command(
        after_help = "Example:\n  runbook archive push --store file:///var/backups/wal pg_wal/000000010000000000000003\n\n\
                      In postgresql.conf:\narchive_mode = on\n\
                      archive_command = 'runbook archive push --store file:///var/backups/wal \"%p\"'\n\n\
                      Exit status: 0 archived · 1 failed, the server tries again · 4 another file has that name"
    )]
    Push(ArchivePush),
    /// Give an archived file back, for `restore_command`.
    ///
    /// Size and SHA-256 are checked before the file gets its name.
    #[command(
        after_help = "Example:\n  runbook archive fetch --store file:///var/backups/wal 00000002.history pg_wal/RECOVERYHISTORY\n\n\
                      In postgresql.conf:\n\
                      restore_command = 'runbook archive fetch --store file:///var/backups/wal %f \"%p\"'\n\n\
                      Exit status: 0 fetched · 1 the archive does not have it · 126 anything else: the server stops\n\
                      instead of taking the damage for the end of the archive"
    )]
    Fetch(ArchiveFetch),
}

#[derive(Debug, Args)]
pub(crate) struct ArchivePush {
    #[command(flatten)]
    pub(crate) place: ArchivePlace,
    /// The file: `%p`.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ArchiveFetch {
    #[command(flatten)]
    pub(crate) place: ArchivePlace,
    /// The name of the file: `%f`.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Where to write it: `%p`.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}
