//! What the copy holds: definitions on one session, rows counted and hashed on several.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use engine::context::StepContext;
use futures_util::future::try_join_all;
use model::set::manifest::{Table, TableData, TableName};
use model::set::{Contents, RowHash};
use model::step_error::StepError;

use crate::pg::catalogue::{SizedTable, capture, count, list_tables, read_large_objects};
use crate::pg::connection::{Session, connect_pinned};
use crate::pg::copy::{RowSource, hash_rows};
use crate::pg::meter::Meter;
use crate::pg::pieces::{Piece, pieces};
use crate::pg::target::Target;

/// Tables larger than this are read by several connections; a range of blocks costs the server more
/// than a whole table does.
const PART_SIZE: u64 = 256 << 20;

/// A copy to be measured.
pub(super) struct Measure<'a> {
    /// The step.
    pub(super) ctx: &'a StepContext,
    /// The copy.
    pub(super) target: &'a Target,
    /// What it is compared with.
    pub(super) expected: &'a Contents,
    /// Also the contents, not only the counts.
    pub(super) hashes: bool,
    /// Connections at once.
    pub(super) jobs: usize,
    /// Progress.
    pub(super) meter: &'a Meter,
}

enum Task {
    Hash(Piece),
    Count(usize),
}

#[derive(Default)]
struct Measured {
    hashes: BTreeMap<usize, RowHash>,
    counts: BTreeMap<usize, u64>,
}

impl Measure<'_> {
    /// What the copy holds.
    pub(super) async fn contents(&self) -> Result<Contents, StepError> {
        let session = connect_pinned(self.ctx, self.target).await?;
        let (tables, _) = list_tables(&session, &self.expected.scope).await?;
        let tables = self.wanted(tables);
        let (captured, measured) = tokio::try_join!(self.capture(&session), self.rows(&tables))?;
        session.close().await;
        let mut contents = captured;
        for (index, sized) in tables.iter().enumerate() {
            let name = sized.table.table_name();
            let found = contents.tables.iter_mut().find(|table| table.table_name() == name);
            let Some(table) = found else { continue };
            table.rows = measured.counts.get(&index).copied();
            table.hash = measured.hashes.get(&index).map(RowHash::hex);
        }
        Ok(contents)
    }

    async fn capture(&self, session: &Session) -> Result<Contents, StepError> {
        let mut contents = capture(session, &self.expected.scope).await?;
        let has_large_objects =
            contents.large_objects.count > 0 || self.expected.large_objects.hash.is_some();
        if self.hashes && has_large_objects {
            read_large_objects(session, &mut contents).await?;
        }
        Ok(contents)
    }

    /// The tables whose rows are in the set, with the columns in the set's order: the hash is
    /// over that text.
    fn wanted(&self, tables: Vec<SizedTable>) -> Vec<SizedTable> {
        let expected: BTreeMap<TableName, &Table> =
            self.expected.tables.iter().map(|table| (table.table_name(), table)).collect();
        let wanted = tables.into_iter().filter_map(|mut sized| {
            let table = expected.get(&sized.table.table_name())?;
            let sorted = |table: &Table| {
                let mut columns = table.columns.clone();
                columns.sort();
                columns
            };
            if sorted(table) == sorted(&sized.table) {
                sized.table.columns.clone_from(&table.columns);
            }
            (table.data != TableData::None && sized.table.data != TableData::None).then_some(sized)
        });
        wanted.collect()
    }

    async fn rows(&self, tables: &[SizedTable]) -> Result<Measured, StepError> {
        let pieces = pieces(tables, Some(PART_SIZE));
        // Rows that are hashed are counted by that: they were read from the table itself.
        let tasks: VecDeque<Task> = if self.hashes {
            pieces.into_iter().map(Task::Hash).collect()
        } else {
            let firsts = pieces.iter().filter(|piece| piece.number == 1);
            firsts.map(|piece| Task::Count(piece.table)).collect()
        };
        let tasks = Mutex::new(tasks);
        let workers = (0..self.jobs).map(|_| self.work_off(tables, &tasks));
        let mut all = Measured::default();
        for measured in try_join_all(workers).await? {
            all.counts.extend(measured.counts);
            for (index, hash) in measured.hashes {
                all.hashes.entry(index).or_default().merge(&hash);
            }
        }
        all.counts.extend(all.hashes.iter().map(|(&index, hash)| (index, hash.rows())));
        Ok(all)
    }

    async fn work_off(
        &self,
        tables: &[SizedTable],
        tasks: &Mutex<VecDeque<Task>>,
    ) -> Result<Measured, StepError> {
        let next = || tasks.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let session = connect_pinned(self.ctx, self.target).await?;
        let mut measured = Measured::default();
        while let Some(task) = next() {
            match task {
                Task::Count(index) => {
                    let table = &tables[index].table;
                    let activity = format!("count `{}`", table.table_name());
                    let rows = self.meter.while_running(&activity, count(&session, table)).await?;
                    measured.counts.insert(index, rows);
                }
                Task::Hash(piece) => {
                    let source = RowSource::of(&tables[piece.table].table, piece.blocks);
                    let (hash, _) = hash_rows(&session, &source.metered(self.meter)).await?;
                    measured.hashes.entry(piece.table).or_default().merge(&hash);
                }
            }
        }
        session.close().await;
        Ok(measured)
    }
}
