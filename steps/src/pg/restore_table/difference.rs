//! How the rows of a table differ from those of another of the same columns: by primary key when
//! there is one, else by content.

use model::set::manifest::TableName;
use model::step_error::StepError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;

use super::live::Live;
use crate::pg::classify;
use crate::pg::connection::Session;
use crate::pg::sql::{identifier, qualified};

/// Keys of each kind that the step's log shows.
const EXAMPLES: i64 = 5;

/// A table beside the rows it is compared with.
#[derive(Debug, Clone)]
pub(in crate::pg) struct Pair {
    /// The table.
    pub(in crate::pg) live: Live,
    /// The table with the other rows: of the set, or the former ones.
    pub(in crate::pg) other: TableName,
    /// Tells the pairs of one transaction apart.
    pub(in crate::pg) index: usize,
}

/// How many rows differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Rows of the table.
    pub rows_here: u64,
    /// Rows of the set.
    pub rows_there: u64,
    /// Rows that only the table has.
    pub only_here: u64,
    /// Rows that only the set has.
    pub only_there: u64,
    /// Rows of the same primary key with other values. Always 0 without a primary key.
    pub changed: u64,
}

/// The written columns of a row as one text that is equal when they are.
pub(super) fn content(alias: &str, columns: &[&str]) -> String {
    let columns: Vec<_> =
        columns.iter().map(|column| format!("{alias}.{}", identifier(column))).collect();
    format!("(ROW({})::text COLLATE \"C\")", columns.join(", "))
}

impl Pair {
    /// The temporary table with the places of the rows that differ.
    pub(super) fn places(&self) -> String {
        format!("pg_temp.rb_difference_{}", self.index)
    }

    /// The other table as SQL takes it.
    pub(super) fn other(&self) -> String {
        qualified(&self.other.schema, &self.other.name)
    }

    /// Finds the rows that differ and writes down where they are, for as long as the session's
    /// transaction lasts.
    pub(in crate::pg) async fn find(&self, session: &Session) -> Result<Counts, StepError> {
        let what = format!("compare the rows of `{}`", self.live.name);
        let places = self.places();
        let find = format!(
            "CREATE TEMP TABLE rb_difference_{} ON COMMIT DROP AS {}; ANALYZE {places}",
            self.index,
            self.differing()
        );
        session.execute_all(&what, &find).await?;
        let count = format!(
            "SELECT (SELECT count(*) FROM ONLY {}), (SELECT count(*) FROM ONLY {}),
               count(*) FILTER (WHERE there IS NULL), count(*) FILTER (WHERE here IS NULL),
               count(*) FILTER (WHERE here IS NOT NULL AND there IS NOT NULL) FROM {places}",
            self.live.qualified(),
            self.other(),
        );
        let row = session.query_one(&count, &[]).await;
        let row = row.map_err(|error| classify::statement(&what, &error))?;
        let number = |place: usize| row.get::<_, i64>(place).unsigned_abs();
        Ok(Counts {
            rows_here: number(0),
            rows_there: number(1),
            only_here: number(2),
            only_there: number(3),
            changed: number(4),
        })
    }

    /// Selects `here` and `there`, the places of rows that differ in the two tables.
    fn differing(&self) -> String {
        let columns = self.live.copied();
        let (here, there) = (content("l", &columns), content("o", &columns));
        let (live, other) = (self.live.qualified(), self.other());
        if self.live.key.is_empty() {
            // Rows that are there twice are told apart by number.
            let numbered = |table: &str, alias: &str, content: &str| {
                format!(
                    "(SELECT ctid AS place, {content} AS content, \
                     row_number() OVER (PARTITION BY {content}) AS n FROM ONLY {table} {alias})"
                )
            };
            return format!(
                "SELECT l.place AS here, o.place AS there FROM {} l FULL JOIN {} o \
                 ON l.content = o.content AND l.n = o.n WHERE l.place IS NULL OR o.place IS NULL",
                numbered(&live, "l", &here),
                numbered(&other, "o", &there)
            );
        }
        let same = self.live.key.iter().map(|column| {
            let name = identifier(&column.name);
            format!("l.{name} {} o.{name}", column.equals)
        });
        format!(
            "SELECT l.ctid AS here, o.ctid AS there FROM ONLY {live} l FULL JOIN ONLY {other} o \
             ON {} WHERE l.ctid IS NULL OR o.ctid IS NULL OR {here} <> {there}",
            same.collect::<Vec<_>>().join(" AND ")
        )
    }

    /// Some keys of each kind of difference, in words; none without a primary key.
    pub(in crate::pg) async fn examples(
        &self,
        session: &Session,
    ) -> Result<Vec<String>, StepError> {
        if self.live.key.is_empty() {
            return Ok(Vec::new());
        }
        let (live, other) = (self.live.qualified(), self.other());
        let mut lines = Vec::new();
        for (kind, table, place, holds) in [
            ("only here", &live, "here", "d.there IS NULL"),
            ("only in the set", &other, "there", "d.here IS NULL"),
            ("changed", &live, "here", "d.there IS NOT NULL"),
        ] {
            let keys = self.keys(session, (table, place), holds).await?;
            if !keys.is_empty() {
                lines.push(format!("{}: {kind}: {}", self.live.name, keys.join(" ")));
            }
        }
        Ok(lines)
    }

    async fn keys(
        &self,
        session: &Session,
        (table, place): (&str, &str),
        holds: &str,
    ) -> Result<Vec<String>, StepError> {
        let names: Vec<&str> = self.live.key.iter().map(|column| column.name.as_str()).collect();
        let sql = format!(
            "SELECT {} FROM {} d JOIN ONLY {table} t ON t.ctid = d.{place} WHERE {holds} \
             ORDER BY d.{place} LIMIT {EXAMPLES}",
            content("t", &names),
            self.places()
        );
        let rows = session.query(&sql, &[]).await;
        let rows = rows.map_err(|error| classify::statement("read keys that differ", &error))?;
        Ok(rows.iter().map(|row: &Row| row.get(0)).collect())
    }
}

impl Counts {
    /// `3 rows only here, 1 only in the set, 2 changed`.
    pub(in crate::pg) fn words(&self) -> String {
        format!(
            "{} rows here and {} in the set: {} only here, {} only in the set, {} changed",
            self.rows_here, self.rows_there, self.only_here, self.only_there, self.changed
        )
    }

    /// Both together.
    pub(in crate::pg) fn plus(self, other: Self) -> Self {
        Self {
            rows_here: self.rows_here + other.rows_here,
            rows_there: self.rows_there + other.rows_there,
            only_here: self.only_here + other.only_here,
            only_there: self.only_there + other.only_there,
            changed: self.changed + other.changed,
        }
    }
}
