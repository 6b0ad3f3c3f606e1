//! What `pg.restore_table` is asked for.

use std::fmt;
use std::time::Duration;

use model::catalog::InputProblem;
use model::set::manifest::TableName;
use model::units::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pg::dump::table_name;
use crate::pg::jobs;
use crate::store::Backup;

/// Brings rows of tables back from a backup set into the living database.
///
/// ## What it does
/// It reads the rows of the tables from a set (of format `objects`, only their own objects) into
/// a staging schema on the target, checks them against the manifest, and shows how they differ
/// from what the tables hold now. Mode `staging` ends there. `swap` and `merge` then exchange
/// rows in one transaction: `swap` makes the tables hold exactly the rows of the set, `merge`
/// writes those that are missing or changed and removes none.
///
/// The table itself stays: nothing of the catalogue is touched, so foreign keys in both
/// directions, indexes, triggers, views, policies, privileges, publications and statistics are
/// what they were. (A check that is `NOT VALID`, and that a row which comes back breaks, is made
/// again as it was.) Triggers rest meanwhile; foreign keys and deferrable unique constraints are
/// looked at before the commit. Sequences of the tables are moved on, never back, and
/// materialized views that read the tables are refreshed.
///
/// ## When to use it
/// When the rows of a table are lost or wrong and the rest of the database is right. First with
/// `mode: staging`, so that whoever approves sees the numbers; then with `mode: swap` and the
/// same `staging`, which is taken up and not read again. Tables that refer to each other belong
/// into one step (`tables`), which exchanges all or none. `discard`, in the `exit` handler, removes
/// a staging schema that no exchange took up.
///
/// ## What it changes
/// `staging`: a schema is added. `swap` and `merge`: rows of the tables; the former rows are kept
/// whole beside each as `<name>__rb_<run>`, which only its owner may read, until
/// `pg.swap_back` brings them back or releases them. A committed exchange is known by its
/// transaction and by the comment on that table.
///
/// ## How it can fail
/// Before anything is changed: the target is not `system_identifier`; the set is of another
/// database, missing or damaged; its columns are not those of the table; the table is
/// partitioned, a partition, foreign, or has triggers that never rest; the server lacks room; the
/// role may not let triggers rest. In the transaction, which then leaves everything as it was: a
/// lock is not granted in `lock_timeout`; more rows would go than `removes_at_most`; rows
/// elsewhere refer to rows that would go. A failed attempt removes the staging schema it made.
///
/// ## Example
/// ```yaml
/// - id: restore
///   uses: pg.restore_table
///   with: {connection: prod, store: backups, backup: latest, table: billing.payments, mode: swap}
///   undo: {uses: pg.swap_back, with: {connection: prod, table: billing.payments, run: "{{ run.id }}"}}
/// ```
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The connection whose database gets the rows.
    pub connection: String,
    /// The store that holds the set.
    pub store: String,
    /// The database the set was made of. Default: the name of the connection's own; a set of
    /// another one is refused unless it is named here.
    #[serde(default)]
    pub source: Option<String>,
    /// A set id, `latest` (the newest proven set that holds these tables), or `{before: <time>}`.
    #[serde(default)]
    pub backup: Backup,
    /// The table, as `table` (in schema `public`) or `schema.table`, as PostgreSQL stores the names.
    #[serde(default)]
    pub table: Option<String>,
    /// Several tables instead of one: all are exchanged in one transaction, or none.
    #[serde(default)]
    pub tables: Option<Vec<String>>,
    /// `staging`, `swap`, `merge` or `discard`.
    pub mode: Mode,
    /// The name of the staging schema. `staging` makes and leaves it; `swap` and `merge` of the
    /// same run take it up when it holds these tables of this set, and remove it. Default: a name
    /// of the step's own.
    #[serde(default)]
    pub staging: Option<String>,
    /// Refuses to remove more rows that only the tables have, because whoever approved
    /// was shown no more. `merge` removes none.
    #[serde(default)]
    pub removes_at_most: Option<u64>,
    /// The system identifier that the target server must have.
    #[serde(default)]
    pub system_identifier: Option<String>,
    /// How long to wait for each lock.
    #[serde(default = "default_lock_timeout")]
    pub lock_timeout: Span,
    /// Materialized views that read the tables are refreshed in the same transaction.
    #[serde(default = "crate::defaults::yes")]
    pub refresh: bool,
    /// Connections that copy rows at once. Default: one for each processor.
    #[serde(default)]
    pub jobs: Option<u16>,
}

/// How far a restore goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The rows of the set lie in a staging schema, and differences are shown.
    Staging,
    /// The tables hold exactly the rows of the set.
    Swap,
    /// Missing rows are written and changed ones restored; none is removed.
    Merge,
    /// The staging schema that this run left goes, if it is still there. Nothing is read.
    Discard,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Staging => "staging",
            Self::Swap => "swap",
            Self::Merge => "merge",
            Self::Discard => "discard",
        })
    }
}

/// How long to wait for a lock unless the plan says otherwise.
pub(in crate::pg) fn default_lock_timeout() -> Span {
    Span::from(Duration::from_secs(5))
}

/// What is wrong with `table` and `tables`.
pub(in crate::pg) fn table_problems(
    table: Option<&str>,
    tables: Option<&[String]>,
) -> Vec<InputProblem> {
    match (table, tables) {
        (Some(_), Some(_)) => {
            vec![InputProblem::at("tables", "the tables are named twice: leave out `table`")]
        }
        (None, None) => vec![InputProblem::at("table", "no table is named")],
        (None, Some([])) => vec![InputProblem::at("tables", "the list is empty")],
        _ => Vec::new(),
    }
}

/// The tables that are named, each once.
pub(in crate::pg) fn table_names(table: Option<&str>, tables: Option<&[String]>) -> Vec<TableName> {
    let texts = table.into_iter().chain(tables.unwrap_or_default().iter().map(String::as_str));
    let mut names: Vec<TableName> = texts.map(table_name).collect();
    names.sort();
    names.dedup();
    names
}

/// `` `public.a`, `public.b` ``.
pub(in crate::pg) fn list_words<T: fmt::Display>(names: &[T]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl Input {
    /// Rules that the types do not express.
    pub(super) fn problems(&self) -> Result<(), Vec<InputProblem>> {
        let mut problems = table_problems(self.table.as_deref(), self.tables.as_deref());
        problems.extend(jobs::problems(self.jobs));
        let is_schema = |name: &String| (1..=63).contains(&name.len()) && !name.starts_with("pg_");
        if !self.staging.as_ref().is_none_or(is_schema) {
            let message = "a schema's name has 1 to 63 bytes and does not begin with `pg_`";
            problems.push(InputProblem::at("staging", message));
        }
        if self.mode == Mode::Discard && self.staging.is_none() {
            problems.push(InputProblem::at("staging", "name the schema that is to go"));
        }
        if self.lock_timeout.duration().is_zero() {
            let message = "without a limit the step could keep everybody waiting";
            problems.push(InputProblem::at("lock_timeout", message).help("give a span like `5s`"));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// The tables.
    pub(super) fn names(&self) -> Vec<TableName> {
        table_names(self.table.as_deref(), self.tables.as_deref())
    }

    /// Whether rows of the tables are changed.
    pub(super) fn exchanges(&self) -> bool {
        matches!(self.mode, Mode::Swap | Mode::Merge)
    }
}
