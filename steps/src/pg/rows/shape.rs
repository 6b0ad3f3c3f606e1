//! What a table looks like: columns, the key by which its rows are known, and foreign keys.
//! <https://www.postgresql.org/docs/current/catalogs.html>

use model::step_error::StepError;
use tokio_postgres::Row;
use tokio_postgres::types::Oid;

use super::asking;
use crate::pg::connection::Session;
use crate::pg::sql::{identifier, qualified};

/// A table; of a partition, the partitioned table at the top.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) oid: Oid,
    pub(super) schema: String,
    pub(super) name: String,
    partitioned: bool,
    pub(super) columns: Vec<Column>,
    /// The primary key, or the smallest unique key without nulls.
    pub(super) key: Option<Key>,
}

/// A column.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) type_name: String,
    pub(super) generated: bool,
    pub(super) identity_always: bool,
    /// It needs a value when nobody gives one.
    pub(super) needs_value: bool,
}

/// Columns with the operator by which the key's index calls two values equal.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) columns: Vec<String>,
    operators: Vec<String>,
}

/// A foreign key.
#[derive(Debug, Clone)]
pub(super) struct ForeignKey {
    pub(super) name: String,
    /// The table that references, at the top of its partitions.
    pub(super) child: Oid,
    /// Where its rows are read: `ONLY "public"."orders"`.
    pub(super) child_from: String,
    /// `public.orders`.
    pub(super) child_told: String,
    pub(super) child_columns: Vec<String>,
    pub(super) parent: Oid,
    pub(super) parent_from: String,
    pub(super) parent_told: String,
    pub(super) parent_columns: Vec<String>,
    operators: Vec<String>,
}

const TABLE: &str = "
SELECT c.oid, n.nspname::text, c.relname::text, c.relkind = 'p' AS partitioned
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = $1 AND c.relkind IN ('r', 'p')";

const COLUMNS: &str = "
SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), a.attgenerated <> '' AS generated,
  a.attidentity = 'a' AS always,
  a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AS needs_value
FROM pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum";

const KEY: &str = "
SELECT ARRAY(SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY k (attnum, n)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    WHERE k.n <= i.indnkeyatts ORDER BY k.n) AS columns,
  ARRAY(SELECT format('OPERATOR(%I.%s)', s.nspname, o.oprname)
    FROM unnest(i.indclass) WITH ORDINALITY k (opclass, n)
    JOIN pg_opclass c ON c.oid = k.opclass
    JOIN pg_amop m ON m.amopfamily = c.opcfamily AND m.amopstrategy = 3
      AND m.amoplefttype = c.opcintype AND m.amoprighttype = c.opcintype
    JOIN pg_operator o ON o.oid = m.amopopr JOIN pg_namespace s ON s.oid = o.oprnamespace
    ORDER BY k.n) AS operators
FROM pg_index i WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid
  AND i.indpred IS NULL AND i.indexprs IS NULL
  AND NOT EXISTS (SELECT FROM unnest(i.indkey) WITH ORDINALITY k (attnum, n)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    WHERE k.n <= i.indnkeyatts AND NOT a.attnotnull)
ORDER BY i.indisprimary DESC, i.indnkeyatts, i.indexrelid LIMIT 1";

/// Constraints that partitions inherit are left out: their parent is there.
const FOREIGN_KEYS: &str = "
SELECT k.conname::text AS name,
  coalesce(pg_partition_root(k.conrelid), k.conrelid)::oid AS child,
  cn.nspname::text AS child_schema, c.relname::text AS child_name,
  c.relkind = 'p' AS child_partitioned, columns(k.conrelid, k.conkey) AS child_columns,
  coalesce(pg_partition_root(k.confrelid), k.confrelid)::oid AS parent,
  pn.nspname::text AS parent_schema, p.relname::text AS parent_name,
  p.relkind = 'p' AS parent_partitioned, columns(k.confrelid, k.confkey) AS parent_columns,
  ARRAY(SELECT format('OPERATOR(%I.%s)', s.nspname, o.oprname)
    FROM unnest(k.conpfeqop) WITH ORDINALITY e (operator, n)
    JOIN pg_operator o ON o.oid = e.operator JOIN pg_namespace s ON s.oid = o.oprnamespace
    ORDER BY e.n) AS operators
FROM pg_constraint k
  JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace cn ON cn.oid = c.relnamespace
  JOIN pg_class p ON p.oid = k.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0 ORDER BY child_schema, child_name, name";

/// The names of the columns with these numbers, in their order.
fn columns_of(relation: &str, numbers: &str) -> String {
    format!(
        "ARRAY(SELECT a.attname::text FROM unnest({numbers}) WITH ORDINALITY u (attnum, n) \
         JOIN pg_attribute a ON a.attrelid = {relation} AND a.attnum = u.attnum ORDER BY u.n)"
    )
}

/// The object id of a table as a person names it, by the session's search path.
pub(super) async fn named(session: &Session, quoted: &str) -> Result<Option<Oid>, StepError> {
    let sql = "SELECT to_regclass($1)::oid";
    let found = asking::rows(session, "find the table", sql, &[&quoted]).await?;
    Ok(found.first().and_then(|row| row.get(0)))
}

/// The table at the top of the partitions that `table` is in; itself when it is no partition.
pub(super) async fn root(session: &Session, table: Oid) -> Result<Oid, StepError> {
    let sql = "SELECT coalesce(pg_partition_root($1::oid::regclass)::oid, $1::oid)";
    let found = asking::rows(session, "find the table", sql, &[&table]).await?;
    Ok(found[0].get(0))
}

/// Reads a table by its object id; nothing when it is none that can hold rows of its own.
pub(super) async fn read(session: &Session, table: Oid) -> Result<Option<Shape>, StepError> {
    let what = "read the table's definition";
    let found = asking::rows(session, what, TABLE, &[&table]).await?;
    let Some(row) = found.first() else { return Ok(None) };
    let columns = asking::rows(session, what, COLUMNS, &[&table]).await?;
    let key = asking::rows(session, what, KEY, &[&table]).await?;
    Ok(Some(Shape {
        oid: table,
        schema: row.get(1),
        name: row.get(2),
        partitioned: row.get(3),
        columns: columns.iter().map(column).collect(),
        key: key.first().map(|row| Key { columns: row.get(0), operators: row.get(1) }),
    }))
}

/// Every foreign key of the database.
pub(super) async fn foreign_keys(session: &Session) -> Result<Vec<ForeignKey>, StepError> {
    let sql = FOREIGN_KEYS
        .replace("columns(k.conrelid, k.conkey)", &columns_of("k.conrelid", "k.conkey"))
        .replace("columns(k.confrelid, k.confkey)", &columns_of("k.confrelid", "k.confkey"));
    let rows = asking::rows(session, "read the foreign keys", &sql, &[]).await?;
    Ok(rows.iter().map(foreign_key).collect())
}

fn column(row: &Row) -> Column {
    Column {
        name: row.get(0),
        type_name: row.get(1),
        generated: row.get(2),
        identity_always: row.get(3),
        needs_value: row.get(4),
    }
}

fn foreign_key(row: &Row) -> ForeignKey {
    let (child_schema, child_name): (String, String) =
        (row.get("child_schema"), row.get("child_name"));
    let (parent_schema, parent_name): (String, String) =
        (row.get("parent_schema"), row.get("parent_name"));
    ForeignKey {
        name: row.get("name"),
        child: row.get("child"),
        child_from: from(&child_schema, &child_name, row.get("child_partitioned")),
        child_told: format!("{child_schema}.{child_name}"),
        child_columns: row.get("child_columns"),
        parent: row.get("parent"),
        parent_from: from(&parent_schema, &parent_name, row.get("parent_partitioned")),
        parent_told: format!("{parent_schema}.{parent_name}"),
        parent_columns: row.get("parent_columns"),
        operators: row.get("operators"),
    }
}

/// Rows of tables that inherit are not the table's own; those of partitions are.
fn from(schema: &str, name: &str, partitioned: bool) -> String {
    let only = if partitioned { "" } else { "ONLY " };
    format!("{only}{}", qualified(schema, name))
}

impl Shape {
    /// Its quoted name.
    pub(super) fn quoted(&self) -> String {
        qualified(&self.schema, &self.name)
    }

    /// What stands after `FROM` and `UPDATE`.
    pub(super) fn from(&self) -> String {
        from(&self.schema, &self.name, self.partitioned)
    }

    /// `public.orders`.
    pub(super) fn told(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// The columns that hold values of their own.
    pub(super) fn stored(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| !column.generated)
    }
}

impl Key {
    /// That two rows have the same key: `a."id" = b."id" AND ...`.
    pub(super) fn same(&self, a: &str, b: &str) -> String {
        equal(a, &self.columns, b, &self.columns, &self.operators)
    }

    /// That the key is `$1`, `$2` ...
    pub(super) fn is_given(&self) -> String {
        let pairs = self.columns.iter().zip(&self.operators).enumerate();
        let terms = pairs.map(|(index, (column, operator))| {
            format!("{} {operator} ${}", identifier(column), index + 1)
        });
        terms.collect::<Vec<_>>().join(" AND ")
    }
}

impl ForeignKey {
    /// That row `child` references row `parent`.
    pub(super) fn holds(&self, parent: &str, child: &str) -> String {
        equal(parent, &self.parent_columns, child, &self.child_columns, &self.operators)
    }
}

fn equal(
    left: &str,
    left_columns: &[String],
    right: &str,
    right_columns: &[String],
    operators: &[String],
) -> String {
    let columns = left_columns.iter().zip(right_columns).zip(operators);
    let terms = columns.map(|((a, b), operator)| {
        format!("{left}.{} {operator} {right}.{}", identifier(a), identifier(b))
    });
    terms.collect::<Vec<_>>().join(" AND ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn keys_are_compared_by_their_own_operators() {
        let key = Key {
            columns: names(&["tenant", "Mail\""]),
            operators: names(&["OPERATOR(pg_catalog.=)", "OPERATOR(public.=)"]),
        };
        assert_eq!(
            key.same("s", "t"),
            "s.\"tenant\" OPERATOR(pg_catalog.=) t.\"tenant\" AND \
             s.\"Mail\"\"\" OPERATOR(public.=) t.\"Mail\"\"\""
        );
        assert_eq!(
            key.is_given(),
            "\"tenant\" OPERATOR(pg_catalog.=) $1 AND \"Mail\"\"\" OPERATOR(public.=) $2"
        );
    }

    #[test]
    fn rows_of_partitions_are_the_tables_and_those_of_heirs_are_not() {
        assert_eq!(from("public", "a", true), "\"public\".\"a\"");
        assert_eq!(from("public", "a", false), "ONLY \"public\".\"a\"");
    }
}
