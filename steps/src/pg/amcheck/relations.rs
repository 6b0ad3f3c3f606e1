//! What `amcheck` looks at, and what it says of it.
//! <https://www.postgresql.org/docs/current/amcheck.html>

use std::fmt;

use model::sql::quote_name;
use model::step_error::StepError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use tokio_postgres::types::Oid;

use crate::pg::classify;
use crate::pg::connection::Session;
use crate::pg::sql;

/// Findings of one table that are read.
const READ: usize = 10;

/// What to do about a role that may not call the functions.
const MAY_NOT: &str = "grant the role EXECUTE on the functions of the extension, or membership in \
    `pg_stat_scan_tables` where that has it; a superuser may call them";

/// A table or an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::pg) struct Relation {
    oid: Oid,
    /// `schema.name`, quoted where needed.
    pub(in crate::pg) name: String,
    /// It is a B-tree index; else a table.
    pub(in crate::pg) is_index: bool,
}

/// How closely to look.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::pg) struct Depth {
    /// Every row is looked up in its indexes.
    pub(in crate::pg) heapallindexed: bool,
    /// Parents and children in an index are compared, under a lock.
    pub(in crate::pg) parent_check: bool,
    /// Values out of line are read.
    pub(in crate::pg) toast: bool,
}

/// Something that cannot be right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// The table or index: `schema.name`.
    pub(in crate::pg) relation: String,
    /// What is wrong with it.
    pub(in crate::pg) message: String,
    /// The block of the table it is in.
    pub(in crate::pg) block: Option<i64>,
    /// The item in that block.
    pub(in crate::pg) offset: Option<i32>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.relation)?;
        if let Some(block) = self.block {
            write!(f, " block {block}")?;
        }
        if let Some(offset) = self.offset {
            write!(f, " item {offset}")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// The schema of the extension, quoted; nothing when it is not installed.
pub(in crate::pg) async fn extension(session: &Session) -> Result<Option<String>, StepError> {
    let place = "SELECT n.nspname::text FROM pg_catalog.pg_extension e \
        JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'amcheck'";
    let failed = |error| classify::statement("look for amcheck", &error);
    let row = session.query_opt(place, &[]).await.map_err(failed)?;
    Ok(row.map(|row| sql::identifier(&row.get::<_, String>(0))))
}

/// B-tree indexes, and from 14 on tables; of a standby, what it can read.
const RELATIONS: &str = "
SELECT c.oid, format('%I.%I', n.nspname, c.relname), c.relkind = 'i', coalesce(i.indrelid, c.oid)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
  JOIN pg_catalog.pg_am a ON a.oid = c.relam
WHERE n.nspname !~ '^pg_toast' AND c.relpersistence <> 't'
  AND (c.relpersistence = 'p' OR NOT pg_catalog.pg_is_in_recovery())
  AND ((c.relkind = 'i' AND a.amname = 'btree' AND i.indisvalid AND i.indisready)
    OR (c.relkind IN ('r', 'm') AND a.amname = 'heap'
      AND current_setting('server_version_num')::int4 >= 140000))
ORDER BY 2";

fn relation(row: &Row) -> Relation {
    Relation { oid: row.get(0), name: row.get(1), is_index: row.get(2) }
}

async fn list(session: &Session) -> Result<Vec<Row>, StepError> {
    let failed = |error| classify::statement("list what amcheck looks at", &error);
    session.query(RELATIONS, &[]).await.map_err(failed)
}

/// Everything that can be checked.
pub(in crate::pg) async fn all(session: &Session) -> Result<Vec<Relation>, StepError> {
    Ok(list(session).await?.iter().map(relation).collect())
}

/// These tables with their partitions and indexes, or everything when none is named.
pub(in crate::pg) async fn named(
    session: &Session,
    tables: &[String],
) -> Result<Vec<Relation>, StepError> {
    if tables.is_empty() {
        return all(session).await;
    }
    let rows = list(session).await?;
    let mut found = Vec::new();
    for table in tables {
        let wanted = with_partitions(session, table).await?;
        let is_wanted = |row: &&Row| wanted.contains(&row.get::<_, Oid>(3));
        let before = found.len();
        found.extend(rows.iter().filter(is_wanted).map(relation));
        if found.len() == before {
            let message = format!("there is nothing in `{table}` that amcheck can look at");
            return Err(StepError::permanent("RB0573", message)
                .hint("name a table; a view has no rows of its own"));
        }
    }
    Ok(found)
}

async fn with_partitions(session: &Session, table: &str) -> Result<Vec<Oid>, StepError> {
    let tree = "SELECT to_regclass($1)::oid UNION \
        SELECT relid::oid FROM pg_catalog.pg_partition_tree(to_regclass($1))";
    let failed = |error| classify::statement(&format!("look for table `{table}`"), &error);
    let name = quote_name(table).expect("`validate` refuses what is no name");
    let rows = session.query(tree, &[&name]).await.map_err(failed)?;
    let found: Vec<Oid> = rows.iter().filter_map(|row| row.get::<_, Option<Oid>>(0)).collect();
    if found.is_empty() {
        let message = format!("there is no table `{table}`");
        return Err(StepError::permanent("RB0573", message).hint("write it as `schema.table`"));
    }
    Ok(found)
}

/// Checks one table or index.
pub(in crate::pg) async fn check(
    session: &Session,
    schema: &str,
    relation: &Relation,
    depth: Depth,
) -> Result<Vec<Finding>, StepError> {
    let finding = |message: String, block, offset| Finding {
        relation: relation.name.clone(),
        message,
        block,
        offset,
    };
    match session.query(&statement(schema, relation, depth), &[&relation.oid]).await {
        Ok(rows) => Ok(rows
            .iter()
            .filter_map(|row| {
                Some(finding(row.get::<_, Option<String>>(0)?, row.get(1), row.get(2)))
            })
            .collect()),
        Err(error) if is_corruption(&error) => {
            let message = error.as_db_error().map(|it| it.message().to_owned()).unwrap_or_default();
            Ok(vec![finding(message, None, None)])
        }
        Err(_) if is_gone(session, relation).await => Ok(Vec::new()),
        Err(error) => {
            let what = format!("check `{}`", relation.name);
            let failed = classify::statement(&what, &error);
            let forbidden = error.code().is_some_and(|state| state.code() == "42501");
            Err(if forbidden { failed.hint(MAY_NOT) } else { failed })
        }
    }
}

fn statement(schema: &str, relation: &Relation, depth: Depth) -> String {
    let Depth { heapallindexed, parent_check, toast } = depth;
    if relation.is_index {
        let function = if parent_check { "bt_index_parent_check" } else { "bt_index_check" };
        return format!(
            "SELECT NULL::text, NULL::int8, NULL::int4 \
             FROM (SELECT {schema}.{function}($1::oid::regclass, {heapallindexed})) c"
        );
    }
    format!(
        "SELECT msg, blkno, offnum \
         FROM {schema}.verify_heapam($1::oid::regclass, check_toast => {toast}) LIMIT {READ}"
    )
}

/// `ERRCODE_DATA_CORRUPTED` and `ERRCODE_INDEX_CORRUPTED`.
fn is_corruption(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|state| matches!(state.code(), "XX001" | "XX002"))
}

/// Whether it was dropped while the others were checked.
async fn is_gone(session: &Session, relation: &Relation) -> bool {
    let there = "SELECT 1 FROM pg_catalog.pg_class WHERE oid = $1";
    matches!(session.query_opt(there, &[&relation.oid]).await, Ok(None))
}
