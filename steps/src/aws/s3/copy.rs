//! An object of one bucket becomes one of another, by S3 itself: no byte passes through here.

use std::sync::Arc;

use aws_sdk_s3::types::{ChecksumAlgorithm, MetadataDirective};
use aws_smithy_types::base64;

use super::super::buckets::encoded;
use super::super::classify::AwsError;
use super::super::config::limits;
use super::bucket::{Bucket, Keeping, MARK};
use super::commit::{Object, Sent};
use crate::store::{StoreError, Written};

/// S3 copies no more bytes by one request, and tells the SHA-256 of no object that was made of
/// parts.
const LARGEST: u64 = 5 << 30;

/// Copies the object at `path`. False when it cannot be done, or not be compared, this way; then
/// nothing is left.
pub(super) async fn object(
    from: &Bucket,
    to: &Arc<Bucket>,
    path: &str,
    expected: &Written,
) -> Result<bool, StoreError> {
    let checksums = to.checksums().await.map_err(|error| error.at(path))?;
    let (Some(checksum), true) = (in_base64(&expected.sha256), checksums) else {
        return Ok(false);
    };
    if expected.bytes > LARGEST || !from.is_beside(to) {
        return Ok(false);
    }
    if to.head(path, None).await.map_err(|error| error.at(path))?.is_some() {
        return Err(StoreError::Exists { path: path.to_owned() });
    }
    let object = Object::new(Arc::clone(to), path);
    let sent = Sent { bytes: expected.bytes, checksum };
    match object.commit(&sent, || Box::pin(copy_once(&object, from, sent.bytes))).await {
        Ok(()) => Ok(true),
        // Who may write here may not be allowed to read there; and a source that is not as it
        // should be is told better by whoever reads it.
        Err(
            StoreError::Denied { .. }
            | StoreError::Rejected { .. }
            | StoreError::Missing { .. }
            | StoreError::Bucket { .. }
            | StoreError::Altered { .. },
        ) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn copy_once(object: &Object, from: &Bucket, bytes: u64) -> Result<(), AwsError> {
    let Object { bucket, key, mark, path } = object;
    let Keeping { class, encryption, kms_key, lock, until } = bucket.keeping();
    let source = format!("{}/{}", from.place.bucket, encoded(&from.key(path)));
    let request = bucket
        .client()
        .await?
        .copy_object()
        .bucket(&bucket.place.bucket)
        .key(key)
        .copy_source(source)
        .if_none_match("*")
        .checksum_algorithm(ChecksumAlgorithm::Sha256)
        .metadata_directive(MetadataDirective::Replace)
        .metadata(MARK, mark)
        .set_storage_class(class)
        .set_server_side_encryption(encryption)
        .set_ssekms_key_id(kms_key)
        .set_object_lock_mode(lock)
        .set_object_lock_retain_until_date(until);
    let limits = aws_sdk_s3::config::Builder::new().timeout_config(limits(bytes));
    let answer = request.customize().config_override(limits).send().await;
    answer.map(drop).map_err(|error| AwsError::of("CopyObject", &error))
}

/// A SHA-256 in hex, as S3 writes it.
fn in_base64(hex: &str) -> Option<String> {
    let digit = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..hex.len()).step_by(2).map(digit).collect();
    bytes.filter(|bytes| bytes.len() == 32).map(base64::encode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_written_as_s3_does() {
        let hello = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        assert_eq!(
            in_base64(hello).as_deref(),
            Some("LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=")
        );
        assert_eq!((in_base64("2cf"), in_base64("zz"), in_base64("")), (None, None, None));
    }
}
