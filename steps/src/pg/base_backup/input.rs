//! What `pg.base_backup` is told.

use model::catalog::InputProblem;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::file::local::path_problem;

/// Copies a whole cluster into a store, as the base of recovery to a moment.
///
/// ## What it does
/// It runs `pg_basebackup` with a SHA-256 of every file and with the WAL that was written meanwhile,
/// checks the copy with `pg_verifybackup`, and stores the data folder as one compressed `tar`
/// under `base/<system identifier>/`. The manifest comes last and makes the backup. The folder holds
/// a `RESTORE.txt` with the standard commands.
///
/// With `parent` it copies only what changed since that base backup (PostgreSQL 17 or newer, with
/// `summarize_wal = on`).
///
/// ## When to use it
/// Once a day or a week, beside an `archive_command` that keeps the WAL: together they bring a
/// cluster back to any moment since the oldest base backup. A logical set (`pg.dump`) is for one
/// database or table; this is for everything of a server.
///
/// ## What it changes
/// A folder is added to the store. The copy is staged on this machine first, so that it takes as
/// much room there as the cluster. The server writes a checkpoint.
///
/// ## How it can fail
/// When the role may not replicate, when the server has no free `max_wal_senders`, when the cluster
/// has tablespaces outside of its data folder, when the disk or the store is full, when
/// `pg_verifybackup` finds a difference, when the store encrypts, when what an incremental backup
/// builds on is not whole.
///
/// ## Example
/// ```yaml
/// - id: base
///   uses: pg.base_backup
///   with: {connection: prod, store: backups, label: nightly}
/// ```
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The name under `connections:`; its role may replicate.
    pub(super) connection: String,
    /// The name under `stores:`.
    pub(super) store: String,
    /// A free word that is kept in the manifest.
    pub(super) label: Option<String>,
    /// The base backup to build on: its id, or `latest`. Without it, the backup stands alone.
    pub(super) parent: Option<String>,
    /// The absolute path of a folder with room for the cluster; without it, the state folder.
    pub(super) staging: Option<String>,
    /// Let the checkpoint at the beginning take its time instead of writing at once.
    #[serde(default)]
    pub(super) spread_checkpoint: bool,
    /// The level of zstd, from 1 to 19.
    #[serde(default = "level")]
    pub(super) compression: i32,
    /// The folder of the server programs of that version; found by itself where packages put it.
    pub(super) bin: Option<String>,
}

fn level() -> i32 {
    1
}

impl Input {
    pub(super) fn problems(&self) -> Result<(), Vec<InputProblem>> {
        let mut problems = Vec::new();
        if !(1..=19).contains(&self.compression) {
            problems.push(InputProblem::at("compression", "zstd has levels from 1 to 19"));
        }
        problems.extend(self.staging.as_ref().and_then(|path| path_problem("staging", path)));
        problems.extend(self.bin.as_ref().and_then(|path| path_problem("bin", path)));
        if let Some(parent) = self.parent.as_ref().filter(|parent| *parent != "latest")
            && let Err(error) = parent.parse::<model::set::SetId>()
        {
            problems.push(InputProblem::at("parent", error.to_string()));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}
