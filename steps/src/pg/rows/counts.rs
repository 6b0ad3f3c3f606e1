//! What a restore of rows does to each table, counted.

use model::rows::Role;
use model::step_error::StepError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::asking;
use super::staged::{Staged, State};
use crate::pg::connection::Session;
use crate::pg::sql::literal;

/// Rows of one table, or of all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// `schema.table`, or `all`.
    pub table: String,
    /// Missing rows that are inserted.
    pub insert: u64,
    /// Rows that are there and equal, and left as they are; undo: rows that are as they were.
    pub same: u64,
    /// Rows that are there and differ, and are left as they are.
    pub conflict: u64,
    /// Rows that are there and differ, and are overwritten.
    pub overwrite: u64,
    /// Undo: inserted rows that are removed.
    pub remove: u64,
    /// Undo: overwritten rows that get their former contents.
    pub reset: u64,
    /// Undo: rows that were changed since, and are left as they are.
    pub changed: u64,
}

/// Counts the staged rows of each table by their state.
pub(super) async fn count(session: &Session, tables: &[Staged]) -> Result<Vec<Counts>, StepError> {
    let mut counts = Vec::new();
    for table in tables {
        let sql = format!(
            "SELECT \"rb:state\", count(*) FROM {} s WHERE s.\"rb:role\" <> {} GROUP BY 1",
            table.temp,
            literal(Role::Before.word()),
        );
        let what = format!("count the rows of `{}`", table.told);
        let mut of_table = Counts { table: table.told.clone(), ..Counts::default() };
        for row in asking::rows(session, &what, &sql, &[]).await? {
            let (word, rows): (String, i64) = (row.get(0), row.get(1));
            let state = State::ALL.into_iter().find(|state| state.word() == word);
            *of_table.of_mut(state.expect("only states are written")) = rows.unsigned_abs();
        }
        counts.push(of_table);
    }
    Ok(counts)
}

impl Counts {
    /// All of them together.
    pub(super) fn all(counts: &[Self]) -> Self {
        let mut all = Self { table: "all".to_owned(), ..Self::default() };
        for of_table in counts {
            for state in State::ALL {
                *all.of_mut(state) += of_table.of(state);
            }
        }
        all
    }

    /// `public.orders: insert 3, same 1`.
    pub(super) fn told(&self) -> String {
        let parts = State::ALL.into_iter().filter(|state| self.of(*state) > 0);
        let parts: Vec<_> =
            parts.map(|state| format!("{} {}", state.word(), self.of(state))).collect();
        let parts = if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") };
        format!("{}: {parts}", self.table)
    }

    fn of(&self, state: State) -> u64 {
        match state {
            State::Insert => self.insert,
            State::Same => self.same,
            State::Conflict => self.conflict,
            State::Overwrite => self.overwrite,
            State::Remove => self.remove,
            State::Reset => self.reset,
            State::Changed => self.changed,
        }
    }

    fn of_mut(&mut self, state: State) -> &mut u64 {
        match state {
            State::Insert => &mut self.insert,
            State::Same => &mut self.same,
            State::Conflict => &mut self.conflict,
            State::Overwrite => &mut self.overwrite,
            State::Remove => &mut self.remove,
            State::Reset => &mut self.reset,
            State::Changed => &mut self.changed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_and_tell_only_what_there_is() {
        let orders =
            Counts { table: "public.orders".to_owned(), insert: 3, same: 1, ..Counts::default() };
        let users = Counts { table: "public.users".to_owned(), insert: 1, ..Counts::default() };
        assert_eq!(orders.told(), "public.orders: insert 3, same 1");
        assert_eq!(Counts::all(&[orders, users]).told(), "all: insert 4, same 1");
        assert_eq!(Counts::all(&[]).told(), "all: nothing");
    }
}
