//! What `pg.dump` is asked for.

use std::time::Duration;

use model::catalog::InputProblem;
use model::set::manifest::{Scope, TableName};
use model::units::{ByteSize, Span};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::pg::jobs;

/// Dumps a database into a store, as a backup set.
///
/// ## What it does
/// Writes a backup set of one database into a store. The set holds the
/// definitions (by `pg_dump`), the rows of every table (compressed COPY text, read over several
/// connections in one snapshot), large objects, the positions of sequences, roles without
/// passwords, and a manifest with the row counts and content hashes that a restored copy is
/// compared with. It appears in the store when it is whole, never before.
///
/// ## When to use it
/// Every night before `pg.verify_backup`, and before a change that cannot be
/// taken back.
///
/// ## What it changes
/// Adds one set to the store. In the database it takes the locks of `pg_dump`
/// (ACCESS SHARE) and holds a snapshot, so that no VACUUM removes newer dead rows meanwhile.
///
/// ## How it can fail
/// The server cannot be reached or refuses the login; the role may not read a
/// table (nothing is left out silently); `pg_dump` is missing or older than the server; a lock
/// is not granted in `lock_timeout`; the store is full. A failed attempt removes what it wrote.
///
/// ## Example
/// ```yaml
/// - id: dump
///   uses: pg.dump
///   with: {connection: prod, store: backups, label: nightly}
/// ```
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The connection whose database is dumped.
    pub connection: String,
    /// The store that gets the set.
    pub store: String,
    /// Only these tables, as `table` (in schema `public`) or `schema.table`; a partitioned table
    /// stands for its partitions. Without it, the whole database.
    #[serde(default)]
    pub tables: Option<Vec<String>>,
    /// Tables whose rows are left out, as `table` or `schema.table`. Recorded in the manifest.
    #[serde(default)]
    pub exclude_tables: Vec<String>,
    /// A word that tells sets of one database apart: `nightly`, `pre-restore`.
    #[serde(default)]
    pub label: Option<String>,
    /// Connections that copy rows at once. Default: one for each processor.
    #[serde(default)]
    pub jobs: Option<u16>,
    /// zstd's level, 1 (fast) to 19 (small). Rows of a table come out smaller than with gzip at
    /// every level; for columns of prose, 2 or 3 does.
    #[serde(default = "default_level")]
    pub compression: i32,
    /// Tables larger than this are split into parts of about this size on disk.
    #[serde(default = "default_part_size")]
    pub part_size: ByteSize,
    /// How long the first connection waits for the lock on a table. The others do not wait: when
    /// a change of a table comes between, the attempt fails at once (`pg_dump`: in 5 s) and lets
    /// the change through.
    #[serde(default = "default_lock_timeout")]
    pub lock_timeout: Span,
}

fn default_level() -> i32 {
    1
}

fn default_part_size() -> ByteSize {
    ByteSize::from(256 << 20)
}

fn default_lock_timeout() -> Span {
    Span::from(Duration::from_mins(1))
}

impl Input {
    /// Rules that the types do not express.
    pub(super) fn problems(&self) -> Result<(), Vec<InputProblem>> {
        let mut problems = jobs::problems(self.jobs);
        let mut rule = |holds: bool, key: &str, message: &str| {
            if !holds {
                problems.push(InputProblem::at(key, message));
            }
        };
        rule((1..=19).contains(&self.compression), "compression", "the level is from 1 to 19");
        rule(self.part_size.bytes() >= 1 << 20, "part_size", "parts are of `1MiB` or more");
        rule(
            self.tables.as_ref().is_none_or(|tables| !tables.is_empty()),
            "tables",
            "the list is empty: leave it out for the whole database",
        );
        let is_label = |label: &String| {
            let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            (1..=64).contains(&label.len()) && label.chars().all(is_part)
        };
        rule(
            self.label.as_ref().is_none_or(is_label),
            "label",
            "a label is 1 to 64 letters, digits, `-`, `_` or `.`",
        );
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// What the set covers.
    pub(super) fn scope(&self) -> Scope {
        match &self.tables {
            Some(tables) => Scope::Tables(tables.iter().map(|name| table_name(name)).collect()),
            None => Scope::Full,
        }
    }

    /// The tables whose rows are left out.
    pub(super) fn excluded(&self) -> Vec<TableName> {
        self.exclude_tables.iter().map(|name| table_name(name)).collect()
    }
}

/// `schema.table`, or a table of `public`.
fn table_name(text: &str) -> TableName {
    match text.split_once('.') {
        Some((schema, name)) => TableName::new(schema, name),
        None => TableName::new("public", text),
    }
}
