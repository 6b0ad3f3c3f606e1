//! Taking back what bringing rows in changed, where it is still as that left it.

use model::rows::Role;
use model::step_error::StepError;

use super::asking;
use super::shape::ForeignKey;
use super::staged::{Staged, State, has_role, is_in, shortened};
use super::target::Opened;
use super::write::{check_constraints, groups, together};
use crate::pg::connection::Session;
use crate::pg::sql::literal;

/// Gives each staged row its state and takes back what may be taken back. Rows that were changed
/// since are a refusal, or with `keep` stay as they are.
pub(super) async fn undo(opened: &Opened, keep: bool) -> Result<(), StepError> {
    let Opened { session, tables, .. } = opened;
    for table in tables {
        compare(session, table).await?;
    }
    asking::as_role(session).await?;
    reset(opened).await?;
    asking::as_pinned(session).await?;
    hold(session, tables).await?;
    let mut changed = Vec::new();
    for table in tables {
        changed.extend(table.explain(session, &is_in("s", &[State::Changed])).await?);
    }
    changed.extend(mark_referenced(opened).await?);
    if !keep && !changed.is_empty() {
        let message = "rows were changed since they were brought back";
        let mut error = StepError::permanent("RB0664", message);
        error.causes = shortened(changed);
        return Err(error
            .hint("everything was left as it is; `on_conflict: skip` takes back the other rows"));
    }
    asking::as_role(session).await?;
    remove(opened).await?;
    check_constraints(session).await?;
    asking::as_pinned(session).await?;
    verify(opened).await
}

/// Compares with the live rows. What is not there any more, or is as it was before, is done.
async fn compare(session: &Session, table: &Staged) -> Result<(), StepError> {
    let (inserted, after) = (has_role("s", Role::Inserted), has_role("s", Role::After));
    let differs = table.differs("s", "t");
    let state = format!("CASE WHEN {differs} THEN 'changed' ELSE 'remove' END");
    table.mark(session, &state, &inserted).await?;
    let what = format!("compare `{}`", table.told);
    let changed = literal(State::Changed.word());
    let sql = format!("UPDATE {} s SET \"rb:state\" = {changed} WHERE {after}", table.temp);
    asking::touch(session, &what, &sql).await?;
    table.mark(session, "'reset'", &format!("{after} AND NOT {differs}")).await?;
    let sql = format!(
        "UPDATE {temp} s SET \"rb:state\" = 'same' FROM {} t, {temp} b \
         WHERE {after} AND {} AND {} AND {} AND {} AND NOT {}",
        table.live.from(),
        is_in("s", &[State::Changed]),
        has_role("b", Role::Before),
        table.same_key("b", "s"),
        table.same_key("b", "t"),
        table.differs("b", "t"),
        temp = table.temp,
    );
    asking::touch(session, &what, &sql).await.map(drop)
}

/// Gives overwritten rows their former contents.
async fn reset(opened: &Opened) -> Result<(), StepError> {
    for group in groups(opened) {
        let tables = group.iter().map(|number| &opened.tables[*number]);
        let updates: Vec<_> =
            tables.filter_map(|table| table.update(State::Reset, Some(Role::Before))).collect();
        if !updates.is_empty() {
            together(&opened.session, "give rows their former contents", updates).await?;
        }
    }
    Ok(())
}

/// Locks the rows to remove, so that nobody references them from now on. Whoever is about to has
/// ended when this returns.
async fn hold(session: &Session, tables: &[Staged]) -> Result<(), StepError> {
    for table in tables {
        let sql = format!(
            "SELECT 1 FROM {} t JOIN {} s ON {} WHERE {} FOR UPDATE OF t",
            table.live.from(),
            table.temp,
            table.same_key("s", "t"),
            is_in("s", &[State::Remove]),
        );
        asking::touch(session, &format!("lock the rows of `{}`", table.told), &sql).await?;
    }
    Ok(())
}

/// A row that another row references which stays was used since: removing it would fail, or by
/// `ON DELETE CASCADE` take the other with it. It stays as well, and so on.
async fn mark_referenced(opened: &Opened) -> Result<Vec<String>, StepError> {
    let mut marked = Vec::new();
    loop {
        let before = marked.len();
        for key in &opened.foreign_keys {
            let parent = opened.tables.iter().find(|table| table.live.oid == key.parent);
            if let Some(parent) = parent {
                marked.extend(referenced(opened, key, parent).await?);
            }
        }
        if marked.len() == before {
            return Ok(marked);
        }
    }
}

async fn referenced(
    opened: &Opened,
    key: &ForeignKey,
    parent: &Staged,
) -> Result<Vec<String>, StepError> {
    let child = opened.tables.iter().find(|table| table.live.oid == key.child);
    let stays = child.map_or(String::new(), |child| {
        format!(
            " AND NOT EXISTS (SELECT FROM {} g WHERE {} AND {})",
            child.temp,
            is_in("g", &[State::Remove]),
            child.same_key("g", "c"),
        )
    });
    let sql = format!(
        "UPDATE {} s SET \"rb:state\" = {} WHERE {} \
         AND EXISTS (SELECT FROM {} c WHERE {}{stays}) RETURNING {}",
        parent.temp,
        literal(State::Changed.word()),
        is_in("s", &[State::Remove]),
        key.child_from,
        key.holds("s", "c"),
        parent.key_told("s"),
    );
    let what = format!("look for rows that reference `{}`", parent.told);
    let rows = asking::rows(&opened.session, &what, &sql, &[]).await?;
    let one = |row: &tokio_postgres::Row| {
        let key_told: String = row.get(0);
        format!("`{}` {key_told} is referenced by a row of `{}`", parent.told, key.child_told)
    };
    Ok(rows.iter().map(one).collect())
}

/// Removes the inserted rows, those that reference others first.
async fn remove(opened: &Opened) -> Result<(), StepError> {
    for group in groups(opened).into_iter().rev() {
        let tables = group.iter().map(|number| &opened.tables[*number]);
        let delete = |table: &Staged| {
            format!(
                "DELETE FROM {} t USING {} s WHERE {} AND {}",
                table.live.from(),
                table.temp,
                is_in("s", &[State::Remove]),
                table.same_key("s", "t"),
            )
        };
        together(&opened.session, "remove the inserted rows", tables.map(delete).collect()).await?;
    }
    Ok(())
}

/// Refuses what is not as it was, after it was taken back.
async fn verify(opened: &Opened) -> Result<(), StepError> {
    let Opened { session, tables, .. } = opened;
    let mut wrong = Vec::new();
    for table in tables {
        let left = format!("{} AND t.ctid IS NOT NULL", is_in("s", &[State::Remove]));
        wrong.extend(table.explain(session, &left).await?);
        let other = format!(
            "{} AND (t.ctid IS NULL OR {}) AND EXISTS (SELECT FROM {} a WHERE {} AND {})",
            has_role("s", Role::Before),
            table.differs("s", "t"),
            table.temp,
            is_in("a", &[State::Reset]),
            table.same_key("a", "s"),
        );
        wrong.extend(table.explain(session, &other).await?);
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let message = "what was taken back is not as it was";
    let mut error = StepError::permanent("RB0548", message);
    error.causes = shortened(wrong);
    Err(error.hint(
        "everything was rolled back; a trigger of the target changes rows while they are written: \
         say `triggers: disable`",
    ))
}
