//! Committing an object: by a condition that S3 holds, whatever becomes of the answer.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_types::base64;
use engine::{clock, random};
use sha2::{Digest, Sha256};

use super::super::classify::{AwsError, Kind};
use super::bucket::{Bucket, Head};
use crate::store::StoreError;

/// How often a commit is tried while somebody else writes at the same path.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);

/// An object on its way: where it goes, and the mark by which its writer knows it again.
#[derive(Clone)]
pub(super) struct Object {
    pub(super) bucket: Arc<Bucket>,
    pub(super) path: String,
    pub(super) key: String,
    pub(super) mark: String,
}

/// A commit on its way.
pub(super) type Sending<'a> = Pin<Box<dyn Future<Output = Result<(), AwsError>> + Send + 'a>>;

/// What was sent.
pub(super) struct Sent {
    pub(super) bytes: u64,
    /// SHA-256 in base64; of an object in parts, of those of its parts.
    pub(super) checksum: String,
}

/// SHA-256 as S3 writes it.
pub(super) fn sha256(bytes: &[u8]) -> String {
    base64::encode(Sha256::digest(bytes))
}

impl Object {
    pub(super) fn new(bucket: Arc<Bucket>, path: &str) -> Self {
        let key = bucket.key(path);
        Self { bucket, path: path.to_owned(), key, mark: random::mark() }
    }

    pub(super) fn at(&self, error: AwsError) -> StoreError {
        error.at(&self.path)
    }

    /// Sends the commit; when its answer does not tell, looks whose object is there.
    pub(super) async fn commit<'a>(
        &self,
        sent: &Sent,
        request: impl Fn() -> Sending<'a> + Send + Sync,
    ) -> Result<(), StoreError> {
        let mut tries = 1;
        let outcome = loop {
            match request().await {
                Err(AwsError { kind: Kind::Conflict, .. }) if tries < TRIES => {
                    clock::pause(PAUSE * 2_u32.pow(tries)).await;
                    tries += 1;
                }
                outcome => break outcome,
            }
        };
        match outcome {
            Ok(()) => match self.look().await? {
                Some(head) => self.compare(sent, &head).await,
                None => Err(StoreError::Missing { path: self.path.clone() }),
            },
            // An earlier try of the SDK may have succeeded, its answer lost.
            Err(error @ AwsError { kind: Kind::Condition | Kind::NoUpload | Kind::Lost, .. }) => {
                self.settle(sent, error).await
            }
            Err(error) => Err(self.at(error)),
        }
    }

    async fn look(&self) -> Result<Option<Head>, StoreError> {
        self.bucket.head(&self.path, None).await.map_err(|error| StoreError::Unsure {
            path: self.path.clone(),
            source: Box::new(error),
        })
    }

    /// Whose object is there after `error`, which does not tell.
    async fn settle(&self, sent: &Sent, error: AwsError) -> Result<(), StoreError> {
        let path = self.path.clone();
        match (self.look().await?, error.kind) {
            (Some(head), _) if head.mark.as_ref() == Some(&self.mark) => {
                self.compare(sent, &head).await
            }
            (Some(_), _) => Err(StoreError::Exists { path }),
            // The request may still be on its way.
            (None, Kind::Lost) => Err(StoreError::Unsure { path, source: Box::new(error) }),
            (None, _) => {
                let message = format!("{error}; nothing is there");
                Err(self.at(AwsError::new(Kind::Conflict, message)))
            }
        }
    }

    /// What S3 keeps against what was sent. An object that differs is removed again.
    async fn compare(&self, sent: &Sent, head: &Head) -> Result<(), StoreError> {
        let checksums = self.bucket.checksums().await.map_err(|error| self.at(error))?;
        let Some(why) = difference(sent, head, checksums) else { return Ok(()) };
        super::remove::object(&self.bucket, &self.path).await?;
        Err(StoreError::Altered { path: self.path.clone(), why })
    }
}

/// How an object differs from what was sent.
fn difference(sent: &Sent, head: &Head, checksums: bool) -> Option<String> {
    if head.bytes != sent.bytes {
        return Some(format!("{} bytes were sent, it has {}", sent.bytes, head.bytes));
    }
    if !checksums {
        return None;
    }
    let Some(found) = &head.checksum else {
        return Some("it has no SHA-256 that could be compared".to_owned());
    };
    // The number of parts behind the hyphen is not told by all.
    let own = |checksum: &str| checksum.split('-').next().unwrap_or_default().to_owned();
    (own(found) != own(&sent.checksum))
        .then(|| format!("SHA-256 `{}` was sent, it has `{found}`", sent.checksum))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn what_is_kept_is_compared_with_what_was_sent() {
        let sent = Sent { bytes: 5, checksum: sha256(b"hello") };
        assert_eq!(sent.checksum, "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=");
        let head = |bytes, checksum: Option<&str>| Head {
            bytes,
            modified: Timestamp::UNIX_EPOCH,
            etag: None,
            checksum: checksum.map(str::to_owned),
            mark: None,
            held: false,
        };
        let differs = |head: Head, checksums| difference(&sent, &head, checksums).is_some();
        assert!(!differs(head(5, Some(&sent.checksum)), true));
        assert!(!differs(head(5, Some(&format!("{}-3", sent.checksum))), true));
        assert!(differs(head(5, Some("bm90IGl0")), true));
        assert!(differs(head(5, None), true));
        assert!(!differs(head(5, None), false));
        assert!(differs(head(4, None), false));
    }
}
