//! A reader: ranges of one version of an object, some fetched before they are asked for.

use std::collections::VecDeque;
use std::sync::Arc;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use bytes::{Bytes, BytesMut};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::AbortOnDropHandle;

use super::super::classify::{AwsError, Kind};
use super::bucket::{Bucket, size};
use crate::store::{ObjectReader, StoreError, StoreFuture};

/// Bytes of a range.
const RANGE: u64 = 8 * 1024 * 1024;
/// Ranges that one reader fetches at once, at most.
const AT_ONCE: usize = 4;
/// How often a range is fetched whose bytes break off.
const TRIES: u32 = 4;

/// An object that is being read.
pub(super) struct S3Reader {
    source: Source,
    bytes: u64,
    /// Where the next range starts that was not asked for yet.
    next: u64,
    ready: Option<Bytes>,
    ahead: VecDeque<Ahead>,
}

/// One version of an object.
#[derive(Clone)]
struct Source {
    bucket: Arc<Bucket>,
    path: String,
    etag: Option<String>,
}

/// A range on its way; the permit, when it has one, bounds what waits in memory.
struct Ahead {
    range: AbortOnDropHandle<Result<Got, StoreError>>,
    _room: Option<OwnedSemaphorePermit>,
}

/// A range that has arrived.
struct Got {
    bytes: Bytes,
    etag: Option<String>,
    /// Size of the whole object.
    whole: u64,
}

impl S3Reader {
    /// Opens the object; its first range is there when this returns.
    pub(super) async fn open(bucket: Arc<Bucket>, path: &str) -> Result<Self, StoreError> {
        let mut source = Source { bucket, path: path.to_owned(), etag: None };
        let got = match source.get(0).await {
            Err(StoreError::Rejected { source: error, .. }) if error.kind == Kind::NoRange => {
                source.empty(*error).await?
            }
            got => got?,
        };
        source.etag = got.etag;
        let next = got.bytes.len() as u64;
        let ready = Some(got.bytes).filter(|bytes| !bytes.is_empty());
        Ok(Self { source, bytes: got.whole, next, ready, ahead: VecDeque::new() })
    }

    /// Asks for more ranges: the one that is needed next in any case, others while there is room.
    fn ask(&mut self) {
        while self.next < self.bytes && self.ahead.len() < AT_ONCE {
            let room = Arc::clone(&self.source.bucket.ahead).try_acquire_owned().ok();
            if room.is_none() && !self.ahead.is_empty() {
                return;
            }
            let (source, start) = (self.source.clone(), self.next);
            let range = tokio::spawn(async move { source.get(start).await });
            self.ahead.push_back(Ahead { range: AbortOnDropHandle::new(range), _room: room });
            self.next = (start + RANGE).min(self.bytes);
        }
    }
}

impl ObjectReader for S3Reader {
    fn read(&mut self) -> StoreFuture<'_, Option<Bytes>> {
        Box::pin(async move {
            self.ask();
            if let Some(ready) = self.ready.take() {
                return Ok(Some(ready));
            }
            // It leaves the row when it is there: who gives up waiting loses no range.
            let Some(first) = self.ahead.front_mut() else { return Ok(None) };
            let got = (&mut first.range).await.expect("fetching a range does not panic");
            self.ahead.pop_front();
            Ok(Some(got?.bytes))
        })
    }
}

impl Source {
    fn broken(&self, why: impl Into<String>) -> StoreError {
        AwsError::new(Kind::Lost, why).at(&self.path)
    }

    /// The range that starts there.
    async fn get(&self, start: u64) -> Result<Got, StoreError> {
        let mut tries = 1;
        loop {
            let answer = self.ask(start).await?;
            match self.collect(start, answer).await {
                Err(_) if tries < TRIES => tries += 1,
                got => return got,
            }
        }
    }

    async fn ask(&self, start: u64) -> Result<GetObjectOutput, StoreError> {
        let client = self.bucket.client().await.map_err(|error| error.at(&self.path))?;
        let request = client
            .get_object()
            .bucket(&self.bucket.place.bucket)
            .key(self.bucket.key(&self.path))
            .range(format!("bytes={start}-{}", start + RANGE - 1))
            .set_if_match(self.etag.clone());
        request.send().await.map_err(|error| match AwsError::of("GetObject", &error) {
            AwsError { kind: Kind::Condition, .. } => {
                self.broken("the object was replaced while it was read")
            }
            error => error.at(&self.path),
        })
    }

    async fn collect(&self, start: u64, answer: GetObjectOutput) -> Result<Got, StoreError> {
        let length = size(answer.content_length());
        let whole = answer.content_range().and_then(|range| range.rsplit_once('/')?.1.parse().ok());
        // Whoever knows no ranges sends everything.
        let whole = whole.unwrap_or(length);
        let expected = RANGE.min(whole.saturating_sub(start));
        if length != expected {
            return Err(self.broken(format!("{expected} bytes were asked for, {length} came")));
        }
        let (etag, mut body) = (answer.e_tag, answer.body);
        let mut bytes = BytesMut::with_capacity(usize::try_from(length).unwrap_or_default());
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| self.broken(format!("GetObject: {error}")))?;
            bytes.extend_from_slice(&chunk);
        }
        if bytes.len() as u64 != length {
            return Err(self.broken(format!("{length} bytes were announced, {} came", bytes.len())));
        }
        Ok(Got { bytes: bytes.freeze(), etag, whole })
    }

    /// An object without bytes has no ranges either.
    async fn empty(&self, error: AwsError) -> Result<Got, StoreError> {
        let head = self.bucket.head(&self.path, None).await;
        match head.map_err(|error| error.at(&self.path))? {
            Some(head) if head.bytes == 0 => {
                Ok(Got { bytes: Bytes::new(), etag: head.etag, whole: 0 })
            }
            _ => Err(error.at(&self.path)),
        }
    }
}
