//! An object in parts: several at once, and none left behind when it comes to nothing.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use aws_smithy_types::base64;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;

use super::super::classify::{AwsError, Kind};
use super::super::config::limits;
use super::bucket::{Keeping, MARK, UNIT, UPLOADS};
use super::commit::{Object, Sent};
use crate::store::StoreError;

/// The size of the first parts.
const PART: usize = 8 * 1024 * 1024;
/// After so many parts their size doubles: 10,000 parts hold 8 TiB, more than S3 takes.
const STEP: usize = 1000;
/// S3 puts the parts together before it answers.
const ASSEMBLY: Duration = Duration::from_mins(10);

/// The size of the part after so many.
pub(super) fn part_size(started: usize) -> usize {
    PART << (started / STEP).min(9)
}

/// An upload in parts; aborted when it is dropped before its end.
pub(super) struct Upload {
    /// There until the upload ends.
    open: Option<Open>,
    started: usize,
    bytes: u64,
    running: JoinSet<Result<Part, AwsError>>,
    done: Vec<Part>,
}

/// An upload as S3 knows it.
#[derive(Clone)]
struct Open {
    object: Object,
    id: String,
}

/// A part that has arrived.
struct Part {
    number: i32,
    etag: Option<String>,
    sha256: [u8; 32],
}

impl Upload {
    /// Starts an upload.
    pub(super) async fn start(object: Object) -> Result<Self, StoreError> {
        let id = create(&object).await.map_err(|error| object.at(error))?;
        let open = Some(Open { object, id });
        Ok(Self { open, started: 0, bytes: 0, running: JoinSet::new(), done: Vec::new() })
    }

    /// How many parts were started.
    pub(super) fn started(&self) -> usize {
        self.started
    }

    fn open(&self) -> &Open {
        self.open.as_ref().expect("an upload that ended is not used again")
    }

    /// Sends a part, in the background as soon as there is room for it.
    pub(super) async fn send(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        while let Some(part) = self.running.try_join_next() {
            self.arrived(part)?;
        }
        let open = self.open().clone();
        let units = u32::try_from((bytes.len() as u64).div_ceil(UNIT)).unwrap_or(UPLOADS);
        let room = Arc::clone(&open.object.bucket.uploads);
        let room = room.acquire_many_owned(units.clamp(1, UPLOADS)).await;
        let room = room.expect("the semaphore is never closed");
        self.started += 1;
        self.bytes += bytes.len() as u64;
        let number = i32::try_from(self.started).unwrap_or(i32::MAX);
        self.running.spawn(async move { open.send(number, bytes, room).await });
        Ok(())
    }

    fn arrived(
        &mut self,
        part: Result<Result<Part, AwsError>, tokio::task::JoinError>,
    ) -> Result<(), StoreError> {
        let part = part.expect("sending a part does not panic");
        self.done.push(part.map_err(|error| self.open().object.at(error))?);
        Ok(())
    }

    /// Waits for all parts and makes the object of them.
    pub(super) async fn complete(mut self) -> Result<(), StoreError> {
        let completed = self.try_complete().await;
        match &completed {
            // In doubt it may yet be completed; whoever sweeps removes it otherwise.
            Ok(()) | Err(StoreError::Unsure { .. }) => self.open = None,
            Err(_) => self.abort().await,
        }
        completed
    }

    async fn try_complete(&mut self) -> Result<(), StoreError> {
        while let Some(part) = self.running.join_next().await {
            self.arrived(part)?;
        }
        self.done.sort_by_key(|part| part.number);
        let mut all = Sha256::new();
        for part in &self.done {
            all.update(part.sha256);
        }
        let checksum = format!("{}-{}", base64::encode(all.finalize()), self.done.len());
        let sent = Sent { bytes: self.bytes, checksum };
        let open = self.open();
        open.object.commit(&sent, || Box::pin(open.complete(&self.done))).await
    }

    /// Removes what has arrived.
    pub(super) async fn abort(mut self) {
        self.running.shutdown().await;
        if let Some(open) = self.open.take() {
            open.abort().await;
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.running.abort_all();
        if let (Some(open), Ok(runtime)) = (self.open.take(), Handle::try_current()) {
            runtime.spawn(async move { open.abort().await });
        }
    }
}

async fn create(object: &Object) -> Result<String, AwsError> {
    let Object { bucket, key, mark, .. } = object;
    let Keeping { class, encryption, kms_key, lock, until } = bucket.keeping();
    let checksums = bucket.checksums().await?;
    let request = bucket.client().await?.create_multipart_upload();
    let answer = request
        .bucket(&bucket.place.bucket)
        .key(key)
        .metadata(MARK, mark)
        .set_checksum_algorithm(checksums.then_some(ChecksumAlgorithm::Sha256))
        .set_storage_class(class)
        .set_server_side_encryption(encryption)
        .set_ssekms_key_id(kms_key)
        .set_object_lock_mode(lock)
        .set_object_lock_retain_until_date(until)
        .send()
        .await
        .map_err(|error| AwsError::of("CreateMultipartUpload", &error))?;
    answer.upload_id.ok_or_else(|| {
        AwsError::new(Kind::Lost, "CreateMultipartUpload: the answer names no upload")
    })
}

impl Open {
    async fn send(
        &self,
        number: i32,
        bytes: Bytes,
        room: OwnedSemaphorePermit,
    ) -> Result<Part, AwsError> {
        let bucket = &self.object.bucket;
        let sha256: [u8; 32] = Sha256::digest(&bytes).into();
        let checksum = bucket.checksums().await?.then(|| base64::encode(sha256));
        let limits = aws_sdk_s3::config::Builder::new().timeout_config(limits(bytes.len() as u64));
        let answer = bucket
            .client()
            .await?
            .upload_part()
            .bucket(&bucket.place.bucket)
            .key(&self.object.key)
            .upload_id(&self.id)
            .part_number(number)
            .set_checksum_algorithm(checksum.is_some().then_some(ChecksumAlgorithm::Sha256))
            .set_checksum_sha256(checksum)
            .body(ByteStream::from(bytes))
            .customize()
            .config_override(limits)
            .send()
            .await
            .map_err(|error| AwsError::of("UploadPart", &error))?;
        drop(room);
        Ok(Part { number, etag: answer.e_tag, sha256 })
    }

    async fn complete(&self, parts: &[Part]) -> Result<(), AwsError> {
        let bucket = &self.object.bucket;
        let checksums = bucket.checksums().await?;
        let parts = parts.iter().map(|part| {
            let checksum = checksums.then(|| base64::encode(part.sha256));
            CompletedPart::builder()
                .part_number(part.number)
                .set_e_tag(part.etag.clone())
                .set_checksum_sha256(checksum)
                .build()
        });
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.collect())).build();
        let limits = limits(0).to_builder().operation_attempt_timeout(ASSEMBLY).build();
        let answer = bucket
            .client()
            .await?
            .complete_multipart_upload()
            .bucket(&bucket.place.bucket)
            .key(&self.object.key)
            .upload_id(&self.id)
            .if_none_match("*")
            .multipart_upload(parts)
            .customize()
            .config_override(aws_sdk_s3::config::Builder::new().timeout_config(limits))
            .send()
            .await;
        answer.map(drop).map_err(|error| AwsError::of("CompleteMultipartUpload", &error))
    }

    /// Removes the parts; what cannot be removed is swept later.
    async fn abort(&self) {
        let bucket = &self.object.bucket;
        let Ok(client) = bucket.client().await else { return };
        let request = client.abort_multipart_upload().bucket(&bucket.place.bucket);
        request.key(&self.object.key).upload_id(&self.id).send().await.ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_parts_hold_the_largest_object() {
        let all: u64 = (0..10_000).map(|started| part_size(started) as u64).sum();
        assert!(all >= 5 << 40, "{all}");
        assert_eq!((part_size(0), part_size(999), part_size(1000)), (PART, PART, 2 * PART));
        assert!(part_size(20_000) as u64 <= 5 << 30);
    }
}
