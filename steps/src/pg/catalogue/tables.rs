//! Tables that can hold rows: which there are, how large, and how their rows are read.

use bytes::Bytes;
use futures_util::TryStreamExt;
use model::set::manifest::{
    Blocks, Contents, Exclusion, Scope, Table, TableData, TableKind, TableName,
};
use model::set::{Category, RowHash};
use model::step_error::StepError;
use tokio_postgres::types::Oid;
use tokio_postgres::{Client, Row};

use super::{Selection, select};
use crate::pg::classify;
use crate::pg::sql::{identifiers, qualified};

/// A table with its size, from which a dump decides how to split it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SizedTable {
    /// The table.
    pub table: Table,
    /// Blocks of its main fork now.
    pub blocks: u32,
    /// Bytes on disk with its out-of-line values, without its indexes.
    pub bytes: u64,
}

/// The tables in scope, by schema and name, and what is left out of them.
pub async fn list_tables(
    client: &Client,
    scope: &Scope,
) -> Result<(Vec<SizedTable>, Vec<Exclusion>), StepError> {
    list(client, &select(client, scope).await?).await
}

/// Partitioned tables hold no rows themselves. Members of extensions are left out unless the
/// extension marked them as configuration, as `pg_dump` does
/// (<https://www.postgresql.org/docs/current/extend-extensions.html>).
const LIST: &str = "
SELECT n.nspname::text, c.relname::text, c.relkind::text, c.relispartition,
  c.relpersistence = 'u' AS unlogged,
  ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
    AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum) AS columns,
  f.extension, f.filter, (SELECT s.srvname::text FROM pg_foreign_table t
    JOIN pg_foreign_server s ON s.oid = t.ftserver WHERE t.ftrelid = c.oid) AS server,
  coalesce(CASE WHEN c.relkind = 'r' THEN pg_relation_size(c.oid) END, 0)
    / current_setting('block_size')::int8 AS blocks,
  coalesce(CASE WHEN c.relkind = 'r' THEN pg_table_size(c.oid) END, 0) AS bytes
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid
    AND d.deptype = 'e'
  LEFT JOIN LATERAL (SELECT e.extname::text AS extension, u.filter
    FROM pg_extension e, unnest(e.extconfig, e.extcondition) u (config, filter)
    WHERE e.oid = d.refobjid AND u.config = c.oid) f ON true
WHERE c.relkind IN ('r', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND ($1::oid[] IS NULL OR c.oid = ANY ($1::oid[]))
  AND (d.objid IS NULL OR f.extension IS NOT NULL)
ORDER BY n.nspname, c.relname";

pub(super) async fn list(
    client: &Client,
    selection: &Selection,
) -> Result<(Vec<SizedTable>, Vec<Exclusion>), StepError> {
    let rows = client.query(LIST, &[&selection.relations]).await;
    let rows = rows.map_err(|error| classify::statement("list the tables", &error))?;
    let mut tables = Vec::with_capacity(rows.len());
    let mut exclusions = Vec::new();
    for row in rows {
        let (sized, reason) = sized_table(&row, selection);
        if let Some(reason) = reason {
            let object = sized.table.table_name().to_string();
            exclusions.push(Exclusion { category: Category::TableContent, object, reason });
        }
        tables.push(sized);
    }
    Ok((tables, exclusions))
}

fn sized_table(row: &Row, selection: &Selection) -> (SizedTable, Option<String>) {
    let server: Option<String> = row.get("server");
    let extension: Option<String> = row.get("extension");
    let unlogged: bool = row.get("unlogged");
    let kind = match (&server, unlogged, row.get("relispartition")) {
        (Some(_), ..) => TableKind::Foreign,
        (None, true, _) => TableKind::Unlogged,
        (None, false, true) => TableKind::Partition,
        (None, false, false) => TableKind::Table,
    };
    let reason = match server {
        Some(server) => Some(format!("a foreign table, its rows are on server `{server}`")),
        None if !selection.rows => Some("only definitions are asked for".to_owned()),
        None if unlogged && selection.in_recovery => {
            Some("an unlogged table cannot be read on a standby".to_owned())
        }
        None => None,
    };
    let data = match (&reason, extension) {
        (Some(_), _) => TableData::None,
        (None, Some(extension)) => {
            let filter: Option<String> = row.get("filter");
            TableData::ExtensionConfig { extension, filter: filter.unwrap_or_default() }
        }
        (None, None) => TableData::All,
    };
    let table = Table {
        schema: row.get(0),
        name: row.get(1),
        kind,
        data,
        columns: row.get("columns"),
        rows: None,
        hash: None,
        parts: Vec::new(),
    };
    let blocks = u32::try_from(row.get::<_, i64>("blocks")).unwrap_or(u32::MAX);
    (SizedTable { table, blocks, bytes: row.get::<_, i64>("bytes").unsigned_abs() }, reason)
}

/// Definitions that `pg_dump` leaves out of a dump: indexes that are not valid, and foreign keys
/// out of a scope of tables.
const LEFT_OUT: &str = "
SELECT 'index', format('%I on %I.%I', c.relname, n.nspname, t.relname),
  'an index that is not valid is not dumped'
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
  JOIN pg_namespace n ON n.oid = t.relnamespace
WHERE NOT i.indisvalid AND c.relkind = 'i' AND n.nspname !~ '^pg_'
  AND ($1::oid[] IS NULL OR c.oid = ANY ($1::oid[]))
UNION ALL
SELECT 'constraint', format('%I on %I.%I', k.conname, n.nspname, t.relname),
  format('it refers to `%I.%I`, which is not among the tables', m.nspname, f.relname)
FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid
  JOIN pg_namespace n ON n.oid = t.relnamespace
  JOIN pg_class f ON f.oid = k.confrelid JOIN pg_namespace m ON m.oid = f.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0
  AND t.oid = ANY ($1::oid[]) AND NOT f.oid = ANY ($1::oid[])";

pub(super) async fn left_out(
    client: &Client,
    selection: &Selection,
) -> Result<Vec<Exclusion>, StepError> {
    let rows = client.query(LEFT_OUT, &[&selection.relations]).await;
    let rows = rows.map_err(|error| classify::statement("list what is left out", &error))?;
    let exclusion = |row: &Row| {
        let kind: &str = row.get(0);
        let category = if kind == "index" { Category::Index } else { Category::Constraint };
        Exclusion { category, object: row.get(1), reason: row.get(2) }
    };
    Ok(rows.iter().map(exclusion).collect())
}

/// The tables with their partitions at any depth, their indexes and the sequences they own.
const RELATIONS: &str = "
WITH RECURSIVE tree AS (
  SELECT $1::oid AS oid
  UNION SELECT i.inhrelid FROM tree t JOIN pg_inherits i ON i.inhparent = t.oid
    JOIN pg_class c ON c.oid = i.inhrelid AND c.relispartition)
SELECT oid FROM tree
UNION SELECT i.indexrelid FROM tree t JOIN pg_index i ON i.indrelid = t.oid
UNION SELECT d.objid FROM tree t JOIN pg_depend d ON d.refobjid = t.oid
    AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
  JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
WHERE d.classid = 'pg_class'::regclass";

pub(super) async fn relations_in(
    client: &Client,
    scope: &Scope,
) -> Result<Option<Vec<Oid>>, StepError> {
    let Scope::Tables(names) = scope else { return Ok(None) };
    let mut relations = Vec::new();
    for name in names {
        let failed = |error| classify::statement(&format!("find table `{name}`"), &error);
        let sql = "SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                   WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')";
        let found = client.query_opt(sql, &[&name.schema, &name.name]).await.map_err(failed)?;
        let table: Oid = found.ok_or_else(|| no_such_table(name))?.get(0);
        let rows = client.query(RELATIONS, &[&table]).await.map_err(failed)?;
        relations.extend(rows.iter().map(|row| row.get::<_, Oid>(0)));
    }
    relations.sort_unstable();
    relations.dedup();
    Ok(Some(relations))
}

fn no_such_table(name: &TableName) -> StepError {
    StepError::permanent("RB0521", format!("there is no table `{name}` in the database"))
        .hint("write `schema.table` as PostgreSQL stores the names")
}

/// Counts the table's rows by SQL; with an extension's filter, those that it admits.
pub async fn count(client: &Client, table: &Table) -> Result<u64, StepError> {
    let sql = format!("SELECT count(*) FROM ONLY {}", rows_of(table));
    let row = client.query_one(&sql, &[]).await;
    let what = || format!("count the rows of `{}`", table.table_name());
    let row = row.map_err(|error| classify::statement(&what(), &error))?;
    Ok(row.get::<_, i64>(0).unsigned_abs())
}

/// The statement that reads the table's rows, or those in some of its blocks, as COPY text.
pub fn copy_out(table: &Table, blocks: Option<Blocks>) -> String {
    let filtered =
        matches!(&table.data, TableData::ExtensionConfig { filter, .. } if !filter.is_empty());
    let columns = identifiers(table.columns.iter().map(String::as_str));
    if blocks.is_none() && !filtered && !columns.is_empty() {
        return format!("COPY {} ({columns}) TO STDOUT", qualified(&table.schema, &table.name));
    }
    let range = blocks.map_or(String::new(), |blocks| {
        let joined = if filtered { " AND" } else { " WHERE" };
        let end = blocks.to.map(|to| format!(" AND ctid < '({to},0)'::tid")).unwrap_or_default();
        format!("{joined} ctid >= '({},0)'::tid{end}", blocks.from)
    });
    format!("COPY (SELECT {columns} FROM ONLY {}{range}) TO STDOUT", rows_of(table))
}

fn rows_of(table: &Table) -> String {
    let name = qualified(&table.schema, &table.name);
    match &table.data {
        TableData::ExtensionConfig { filter, .. } => format!("{name} {filter}"),
        TableData::All | TableData::None => name,
    }
}

/// The content hash of all rows of a table, read on this connection.
pub async fn hash_table(client: &Client, table: &Table) -> Result<RowHash, StepError> {
    let failed =
        |error| classify::statement(&format!("read the rows of `{}`", table.table_name()), &error);
    let stream = client.copy_out(&copy_out(table, None)).await.map_err(failed)?;
    let mut hash = RowHash::new();
    let mut stream = std::pin::pin!(stream);
    while let Some(rows) = stream.try_next().await.map_err(failed)? {
        let rows: Bytes = rows;
        hash.add_copy_text(&rows);
    }
    Ok(hash)
}

/// Counts every table of the contents, and hashes it when asked to.
pub async fn measure(
    client: &Client,
    contents: &mut Contents,
    hashes: bool,
) -> Result<(), StepError> {
    for table in contents.tables.iter_mut().filter(|table| table.data != TableData::None) {
        table.rows = Some(count(client, table).await?);
        if hashes {
            table.hash = Some(hash_table(client, table).await?.hex());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(data: TableData) -> Table {
        Table {
            schema: "public".to_owned(),
            name: "Größe\"x".to_owned(),
            kind: TableKind::Table,
            data,
            columns: vec!["id".to_owned(), "select".to_owned()],
            rows: None,
            hash: None,
            parts: Vec::new(),
        }
    }

    #[test]
    fn a_whole_table_is_copied_by_name() {
        let sql = copy_out(&table(TableData::All), None);
        assert_eq!(sql, r#"COPY "public"."Größe""x" ("id", "select") TO STDOUT"#);
    }

    #[test]
    fn a_part_is_copied_by_its_blocks() {
        let table = table(TableData::All);
        let select = r#"COPY (SELECT "id", "select" FROM ONLY "public"."Größe""x" WHERE ctid >= "#;
        let middle = Blocks { from: 5, to: Some(9) };
        let sql = copy_out(&table, Some(middle));
        assert_eq!(sql, format!("{select}'(5,0)'::tid AND ctid < '(9,0)'::tid) TO STDOUT"));
        let sql = copy_out(&table, Some(Blocks { from: 9, to: None }));
        assert_eq!(sql, format!("{select}'(9,0)'::tid) TO STDOUT"));
    }

    #[test]
    fn an_extensions_filter_is_kept_and_joined() {
        let filter = "WHERE user_made".to_owned();
        let data = TableData::ExtensionConfig { extension: "cron".to_owned(), filter };
        let select = r#"COPY (SELECT "id", "select" FROM ONLY "public"."Größe""x" WHERE user_made"#;
        assert_eq!(copy_out(&table(data.clone()), None), format!("{select}) TO STDOUT"));
        let sql = copy_out(&table(data), Some(Blocks { from: 0, to: None }));
        assert_eq!(sql, format!("{select} AND ctid >= '(0,0)'::tid) TO STDOUT"));
    }

    #[test]
    fn a_table_without_columns_still_has_rows() {
        let mut table = table(TableData::All);
        table.columns.clear();
        let sql = copy_out(&table, None);
        assert_eq!(sql, r#"COPY (SELECT  FROM ONLY "public"."Größe""x") TO STDOUT"#);
    }
}
