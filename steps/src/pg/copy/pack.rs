//! Rows into an object: hashed, compressed, stored, each stage on its own.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use model::set::RowHash;
use model::set::manifest::{File, FileKind};
use model::step_error::StepError;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::place::Place;
use super::rows_out::RowSource;
use super::{BATCH, WAITING};
use crate::pg::connection::Session;
use crate::store::{Written, hex};

/// What was written of a table, or of a part of it.
#[derive(Debug, Clone)]
pub(in crate::pg) struct Packed {
    /// The rows.
    pub(in crate::pg) hash: RowHash,
    /// Bytes of COPY text.
    pub(in crate::pg) copy_bytes: u64,
    /// The object.
    pub(in crate::pg) file: File,
}

/// Copies rows into a new object.
pub(in crate::pg) async fn pack_rows(
    session: &Session,
    source: &RowSource,
    place: &Place,
    path: &str,
    level: i32,
) -> Result<Packed, StepError> {
    let (rows, batches) = mpsc::channel(WAITING);
    let (chunks, stored) = mpsc::channel(WAITING);
    let compressed = spawn_blocking(move || compress(batches, chunks, level));
    let reading = async {
        let sent = source.send(session, &rows).await;
        drop(rows);
        sent
    };
    let (copy_bytes, written) = tokio::join!(reading, place.store(path, stored));
    let compressed = compressed.await.expect("compression does not panic");
    // What broke first ended the others: the server and the store tell more than the pipe does.
    let (copy_bytes, stored) = (copy_bytes?, written?);
    let (hash, object) = compressed.map_err(|error| broken(&source.what, &error))?;
    let file = place.commit(path, FileKind::Data, stored, object).await?;
    Ok(Packed { hash, copy_bytes, file })
}

/// What compresses a text, so that stock programs read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pg) enum Packing {
    /// Nothing.
    None,
    /// zstd, at that level.
    Zstd(i32),
    /// gzip, at that level.
    Gzip(u32),
}

/// Stores what `source` sends, compressed, as a new object; it appears when `source` has succeeded.
pub(in crate::pg) async fn pack_stream(
    place: &Place,
    (path, kind): (&str, FileKind),
    packing: Packing,
    source: impl AsyncFnOnce(mpsc::Sender<Bytes>) -> Result<(), StepError>,
) -> Result<File, StepError> {
    let (text, batches) = mpsc::channel(WAITING);
    let (chunks, stored) = mpsc::channel(WAITING);
    let packed = spawn_blocking(move || pack_text(batches, chunks, packing));
    let (sent, written) = tokio::join!(source(text), place.store(path, stored));
    let packed = packed.await.expect("compression does not panic");
    // A store that is full ends the program, too: of the two the store knows why.
    let stored = written?;
    sent?;
    let object = packed.map_err(|error| broken(&format!("write `{path}`"), &error))?;
    place.commit(path, kind, stored, object).await
}

fn broken(what: &str, error: &io::Error) -> StepError {
    StepError::permanent("RB0515", format!("{what}: the rows could not be compressed"))
        .caused_by(error)
}

/// Runs on a thread of its own.
fn compress(
    mut batches: mpsc::Receiver<Bytes>,
    chunks: mpsc::Sender<Bytes>,
    level: i32,
) -> io::Result<(RowHash, Written)> {
    let mut hash = RowHash::new();
    let mut encoder = zstd::Encoder::new(Sink::new(chunks), level)?;
    encoder.include_checksum(true)?;
    while let Some(batch) = batches.blocking_recv() {
        hash.add_copy_text(&batch);
        encoder.write_all(&batch)?;
    }
    Ok((hash, encoder.finish()?.finish()?))
}

/// Runs on a thread of its own.
fn pack_text(
    mut batches: mpsc::Receiver<Bytes>,
    chunks: mpsc::Sender<Bytes>,
    packing: Packing,
) -> io::Result<Written> {
    let mut feed = |out: &mut dyn Write| -> io::Result<()> {
        while let Some(batch) = batches.blocking_recv() {
            out.write_all(&batch)?;
        }
        Ok(())
    };
    let mut sink = Sink::new(chunks);
    match packing {
        Packing::None => feed(&mut sink)?,
        Packing::Zstd(level) => {
            let mut encoder = zstd::Encoder::new(sink, level)?;
            encoder.include_checksum(true)?;
            feed(&mut encoder)?;
            sink = encoder.finish()?;
        }
        Packing::Gzip(level) => {
            let mut encoder = GzEncoder::new(sink, Compression::new(level));
            feed(&mut encoder)?;
            sink = encoder.finish()?;
        }
    }
    sink.finish()
}

/// Gathers compressed bytes into chunks, hashes them and sends them on.
struct Sink {
    chunks: mpsc::Sender<Bytes>,
    gathered: Vec<u8>,
    digest: Sha256,
    bytes: u64,
}

impl Sink {
    fn new(chunks: mpsc::Sender<Bytes>) -> Self {
        Self { chunks, gathered: Vec::with_capacity(BATCH), digest: Sha256::new(), bytes: 0 }
    }

    fn send(&mut self) -> io::Result<()> {
        let chunk = std::mem::replace(&mut self.gathered, Vec::with_capacity(BATCH));
        self.digest.update(&chunk);
        self.bytes += chunk.len() as u64;
        self.chunks.blocking_send(chunk.into()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn finish(mut self) -> io::Result<Written> {
        self.send()?;
        Ok(Written { bytes: self.bytes, sha256: hex(self.digest.finalize()) })
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= BATCH {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compressor_that_fails_is_named_with_its_table() {
        let error = broken("dump `public.orders`", &io::Error::other("memory ran out"));
        shown::case("RB0515", error.told());
    }
}
