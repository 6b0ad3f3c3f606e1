//! Constraints that the server does not look at while rows are exchanged with triggers at rest:
//! foreign keys in both directions, and unique ones that are deferrable. They are looked at before
//! the commit, in the same transaction.

use model::step_error::StepError;
use tokio_postgres::Row;
use tokio_postgres::types::Oid;

use super::difference::Pair;
use crate::pg::classify;
use crate::pg::connection::Session;
use crate::pg::sql::{identifier, literal, qualified};

/// Rows that break a constraint, as the error shows them.
const SHOWN: i64 = 3;

/// A rule on rows, as a query that finds those that break it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    /// ``foreign key `a` of `public.b` ``.
    words: String,
    /// Selects one text for each row that breaks it.
    breaking: String,
    /// Rows may break it already: `NOT VALID`.
    is_validated: bool,
    /// How many did before the exchange.
    before: u64,
}

/// The foreign keys from and to the tables. Those of partitions are part of their root's.
const FOREIGN: &str = "
SELECT k.conname::text AS name, fn.nspname::text AS fk_schema, f.relname::text AS fk_table,
  f.relkind::text AS fk_kind, pn.nspname::text AS pk_schema, p.relname::text AS pk_table,
  p.relkind::text AS pk_kind, k.confmatchtype = 'f' AS full, k.convalidated AS validated,
  ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY u (num, place)
    JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.num ORDER BY place) AS fk,
  ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY u (num, place)
    JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.num ORDER BY place) AS pk,
  ARRAY(SELECT format('OPERATOR(%I.%s)', n.nspname, o.oprname)
    FROM unnest(k.conpfeqop) WITH ORDINALITY u (op, place) JOIN pg_operator o ON o.oid = u.op
      JOIN pg_namespace n ON n.oid = o.oprnamespace ORDER BY place) AS operators
FROM pg_constraint k
  JOIN pg_class f ON f.oid = k.conrelid JOIN pg_namespace fn ON fn.oid = f.relnamespace
  JOIN pg_class p ON p.oid = k.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0
  AND (k.conrelid = ANY ($1) OR k.confrelid = ANY ($1))
ORDER BY fn.nspname, f.relname, k.conname";

const DEFERRABLE: &str = "
SELECT k.conname::text AS name, n.nspname::text AS schema, c.relname::text AS table,
  ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY u (num, place)
    JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.num ORDER BY place) AS columns
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE k.contype IN ('p', 'u') AND k.condeferrable AND k.conrelid = ANY ($1)
ORDER BY n.nspname, c.relname, k.conname";

/// The rules of these tables, with how many rows break those that rows may break.
pub(super) async fn rules(session: &Session, tables: &[Oid]) -> Result<Vec<Rule>, StepError> {
    let failed = |error| classify::statement("read the constraints", &error);
    let foreign = session.query(FOREIGN, &[&tables]).await.map_err(failed)?;
    let deferrable = session.query(DEFERRABLE, &[&tables]).await.map_err(failed)?;
    let mut rules: Vec<Rule> = foreign.iter().map(foreign_key).collect();
    rules.extend(deferrable.iter().map(unique));
    for rule in rules.iter_mut().filter(|rule| !rule.is_validated) {
        rule.before = rule.count(session).await?;
    }
    Ok(rules)
}

fn foreign_key(row: &Row) -> Rule {
    let only = |kind: &str| if row.get::<_, &str>(kind) == "p" { "" } else { "ONLY " };
    let table = |schema: &str, name: &str| qualified(row.get(schema), row.get(name));
    let (child, parent) = (table("fk_schema", "fk_table"), table("pk_schema", "pk_table"));
    let (fk, pk): (Vec<String>, Vec<String>) = (row.get("fk"), row.get("pk"));
    let operators: Vec<String> = row.get("operators");
    let refers = fk.iter().map(|column| format!("f.{} IS NOT NULL", identifier(column)));
    let joined = if row.get("full") { " OR " } else { " AND " };
    let same = fk.iter().zip(&pk).zip(&operators).map(|((fk, pk), operator)| {
        format!("p.{} {operator} f.{}", identifier(pk), identifier(fk))
    });
    let columns = fk.iter().map(|column| format!("f.{}", identifier(column)));
    let breaking = format!(
        "SELECT ROW({})::text FROM {}{child} f WHERE ({}) AND NOT EXISTS \
         (SELECT FROM {}{parent} p WHERE {})",
        columns.collect::<Vec<_>>().join(", "),
        only("fk_kind"),
        refers.collect::<Vec<_>>().join(joined),
        only("pk_kind"),
        same.collect::<Vec<_>>().join(" AND "),
    );
    let (name, child) = (row.get::<_, &str>("name"), child.replace('"', ""));
    let words = format!("`{child}` would refer to rows that are not there (foreign key `{name}`)");
    Rule { words, breaking, is_validated: row.get("validated"), before: 0 }
}

fn unique(row: &Row) -> Rule {
    let columns: Vec<String> = row.get("columns");
    let columns: Vec<String> = columns.iter().map(|column| identifier(column)).collect();
    let table = qualified(row.get("schema"), row.get("table"));
    let given = columns.iter().map(|column| format!("{column} IS NOT NULL"));
    let breaking = format!(
        "SELECT ROW({list})::text FROM ONLY {table} WHERE {} GROUP BY {list} HAVING count(*) > 1",
        given.collect::<Vec<_>>().join(" AND "),
        list = columns.join(", "),
    );
    let (name, table) = (row.get::<_, &str>("name"), table.replace('"', ""));
    let words = format!("`{table}` would hold keys twice (constraint `{name}`)");
    Rule { words, breaking, is_validated: true, before: 0 }
}

/// Checks that are not valid for older rows. Those that others inherit stay as they are.
const NOT_VALID: &str = "
SELECT k.conname::text, pg_get_constraintdef(k.oid), obj_description(k.oid, 'pg_constraint'),
  pg_get_expr(k.conbin, k.conrelid)
FROM pg_constraint k
WHERE k.conrelid = $1 AND k.contype = 'c' AND NOT k.convalidated
  AND NOT EXISTS (SELECT FROM pg_inherits WHERE $1 IN (inhparent, inhrelid))
ORDER BY k.conname";

/// Takes away the checks that are not valid for older rows and that a row which comes back breaks:
/// it is one of those older rows. Gives the statements that make them again as they were.
pub(super) async fn waive(session: &Session, pair: &Pair) -> Result<Vec<String>, StepError> {
    let failed = |error| classify::statement("read the checks", &error);
    let checks = session.query(NOT_VALID, &[&pair.live.oid]).await.map_err(failed)?;
    let live = pair.live.qualified();
    let mut again = Vec::new();
    for check in &checks {
        let (name, definition): (String, String) = (check.get(0), check.get(1));
        let broken = format!(
            "SELECT EXISTS (SELECT FROM (SELECT o.* FROM ONLY {} o JOIN {} d ON o.ctid = d.there) t \
             WHERE NOT ({}))",
            pair.other(),
            pair.places(),
            check.get::<_, &str>(3)
        );
        if !session.query_one(&broken, &[]).await.map_err(failed)?.get::<_, bool>(0) {
            continue;
        }
        let quoted = identifier(&name);
        let drop = format!("ALTER TABLE {live} DROP CONSTRAINT {quoted}");
        session.execute_all(&format!("waive check `{name}`"), &drop).await?;
        again.push(format!("ALTER TABLE {live} ADD CONSTRAINT {quoted} {definition}"));
        let comment: Option<String> = check.get(2);
        again.extend(
            comment.map(|text| {
                format!("COMMENT ON CONSTRAINT {quoted} ON {live} IS {}", literal(&text))
            }),
        );
    }
    Ok(again)
}

impl Rule {
    async fn count(&self, session: &Session) -> Result<u64, StepError> {
        let count = format!("SELECT count(*) FROM ({}) broken", self.breaking);
        let row = session.query_one(&count, &[]).await;
        let row = row.map_err(|error| classify::statement(&self.words, &error))?;
        Ok(row.get::<_, i64>(0).unsigned_abs())
    }

    /// Refuses when more rows break it than before.
    pub(super) async fn check(&self, session: &Session) -> Result<(), StepError> {
        let count = self.count(session).await?;
        if count <= self.before {
            return Ok(());
        }
        let shown = format!("SELECT * FROM ({}) broken LIMIT {SHOWN}", self.breaking);
        let rows = session.query(&shown, &[]).await;
        let rows = rows.map_err(|error| classify::statement(&self.words, &error))?;
        let rows: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let message = format!("{}: {} in all, such as {}", self.words, count, rows.join(" "));
        Err(StepError::permanent("RB0534", message).hint(
            "restore the tables that refer to each other in one step (`tables`), use `merge`, or \
             take care of these rows first; nothing was changed",
        ))
    }
}
