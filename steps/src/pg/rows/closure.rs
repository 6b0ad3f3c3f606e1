//! Rows that belong together: those that hang on the chosen ones by foreign keys, at any depth,
//! and those that all of them need.
//!
//! A row is known by where it lies in the snapshot, so that tables, partitions and keys of any
//! shape are followed alike. Only these places are in memory, at most `max_rows` of them.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use model::step_error::StepError;
use tokio_postgres::types::Oid;

use super::asking;
use super::choose::RowId;
use super::shape::{self, ForeignKey, Shape};
use crate::pg::connection::Session;

/// Rows whose references are followed by one statement.
const BATCH: usize = 1000;

/// What was found of one table.
pub(super) struct Picked {
    pub(super) table: Shape,
    /// Chosen, or hanging on what is chosen.
    pub(super) rows: BTreeSet<RowId>,
    /// Needed only.
    pub(super) parents: BTreeSet<RowId>,
    pub(super) why: BTreeSet<String>,
}

/// The rows found so far.
pub(super) struct Closure<'a> {
    session: &'a Session,
    foreign_keys: Vec<ForeignKey>,
    exclude: HashSet<Oid>,
    max_rows: u64,
    found: BTreeMap<Oid, Picked>,
    order: Vec<Oid>,
}

/// Which way a foreign key is followed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    ToChildren,
    ToParents,
}

impl<'a> Closure<'a> {
    pub(super) async fn new(
        session: &'a Session,
        exclude: HashSet<Oid>,
        max_rows: u64,
    ) -> Result<Self, StepError> {
        let foreign_keys = shape::foreign_keys(session).await?;
        let (found, order) = (BTreeMap::new(), Vec::new());
        Ok(Self { session, foreign_keys, exclude, max_rows, found, order })
    }

    /// Adds the chosen rows.
    pub(super) async fn choose(
        &mut self,
        table: Oid,
        rows: Vec<RowId>,
        why: &str,
    ) -> Result<(), StepError> {
        self.add(table, rows, Way::ToChildren, why).await.map(drop)
    }

    /// Adds the rows that reference rows that are there, and those that reference these.
    pub(super) async fn add_children(&mut self) -> Result<(), StepError> {
        self.grow(Way::ToChildren).await
    }

    /// Adds the rows that rows that are there reference, and those that these reference.
    pub(super) async fn add_parents(&mut self) -> Result<(), StepError> {
        self.grow(Way::ToParents).await
    }

    /// What was found, in the order in which the tables came up.
    pub(super) fn into_found(mut self) -> Vec<Picked> {
        self.order.iter().filter_map(|oid| self.found.remove(oid)).collect()
    }

    async fn grow(&mut self, way: Way) -> Result<(), StepError> {
        let known = self.found.iter();
        let mut work: VecDeque<(Oid, Vec<RowId>)> =
            known.map(|(oid, picked)| (*oid, picked.rows.iter().cloned().collect())).collect();
        while let Some((table, rows)) = work.pop_front() {
            let followed: Vec<_> =
                self.foreign_keys.iter().filter(|key| way.starts(key) == table).cloned().collect();
            for key in followed {
                if self.exclude.contains(&way.ends(&key)) {
                    continue;
                }
                let found = self.follow(&key, &rows, way).await?;
                let new = self.add(way.ends(&key), found, way, &way.why(&key)).await?;
                if !new.is_empty() {
                    work.push_back((way.ends(&key), new));
                }
            }
        }
        Ok(())
    }

    /// The rows at the other end of a foreign key.
    async fn follow(
        &self,
        key: &ForeignKey,
        rows: &[RowId],
        way: Way,
    ) -> Result<Vec<RowId>, StepError> {
        let (what, sql) = (format!("follow `{}`", key.name), way.query(key, self.max_rows + 1));
        let mut by_relation: BTreeMap<Oid, Vec<&str>> = BTreeMap::new();
        for (relation, place) in rows {
            by_relation.entry(*relation).or_default().push(place);
        }
        let mut found = Vec::new();
        for (relation, places) in by_relation {
            for batch in places.chunks(BATCH) {
                let rows = asking::rows(self.session, &what, &sql, &[&relation, &batch]).await?;
                found.extend(rows.iter().map(|row| (row.get(0), row.get(1))));
            }
        }
        Ok(found)
    }

    /// Adds rows and gives those that are new.
    async fn add(
        &mut self,
        table: Oid,
        rows: Vec<RowId>,
        way: Way,
        why: &str,
    ) -> Result<Vec<RowId>, StepError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        if !self.found.contains_key(&table) {
            let Some(read) = shape::read(self.session, table).await? else { return Ok(Vec::new()) };
            let (rows, parents, why) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
            self.found.insert(table, Picked { table: read, rows, parents, why });
            self.order.push(table);
        }
        let picked = self.found.get_mut(&table).expect("the table was added above");
        let mut new = Vec::new();
        for row in rows {
            let known = picked.rows.contains(&row) || picked.parents.contains(&row);
            if !known {
                let side =
                    if way == Way::ToParents { &mut picked.parents } else { &mut picked.rows };
                side.insert(row.clone());
                new.push(row);
            }
        }
        if !new.is_empty() {
            picked.why.insert(why.to_owned());
        }
        self.check_size()?;
        Ok(new)
    }

    fn check_size(&self) -> Result<(), StepError> {
        let of = |picked: &Picked| (picked.rows.len() + picked.parents.len()) as u64;
        let total: u64 = self.found.values().map(of).sum();
        if total <= self.max_rows {
            return Ok(());
        }
        let tables = self.order.iter().map(|oid| &self.found[oid]);
        let counts: Vec<_> =
            tables.map(|picked| format!("{}: {} rows", picked.table.told(), of(picked))).collect();
        let message = format!("more than {} rows belong together", self.max_rows);
        let mut error = StepError::permanent("RB0542", message);
        error.causes.push(format!("at least {}", counts.join(", ")));
        Err(error.hint(
            "choose fewer rows, leave tables out with `exclude`, say `children: false`, or raise `max_rows`",
        ))
    }
}

impl Way {
    fn starts(self, key: &ForeignKey) -> Oid {
        if self == Self::ToChildren { key.parent } else { key.child }
    }

    fn ends(self, key: &ForeignKey) -> Oid {
        if self == Self::ToChildren { key.child } else { key.parent }
    }

    fn why(self, key: &ForeignKey) -> String {
        match self {
            Self::ToChildren => format!("references `{}` (`{}`)", key.parent_told, key.name),
            Self::ToParents => format!("needed by `{}` (`{}`)", key.child_told, key.name),
        }
    }

    /// At most `limit` distinct rows: so many would be too many.
    fn query(self, key: &ForeignKey, limit: u64) -> String {
        let (there, here) = if self == Self::ToChildren { ("c", "p") } else { ("p", "c") };
        format!(
            "SELECT DISTINCT {there}.tableoid, {there}.ctid::text \
             FROM {} c JOIN {} p ON {} \
             WHERE {here}.tableoid = $1 AND {here}.ctid = ANY ($2::text[]::tid[]) LIMIT {limit}",
            key.child_from,
            key.parent_from,
            key.holds("p", "c")
        )
    }
}
