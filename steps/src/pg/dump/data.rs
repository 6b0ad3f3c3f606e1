//! The rows: several connections on one snapshot take one piece after the other.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use model::set::RowHash;
use model::set::layout;
use model::set::manifest::{File, Part, Table};
use model::step_error::StepError;
use tokio::task::JoinSet;

use crate::pg::catalogue::{SizedTable, count};
use crate::pg::classify;
use crate::pg::connection::Session;
use crate::pg::copy::{Packed, Place, RowSource, hash_rows, pack_rows};
use crate::pg::meter::Meter;
use crate::pg::pieces::Piece;

/// What all connections share.
pub(super) struct Work {
    /// Where the objects go.
    pub(super) place: Place,
    /// The tables.
    pub(super) tables: Vec<SizedTable>,
    /// What is left to do.
    pub(super) tasks: Mutex<VecDeque<Task>>,
    /// zstd's level; without it the rows are read for their hashes only.
    pub(super) level: Option<i32>,
    /// Progress.
    pub(super) meter: Meter,
}

/// Something a connection does next.
pub(super) enum Task {
    /// Copies a piece.
    Copy(Piece),
    /// Counts the rows of the table at that place.
    Count(usize),
}

/// What came of a task.
enum Done {
    Copied(Piece, Packed),
    Hashed(usize, RowHash),
    Counted(usize, u64),
}

/// Copies first, biggest first, then counts.
pub(super) fn tasks(pieces: Vec<Piece>) -> Mutex<VecDeque<Task>> {
    let firsts = pieces.iter().filter(|piece| piece.number == 1);
    let counts: Vec<Task> = firsts.map(|piece| Task::Count(piece.table)).collect();
    Mutex::new(pieces.into_iter().map(Task::Copy).chain(counts).collect())
}

/// Does every task; gives the tables with counts, hashes and parts, and the objects. The first
/// failure stops the others.
pub(super) async fn copy(
    work: Arc<Work>,
    sessions: Vec<Session>,
) -> Result<(Vec<Table>, Vec<File>), StepError> {
    let mut running = JoinSet::new();
    for session in sessions {
        running.spawn(work_off(Arc::clone(&work), session));
    }
    let mut done = Vec::new();
    while let Some(ended) = running.join_next().await {
        done.extend(ended.expect("a copying task does not panic")?);
    }
    let mut tables: Vec<Table> = work.tables.iter().map(|sized| sized.table.clone()).collect();
    let (files, hashes) = settle(&mut tables, done);
    check_counts(&tables, &hashes)?;
    Ok((tables, files))
}

async fn work_off(work: Arc<Work>, session: Session) -> Result<Vec<Done>, StepError> {
    let mut done = Vec::new();
    while let Some(task) = work.next() {
        done.push(match task {
            Task::Copy(piece) => copy_piece(&work, &session, piece).await?,
            Task::Count(index) => {
                let table = &work.tables[index].table;
                let activity = format!("count `{}`", table.table_name());
                let counted = work.meter.while_running(&activity, count(&session, table));
                let rows = counted.await.map_err(classify::not_applied)?;
                Done::Counted(index, rows)
            }
        });
    }
    session.close().await;
    Ok(done)
}

async fn copy_piece(work: &Work, session: &Session, piece: Piece) -> Result<Done, StepError> {
    let table = &work.tables[piece.table].table;
    let source = RowSource::of(table, piece.blocks).metered(&work.meter);
    let Some(level) = work.level else {
        return Ok(Done::Hashed(piece.table, hash_rows(session, &source).await?.0));
    };
    let path = layout::object_name(&table.schema, &table.name, piece.number);
    let packed = pack_rows(session, &source, &work.place, &path, level).await?;
    Ok(Done::Copied(piece, packed))
}

impl Work {
    fn next(&self) -> Option<Task> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// Writes what was done into the tables of the manifest, and gives the objects and the hashes.
fn settle(tables: &mut [Table], done: Vec<Done>) -> (Vec<File>, Vec<RowHash>) {
    let mut hashes = vec![RowHash::new(); tables.len()];
    let mut files = Vec::new();
    let mut copied = Vec::new();
    for done in done {
        match done {
            Done::Copied(piece, packed) => copied.push((piece, packed)),
            Done::Hashed(index, hash) => hashes[index].merge(&hash),
            Done::Counted(index, rows) => tables[index].rows = Some(rows),
        }
    }
    copied.sort_by_key(|(piece, ..)| (piece.table, piece.number));
    for (piece, packed) in copied {
        hashes[piece.table].merge(&packed.hash);
        tables[piece.table].parts.push(Part {
            file: packed.file.path.clone(),
            rows: packed.hash.rows(),
            hash: packed.hash.hex(),
            copy_bytes: packed.copy_bytes,
            blocks: piece.blocks,
        });
        files.push(packed.file);
    }
    for (table, hash) in tables.iter_mut().zip(&hashes) {
        table.hash = table.rows.is_some().then(|| hash.hex());
    }
    (files, hashes)
}

/// The rows that were streamed against the rows that SQL counted in the same snapshot.
fn check_counts(tables: &[Table], hashes: &[RowHash]) -> Result<(), StepError> {
    for (table, hash) in tables.iter().zip(hashes) {
        let copied = hash.rows();
        if table.rows.is_some_and(|counted| counted != copied) {
            let message = format!(
                "`{}`: {copied} rows were read, SQL counts {}",
                table.table_name(),
                table.rows.unwrap_or_default()
            );
            return Err(StepError::permanent("RB0519", message)
                .hint("an index or the table may be corrupt: check it with `pg_amcheck`"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_are_read_and_not_counted_are_refused() {
        let table = serde_json::json!({
            "schema": "public", "name": "orders", "kind": "table", "data": "all",
            "columns": ["id"], "rows": 2, "hash": null,
        });
        let table: Table = serde_json::from_value(table).unwrap();
        let mut hash = RowHash::new();
        hash.add_copy_text(b"1\n");
        let error = check_counts(&[table], &[hash]).unwrap_err();
        shown::case("RB0519", error.told());
    }
}
