//! The bytes of objects and parts: a file each, gone with the last that knows it.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, stream};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};

use super::sums::{Hashed, Hashing, Said};

/// How much is read at once.
const CHUNK: usize = 256 * 1024;

/// A folder of files, and how much they may hold.
pub(super) struct Disk {
    root: PathBuf,
    used: Arc<AtomicU64>,
    quota: AtomicU64,
}

/// A file that is removed when nobody knows it any more.
pub(super) struct Stored {
    path: PathBuf,
    bytes: u64,
    used: Arc<AtomicU64>,
}

impl Stored {
    /// Its size.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
        // A file that stays goes with the folder.
        std::fs::remove_file(&self.path).ok();
    }
}

impl Disk {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, used: Arc::default(), quota: AtomicU64::new(u64::MAX) }
    }

    /// Lets all files together hold no more than so many bytes.
    pub(super) fn limit(&self, quota: Option<u64>) {
        self.quota.store(quota.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Whether they are limited.
    pub(super) fn is_limited(&self) -> bool {
        self.quota.load(Ordering::Relaxed) != u64::MAX
    }

    /// How many bytes all files hold.
    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether another byte has room.
    pub(super) fn has_room(&self, more: u64) -> S3Result<()> {
        if self.used().saturating_add(more) > self.quota.load(Ordering::Relaxed) {
            return Err(full());
        }
        Ok(())
    }

    /// Writes what comes, and compares it with what was said of it.
    pub(super) async fn write<E>(
        &self,
        body: impl Stream<Item = Result<Bytes, E>>,
        said: Said,
    ) -> S3Result<(Arc<Stored>, Hashed)>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let path = self.root.join(super::random_word().map_err(S3Error::internal_error)?);
        let mut file = File::create_new(&path).await.map_err(S3Error::internal_error)?;
        let mut stored = Stored { path, bytes: 0, used: Arc::clone(&self.used) };
        let mut hashing = said.hashing();
        let mut body = std::pin::pin!(body);
        while let Some(chunk) = body.next().await {
            let chunk = chunk
                .map_err(|error| S3Error::with_source(S3ErrorCode::IncompleteBody, error.into()))?;
            let more = chunk.len() as u64;
            self.has_room(more)?;
            self.used.fetch_add(more, Ordering::Relaxed);
            stored.bytes += more;
            hashing.update(&chunk);
            file.write_all(&chunk).await.map_err(S3Error::internal_error)?;
        }
        file.flush().await.map_err(S3Error::internal_error)?;
        let hashed = hashing.finish();
        said.check(&hashed)?;
        Ok((Arc::new(stored), hashed))
    }
}

/// The answer of a store that is full.
fn full() -> S3Error {
    let mut error = s3_error!(InternalError, "The laboratory's store is full.");
    error.set_code(S3ErrorCode::Custom("QuotaExceeded".into()));
    error.set_status_code(s3s_status(507));
    error
}

/// A status by its number.
pub(super) fn s3s_status(number: u16) -> axum::http::StatusCode {
    axum::http::StatusCode::from_u16(number).expect("the number is a status")
}

/// A file of which some is still to be read.
struct Rest {
    file: Arc<Stored>,
    range: Range<u64>,
}

/// The bytes in a range of files that stand one behind the other.
pub(super) fn read(
    files: &[Arc<Stored>],
    range: Range<u64>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + Sync + use<> {
    let mut start = 0;
    let mut rest = VecDeque::new();
    for file in files {
        let end = start + file.bytes;
        let inside = range.start.max(start)..range.end.min(end);
        if inside.start < inside.end {
            let range = inside.start - start..inside.end - start;
            rest.push_back(Rest { file: Arc::clone(file), range });
        }
        start = end;
    }
    stream::try_unfold((rest, None::<File>), async |(mut rest, mut open)| {
        let Some(front) = rest.front_mut() else { return Ok(None) };
        let mut file = if let Some(file) = open.take() {
            file
        } else {
            let mut file = File::open(&front.file.path).await?;
            file.seek(io::SeekFrom::Start(front.range.start)).await?;
            file
        };
        let left = usize::try_from(front.range.end - front.range.start).unwrap_or(CHUNK);
        let mut chunk = BytesMut::zeroed(left.min(CHUNK));
        let read = file.read(&mut chunk).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        chunk.truncate(read);
        front.range.start += read as u64;
        if front.range.start < front.range.end {
            open = Some(file);
        } else {
            rest.pop_front();
        }
        Ok(Some((chunk.freeze(), (rest, open))))
    })
}

/// The checksums of files that stand one behind the other.
pub(super) async fn hash(files: &[Arc<Stored>], mut hashing: Hashing) -> S3Result<Hashed> {
    let mut body = std::pin::pin!(read(files, 0..u64::MAX));
    while let Some(chunk) = body.next().await {
        hashing.update(&chunk.map_err(S3Error::internal_error)?);
    }
    Ok(hashing.finish())
}
