//! An object read back: its SHA-256 and size are checked while it streams.

use std::io::{self, Read};
use std::path::Path;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use model::set::manifest::File;
use model::set::{Category, Difference, DifferenceKind, RowHash};
use model::step_error::StepError;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::open_set::OpenSet;
use super::{BATCH, WAITING};
use crate::store::{StoreError, hex};

/// What is wrong with an object of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::pg) enum Fault {
    /// It is not there.
    Missing,
    /// It is not what the manifest says of it.
    Damaged(String),
    /// The store has it and cannot give it: a link, a folder, no access.
    Unreadable(String),
    /// Whoever took the rows went away; nothing is known to be wrong with the object.
    NotTaken,
}

impl Fault {
    /// The error of a step that needs the object.
    pub(in crate::pg) fn error(&self, file: &File) -> StepError {
        let (code, message) = match self {
            Self::Missing => ("RB0614", self.words(file)),
            Self::Damaged(_) | Self::Unreadable(_) | Self::NotTaken => ("RB0613", self.words(file)),
        };
        StepError::permanent(code, message).hint("restore from another set, and take a new backup")
    }

    /// The difference that a proof names.
    pub(in crate::pg) fn difference(&self, file: &File) -> Difference {
        let kind = match self {
            Self::Missing => DifferenceKind::Missing,
            Self::Damaged(_) | Self::Unreadable(_) | Self::NotTaken => DifferenceKind::Changed,
        };
        Difference {
            category: Category::File,
            object: file.path.clone(),
            kind,
            expected: Some(file.sha256.clone()),
            found: None,
            message: self.words(file),
        }
    }

    fn words(&self, file: &File) -> String {
        match self {
            Self::Missing => format!("file `{}` is missing from the set", file.path),
            Self::Damaged(why) => format!("file `{}` is damaged: {why}", file.path),
            Self::Unreadable(why) => format!("file `{}` cannot be read: {why}", file.path),
            Self::NotTaken => format!("the rows of file `{}` were not taken", file.path),
        }
    }
}

/// An object that was read, or what is wrong with it; the store itself may fail, too.
pub(in crate::pg) type Checked<T> = Result<Result<T, Fault>, StoreError>;

/// Checks size and SHA-256 at the end.
pub(super) struct Checker<'a> {
    bytes_wanted: u64,
    sha256_wanted: &'a str,
    digest: Sha256,
    bytes: u64,
}

impl<'a> Checker<'a> {
    /// For the object as it is stored.
    pub(super) fn of_stored(file: &'a File) -> Self {
        Self::new(file.bytes, &file.sha256)
    }

    /// For what the object holds, without encryption.
    fn of_plain(file: &'a File) -> Self {
        match &file.plain {
            Some(plain) => Self::new(plain.bytes, &plain.sha256),
            None => Self::of_stored(file),
        }
    }

    fn new(bytes_wanted: u64, sha256_wanted: &'a str) -> Self {
        Self { bytes_wanted, sha256_wanted, digest: Sha256::new(), bytes: 0 }
    }

    /// Adds what comes next.
    pub(super) fn add(&mut self, chunk: &[u8]) {
        self.digest.update(chunk);
        self.bytes += chunk.len() as u64;
    }

    /// What is wrong, at the end.
    pub(super) fn finish(self) -> Result<(), Fault> {
        let (wanted, sha256) = (self.sha256_wanted, hex(self.digest.finalize()));
        if self.bytes != self.bytes_wanted {
            let why =
                format!("it has {} bytes, the manifest says {}", self.bytes, self.bytes_wanted);
            return Err(Fault::Damaged(why));
        }
        if sha256 != wanted {
            let why = format!("its SHA-256 is `{sha256}`, the manifest says `{wanted}`");
            return Err(Fault::Damaged(why));
        }
        Ok(())
    }
}

/// Reads an object and checks its size and SHA-256.
pub(in crate::pg) async fn read_through(from: &OpenSet<'_>, file: &File) -> Checked<()> {
    let (chunks, mut received) = mpsc::channel::<Bytes>(WAITING);
    let expected = file.clone();
    let checked = spawn_blocking(move || {
        let mut checker = Checker::of_stored(&expected);
        while let Some(chunk) = received.blocking_recv() {
            checker.add(&chunk);
        }
        checker.finish()
    });
    let sent = from.send_stored(file, chunks).await;
    let checked = checked.await.expect("hashing does not panic");
    Ok(sent?.and(checked))
}

/// Saves an object under a path of the file system, checked.
pub(in crate::pg) async fn save(
    from: &OpenSet<'_>,
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
    let mut checker = Checker::of_plain(file);
    let saving = async {
        while let Some(chunk) = received.recv().await {
            checker.add(&chunk);
            out.write_all(&chunk).await.map_err(failed)?;
        }
        out.flush().await.map_err(failed)?;
        checker.finish().map_err(|fault| fault.error(file))
    };
    let (sent, saved) = tokio::join!(from.send(file, chunks), saving);
    match sent? {
        // A disk that is full ends the reading, too: of the two the disk knows why.
        Ok(()) | Err(Fault::NotTaken) => saved,
        Err(fault) => Err(fault.error(file)),
    }
}

/// Decompresses an object of rows and hashes them.
pub(in crate::pg) async fn read_rows(from: &OpenSet<'_>, file: &File) -> Checked<RowHash> {
    unpack(from, file, |source| {
        let mut hash = RowHash::new();
        decode(source, |batch| {
            hash.add_copy_text(&batch);
            Ok(())
        })?;
        Ok(hash)
    })
    .await
}

/// Decompresses an object of rows and sends them in batches; gives their number.
pub(super) async fn send_rows(
    from: &OpenSet<'_>,
    file: &File,
    rows: mpsc::Sender<Bytes>,
) -> Checked<u64> {
    unpack(from, file, move |source| {
        let mut count = 0;
        decode(source, |batch| {
            count += newlines(&batch);
            rows.blocking_send(batch).map_err(|_| io::ErrorKind::BrokenPipe.into())
        })?;
        Ok(count)
    })
    .await
}

/// Decompresses a text, as what it is: zstd, gzip or neither. Gives its bytes.
pub(in crate::pg) async fn read_text(from: &OpenSet<'_>, file: &File) -> Checked<u64> {
    unpack(from, file, |source| {
        let mut bytes = 0;
        decode_text(source, |chunk| {
            bytes += chunk.len() as u64;
            Ok(())
        })?;
        Ok(bytes)
    })
    .await
}

/// Decompresses a text and sends it in chunks.
pub(in crate::pg) async fn send_text(
    from: &OpenSet<'_>,
    file: &File,
    text: mpsc::Sender<Bytes>,
) -> Checked<()> {
    unpack(from, file, move |source| {
        decode_text(source, |chunk| {
            text.blocking_send(chunk).map_err(|_| io::ErrorKind::BrokenPipe.into())
        })
    })
    .await
}

/// <https://datatracker.ietf.org/doc/html/rfc8878#section-3.1.1>,
/// <https://datatracker.ietf.org/doc/html/rfc1952#section-2.3.1>
fn decode_text(
    source: &mut Source<'_>,
    mut take: impl FnMut(Bytes) -> io::Result<()>,
) -> io::Result<()> {
    let magic = source.peek().to_vec();
    let mut reader: Box<dyn Read + '_> = match magic.as_slice() {
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::Decoder::new(source)?),
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(source)),
        _ => Box::new(source),
    };
    loop {
        let mut chunk = vec![0; BATCH];
        let read = reader.read(&mut chunk)?;
        if read == 0 {
            return Ok(());
        }
        chunk.truncate(read);
        take(chunk.into())?;
    }
}

/// The rows in a text.
pub(in crate::pg) fn newlines(text: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', text).count() as u64
}

/// Works on the decompressed object on a thread of its own. A damaged object is read to its end
/// even when it no longer decompresses, so that the verdict is about its SHA-256.
async fn unpack<T: Send + 'static>(
    from: &OpenSet<'_>,
    file: &File,
    work: impl FnOnce(&mut Source<'_>) -> io::Result<T> + Send + 'static,
) -> Checked<T> {
    let (chunks, received) = mpsc::channel(WAITING);
    let expected = file.clone();
    let unpacked = spawn_blocking(move || {
        let checker = Checker::of_plain(&expected);
        let mut source = Source { chunks: received, current: Bytes::new(), checker };
        let worked = work(&mut source);
        source.drain();
        source.checker.finish()?;
        worked.map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Fault::NotTaken,
            _ => Fault::Damaged(format!("it does not decompress: {error}")),
        })
    });
    let sent = from.send(file, chunks).await;
    let unpacked = unpacked.await.expect("decompression does not panic");
    Ok(sent?.and(unpacked))
}

/// Hands the rows on in batches that end with a row's end.
fn decode(
    source: &mut Source<'_>,
    mut take: impl FnMut(Bytes) -> io::Result<()>,
) -> io::Result<()> {
    let mut decoder = zstd::Decoder::new(source)?;
    let mut pending = Vec::with_capacity(BATCH);
    loop {
        let read = decoder.by_ref().take(BATCH as u64).read_to_end(&mut pending)?;
        let end = if read == 0 { pending.len() } else { line_end(&pending) };
        let mut rest = Vec::with_capacity(BATCH + pending.len() - end);
        rest.extend_from_slice(&pending[end..]);
        pending.truncate(end);
        let batch = std::mem::replace(&mut pending, rest);
        if !batch.is_empty() {
            take(batch.into())?;
        }
        if read == 0 {
            return Ok(());
        }
    }
}

fn line_end(bytes: &[u8]) -> usize {
    memchr::memrchr(b'\n', bytes).map_or(0, |newline| newline + 1)
}

/// The object's bytes as a reader.
struct Source<'a> {
    chunks: mpsc::Receiver<Bytes>,
    current: Bytes,
    checker: Checker<'a>,
}

impl Source<'_> {
    /// The bytes that come next, some of them.
    fn peek(&mut self) -> &[u8] {
        if self.current.is_empty()
            && let Some(chunk) = self.chunks.blocking_recv()
        {
            self.checker.add(&chunk);
            self.current = chunk;
        }
        &self.current
    }

    fn drain(&mut self) {
        while let Some(chunk) = self.chunks.blocking_recv() {
            self.checker.add(&chunk);
        }
    }
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(self.peek().len());
        buffer[..length].copy_from_slice(&self.current.split_to(length));
        Ok(length)
    }
}
