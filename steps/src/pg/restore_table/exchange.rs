//! Rows of tables exchanged in one transaction, the tables themselves left as they are.
//!
//! Views, policies, foreign keys and privileges hold on to a table by its object id. So the table
//! stays, with all that belongs to it, and only rows that differ are removed and written: nothing
//! of the catalogue is touched, but a check that is not valid for older rows when one of those comes
//! back. EXCLUSIVE keeps writers, `FOR UPDATE` and the checks of foreign
//! keys out while readers go on; triggers, those of foreign keys too, rest for this session
//! (`session_replication_role`), and foreign keys are looked at before the commit instead.
//! <https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-SESSION-REPLICATION-ROLE>

use std::time::Duration;

use engine::context::StepContext;
use model::set::manifest::{Scope, Sequence, TableName};
use model::step_error::StepError;
use tokio_postgres::types::Oid;

use super::constraints;
use super::difference::{Counts, Pair};
use super::live::Live;
use crate::pg::connection::{Session, connect_pinned};
use crate::pg::meter::Meter;
use crate::pg::target::Target;
use crate::pg::{catalogue, classify, sql};

/// A lock was not granted in time.
const NOT_GRANTED: &str = "RB0508";

/// Triggers and rules rest in this transaction.
const REST: &str = "SET LOCAL session_replication_role = replica";

/// Which rows are exchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pg) enum Way {
    /// All that differ.
    Whole,
    /// Those that are missing or changed; what only the table has stays.
    Additions,
}

/// How rows are exchanged.
pub(in crate::pg) struct Exchange<'a> {
    pub(in crate::pg) ctx: &'a StepContext,
    pub(in crate::pg) target: &'a Target,
    pub(in crate::pg) meter: &'a Meter,
    /// How long to wait for each lock.
    pub(in crate::pg) lock_timeout: Duration,
    /// Materialized views that read the tables are refreshed.
    pub(in crate::pg) refresh: bool,
}

/// Materialized views with contents that read the tables, those that others read first.
const READERS: &str = "
WITH RECURSIVE reader AS (
  SELECT w.ev_class AS oid, 1 AS depth
  FROM pg_depend d JOIN pg_rewrite w ON w.oid = d.objid
    JOIN pg_class v ON v.oid = w.ev_class AND v.relkind IN ('v', 'm')
  WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
    AND d.refobjid = ANY ($1) AND w.ev_class <> d.refobjid
  UNION
  SELECT w.ev_class, r.depth + 1
  FROM reader r JOIN pg_depend d ON d.refobjid = r.oid JOIN pg_rewrite w ON w.oid = d.objid
    JOIN pg_class v ON v.oid = w.ev_class AND v.relkind IN ('v', 'm')
  WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
    AND w.ev_class <> d.refobjid)
SELECT n.nspname::text, c.relname::text
FROM (SELECT oid, max(depth) AS depth FROM reader GROUP BY oid) r
  JOIN pg_class c ON c.oid = r.oid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'm' AND c.relispopulated ORDER BY r.depth, 1, 2";

/// Who holds a lock on the table that keeps EXCLUSIVE away.
const HOLDERS: &str = "
SELECT DISTINCT l.pid, l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
  JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE l.granted AND l.mode <> 'AccessShareLock' AND l.pid <> pg_backend_pid()
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND n.nspname = $1 AND c.relname = $2 ORDER BY 1, 2";

/// Whether the role may let triggers rest: asked before anything is done.
pub(in crate::pg) async fn may_rest(session: &Session, tables: &[Live]) -> Result<(), StepError> {
    if !tables.iter().any(|live| live.is_watched) {
        return Ok(());
    }
    let tried = session.execute_all("let triggers rest", &format!("BEGIN; {REST}; ROLLBACK")).await;
    tried.map_err(|error| {
        classify::not_applied(error).hint(
            "the tables have triggers or foreign keys: use a superuser, the administrator of a \
             managed service, or from version 15 on \
             `GRANT SET ON PARAMETER session_replication_role TO ...`",
        )
    })
}

impl Exchange<'_> {
    /// Begins a transaction with the tables locked; gives them as they are under the lock.
    pub(in crate::pg) async fn begin(
        &self,
        session: &Session,
        names: &[TableName],
    ) -> Result<Vec<Live>, StepError> {
        let only = |name: &TableName| format!("ONLY {}", sql::qualified(&name.schema, &name.name));
        // Two runs take the same locks in the same order.
        let mut sorted: Vec<_> = names.iter().map(only).collect();
        sorted.sort_unstable();
        let (timeout, tables) = (self.lock_timeout.as_millis(), sorted.join(", "));
        let begin = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = {timeout}; \
             LOCK TABLE {tables} IN EXCLUSIVE MODE"
        );
        let locked = session.execute_all("lock the tables", &begin);
        if let Err(error) = self.meter.while_running("wait for locks", locked).await {
            return Err(self.explain(error, names).await);
        }
        let mut tables = Vec::with_capacity(names.len());
        for name in names {
            tables.push(Live::read(session, name).await?);
        }
        if tables.iter().any(|live| live.is_watched) {
            session.execute_all("let triggers rest", REST).await?;
        }
        Ok(tables)
    }

    /// Adds who is in the way.
    async fn explain(&self, error: StepError, names: &[TableName]) -> StepError {
        let mut error = classify::not_applied(error);
        if error.code != NOT_GRANTED {
            return error;
        }
        let Ok(session) = connect_pinned(self.ctx, self.target).await else { return error };
        for name in names {
            let Ok(rows) = session.query(HOLDERS, &[&name.schema, &name.name]).await else {
                continue;
            };
            error.causes.extend(rows.iter().map(|row| {
                let (pid, mode): (i32, String) = (row.get(0), row.get(1));
                format!("process {pid} holds {mode} on `{name}`")
            }));
        }
        session.close().await;
        error.hint("let that session end, or raise `lock_timeout`; nothing was changed")
    }

    /// Exchanges the rows that differ, and looks at what the resting triggers would have.
    pub(in crate::pg) async fn apply(
        &self,
        session: &Session,
        pairs: &[(Pair, Counts)],
        way: Way,
    ) -> Result<(), StepError> {
        let tables: Vec<Oid> = pairs.iter().map(|(pair, _)| pair.live.oid).collect();
        let rules = constraints::rules(session, &tables).await?;
        for (pair, counts) in pairs {
            let activity = format!("exchange the rows of `{}`", pair.live.name);
            let again = constraints::waive(session, pair).await?;
            self.meter.while_running(&activity, rows(session, pair, *counts, way)).await?;
            for statement in &again {
                session.execute_all("make the checks again", statement).await?;
            }
        }
        for rule in &rules {
            self.meter.while_running("look at constraints", rule.check(session)).await?;
        }
        Ok(())
    }

    /// Refreshes what reads the tables and lets the planner look at them again. The last but the
    /// commit is the sequences: what is done to them stays, whatever becomes of the transaction.
    pub(in crate::pg) async fn settle(
        &self,
        session: &Session,
        pairs: &[(Pair, Counts)],
        at_least: &[Sequence],
    ) -> Result<Vec<String>, StepError> {
        let tables: Vec<Oid> = pairs.iter().map(|(pair, _)| pair.live.oid).collect();
        let readers = session.query(READERS, &[&tables]).await;
        let readers =
            readers.map_err(|error| classify::statement("look for materialized views", &error))?;
        let mut refreshed = Vec::new();
        for row in readers.iter().filter(|_| self.refresh) {
            let name = TableName::new(row.get::<_, String>(0), row.get::<_, String>(1));
            let refresh =
                format!("REFRESH MATERIALIZED VIEW {}", sql::qualified(&name.schema, &name.name));
            let what = format!("refresh `{name}`");
            self.meter.while_running(&what, session.execute_all(&what, &refresh)).await?;
            refreshed.push(name.to_string());
        }
        for (pair, _) in pairs {
            let analyze = format!("ANALYZE {}", pair.live.qualified());
            session.execute_all("analyze the tables", &analyze).await?;
        }
        let names = pairs.iter().map(|(pair, _)| pair.live.name.clone()).collect();
        sequences(session, names, at_least).await?;
        Ok(refreshed)
    }
}

/// Removes and writes the rows of one table.
async fn rows(session: &Session, pair: &Pair, counts: Counts, way: Way) -> Result<(), StepError> {
    let what = format!("exchange the rows of `{}`", pair.live.name);
    let failed = |error| classify::statement(&what, &error);
    let (live, other, places) = (pair.live.qualified(), pair.other(), pair.places());
    let (which, to_remove) = match way {
        Way::Whole => ("", counts.only_here + counts.changed),
        Way::Additions => (" AND d.there IS NOT NULL", counts.changed),
    };
    let delete = format!("DELETE FROM ONLY {live} l USING {places} d WHERE l.ctid = d.here{which}");
    let removed = session.execute(&delete, &[]).await.map_err(failed)?;
    let columns = pair.live.copied();
    let chosen: Vec<_> =
        columns.iter().map(|column| format!("o.{}", sql::identifier(column))).collect();
    let insert = format!(
        "INSERT INTO {live} ({}) OVERRIDING SYSTEM VALUE \
         SELECT {} FROM ONLY {other} o JOIN {places} d ON o.ctid = d.there",
        sql::identifiers(columns),
        chosen.join(", ")
    );
    let added = session.execute(&insert, &[]).await.map_err(failed)?;
    let to_add = counts.only_there + counts.changed;
    if (removed, added) == (to_remove, to_add) {
        return Ok(());
    }
    let message = format!(
        "{what}: {removed} rows were removed and {added} written, where {to_remove} and {to_add} \
         were to be"
    );
    Err(StepError::permanent("RB0519", message))
}

/// Moves the sequences of the tables on to what their columns hold and the set says, never back.
async fn sequences(
    session: &Session,
    names: Vec<TableName>,
    at_least: &[Sequence],
) -> Result<(), StepError> {
    let contents = catalogue::capture(session, &Scope::Tables(names)).await?;
    for here in contents.sequences.iter().filter(|sequence| !sequence.cycle) {
        let there = at_least.iter().find(|other| other.sequence_name() == here.sequence_name());
        let of_set = there.filter(|other| other.is_called).map(|other| other.last_value);
        let held = here.owned_by.as_ref().and_then(|column| column.furthest);
        let Some(to) = further(here, held.into_iter().chain(of_set)) else { continue };
        let name = sql::literal(&sql::qualified(&here.schema, &here.name));
        let set = format!("SELECT setval({name}, {to}, true)");
        session.execute_all(&format!("move sequence `{}` on", here.sequence_name()), &set).await?;
    }
    Ok(())
}

/// The furthest of the values that the sequence has not passed yet.
fn further(sequence: &Sequence, values: impl Iterator<Item = i64>) -> Option<i64> {
    let is_ahead = |one: i64, other: i64| {
        if sequence.increment < 0 { one < other } else { one > other }
    };
    let start = if sequence.is_called {
        sequence.last_value
    } else {
        sequence.last_value.saturating_sub(sequence.increment)
    };
    let to = values.fold(start, |to, value| if is_ahead(value, to) { value } else { to });
    is_ahead(to, start).then_some(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(last_value: i64, is_called: bool, increment: i64) -> Sequence {
        Sequence {
            schema: "s".to_owned(),
            name: "q".to_owned(),
            last_value,
            is_called,
            increment,
            cycle: false,
            owned_by: None,
        }
    }

    #[test]
    fn a_sequence_moves_on_and_never_back() {
        let up = sequence(10, true, 1);
        assert_eq!(further(&up, [7, 10].into_iter()), None);
        assert_eq!(further(&up, [7, 12, 11].into_iter()), Some(12));
        assert_eq!(further(&sequence(1, false, 1), [1].into_iter()), Some(1));
        assert_eq!(further(&sequence(1, false, 1), [].into_iter()), None);
        let down = sequence(-10, true, -1);
        assert_eq!(further(&down, [-7].into_iter()), None);
        assert_eq!(further(&down, [-12].into_iter()), Some(-12));
    }
}
