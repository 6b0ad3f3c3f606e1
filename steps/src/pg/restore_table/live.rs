//! The table as it stands in the database: what its rows can be exchanged by, and what forbids it.

use model::set::manifest::TableName;
use model::step_error::StepError;
use tokio_postgres::Row;
use tokio_postgres::types::Oid;

use crate::pg::classify;
use crate::pg::connection::Session;
use crate::pg::sql;

/// A table and what an exchange of its rows needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::pg) struct Live {
    pub(in crate::pg) name: TableName,
    pub(in crate::pg) oid: Oid,
    /// Its name as SQL prints it.
    pub(in crate::pg) identity: String,
    pub(in crate::pg) owner: String,
    /// Every column, in order.
    pub(in crate::pg) columns: Vec<Column>,
    /// The columns of the primary key; none when there is none.
    pub(in crate::pg) key: Vec<KeyColumn>,
    /// It has triggers, of foreign keys too, or rules.
    pub(in crate::pg) is_watched: bool,
    /// Its table space, when it is not the database's.
    pub(in crate::pg) tablespace: Option<String>,
    /// Bytes on disk without and of its indexes.
    pub(in crate::pg) bytes: u64,
    pub(in crate::pg) index_bytes: u64,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::pg) struct Column {
    pub(in crate::pg) name: String,
    /// Its name as SQL prints it.
    pub(in crate::pg) quoted: String,
    /// Its type as SQL prints it.
    pub(in crate::pg) kind: String,
    pub(in crate::pg) is_generated: bool,
}

/// A column of a key, and the operator under which the key is unique.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::pg) struct KeyColumn {
    pub(in crate::pg) name: String,
    /// `OPERATOR(pg_catalog.=)`.
    pub(in crate::pg) equals: String,
}

const TABLE: &str = "
SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS identity, c.relkind::text AS kind, c.relispartition AS partition,
  pg_get_userbyid(c.relowner)::text AS owner, t.spcname::text AS tablespace,
  coalesce(pg_table_size(c.oid), 0) AS bytes, coalesce(pg_indexes_size(c.oid), 0) AS index_bytes,
  EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = c.oid)
    OR EXISTS (SELECT FROM pg_rewrite w WHERE w.ev_class = c.oid) AS watched,
  coalesce((SELECT format('trigger `%s`', g.tgname) FROM pg_trigger g
      WHERE g.tgrelid = c.oid AND g.tgenabled IN ('A', 'R') LIMIT 1),
    (SELECT format('rule `%s`', w.rulename) FROM pg_rewrite w
      WHERE w.ev_class = c.oid AND c.relkind = 'r' AND w.ev_enabled IN ('A', 'R') LIMIT 1),
    (SELECT format('constraint `%s`', k.conname) FROM pg_constraint k
      WHERE k.conrelid = c.oid AND k.contype = 'x' AND k.condeferrable LIMIT 1)) AS unruly,
  (SELECT e.extname::text FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') AS extension
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_tablespace t ON t.oid = c.reltablespace
WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'f', 'v', 'm')";

const COLUMNS: &str = "
SELECT a.attname::text, format('%I', a.attname), format_type(a.atttypid, a.atttypmod),
  a.attgenerated <> ''
FROM pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum";

const KEY: &str = "
SELECT a.attname::text, format('OPERATOR(%I.%s)', n.nspname, o.oprname)
FROM pg_index i CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY u (num, place)
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = u.num
  JOIN pg_opclass c ON c.oid = i.indclass[(u.place - 1)::int4]
  JOIN pg_amop m ON m.amopfamily = c.opcfamily AND m.amoplefttype = c.opcintype
    AND m.amoprighttype = c.opcintype AND m.amopstrategy = 3
  JOIN pg_operator o ON o.oid = m.amopopr JOIN pg_namespace n ON n.oid = o.oprnamespace
WHERE i.indrelid = $1 AND i.indisprimary AND u.place <= i.indnkeyatts
ORDER BY u.place";

impl Live {
    /// Reads the table; refuses one whose rows cannot be exchanged.
    pub(in crate::pg) async fn read(
        session: &Session,
        name: &TableName,
    ) -> Result<Self, StepError> {
        let what = format!("look at table `{name}`");
        let failed = |error| classify::not_applied(classify::statement(&what, &error));
        let row = session.query_opt(TABLE, &[&name.schema, &name.name]).await.map_err(failed)?;
        let row = row.ok_or_else(|| gone(name))?;
        refuse(name, &row)?;
        let oid: Oid = row.get("oid");
        let columns = session.query(COLUMNS, &[&oid]).await.map_err(failed)?;
        let key = session.query(KEY, &[&oid]).await.map_err(failed)?;
        let column = |row: &Row| Column {
            name: row.get(0),
            quoted: row.get(1),
            kind: row.get(2),
            is_generated: row.get(3),
        };
        let live = Self {
            name: name.clone(),
            oid,
            identity: row.get("identity"),
            owner: row.get("owner"),
            columns: columns.iter().map(column).collect(),
            key: key.iter().map(|row| KeyColumn { name: row.get(0), equals: row.get(1) }).collect(),
            is_watched: row.get("watched"),
            tablespace: row.get("tablespace"),
            bytes: row.get::<_, i64>("bytes").unsigned_abs(),
            index_bytes: row.get::<_, i64>("index_bytes").unsigned_abs(),
        };
        if live.copied().is_empty() {
            return Err(unsupported(name, "it has no column that could be written"));
        }
        Ok(live)
    }

    /// The columns that are written: all but the generated ones.
    pub(in crate::pg) fn copied(&self) -> Vec<&str> {
        let written = self.columns.iter().filter(|column| !column.is_generated);
        written.map(|column| column.name.as_str()).collect()
    }

    /// Its name as SQL takes it.
    pub(in crate::pg) fn qualified(&self) -> String {
        sql::qualified(&self.name.schema, &self.name.name)
    }

    /// ` TABLESPACE "fast"`, or nothing: where copies of it are made.
    pub(in crate::pg) fn in_tablespace(&self) -> String {
        let space = self.tablespace.as_deref();
        space.map(|space| format!(" TABLESPACE {}", sql::identifier(space))).unwrap_or_default()
    }
}

/// What is refused before anything is changed.
fn refuse(name: &TableName, row: &Row) -> Result<(), StepError> {
    let kind: &str = row.get("kind");
    let why = match kind {
        "p" => Some("it is partitioned".to_owned()),
        "f" => Some("it is a foreign table, its rows are elsewhere".to_owned()),
        "v" | "m" => Some("it is a view, it has no rows of its own".to_owned()),
        _ if row.get("partition") => Some("it is a partition of another table".to_owned()),
        _ => None,
    };
    let extension: Option<&str> = row.get("extension");
    let member = || extension.map(|name| format!("it belongs to extension `{name}`"));
    let unruly: Option<&str> = row.get("unruly");
    let acts = || {
        unruly.map(|what| {
            format!("its {what} acts on every row, or too late, whatever the session says")
        })
    };
    match why.or_else(member).or_else(acts) {
        Some(why) => Err(unsupported(name, &why)),
        None => Ok(()),
    }
}

/// The table's rows cannot be exchanged.
pub(in crate::pg) fn unsupported(name: &TableName, why: &str) -> StepError {
    StepError::permanent("RB0533", format!("table `{name}` cannot be restored in place: {why}"))
        .hint(
            "restore the set aside with `pg.restore`, and bring over what is needed; \
             nothing was changed",
        )
}

fn gone(name: &TableName) -> StepError {
    StepError::permanent("RB0521", format!("there is no table `{name}` in the database")).hint(
        "write `schema.table` as PostgreSQL stores the names; a table that was dropped is made \
         again by `pg_restore --table` from the set, as its `RESTORE.txt` tells",
    )
}
