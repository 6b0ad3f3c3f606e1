//! What `pg.restore` is asked for.

use model::catalog::InputProblem;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Options;
use crate::pg::jobs;
use crate::store::Backup;

/// Restores a backup set into a new database.
///
/// ## What it does
/// Makes a new database from a backup set. Every object is checked against the
/// SHA-256 of the manifest while it streams; definitions come first, then the rows over several
/// connections, sequences, large objects, then indexes, constraints and triggers, then the
/// settings of the database, then `ANALYZE` (unless `analyze: false`).
///
/// ## When to use it
/// To recover, or to look at an older state beside the living database.
///
/// ## What it changes
/// Adds one database to the target server. Until it is whole it has another
/// name (`rb_restore_...`); it gets its name as the last act. An existing database is never
/// touched.
///
/// ## How it can fail
/// The database exists; no set is proven; the set that is named holds some tables or definitions
/// only, and `partial` does not say that this is known; an object is missing or damaged; a
/// role that owns something is missing on the target (use `no_owner`, or create the roles from
/// the set's `globals.sql`); an extension is not installed there. A failed attempt drops the
/// unfinished database.
///
/// ## Example
/// ```yaml
/// - id: restore
///   uses: pg.restore
///   with: {connection: target, store: backups, source: lms, backup: latest, database: lms_restored}
/// ```
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The server that gets the database; the role must be allowed to create one.
    pub connection: String,
    /// The store that holds the set.
    pub store: String,
    /// The database the set was made of. Not needed when the store holds sets of one only.
    #[serde(default)]
    pub source: Option<String>,
    /// A set id, `latest` (the newest proven set of the whole database), or `{before: <time>}`.
    #[serde(default)]
    pub backup: Backup,
    /// The set that is named may hold some tables only, or definitions only. Without it, such a
    /// set is refused: it does not bring a database back.
    #[serde(default)]
    pub partial: bool,
    /// The name of the new database.
    pub database: String,
    /// Connections that copy rows and build indexes at once. Default: one for each processor.
    #[serde(default)]
    pub jobs: Option<u16>,
    /// Everything belongs to the connection's role, and no privilege is granted: for a server
    /// that does not have the roles.
    #[serde(default)]
    pub no_owner: bool,
    /// Collects statistics, without which queries may be planned badly. `false` ends the restore
    /// sooner; autovacuum, or `vacuumdb --analyze-in-stages`, makes up for it afterwards.
    #[serde(default = "crate::defaults::yes")]
    pub analyze: bool,
}

impl Input {
    /// Rules that the types do not express.
    pub(super) fn problems(&self) -> Result<(), Vec<InputProblem>> {
        let mut problems = jobs::problems(self.jobs);
        if self.database.is_empty() || self.database.len() > 63 {
            problems.push(InputProblem::at("database", "a database name has 1 to 63 bytes"));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// How to restore.
    pub(super) fn options(&self) -> Options {
        Options { jobs: jobs::count(self.jobs), no_owner: self.no_owner, analyze: self.analyze }
    }
}
