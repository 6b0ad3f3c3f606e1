//! What `pg.dump` is asked for.

use std::time::Duration;

use model::catalog::InputProblem;
use model::set::manifest::{Format, Scope, TableName};
use model::units::{ByteSize, Span};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::file::local::path_problem;
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
    /// How the rows are written. `objects` restores fastest and gives back single tables; the
    /// others are for exchange with other tools: `custom` and `directory` for `pg_restore`, `plain`
    /// for `psql`. With these the rows are read twice: by `pg_dump`, and for their hashes.
    #[serde(default)]
    pub format: Format,
    /// What compresses the text of format `plain`.
    #[serde(default)]
    pub compress_with: TextCompression,
    /// Only the definitions: no row, no large object, no position of a sequence. Such a set is
    /// never `latest`.
    #[serde(default)]
    pub schema_only: bool,
    /// With `schema_only` and format `plain`: the absolute path of a file of this machine that gets
    /// the text as well, replaced when it is there. Lines that are new in every dump (the key of
    /// `\\restrict`) are left out, so that it changes only when the definitions do.
    #[serde(default)]
    pub schema_file: Option<String>,
    /// The level of compression. zstd (`objects`, and `plain` by default): 1 (fast, the default) to
    /// 19 (small); rows of a table come out smaller than with gzip at every level, for columns of
    /// prose 2 or 3 does. gzip (the others): 1 to 9, by default 6.
    #[serde(default)]
    pub compression: Option<i32>,
    /// Tables larger than this are split into parts of about this size on disk.
    #[serde(default = "default_part_size")]
    pub part_size: ByteSize,
    /// How long the first connection waits for the lock on a table. The others do not wait: when
    /// a change of a table comes between, the attempt fails at once (`pg_dump`: in 5 s) and lets
    /// the change through.
    #[serde(default = "default_lock_timeout")]
    pub lock_timeout: Span,
}

/// What compresses SQL text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TextCompression {
    /// zstd: `database.sql.zst`.
    #[default]
    Zstd,
    /// gzip: `database.sql.gz`.
    Gzip,
    /// Nothing: `database.sql`.
    None,
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
        let most = if self.compresses_with_zstd() { 19 } else { 9 };
        rule(
            self.compression.is_none_or(|level| (1..=most).contains(&level)),
            "compression",
            &format!("the level is from 1 to {most}"),
        );
        let is_plain = self.format == Format::Plain;
        rule(
            is_plain || self.compress_with == TextCompression::Zstd,
            "compress_with",
            "only format `plain` is compressed by a program of choice",
        );
        rule(
            !self.schema_only || (self.tables.is_none() && self.exclude_tables.is_empty()),
            "schema_only",
            "definitions are written whole: leave out `tables` and `exclude_tables`",
        );
        rule(
            self.schema_file.is_none() || (self.schema_only && is_plain),
            "schema_file",
            "the text is that of `schema_only: true` and `format: plain`",
        );
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
        problems
            .extend(self.schema_file.iter().filter_map(|path| path_problem("schema_file", path)));
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn compresses_with_zstd(&self) -> bool {
        self.format == Format::Objects
            || (self.format == Format::Plain && self.compress_with == TextCompression::Zstd)
    }

    /// What the set covers.
    pub(super) fn scope(&self) -> Scope {
        match &self.tables {
            Some(tables) => Scope::Tables(tables.iter().map(|name| table_name(name)).collect()),
            None if self.schema_only => Scope::Definitions,
            None => Scope::Full,
        }
    }

    /// The tables whose rows are left out.
    pub(super) fn excluded(&self) -> Vec<TableName> {
        self.exclude_tables.iter().map(|name| table_name(name)).collect()
    }
}

/// `schema.table`, or a table of `public`.
pub(in crate::pg) fn table_name(text: &str) -> TableName {
    match text.split_once('.') {
        Some((schema, name)) => TableName::new(schema, name),
        None => TableName::new("public", text),
    }
}
