//! COPY TO STDOUT. <https://www.postgresql.org/docs/current/sql-copy.html>

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, pin_mut};
use model::set::manifest::{Blocks, Table};
use model::step_error::StepError;
use tokio::sync::mpsc;

use super::BATCH;
use crate::pg::catalogue::copy_out;
use crate::pg::classify;
use crate::pg::connection::Session;
use crate::pg::meter::Meter;

/// What is read: the words for it, and the statement.
#[derive(Clone)]
pub(in crate::pg) struct RowSource {
    /// ``copy `public.orders` ``.
    pub(in crate::pg) what: String,
    statement: String,
    meter: Option<Meter>,
}

impl RowSource {
    /// The rows of a table, or of some of its blocks.
    pub(in crate::pg) fn of(table: &Table, blocks: Option<Blocks>) -> Self {
        let statement = copy_out(table, blocks);
        Self { what: format!("copy `{}`", table.table_name()), statement, meter: None }
    }

    /// Counts the bytes that pass.
    #[must_use]
    pub(in crate::pg) fn metered(self, meter: &Meter) -> Self {
        Self { meter: Some(meter.clone()), ..self }
    }

    /// Sends the rows in batches that end with a row's end.
    pub(super) async fn send(
        &self,
        session: &Session,
        batches: &mpsc::Sender<Bytes>,
    ) -> Result<u64, StepError> {
        let failed = |error| classify::not_applied(classify::statement(&self.what, &error));
        let rows = session.copy_out(&self.statement).await.map_err(failed)?;
        pin_mut!(rows);
        let (mut batch, mut sent) = (BytesMut::with_capacity(BATCH * 2), 0);
        while let Some(row) = rows.next().await {
            batch.extend_from_slice(&row.map_err(failed)?);
            if batch.len() >= BATCH && batch.last() == Some(&b'\n') {
                sent += self.count(&batch);
                if batches.send(batch.split().freeze()).await.is_err() {
                    return Ok(sent);
                }
                batch.reserve(BATCH * 2);
            }
        }
        sent += self.count(&batch);
        if !batch.is_empty() {
            batches.send(batch.freeze()).await.ok();
        }
        Ok(sent)
    }

    fn count(&self, batch: &[u8]) -> u64 {
        let bytes = batch.len() as u64;
        if let Some(meter) = &self.meter {
            meter.add(&self.what, bytes);
        }
        bytes
    }
}
