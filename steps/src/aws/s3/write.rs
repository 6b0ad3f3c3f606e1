//! A writer: small objects go by one request, large ones by parts that are on their way while
//! the next one fills.

use std::sync::Arc;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ChecksumAlgorithm;
use bytes::{Bytes, BytesMut};

use super::super::classify::AwsError;
use super::super::config::limits;
use super::bucket::{Bucket, Keeping, MARK};
use super::commit::{Object, Sent, sha256};
use super::upload::{Upload, part_size};
use crate::store::{ObjectWriter, StoreError, StoreFuture};

/// An object that is being written.
pub(super) struct S3Writer {
    object: Object,
    buffer: BytesMut,
    upload: Option<Upload>,
    /// Nothing of it was lost on the way to S3.
    whole: bool,
}

impl S3Writer {
    /// A writer for a path that nobody has taken yet. That it stays so, the commit sees to.
    pub(super) async fn open(bucket: Arc<Bucket>, path: &str) -> Result<Self, StoreError> {
        let object = Object::new(bucket, path);
        let there = object.bucket.head(path, None).await;
        if there.map_err(|error| object.at(error))?.is_some() {
            return Err(StoreError::Exists { path: object.path });
        }
        Ok(Self { object, buffer: BytesMut::new(), upload: None, whole: true })
    }

    fn part_size(&self) -> usize {
        part_size(self.upload.as_ref().map_or(0, Upload::started))
    }

    /// Sends what has gathered as a part.
    async fn flush(&mut self) -> Result<(), StoreError> {
        assert!(self.whole, "a writer that failed is not used again");
        self.whole = false;
        let part = self.buffer.split().freeze();
        let upload = match self.upload.take() {
            Some(upload) => upload,
            None => Upload::start(self.object.clone()).await?,
        };
        let upload = self.upload.insert(upload);
        let sent = upload.send(part).await;
        self.whole = sent.is_ok();
        if sent.is_err()
            && let Some(upload) = self.upload.take()
        {
            upload.abort().await;
        }
        sent
    }

    async fn finish(mut self) -> Result<(), StoreError> {
        assert!(self.whole, "a writer that failed is not used again");
        if self.upload.is_none() {
            let bytes = self.buffer.split().freeze();
            return put(&self.object, bytes).await;
        }
        if !self.buffer.is_empty() {
            self.flush().await?;
        }
        let upload = self.upload.take().expect("there is an upload once a part was sent");
        upload.complete().await
    }
}

impl ObjectWriter for S3Writer {
    fn write(&mut self, mut chunk: Bytes) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            while !chunk.is_empty() {
                if self.buffer.len() >= self.part_size() {
                    self.flush().await?;
                }
                let room = self.part_size() - self.buffer.len();
                let taken = chunk.split_to(room.min(chunk.len()));
                self.buffer.extend_from_slice(&taken);
            }
            Ok(())
        })
    }

    fn commit(self: Box<Self>) -> StoreFuture<'static, ()> {
        Box::pin(self.finish())
    }
}

/// Writes a small object.
async fn put(object: &Object, bytes: Bytes) -> Result<(), StoreError> {
    let sent = Sent { bytes: bytes.len() as u64, checksum: sha256(&bytes) };
    object.commit(&sent, || Box::pin(put_once(object, &bytes, &sent))).await
}

async fn put_once(object: &Object, bytes: &Bytes, sent: &Sent) -> Result<(), AwsError> {
    let Object { bucket, key, mark, .. } = object;
    let Keeping { class, encryption, kms_key, lock, until } = bucket.keeping();
    let mut request = bucket
        .client()
        .await?
        .put_object()
        .bucket(&bucket.place.bucket)
        .key(key)
        .if_none_match("*")
        .metadata(MARK, mark)
        .set_storage_class(class)
        .set_server_side_encryption(encryption)
        .set_ssekms_key_id(kms_key)
        .set_object_lock_mode(lock)
        .set_object_lock_retain_until_date(until)
        .body(ByteStream::from(bytes.clone()));
    if bucket.checksums().await? {
        request =
            request.checksum_algorithm(ChecksumAlgorithm::Sha256).checksum_sha256(&sent.checksum);
    }
    let limits = aws_sdk_s3::config::Builder::new().timeout_config(limits(sent.bytes));
    let answer = request.customize().config_override(limits).send().await;
    answer.map(drop).map_err(|error| AwsError::of("PutObject", &error))
}
