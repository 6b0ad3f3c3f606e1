//! Copies on the server's side.

use std::sync::Arc;

use s3s::dto::{
    ChecksumAlgorithm, ChecksumType, CopyObjectInput, CopyObjectOutput, CopyObjectResult,
    CopyPartResult, CopySource, ETag, ETagCondition, MetadataDirective, Range, TaggingDirective,
    UploadPartCopyInput, UploadPartCopyOutput,
};
use s3s::{S3Request, S3Result, s3_error};

use super::about::{About, about, lock_of, settle_lock, tags};
use super::disk;
use super::objects::held;
use super::parts::{numbered, open};
use super::service::{Place, Service};
use super::shelf::{Content, Part, Version, now};
use super::sums::{Hashing, NAMES, Said, hex, tell_sums};

/// No single copy is larger.
const LARGEST: u64 = 5 * 1024 * 1024 * 1024;

/// What is copied.
struct Source {
    version: Version,
    content: Arc<Content>,
    told: Option<String>,
}

impl Service {
    fn source(
        &self,
        from: &CopySource,
        if_match: Option<&ETagCondition>,
        if_none_match: Option<&ETagCondition>,
    ) -> S3Result<Source> {
        let CopySource::Bucket { bucket, key, version_id } = from else {
            return Err(s3_error!(NotImplemented, "Only a bucket can be copied from."));
        };
        self.with(&Place::anywhere(bucket), |bucket| {
            let version = bucket.find(key, version_id.as_deref())?.clone();
            let content = Arc::clone(held(&version)?);
            let meets = |condition: &ETagCondition| {
                condition.as_etag().is_none_or(|etag| etag.value() == content.etag)
            };
            if if_match.is_some_and(|it| !meets(it)) || if_none_match.is_some_and(meets) {
                return Err(s3_error!(PreconditionFailed));
            }
            Ok(Source { told: bucket.told(&version), content, version })
        })
    }

    pub(super) async fn copy(
        &self,
        request: S3Request<CopyObjectInput>,
    ) -> S3Result<CopyObjectOutput> {
        let place = Place::of(&request, &request.input.bucket);
        self.with(&place, |_| Ok(()))?;
        let input = request.input;
        let (yes, no) =
            (input.copy_source_if_match.as_ref(), input.copy_source_if_none_match.as_ref());
        let source = self.source(&input.copy_source, yes, no)?;
        if source.content.bytes > LARGEST {
            return Err(s3_error!(
                InvalidRequest,
                "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120"
            ));
        }
        self.disk().has_room(source.content.bytes)?;
        let asked = input.checksum_algorithm.as_ref().map(ChecksumAlgorithm::as_str);
        let content = Arc::new(whole(&source.content, asked).await?);
        self.with(&place, |bucket| {
            let version = Version {
                id: String::new(),
                modified: now(),
                content: Some(Arc::clone(&content)),
                about: Arc::new(kept(&input, &source.version.about)),
                tags: match input.tagging_directive.as_ref().map(TaggingDirective::as_str) {
                    Some(TaggingDirective::REPLACE) => tags(input.tagging.as_ref()),
                    _ => source.version.tags.clone(),
                },
                lock: settle_lock(lock_of!(input), bucket, true)?,
            };
            let mut result = CopyObjectResult {
                e_tag: Some(content.etag()),
                last_modified: Some(version.modified.clone()),
                checksum_type: Some(ChecksumType::from_static(content.kind())),
                ..CopyObjectResult::default()
            };
            tell_sums!(result, content.sums);
            Ok(CopyObjectOutput {
                server_side_encryption: version.about.encryption.clone(),
                ssekms_key_id: version.about.kms_key.clone(),
                copy_source_version_id: source.told.clone(),
                version_id: bucket.add(&input.key, version)?,
                copy_object_result: Some(result),
                ..CopyObjectOutput::default()
            })
        })
    }

    pub(super) async fn copy_part(
        &self,
        request: S3Request<UploadPartCopyInput>,
    ) -> S3Result<UploadPartCopyOutput> {
        let place = Place::of(&request, &request.input.bucket);
        let input = request.input;
        numbered(input.part_number)?;
        let algorithm = self.with(&place, |bucket| {
            Ok(open(bucket, &input.key, &input.upload_id)?.algorithm.clone())
        })?;
        let (yes, no) =
            (input.copy_source_if_match.as_ref(), input.copy_source_if_none_match.as_ref());
        let Source { content, told, .. } = self.source(&input.copy_source, yes, no)?;
        let span = match &input.copy_source_range {
            Some(range) => Range::parse(range)
                .ok()
                .and_then(|range| range.check(content.bytes).ok())
                .ok_or_else(|| s3_error!(InvalidRange))?,
            None => 0..content.bytes,
        };
        let said = Said { algorithm, ..Said::default() };
        let body = disk::read(&content.files, span);
        let (file, hashed) = self.disk().write(body, said).await?;
        let mut result = CopyPartResult {
            e_tag: Some(ETag::Strong(hex(&hashed.md5))),
            last_modified: Some(now()),
            ..CopyPartResult::default()
        };
        tell_sums!(result, hashed.sums);
        let part = Part { file, md5: hashed.md5, sums: hashed.sums, modified: now() };
        self.with(&place, |bucket| {
            open(bucket, &input.key, &input.upload_id)?.parts.insert(input.part_number, part);
            Ok(UploadPartCopyOutput {
                copy_part_result: Some(result),
                copy_source_version_id: told,
                ..UploadPartCopyOutput::default()
            })
        })
    }
}

/// The same bytes as an object in one piece, whose checksum is that of all.
async fn whole(from: &Content, asked: Option<&str>) -> S3Result<Content> {
    let at = asked.and_then(|asked| NAMES.iter().position(|name| *name == asked));
    let at = at.or_else(|| from.sums.algorithm());
    let same = from.parts.is_empty() && at.is_none_or(|at| from.sums.0[at].is_some());
    let (etag, sums) = if same {
        (from.etag.clone(), from.sums.clone())
    } else {
        let hashed = disk::hash(&from.files, Hashing::one(at)).await?;
        (hex(&hashed.md5), hashed.sums)
    };
    Ok(Content {
        files: from.files.clone(),
        bytes: from.bytes,
        etag,
        sums,
        composite: false,
        parts: Vec::new(),
    })
}

/// What is kept beside the bytes of a copy. Class and encryption are never taken over.
fn kept(input: &CopyObjectInput, from: &About) -> About {
    let said: About = about!(input);
    let replace = input.metadata_directive.as_ref().map(MetadataDirective::as_str);
    if replace == Some(MetadataDirective::REPLACE) {
        return said;
    }
    About {
        storage_class: said.storage_class,
        encryption: said.encryption,
        kms_key: said.kms_key,
        ..from.clone()
    }
}
