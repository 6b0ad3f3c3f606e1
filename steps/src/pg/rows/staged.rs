//! Rows of a bundle in a temporary table on the target, beside the live table they are of.

use model::rows::{Part, Role, Table};
use model::step_error::StepError;

use super::asking;
use super::bundle;
use super::shape::{Key, Shape};
use super::told;
use crate::pg::connection::Session;
use crate::pg::sql::{identifier, identifiers, literal};

/// Rows that an error shows of one table.
const SHOWN: usize = 10;

/// A table of a bundle, staged. Its rows have a role and a state besides their columns.
pub(super) struct Staged {
    /// `public.orders`.
    pub(super) told: String,
    pub(super) live: Shape,
    pub(super) key: Key,
    /// The columns that the bundle has.
    pub(super) columns: Vec<String>,
    /// The temporary table, quoted.
    pub(super) temp: String,
}

/// What becomes of a staged row; as text in its column `"rb:state"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    /// It is not there, and is inserted.
    Insert,
    /// It is there and equal.
    Same,
    /// It is there and differs, and is left as it is.
    Conflict,
    /// It is there and differs, and is overwritten.
    Overwrite,
    /// Undo: it is as the restore inserted it, and is removed.
    Remove,
    /// Undo: it is as the restore overwrote it, and gets its former contents.
    Reset,
    /// Undo: it was changed since, and is left as it is.
    Changed,
}

impl State {
    pub(super) const ALL: [Self; 7] = [
        Self::Insert,
        Self::Same,
        Self::Conflict,
        Self::Overwrite,
        Self::Remove,
        Self::Reset,
        Self::Changed,
    ];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Same => "same",
            Self::Conflict => "conflict",
            Self::Overwrite => "overwrite",
            Self::Remove => "remove",
            Self::Reset => "reset",
            Self::Changed => "changed",
        }
    }
}

/// That staged row `alias` is in one of the states.
pub(super) fn is_in(alias: &str, states: &[State]) -> String {
    let words: Vec<_> = states.iter().map(|state| literal(state.word())).collect();
    format!("{alias}.\"rb:state\" IN ({})", words.join(", "))
}

/// That staged row `alias` has the role.
pub(super) fn has_role(alias: &str, role: Role) -> String {
    format!("{alias}.\"rb:role\" = {}", literal(role.word()))
}

/// Copies the rows of a table of the bundle into a temporary table; `state` is the first one.
pub(super) async fn stage(
    session: &Session,
    folder: &str,
    (number, table): (usize, &Table),
    (live, key): (Shape, Key),
    state: State,
) -> Result<Staged, StepError> {
    let columns: Vec<String> = table.columns.iter().map(|column| column.name.clone()).collect();
    let name = identifier(&format!("rb_rows_{number}"));
    let staged = Staged { told: told(table), temp: format!("pg_temp.{name}"), live, key, columns };
    let (list, from) = (staged.list(), staged.live.from());
    let create = format!(
        "CREATE TEMP TABLE {name} ON COMMIT DROP AS SELECT {list} FROM {from} WITH NO DATA; \
         ALTER TABLE {temp} ADD \"rb:role\" text, ADD \"rb:state\" text NOT NULL DEFAULT {state}",
        temp = staged.temp,
        state = literal(state.word()),
    );
    asking::run(session, &format!("stage `{}`", staged.told), &create).await?;
    for part in &table.parts {
        staged.fill(session, folder, part).await?;
    }
    asking::run(session, "analyze", &format!("ANALYZE {}", staged.temp)).await?;
    Ok(staged)
}

impl Staged {
    async fn fill(&self, session: &Session, folder: &str, part: &Part) -> Result<(), StepError> {
        let (temp, list) = (&self.temp, self.list());
        let role = literal(part.role.word());
        let alter = format!("ALTER TABLE {temp} ALTER \"rb:role\" SET DEFAULT {role}");
        asking::run(session, &format!("stage `{}`", self.told), &alter).await?;
        bundle::send(session, folder, part, &format!("COPY {temp} ({list}) FROM STDIN")).await?;
        // What the target's types make of the text must be the text again: a type that rounds,
        // cuts or converts would bring back another row.
        let read = format!(
            "COPY (SELECT {list} FROM {temp} s WHERE {}) TO STDOUT",
            has_role("s", part.role)
        );
        let what = format!("read `{}` again", self.told);
        if bundle::sum(session, &what, &read).await? == part.sha256 {
            return Ok(());
        }
        let message = format!("the columns of `{}` hold other values than the bundle", self.told);
        Err(StepError::permanent("RB0545", message).hint(
            "the type of a column was changed in a way that loses something; see both definitions",
        ))
    }

    /// The columns of the bundle, quoted, with commas between.
    pub(super) fn list(&self) -> String {
        identifiers(self.columns.iter().map(String::as_str))
    }

    /// That staged row `a` and row `b` have the same key.
    pub(super) fn same_key(&self, a: &str, b: &str) -> String {
        self.key.same(a, b)
    }

    /// That staged row `a` and row `b` differ in a column, compared as text: exact for every type.
    pub(super) fn differs(&self, a: &str, b: &str) -> String {
        let terms: Vec<_> = self.columns.iter().map(|name| differs(a, b, name)).collect();
        format!("({})", terms.join(" OR "))
    }

    /// The key of staged row `alias` for people: `id=7`.
    pub(super) fn key_told(&self, alias: &str) -> String {
        let values = self.key.columns.iter().map(|name| {
            let value = format!("{alias}.{}::text", identifier(name));
            format!("{} || {value}", literal(&format!("{name}=")))
        });
        format!("concat_ws(', ', {})", values.collect::<Vec<_>>().join(", "))
    }

    /// The names of the columns in which staged row `a` and row `b` differ.
    pub(super) fn columns_told(&self, a: &str, b: &str) -> String {
        let names = self
            .columns
            .iter()
            .map(|name| format!("CASE WHEN {} THEN {} END", differs(a, b, name), literal(name)));
        format!("concat_ws(', ', {})", names.collect::<Vec<_>>().join(", "))
    }

    /// Sets a state where the condition holds; `s` is the staged row, `t` the live one with its
    /// key.
    pub(super) async fn mark(
        &self,
        session: &Session,
        state: &str,
        condition: &str,
    ) -> Result<u64, StepError> {
        let sql = format!(
            "UPDATE {} s SET \"rb:state\" = {state} FROM {} t WHERE {} AND {condition}",
            self.temp,
            self.live.from(),
            self.same_key("s", "t"),
        );
        asking::touch(session, &format!("compare `{}`", self.told), &sql).await
    }

    /// Staged rows that fulfil a condition, for an error: key and columns that differ.
    pub(super) async fn explain(
        &self,
        session: &Session,
        condition: &str,
    ) -> Result<Vec<String>, StepError> {
        let sql = format!(
            "SELECT {}, CASE WHEN t.ctid IS NULL THEN NULL ELSE {} END FROM {} s LEFT JOIN {} t \
             ON {} WHERE {condition} ORDER BY 1",
            self.key_told("s"),
            self.columns_told("s", "t"),
            self.temp,
            self.live.from(),
            self.same_key("s", "t"),
        );
        let rows = asking::rows(session, &format!("look at `{}`", self.told), &sql, &[]).await?;
        let one = |row: &tokio_postgres::Row| {
            let (key, columns): (String, Option<String>) = (row.get(0), row.get(1));
            let differ = columns.map_or("is not there".to_owned(), |it| format!("differs in {it}"));
            format!("`{}` {key} {differ}", self.told)
        };
        Ok(shortened(rows.iter().map(one).collect()))
    }
}

fn differs(a: &str, b: &str, column: &str) -> String {
    let column = identifier(column);
    format!("{a}.{column}::text IS DISTINCT FROM {b}.{column}::text")
}

/// The first lines, and how many there are besides.
pub(super) fn shortened(mut lines: Vec<String>) -> Vec<String> {
    let more = lines.len().saturating_sub(SHOWN);
    lines.truncate(SHOWN);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines
}
