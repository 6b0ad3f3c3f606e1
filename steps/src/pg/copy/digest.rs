//! Rows read only to be hashed.

use bytes::Bytes;
use model::set::RowHash;
use model::step_error::StepError;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::WAITING;
use super::rows_out::RowSource;
use crate::pg::connection::Session;

/// The content hash of the rows, and the bytes of their COPY text.
pub(in crate::pg) async fn hash_rows(
    session: &Session,
    source: &RowSource,
) -> Result<(RowHash, u64), StepError> {
    let (rows, mut batches) = mpsc::channel::<Bytes>(WAITING);
    let hashed = spawn_blocking(move || {
        let mut hash = RowHash::new();
        while let Some(batch) = batches.blocking_recv() {
            hash.add_copy_text(&batch);
        }
        hash
    });
    let bytes = source.send(session, &rows).await;
    drop(rows);
    let hash = hashed.await.expect("hashing does not panic");
    Ok((hash, bytes?))
}
