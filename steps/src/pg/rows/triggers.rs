//! The target's own triggers, switched off for the transaction and back on before its end. Those
//! that keep foreign keys are never among them.
//! <https://www.postgresql.org/docs/current/sql-altertable.html>

use model::step_error::StepError;
use tokio_postgres::types::Oid;

use super::asking;
use super::staged::Staged;
use crate::pg::connection::Session;
use crate::pg::sql::{identifier, qualified};

/// Triggers that fire, of the tables and their partitions.
const FIRING: &str = "
SELECT n.nspname::text, c.relname::text, t.tgname::text, t.tgenabled::text
FROM (SELECT r AS oid FROM unnest($1::oid[]) r
  UNION SELECT p.relid::oid FROM unnest($1::oid[]) r, pg_partition_tree(r::regclass) p) tree
  JOIN pg_class c ON c.oid = tree.oid JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_trigger t ON t.tgrelid = c.oid AND t.tgenabled IN ('O', 'A')
WHERE NOT t.tgisinternal ORDER BY 1, 2, 3";

/// Triggers that were switched off.
pub(super) struct Off {
    /// The statements that switch them on again, as they were.
    on: Vec<String>,
}

/// Switches the triggers of the tables off, in this transaction.
pub(super) async fn switch_off(session: &Session, tables: &[Staged]) -> Result<Off, StepError> {
    let oids: Vec<Oid> = tables.iter().map(|table| table.live.oid).collect();
    let rows = asking::rows(session, "list the triggers", FIRING, &[&oids]).await?;
    let (mut off, mut on) = (Vec::new(), Vec::new());
    for row in &rows {
        let table = qualified(row.get(0), row.get(1));
        let trigger = identifier(row.get(2));
        let always = if row.get::<_, &str>(3) == "A" { "ALWAYS " } else { "" };
        off.push(format!("ALTER TABLE ONLY {table} DISABLE TRIGGER {trigger}"));
        on.push(format!("ALTER TABLE ONLY {table} ENABLE {always}TRIGGER {trigger}"));
    }
    asking::run(session, "switch the triggers off", &off.join("; ")).await?;
    Ok(Off { on })
}

impl Off {
    /// Switches them on again.
    pub(super) async fn switch_on(self, session: &Session) -> Result<(), StepError> {
        asking::run(session, "switch the triggers on", &self.on.join("; ")).await
    }
}
