//! An object read back: its SHA-256 and size are checked while it streams.

use std::io::{self, Read};
use std::path::Path;

use bytes::Bytes;
use model::set::RowHash;
use model::set::manifest::File;
use model::step_error::StepError;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::{BATCH, WAITING};
use crate::store::{Store, hex};

/// What an object held.
#[derive(Debug, Clone)]
pub(in crate::pg) struct Unpacked {
    /// Its rows.
    pub(in crate::pg) hash: RowHash,
}

/// The object differs from what the manifest says of it.
fn damaged(file: &File, why: &str) -> StepError {
    StepError::permanent("RB0613", format!("`{}` is damaged: {why}", file.path))
        .hint("restore from another set, and take a new backup")
}

fn missing(file: &File) -> StepError {
    StepError::permanent("RB0614", format!("`{}` is missing from the set", file.path))
        .hint("restore from another set, and take a new backup")
}

/// Sends the bytes of an object.
async fn send(
    store: &dyn Store,
    folder: &str,
    file: &File,
    chunks: mpsc::Sender<Bytes>,
) -> Result<(), StepError> {
    let path = format!("{folder}/{}", file.path);
    let mut reader = match store.open(&path).await {
        Err(crate::store::StoreError::Missing { .. }) => return Err(missing(file)),
        opened => opened?,
    };
    while let Some(chunk) = reader.read().await? {
        if chunks.send(chunk).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Checks size and SHA-256 at the end.
struct Checker<'a> {
    file: &'a File,
    digest: Sha256,
    bytes: u64,
}

impl<'a> Checker<'a> {
    fn new(file: &'a File) -> Self {
        Self { file, digest: Sha256::new(), bytes: 0 }
    }

    fn add(&mut self, chunk: &[u8]) {
        self.digest.update(chunk);
        self.bytes += chunk.len() as u64;
    }

    fn finish(self) -> Result<(), StepError> {
        let (file, sha256) = (self.file, hex(self.digest.finalize()));
        if self.bytes != file.bytes {
            let why = format!("it has {} bytes, the manifest says {}", self.bytes, file.bytes);
            return Err(damaged(file, &why));
        }
        if sha256 != file.sha256 {
            return Err(damaged(
                file,
                &format!("its SHA-256 is `{sha256}`, the manifest says `{}`", file.sha256),
            ));
        }
        Ok(())
    }
}

/// Reads an object and checks its size and SHA-256.
pub(in crate::pg) async fn read_through(
    store: &dyn Store,
    folder: &str,
    file: &File,
) -> Result<(), StepError> {
    let (chunks, mut received) = mpsc::channel::<Bytes>(WAITING);
    let checked = file.clone();
    let checked = spawn_blocking(move || {
        let mut checker = Checker::new(&checked);
        while let Some(chunk) = received.blocking_recv() {
            checker.add(&chunk);
        }
        checker.finish()
    });
    let sent = send(store, folder, file, chunks).await;
    let checked = checked.await.expect("hashing does not panic");
    sent?;
    checked
}

/// Saves an object under a path of the file system, checked.
pub(in crate::pg) async fn save(
    store: &dyn Store,
    folder: &str,
    file: &File,
    to: &Path,
) -> Result<(), StepError> {
    let failed = |error: io::Error| {
        StepError::transient("RB0516", format!("`{}` could not be staged", file.path))
            .caused_by(&error)
    };
    let mut options = tokio::fs::OpenOptions::new();
    let mut out =
        options.write(true).create_new(true).mode(0o600).open(to).await.map_err(failed)?;
    let (chunks, mut received) = mpsc::channel::<Bytes>(WAITING);
    let mut checker = Checker::new(file);
    let saving = async {
        while let Some(chunk) = received.recv().await {
            checker.add(&chunk);
            out.write_all(&chunk).await.map_err(failed)?;
        }
        out.flush().await.map_err(failed)?;
        checker.finish()
    };
    let (sent, saved) = tokio::join!(send(store, folder, file, chunks), saving);
    sent.and(saved)
}

/// Decompresses an object of rows; `rows` gets them in batches, when given.
pub(super) async fn unpack_rows(
    store: &dyn Store,
    folder: &str,
    file: &File,
    rows: Option<mpsc::Sender<Bytes>>,
) -> Result<Unpacked, StepError> {
    let (chunks, received) = mpsc::channel(WAITING);
    let expected = file.clone();
    let unpacked = spawn_blocking(move || decompress(&expected, received, rows));
    let sent = send(store, folder, file, chunks).await;
    let unpacked = unpacked.await.expect("decompression does not panic");
    sent?;
    unpacked
}

/// Runs on a thread of its own. A damaged object is read to its end even when it no longer
/// decompresses, so that the verdict is always about its SHA-256.
fn decompress(
    file: &File,
    chunks: mpsc::Receiver<Bytes>,
    rows: Option<mpsc::Sender<Bytes>>,
) -> Result<Unpacked, StepError> {
    let mut source = Source { chunks, current: Bytes::new(), checker: Checker::new(file) };
    let decoded = decode(&mut source, rows.as_ref());
    source.drain();
    source.checker.finish()?;
    match decoded {
        Ok(hash) => Ok(Unpacked { hash }),
        Err(error) => Err(damaged(file, "it does not decompress").caused_by(&error)),
    }
}

fn decode(source: &mut Source<'_>, rows: Option<&mpsc::Sender<Bytes>>) -> io::Result<RowHash> {
    let mut decoder = zstd::Decoder::new(source)?;
    let mut hash = RowHash::new();
    let mut pending: Vec<u8> = Vec::with_capacity(BATCH * 2);
    loop {
        let start = pending.len();
        pending.resize(start + BATCH, 0);
        let read = decoder.read(&mut pending[start..])?;
        pending.truncate(start + read);
        let end = if read == 0 { pending.len() } else { line_end(&pending) };
        let batch = Bytes::from(pending.drain(..end).collect::<Vec<u8>>());
        hash.add_copy_text(&batch);
        if let Some(rows) = rows.filter(|_| !batch.is_empty()) {
            rows.blocking_send(batch).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        }
        if read == 0 {
            return Ok(hash);
        }
    }
}

fn line_end(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1)
}

/// The object's bytes as a reader.
struct Source<'a> {
    chunks: mpsc::Receiver<Bytes>,
    current: Bytes,
    checker: Checker<'a>,
}

impl Source<'_> {
    fn drain(&mut self) {
        while let Some(chunk) = self.chunks.blocking_recv() {
            self.checker.add(&chunk);
        }
    }
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.current.is_empty() {
            let Some(chunk) = self.chunks.blocking_recv() else { return Ok(0) };
            self.checker.add(&chunk);
            self.current = chunk;
        }
        let length = buffer.len().min(self.current.len());
        buffer[..length].copy_from_slice(&self.current.split_to(length));
        Ok(length)
    }
}
