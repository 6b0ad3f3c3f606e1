//! A large object, copied in parts: several at once, and none left behind when it comes to nothing.

use aws_sdk_s3::types::{
    ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, ServerSideEncryption,
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::super::classify::{AwsError, Kind};
use super::super::config::limits;
use super::alike::Head;
use super::transfer::{Ends, Pair, expires, tagging};

/// Parts on their way at once.
const AT_ONCE: usize = 4;
/// S3 takes no more parts.
const MOST_PARTS: u64 = 10_000;

/// The first and the last byte of each part.
fn ranges(bytes: u64, part_size: u64) -> Vec<(u64, u64)> {
    let size = part_size.max(bytes.div_ceil(MOST_PARTS)).max(1);
    let starts = (0..bytes.div_ceil(size)).map(|part| part * size);
    starts.map(|start| (start, (start + size).min(bytes) - 1)).collect()
}

impl Ends {
    /// Copies an object in parts.
    pub(super) async fn in_parts(&self, pair: &Pair, source: &Head) -> Result<(), AwsError> {
        let id = self.begin(pair, source).await?;
        let made = self.parts(pair, source, &id).await;
        let ended = match made {
            Ok(parts) => self.complete(pair, &id, parts, source.bytes()).await,
            Err(error) => Err(error),
        };
        // One whose end is not known may yet come to its end.
        if ended.as_ref().is_err_and(|error| error.kind != Kind::Lost) {
            let request = self.to.abort_multipart_upload().bucket(&pair.to_bucket);
            request.key(&pair.to_key).upload_id(&id).send().await.ok();
        }
        ended
    }

    async fn begin(&self, pair: &Pair, source: &Head) -> Result<String, AwsError> {
        let (head, kms) = (&source.0, self.keeping.kms_key.clone());
        let tags = match &self.keeping.tags {
            Some(tags) => Some(tagging(tags)),
            None => self.tags_of(pair, source).await?,
        };
        let answer = self
            .to
            .create_multipart_upload()
            .bucket(&pair.to_bucket)
            .key(&pair.to_key)
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .set_metadata(Some(self.metadata(source)))
            .set_content_type(head.content_type.clone())
            .set_content_encoding(head.content_encoding.clone())
            .set_content_language(head.content_language.clone())
            .set_content_disposition(head.content_disposition.clone())
            .set_cache_control(head.cache_control.clone())
            .set_expires(expires(source))
            .set_storage_class(self.class(source))
            .set_server_side_encryption(kms.as_ref().map(|_| ServerSideEncryption::AwsKms))
            .set_ssekms_key_id(kms)
            .set_tagging(tags)
            .send()
            .await
            .map_err(|error| AwsError::of("CreateMultipartUpload", &error))?;
        answer.upload_id.ok_or_else(|| {
            AwsError::new(Kind::Lost, "CreateMultipartUpload: the answer names no upload")
        })
    }

    /// The tags of the source: a copy in parts does not take them over by itself.
    async fn tags_of(&self, pair: &Pair, source: &Head) -> Result<Option<String>, AwsError> {
        if source.0.tag_count().unwrap_or_default() == 0 {
            return Ok(None);
        }
        let request = self.from.get_object_tagging().bucket(&pair.from_bucket);
        let answer = request.key(&pair.from_key).send().await;
        let answer = answer.map_err(|error| AwsError::of("GetObjectTagging", &error))?;
        let tags = answer.tag_set().iter();
        Ok(Some(tagging(&tags.map(|tag| (tag.key.clone(), tag.value.clone())).collect())))
    }

    async fn parts(
        &self,
        pair: &Pair,
        source: &Head,
        id: &str,
    ) -> Result<Vec<CompletedPart>, AwsError> {
        let ranges = ranges(source.bytes(), self.keeping.part_size);
        let part = |(number, range)| self.part(pair, source, id, number, range);
        let parts: Vec<_> = (1..).zip(ranges).map(part).collect();
        stream::iter(parts).buffered(AT_ONCE).try_collect().await
    }

    async fn part(
        &self,
        pair: &Pair,
        source: &Head,
        id: &str,
        number: i32,
        (first, last): (u64, u64),
    ) -> Result<CompletedPart, AwsError> {
        let limits = aws_sdk_s3::config::Builder::new().timeout_config(limits(last - first + 1));
        let request = self
            .to
            .upload_part_copy()
            .bucket(&pair.to_bucket)
            .key(&pair.to_key)
            .upload_id(id)
            .part_number(number)
            .copy_source(pair.named())
            .set_copy_source_if_match(source.0.e_tag.clone())
            .copy_source_range(format!("bytes={first}-{last}"));
        let answer = request.customize().config_override(limits).send().await;
        let answer = answer.map_err(|error| AwsError::of("UploadPartCopy", &error))?;
        let result = answer.copy_part_result();
        Ok(CompletedPart::builder()
            .part_number(number)
            .set_e_tag(result.and_then(|one| one.e_tag()).map(str::to_owned))
            .set_checksum_sha256(result.and_then(|one| one.checksum_sha256()).map(str::to_owned))
            .build())
    }

    async fn complete(
        &self,
        pair: &Pair,
        id: &str,
        parts: Vec<CompletedPart>,
        bytes: u64,
    ) -> Result<(), AwsError> {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let limits = aws_sdk_s3::config::Builder::new().timeout_config(limits(bytes));
        let request = self
            .to
            .complete_multipart_upload()
            .bucket(&pair.to_bucket)
            .key(&pair.to_key)
            .upload_id(id)
            .set_if_none_match((!self.keeping.overwrite).then(|| "*".to_owned()))
            .multipart_upload(parts);
        let answer = request.customize().config_override(limits).send().await;
        answer.map(drop).map_err(|error| AwsError::of("CompleteMultipartUpload", &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_an_object_of_any_size() {
        assert_eq!(ranges(10, 4), [(0, 3), (4, 7), (8, 9)]);
        assert_eq!(ranges(8, 4), [(0, 3), (4, 7)]);
        let largest = ranges(5 << 40, 5 << 20);
        assert!(largest.len() as u64 <= MOST_PARTS);
        assert_eq!(largest.last().map(|range| range.1), Some((5 << 40) - 1));
    }
}
