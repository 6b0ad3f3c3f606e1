//! What `pg.restore_rows` is asked for.

use std::time::Duration;

use jiff::Timestamp;
use model::catalog::InputProblem;
use model::rows::Kind;
use model::units::Span;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::file::local::path_problem;

/// Brings extracted rows into a database, or takes that back.
///
/// ## What it does
/// In one transaction it copies the rows of a bundle into temporary tables on the target, locks
/// the tables they are of against other writers, and compares: a row whose key is missing is
/// *inserted*; one that is there and *the same* is left; one that is there and differs is a
/// *conflict*. Rows that are only needed (parents) are never overwritten. Then it writes, checks
/// the constraints, reads every written row again and compares it with the bundle, moves the
/// sequences on to at least the inserted values, writes the undo, and commits.
///
/// `preview: true` does all of that except sequences and undo, and rolls it back: the counts are
/// exact, and what would be refused is refused. With `undo` it takes back what the bundle of an
/// earlier restore says, where the rows are still as that left them: inserted rows are removed
/// unless something references them since, overwritten rows get their former contents. Sequences
/// stay.
///
/// Triggers of the target fire, so that audit trails and derived data are right; one that changes
/// the rows themselves makes the step fail, and `triggers: disable` switches all of them off for
/// the transaction (those that keep foreign keys stay on; the role must own the tables). Identity
/// columns get the bundle's values, generated columns compute theirs.
///
/// ## When to use it
/// After `pg.extract_rows`, once as a preview for the approval, and once to do it, with `undo:`
/// beside it.
///
/// ## What it changes
/// The rows of the bundle that are missing, and those that may be overwritten: all of them or
/// nothing. It holds `SHARE ROW EXCLUSIVE` locks on the tables from the comparison to the commit:
/// others read on, and wait with their writes. Error texts and logs name tables, keys and columns,
/// never other values.
///
/// ## How it can fail
/// Everything is rolled back when: the database or the server is another one; a table changed so
/// that the rows do not fit any more; a row is there and differs, with `on_conflict: fail`; a row
/// would hang on a parent that differs, with `parents: block`; a constraint does not hold; a
/// trigger changes what is written; a lock is not granted in time. When the connection is lost
/// during the commit, the server is asked afterwards whether it took place.
///
/// ## Example
/// ```yaml
/// - id: back
///   uses: pg.restore_rows
///   with:
///     connection: prod
///     from: /var/backups/rows/ann
///     parents: block
///     undo_bundle: /var/backups/rows/ann.undo
///   undo:
///     uses: pg.restore_rows
///     with: {connection: prod, undo: /var/backups/rows/ann.undo}
/// ```
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The database that the rows are brought into.
    pub(super) connection: String,
    /// The bundle that `pg.extract_rows` wrote. Either this or `undo`.
    pub(super) from: Option<String>,
    /// The bundle of a restore to take back, as `undo_bundle` named it. Either this or `from`.
    pub(super) undo: Option<String>,
    /// What happens to a row that is there and differs; with `undo`: that was changed since.
    #[serde(default)]
    pub(super) on_conflict: OnConflict,
    /// With `overwrite_if_unchanged_since`: the moment, RFC 3339 with a zone.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub(super) since: Option<Timestamp>,
    /// With `overwrite_if_unchanged_since`: the column with the time of a row's last change, in
    /// every table: `updated_at`. A time without a zone is taken as UTC.
    pub(super) changed_column: Option<String>,
    /// What happens when a row to write references one that is there and differs.
    #[serde(default)]
    pub(super) parents: Parents,
    /// Whether the target's own triggers fire.
    #[serde(default)]
    pub(super) triggers: Triggers,
    /// How long to wait for locks.
    #[serde(default = "lock_timeout")]
    pub(super) lock_timeout: Span,
    /// The folder, with its whole path, from which the restore can be taken back; it is made
    /// before the commit. Needed unless `preview` or `undo` is given.
    pub(super) undo_bundle: Option<String>,
    /// Do it, and roll it back: only count.
    #[serde(default)]
    pub(super) preview: bool,
    /// The name of the target database. Default: the one that the rows are of.
    pub(super) database: Option<String>,
    /// The system identifier of the target server, as text; any other is refused.
    pub(super) system_identifier: Option<String>,
}

/// What happens to a row that is there and differs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum OnConflict {
    /// Nothing is done at all.
    #[default]
    Fail,
    /// It stays as it is.
    Skip,
    /// It is overwritten when `changed_column` is not later than `since`; otherwise nothing is
    /// done at all.
    OverwriteIfUnchangedSince,
}

/// What happens when a row to write references one that is there and differs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Parents {
    /// Nothing is done at all: the key may have been used again for something else.
    #[default]
    Block,
    /// It hangs on the row that is there.
    Attach,
}

/// Whether the target's own triggers fire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Triggers {
    /// They fire.
    #[default]
    Fire,
    /// They are switched off for the transaction.
    Disable,
}

fn lock_timeout() -> Span {
    Span::from(Duration::from_secs(10))
}

impl Input {
    /// The folder of the bundle, and of which kind it is.
    pub(super) fn bundle(&self) -> (&str, Kind) {
        match (&self.undo, &self.from) {
            (Some(undo), _) => (undo, Kind::Undo),
            (None, from) => (from.as_deref().unwrap_or_default(), Kind::Rows),
        }
    }

    /// Rules that the types do not express.
    pub(super) fn problems(&self) -> Result<(), Vec<InputProblem>> {
        let paths =
            [("from", &self.from), ("undo", &self.undo), ("undo_bundle", &self.undo_bundle)];
        let mut problems: Vec<_> = paths
            .into_iter()
            .filter_map(|(key, path)| path_problem(key, path.as_deref()?))
            .collect();
        match (&self.from, &self.undo) {
            (None, None) => problems.push(InputProblem::at("from", "nothing says which rows")),
            (Some(_), Some(_)) => {
                problems.push(InputProblem::at("undo", "`from` and `undo` exclude each other"));
            }
            _ => {}
        }
        problems.extend(self.undo_problem());
        problems.extend(self.overwrite_problem());
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn undo_problem(&self) -> Option<InputProblem> {
        let needed = self.from.is_some() && !self.preview;
        match (&self.undo_bundle, needed) {
            (None, true) => Some(
                InputProblem::at("undo_bundle", "nothing says where the undo is written")
                    .help("name a folder that is not there yet, or say `preview: true`"),
            ),
            (Some(_), false) if self.undo.is_some() => {
                Some(InputProblem::at("undo_bundle", "an undo writes no undo of its own"))
            }
            _ => None,
        }
    }

    fn overwrite_problem(&self) -> Option<InputProblem> {
        let overwrites = self.on_conflict == OnConflict::OverwriteIfUnchangedSince;
        let both = self.since.is_some() && self.changed_column.is_some();
        let neither = self.since.is_none() && self.changed_column.is_none();
        match overwrites {
            true if self.undo.is_some() => Some(
                InputProblem::at("on_conflict", "an undo fails or skips")
                    .help("it only takes back rows that are unchanged since the restore"),
            ),
            true if !both => Some(
                InputProblem::at("on_conflict", "`since` and `changed_column` are missing")
                    .help("say since when, and which column has the time of the last change"),
            ),
            false if !neither => Some(InputProblem::at(
                "since",
                "`since` and `changed_column` belong to `overwrite_if_unchanged_since`",
            )),
            _ => None,
        }
    }
}
