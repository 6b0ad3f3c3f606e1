//! What a mask finds: the tables and columns it names, and what else would see the change.

use indexmap::IndexMap;
use model::step_error::StepError;
use tokio_postgres::Row;
use tokio_postgres::types::{Oid, ToSql};

use super::input::{Input, Mask, Named, fits};
use crate::pg::classify;
use crate::pg::connection::Session;
use crate::pg::sql::{identifier, qualified};

/// A table with the masks of its columns.
pub(super) struct Table {
    /// As errors show it.
    pub(super) name: String,
    /// As SQL has it.
    pub(super) quoted: String,
    pub(super) columns: Vec<Column>,
    /// It, its partitions and whatever inherits from it.
    pub(super) tree: Vec<Oid>,
}

/// A column with its mask.
pub(super) struct Column {
    /// `schema.table.column`.
    pub(super) name: String,
    pub(super) quoted: String,
    pub(super) kind: String,
    pub(super) mask: Mask,
}

impl Column {
    /// The value that the row will have.
    pub(super) fn value(&self) -> String {
        let (column, with) = (&self.quoted, &self.mask.with);
        // The line end closes a comment at the end of the expression.
        if self.mask.keep_null {
            format!("CASE WHEN {column} IS NULL THEN {column} ELSE ({with}\n) END")
        } else {
            format!("({with}\n)")
        }
    }

    /// Which rows it changes.
    pub(super) fn rows(&self) -> String {
        if self.mask.keep_null { format!("{} IS NOT NULL", self.quoted) } else { "true".to_owned() }
    }
}

/// Rows of a query that only looks.
pub(super) async fn rows(
    session: &Session,
    what: &str,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, StepError> {
    let rows = session.query(sql, params).await;
    rows.map_err(|error| classify::not_applied(classify::statement(what, &error)))
}

/// The error of a column that cannot be masked.
pub(super) fn impossible(column: &str, why: &str) -> StepError {
    StepError::permanent("RB0764", format!("`{column}` cannot be masked: {why}"))
}

/// The tables that the masks name, in their order.
pub(super) async fn tables(session: &Session, masks: Vec<Mask>) -> Result<Vec<Table>, StepError> {
    let mut tables = IndexMap::<(String, String), Table>::new();
    for mask in masks {
        let named = mask.named().expect("validate refuses a name that does not read");
        let key = (named.schema.clone(), named.table.clone());
        if !tables.contains_key(&key) {
            tables.insert(key.clone(), table(session, &named).await?);
        }
        let table = &mut tables[&key];
        let column = column(session, table.tree[0], &named, mask).await?;
        table.columns.push(column);
    }
    Ok(tables.into_values().collect())
}

async fn table(session: &Session, named: &Named) -> Result<Table, StepError> {
    let sql = "WITH RECURSIVE top AS (
        SELECT c.oid FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')),
      tree AS (
        SELECT oid, 0 AS depth FROM top
        UNION SELECT i.inhrelid, depth + 1 FROM pg_catalog.pg_inherits i
        JOIN tree ON i.inhparent = tree.oid)
      SELECT oid FROM tree GROUP BY oid ORDER BY min(depth), oid";
    let found = rows(session, "look for the table", sql, &[&named.schema, &named.table]).await?;
    if found.is_empty() {
        return Err(impossible(&named.shown(), "there is no such table"));
    }
    Ok(Table {
        name: format!("{}.{}", named.schema, named.table),
        quoted: qualified(&named.schema, &named.table),
        columns: Vec::new(),
        tree: found.iter().map(|row| row.get(0)).collect(),
    })
}

async fn column(
    session: &Session,
    table: Oid,
    named: &Named,
    mask: Mask,
) -> Result<Column, StepError> {
    let sql = "SELECT pg_catalog.format_type(atttypid, atttypmod), attgenerated <> ''
        FROM pg_catalog.pg_attribute
        WHERE attrelid = $1 AND attname = $2 AND attnum > 0 AND NOT attisdropped";
    let found = rows(session, "look for the column", sql, &[&table, &named.column]).await?;
    let name = named.shown();
    let row = found.first().ok_or_else(|| impossible(&name, "there is no such column"))?;
    if row.get(1) {
        let why = "it is generated";
        return Err(impossible(&name, why).hint("mask the columns that it is made of"));
    }
    Ok(Column { name, quoted: identifier(&named.column), kind: row.get(0), mask })
}

/// Refuses when a column that `require` names has no mask.
pub(super) async fn check_required(session: &Session, input: &Input) -> Result<(), StepError> {
    let sql = "SELECT n.nspname || '.' || c.relname || '.' || a.attname
        FROM pg_catalog.pg_attribute a
        JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
          AND a.attgenerated = '' AND (a.attinhcount = 0 OR a.attislocal)
          AND NOT c.relispartition AND n.nspname !~ '^(pg_|information_schema$)'
        ORDER BY 1";
    let masks = input.masks();
    let named = masks.iter().filter_map(|mask| mask.named().ok());
    let covered: Vec<String> =
        named.map(|named| named.shown()).chain(input.keep.iter().cloned()).collect();
    let all = rows(session, "look for the columns", sql, &[]).await?;
    let missing = all.iter().map(|row| row.get::<_, String>(0)).filter(|name| {
        input.require.iter().any(|pattern| fits(pattern, name)) && !covered.contains(name)
    });
    let missing: Vec<String> = missing.map(|name| format!("`{name}`")).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let message = format!("`require` names columns without a mask: {}", missing.join(", "));
    Err(StepError::permanent("RB0765", message)
        .hint("give each a mask, or name it under `keep` when it holds nothing of a person"))
}

/// The statements that switch the `UPDATE` triggers and rules of some tables off, and those that
/// switch them on again as they were. `ONLY`, because a partition's triggers have states of their
/// own.
/// <https://www.postgresql.org/docs/current/sql-altertable.html>
pub(super) async fn switches(
    session: &Session,
    tables: &[Oid],
) -> Result<Vec<(String, String)>, StepError> {
    // Bit 4 of `tgtype` is UPDATE; `ev_type` 2 is a rule on UPDATE.
    let sql = "SELECT format('ALTER TABLE ONLY %I.%I', n.nspname, c.relname), what, name, state
        FROM (
          SELECT tgrelid AS of, 'TRIGGER' AS what, tgname::text AS name, tgenabled::text AS state
          FROM pg_catalog.pg_trigger WHERE NOT tgisinternal AND tgtype & 16 <> 0
          UNION ALL
          SELECT ev_class, 'RULE', rulename::text, ev_enabled::text
          FROM pg_catalog.pg_rewrite WHERE ev_type = '2') AS them
        JOIN pg_catalog.pg_class c ON c.oid = of
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE of = ANY($1) AND state <> 'D' ORDER BY n.nspname, c.relname, what, name";
    let found = rows(session, "look for triggers", sql, &[&tables]).await?;
    let switch = |row: &Row| {
        let (table, what, name) = (row.get::<_, &str>(0), row.get::<_, &str>(1), row.get(2));
        let enable = match row.get(3) {
            "A" => "ENABLE ALWAYS",
            "R" => "ENABLE REPLICA",
            _ => "ENABLE",
        };
        let name = identifier(name);
        (format!("{table} DISABLE {what} {name}"), format!("{table} {enable} {what} {name}"))
    };
    Ok(found.iter().map(switch).collect())
}

/// The materialized views, those that others read first.
pub(super) async fn materialized(session: &Session) -> Result<Vec<String>, StepError> {
    let sql = "WITH RECURSIVE edge AS (
        SELECT DISTINCT r.ev_class AS whole, d.refobjid AS part
        FROM pg_catalog.pg_rewrite r
        JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::regclass
          AND d.objid = r.oid AND d.refclassid = 'pg_catalog.pg_class'::regclass
        WHERE d.refobjid <> r.ev_class),
      reach AS (
        SELECT whole, part FROM edge
        UNION SELECT reach.whole, edge.part FROM reach JOIN edge ON edge.whole = reach.part)
      SELECT format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind = 'm' AND c.relispopulated
      ORDER BY (SELECT count(*) FROM reach JOIN pg_catalog.pg_class p ON p.oid = reach.part
                WHERE reach.whole = c.oid AND p.relkind = 'm'), c.oid";
    let found = rows(session, "look for materialized views", sql, &[]).await?;
    Ok(found.iter().map(|row| row.get(0)).collect())
}

/// The tables whose rows this transaction changed, keys that follow and triggers included.
pub(super) async fn changed(session: &Session, masked: &[Oid]) -> Result<Vec<String>, StepError> {
    let sql = "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.oid = ANY($1) OR c.oid IN (
          SELECT relid FROM pg_catalog.pg_stat_xact_user_tables
          WHERE n_tup_ins + n_tup_upd + n_tup_del > 0)
        ORDER BY 1";
    let found = rows(session, "look for the changed tables", sql, &[&masked]).await?;
    Ok(found.iter().map(|row| row.get(0)).collect())
}
