//! What becomes of each row: inserted where it is missing, left where it is the same, and where it
//! differs what the plan says.

use jiff::Timestamp;
use model::rows::Role;
use model::step_error::StepError;

use super::asking;
use super::shape::ForeignKey;
use super::staged::{Staged, State, has_role, is_in, shortened};
use super::target::Opened;
use crate::pg::connection::Session;
use crate::pg::sql::{identifier, literal};

/// What the plan says about rows that are there and differ.
pub(super) struct Policy<'a> {
    pub(super) conflict: OnDifference<'a>,
    /// A parent that differs is taken for the right one.
    pub(super) attach: bool,
}

/// What becomes of a row that is there and differs.
#[derive(Clone, Copy)]
pub(super) enum OnDifference<'a> {
    /// Nothing is done at all.
    Fail,
    /// It stays.
    Keep,
    /// It is overwritten when `column` is not later than `since`.
    Overwrite { column: &'a str, since: Timestamp },
}

/// Gives each staged row its state, or refuses.
pub(super) async fn judge(opened: &Opened, policy: &Policy<'_>) -> Result<(), StepError> {
    let Opened { session, tables, .. } = opened;
    for table in tables {
        let state =
            format!("CASE WHEN {} THEN 'conflict' ELSE 'same' END", table.differs("s", "t"));
        table.mark(session, &state, "true").await?;
        if let OnDifference::Overwrite { column, since } = policy.conflict {
            overwrite(session, table, column, since).await?;
        }
    }
    let conflicts = match policy.conflict {
        OnDifference::Keep => Vec::new(),
        _ => conflicts(opened, policy).await?,
    };
    let blocked = if policy.attach { Vec::new() } else { blocked(opened).await? };
    refuse(conflicts, blocked, policy)
}

/// Marks the rows that may be overwritten: chosen ones that were not changed since.
async fn overwrite(
    session: &Session,
    table: &Staged,
    column: &str,
    since: Timestamp,
) -> Result<(), StepError> {
    if !has_time(table, column) {
        return Ok(());
    }
    let condition = format!(
        "{} AND {} AND t.{}::timestamptz <= {}::timestamptz",
        is_in("s", &[State::Conflict]),
        has_role("s", Role::Rows),
        identifier(column),
        literal(&since.to_string()),
    );
    table.mark(session, &literal(State::Overwrite.word()), &condition).await.map(drop)
}

fn has_time(table: &Staged, column: &str) -> bool {
    let found = table.live.columns.iter().find(|it| it.name == column);
    found.is_some_and(|it| it.type_name.starts_with("timestamp"))
}

/// Chosen rows that are there and differ, in words.
async fn conflicts(opened: &Opened, policy: &Policy<'_>) -> Result<Vec<String>, StepError> {
    let condition = format!("{} AND {}", is_in("s", &[State::Conflict]), has_role("s", Role::Rows));
    let mut lines = Vec::new();
    for table in &opened.tables {
        let found = table.explain(&opened.session, &condition).await?;
        if let (OnDifference::Overwrite { column, .. }, false) = (policy.conflict, found.is_empty())
            && !has_time(table, column)
        {
            lines.push(format!("`{}` has no column `{column}` with a time", table.told));
        }
        lines.extend(found);
    }
    Ok(lines)
}

/// Rows to write that would hang on a parent that differs, in words.
async fn blocked(opened: &Opened) -> Result<Vec<String>, StepError> {
    let mut lines = Vec::new();
    for key in &opened.between {
        let of = |oid| opened.tables.iter().find(|table| table.live.oid == oid);
        if let (Some(child), Some(parent)) = (of(key.child), of(key.parent)) {
            lines.extend(hanging(&opened.session, key, child, parent).await?);
        }
    }
    Ok(lines)
}

async fn hanging(
    session: &Session,
    key: &ForeignKey,
    child: &Staged,
    parent: &Staged,
) -> Result<Vec<String>, StepError> {
    let sql = format!(
        "SELECT {}, {}, count(*) FROM {} c JOIN {} p ON {} JOIN {} t ON {} \
         WHERE {} AND {} GROUP BY 1, 2 ORDER BY 1",
        parent.key_told("p"),
        parent.columns_told("p", "t"),
        child.temp,
        parent.temp,
        key.holds("p", "c"),
        parent.live.from(),
        parent.same_key("p", "t"),
        is_in("c", &[State::Insert, State::Overwrite]),
        is_in("p", &[State::Conflict]),
    );
    let what = format!("look for the parents of `{}`", child.told);
    let rows = asking::rows(session, &what, &sql, &[]).await?;
    let one = |row: &tokio_postgres::Row| {
        let (key, columns, count): (String, String, i64) = (row.get(0), row.get(1), row.get(2));
        let (parent, child) = (&parent.told, &child.told);
        format!(
            "`{parent}` {key} differs in {columns}, and {count} rows of `{child}` would hang on it"
        )
    };
    Ok(rows.iter().map(one).collect())
}

fn refuse(
    conflicts: Vec<String>,
    blocked: Vec<String>,
    policy: &Policy<'_>,
) -> Result<(), StepError> {
    let (message, code) = match (&policy.conflict, conflicts.is_empty(), blocked.is_empty()) {
        (_, true, true) => return Ok(()),
        (OnDifference::Overwrite { since, .. }, false, _) => {
            (format!("rows are there, differ, and were changed after {since}"), "RB0546")
        }
        (_, false, _) => ("rows are there and differ".to_owned(), "RB0546"),
        (_, true, false) => {
            ("rows would hang on another parent than they had".to_owned(), "RB0547")
        }
    };
    let hint = match (conflicts.is_empty(), blocked.is_empty()) {
        (true, _) => {
            "nothing was changed; when it is the right parent all the same, say `parents: attach`"
        }
        (_, true) => {
            "nothing was changed; to keep the rows that are there, say `on_conflict: skip`"
        }
        _ => {
            "nothing was changed; to keep the rows that are there and hang the others on them, say \
              `on_conflict: skip` and `parents: attach`"
        }
    };
    let mut error = StepError::permanent(code, message);
    error.causes = shortened(conflicts).into_iter().chain(shortened(blocked)).collect();
    Err(error.hint(hint))
}
