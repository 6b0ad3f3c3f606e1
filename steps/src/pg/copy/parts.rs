//! The objects of tables, copied into tables over several connections.

use std::sync::{Mutex, PoisonError};

use engine::context::StepContext;
use futures_util::future::try_join_all;
use model::set::manifest::{File, Table};
use model::step_error::StepError;

use super::open_set::OpenSet;
use super::queue::Queue;
use super::rows_in::restore_rows;
use crate::pg::connection::{Session, connect_pinned};
use crate::pg::meter::Meter;
use crate::pg::sql;
use crate::pg::target::Target;

/// Objects on their way into tables.
pub(in crate::pg) struct CopyParts<'a> {
    /// The step.
    pub(in crate::pg) ctx: &'a StepContext,
    /// The database.
    pub(in crate::pg) target: &'a Target,
    /// The set.
    pub(in crate::pg) from: &'a OpenSet<'a>,
    /// Connections at once.
    pub(in crate::pg) jobs: usize,
    /// Counts what was read.
    pub(in crate::pg) meter: &'a Meter,
    /// Collects the statistics of each table when its last object is in, while others are copied.
    pub(in crate::pg) analyze: bool,
}

/// What is still to be copied.
type Parts<'a> = Mutex<Queue<&'a Table, &'a File>>;

impl CopyParts<'_> {
    /// Copies the objects of the first of each pair, a table of the set, into the second.
    pub(in crate::pg) async fn run<'t>(
        &self,
        tables: impl Iterator<Item = (&'t Table, &'t Table)>,
    ) -> Result<(), StepError> {
        let files = &self.from.set.manifest.files;
        let mut waiting = Vec::new();
        for (table, to) in tables {
            let mut parts = Vec::with_capacity(table.parts.len());
            for part in &table.parts {
                let missing = || {
                    let message = format!("the manifest has no entry for `{}`", part.file);
                    StepError::permanent("RB0614", message)
                };
                let file = files.iter().find(|file| file.path == part.file);
                let file = file.ok_or_else(missing)?;
                parts.push((file.bytes, file));
            }
            waiting.push((to, parts));
        }
        let parts = Mutex::new(Queue::new(waiting));
        try_join_all((0..self.jobs).map(|_| self.copy(&parts))).await?;
        Ok(())
    }

    async fn copy(&self, parts: &Parts<'_>) -> Result<(), StepError> {
        let parts = || parts.lock().unwrap_or_else(PoisonError::into_inner);
        let session = connect_pinned(self.ctx, self.target).await?;
        loop {
            let Some(taken) = parts().take() else { break };
            let (table, file) = (taken.table, taken.part);
            restore_rows(&session, table, self.from, file).await?;
            self.meter.add(&format!("restore `{}`", table.table_name()), file.bytes);
            if parts().is_in(&taken) && self.analyze {
                analyze(&session, table).await?;
            }
        }
        session.close().await;
        Ok(())
    }
}

async fn analyze(session: &Session, table: &Table) -> Result<(), StepError> {
    let statement = format!("ANALYZE {}", sql::qualified(&table.schema, &table.name));
    session.execute_all(&format!("analyze `{}`", table.table_name()), &statement).await
}
