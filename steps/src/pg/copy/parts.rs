//! The objects of tables, copied into tables over several connections.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use engine::context::StepContext;
use futures_util::future::try_join_all;
use model::set::manifest::{File, Table};
use model::step_error::StepError;

use super::open_set::OpenSet;
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

/// An object of rows, and the table that takes them.
struct Part<'a> {
    table: &'a Table,
    file: &'a File,
    /// Objects of the table that are not in yet.
    left: Arc<AtomicUsize>,
}

/// What is still to be copied.
type Parts<'a> = Mutex<VecDeque<Part<'a>>>;

impl CopyParts<'_> {
    /// Copies the objects of the first of each pair, a table of the set, into the second.
    pub(in crate::pg) async fn run<'t>(
        &self,
        tables: impl Iterator<Item = (&'t Table, &'t Table)>,
    ) -> Result<(), StepError> {
        let files = &self.from.set.manifest.files;
        let mut parts = Vec::new();
        for (table, to) in tables {
            let left = Arc::new(AtomicUsize::new(table.parts.len()));
            for part in &table.parts {
                let missing = || {
                    let message = format!("the manifest has no entry for `{}`", part.file);
                    StepError::permanent("RB0614", message)
                };
                let file = files.iter().find(|file| file.path == part.file);
                let file = file.ok_or_else(missing)?;
                parts.push(Part { table: to, file, left: Arc::clone(&left) });
            }
        }
        parts.sort_by_key(|part| std::cmp::Reverse(part.file.bytes));
        let parts = Mutex::new(VecDeque::from(parts));
        try_join_all((0..self.jobs).map(|_| self.copy(&parts))).await?;
        Ok(())
    }

    async fn copy(&self, parts: &Parts<'_>) -> Result<(), StepError> {
        let next = || parts.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let session = connect_pinned(self.ctx, self.target).await?;
        while let Some(Part { table, file, left }) = next() {
            restore_rows(&session, table, self.from, file).await?;
            self.meter.add(&format!("restore `{}`", table.table_name()), file.bytes);
            if self.analyze && left.fetch_sub(1, Ordering::Relaxed) == 1 {
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
