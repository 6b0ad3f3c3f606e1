//! The statistics that tables do not have yet when their rows are in.

use model::step_error::StepError;

use crate::pg::connection::Session;
use crate::pg::{classify, sql};

/// Tables without any, and those of which there is more to know once all definitions are there:
/// partitioned tables, materialized views, expressions of indexes, extended statistics.
/// <https://www.postgresql.org/docs/current/sql-analyze.html>
const LACKING: &str = "
  SELECT n.nspname::text, c.relname::text
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'm')
    AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_t'
    AND (c.relkind <> 'r'
      OR NOT EXISTS (SELECT FROM pg_catalog.pg_statistic s WHERE s.starelid = c.oid)
      OR EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indexprs IS NOT NULL)
      OR EXISTS (SELECT FROM pg_catalog.pg_statistic_ext e WHERE e.stxrelid = c.oid))
  ORDER BY 1, 2";

/// Collects them.
pub(super) async fn complete(session: &Session) -> Result<(), StepError> {
    let what = "look for tables without statistics";
    let rows = session.query(LACKING, &[]).await;
    let rows = rows.map_err(|error| classify::statement(what, &error))?;
    let names = rows.iter().map(|row| sql::qualified(row.get(0), row.get(1)));
    let names: Vec<String> = names.collect();
    if names.is_empty() {
        return Ok(());
    }
    session.execute_all("analyze the database", &format!("ANALYZE {}", names.join(", "))).await
}
