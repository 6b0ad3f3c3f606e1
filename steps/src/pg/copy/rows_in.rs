//! COPY FROM STDIN. <https://www.postgresql.org/docs/current/sql-copy.html>

use bytes::Bytes;
use futures_util::{SinkExt, pin_mut};
use model::set::manifest::{File, Table, TableData};
use model::step_error::StepError;
use tokio::sync::mpsc;

use super::WAITING;
use super::open_set::OpenSet;
use super::unpack::{Fault, send_rows};
use crate::pg::classify;
use crate::pg::connection::Session;
use crate::pg::sql;

/// Copies the rows of one object into its table; nothing of it stays when the object is damaged.
pub(super) async fn restore_rows(
    session: &Session,
    table: &Table,
    from: &OpenSet<'_>,
    file: &File,
) -> Result<(), StepError> {
    let what = format!("restore `{}`", table.table_name());
    let (rows, batches) = mpsc::channel(WAITING);
    session.execute_all(&what, "BEGIN").await?;
    let receiving = receive(session, table, &what, batches);
    let (sent, received) = tokio::join!(send_rows(from, file, rows), receiving);
    let (sent, received) = match (sent?, received) {
        // The server's refusal tells more than the broken pipe it causes, and a damaged object
        // more than the row in it that the server could not read.
        (Ok(_) | Err(Fault::NotTaken), Err(refusal)) => return Err(refusal),
        (Err(fault), _) => return Err(fault.error(file)),
        (Ok(sent), Ok(received)) => (sent, received),
    };
    if received != sent {
        let message = format!(
            "{what}: the server took {received} rows of `{}`, which holds {sent}",
            file.path
        );
        return Err(StepError::permanent("RB0519", message));
    }
    session.execute_all(&what, "COMMIT").await
}

/// Copies batches of rows into a table; gives their number. A table of one object is emptied in the same transaction, so that its rows may be written
/// frozen and need no vacuum.
pub(in crate::pg) async fn receive(
    session: &Session,
    table: &Table,
    what: &str,
    mut batches: mpsc::Receiver<Bytes>,
) -> Result<u64, StepError> {
    let failed = |error| classify::statement(what, &error);
    let name = sql::qualified(&table.schema, &table.name);
    let frozen = table.parts.len() == 1 && table.data == TableData::All;
    if frozen {
        session.execute_all(what, &format!("TRUNCATE ONLY {name}")).await?;
    }
    let columns = sql::identifiers(table.columns.iter().map(String::as_str));
    let columns = if columns.is_empty() { columns } else { format!("({columns})") };
    let freeze = if frozen { "WITH (FREEZE)" } else { "" };
    let statement = format!("COPY {name} {columns} FROM STDIN {freeze}");
    let sink = session.copy_in(&statement).await.map_err(failed)?;
    pin_mut!(sink);
    while let Some(batch) = batches.recv().await {
        sink.feed(batch).await.map_err(failed)?;
    }
    sink.finish().await.map_err(failed)
}
