//! Uploads in parts.

use std::sync::Arc;

use s3s::dto::{
    AbortMultipartUploadInput, ChecksumAlgorithm, ChecksumType, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CompletedPart, CreateMultipartUploadInput,
    CreateMultipartUploadOutput, ETag, ListMultipartUploadsInput, ListMultipartUploadsOutput,
    ListPartsInput, ListPartsOutput, MultipartUpload, Part as ToldPart, StreamingBlob,
    UploadPartInput, UploadPartOutput,
};
use s3s::{S3Error, S3Request, S3Result, s3_error};

use super::about::{about, lock_of, settle_lock, tags};
use super::disk;
use super::objects::said;
use super::service::{Place, Service};
use super::shelf::{Bucket, Content, Part, Upload, Version, now, size};
use super::sums::{Hashing, NAMES, Said, Sums, composite, composite_etag, hex, sums_of, tell_sums};

/// Every part but the last has at least so many bytes.
const SMALLEST: u64 = 5 * 1024 * 1024;
/// A part's highest number.
const LAST: i32 = 10_000;

/// The upload with that id, at that key.
pub(super) fn open<'a>(bucket: &'a mut Bucket, key: &str, id: &str) -> S3Result<&'a mut Upload> {
    let found = bucket.uploads.get_mut(id).filter(|upload| upload.key == key);
    found.ok_or_else(|| s3_error!(NoSuchUpload, "The specified multipart upload does not exist."))
}

/// Refuses a number that no part can have.
pub(super) fn numbered(number: i32) -> S3Result<()> {
    if (1..=LAST).contains(&number) {
        return Ok(());
    }
    Err(s3_error!(InvalidArgument, "Part number must be an integer between 1 and 10000, inclusive"))
}

impl Service {
    pub(super) fn create_upload(
        &self,
        request: &S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<CreateMultipartUploadOutput> {
        let input = &request.input;
        let id = super::random_word().map_err(S3Error::internal_error)?;
        let algorithm = input.checksum_algorithm.as_ref().map(|it| it.as_str().to_owned());
        let asked = input.checksum_type.as_ref().map(ChecksumType::as_str);
        let full = asked == Some(ChecksumType::FULL_OBJECT)
            || algorithm.as_deref().is_none_or(|it| it == ChecksumAlgorithm::CRC64NVME);
        self.with(&Place::of(request, &input.bucket), |bucket| {
            let upload = Upload {
                key: input.key.clone(),
                started: now(),
                about: Arc::new(about!(input)),
                tags: tags(input.tagging.as_ref()),
                lock: settle_lock(lock_of!(input), bucket, true)?,
                algorithm,
                full,
                parts: std::collections::BTreeMap::new(),
            };
            bucket.uploads.insert(id.clone(), upload);
            Ok(())
        })?;
        Ok(CreateMultipartUploadOutput {
            bucket: Some(input.bucket.clone()),
            key: Some(input.key.clone()),
            upload_id: Some(id),
            checksum_algorithm: input.checksum_algorithm.clone(),
            checksum_type: input.checksum_type.clone(),
            server_side_encryption: input.server_side_encryption.clone(),
            ssekms_key_id: input.ssekms_key_id.clone(),
            ..CreateMultipartUploadOutput::default()
        })
    }

    pub(super) async fn put_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<UploadPartOutput> {
        let place = Place::of(&request, &request.input.bucket);
        let mut said: Said = said!(request);
        let mut input = request.input;
        numbered(input.part_number)?;
        let algorithm = self.with(&place, |bucket| {
            Ok(open(bucket, &input.key, &input.upload_id)?.algorithm.clone())
        })?;
        said.algorithm = said.algorithm.or(algorithm);
        let body = input.body.take().unwrap_or_else(|| StreamingBlob::from(s3s::Body::empty()));
        let (file, hashed) = self.disk().write(body, said).await?;
        let part = Part { file, md5: hashed.md5, sums: hashed.sums, modified: now() };
        let mut output = UploadPartOutput {
            e_tag: Some(ETag::Strong(hex(&part.md5))),
            ..UploadPartOutput::default()
        };
        tell_sums!(output, part.sums);
        self.with(&place, |bucket| {
            open(bucket, &input.key, &input.upload_id)?.parts.insert(input.part_number, part);
            Ok(output)
        })
    }

    pub(super) async fn complete(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<CompleteMultipartUploadOutput> {
        let place = Place::of(&request, &request.input.bucket);
        let input = request.input;
        let listed = input.multipart_upload.clone().and_then(|upload| upload.parts);
        let (parts, algorithm, full) = self.with(&place, |bucket| {
            let upload = open(bucket, &input.key, &input.upload_id)?;
            let parts = chosen(upload, listed.as_deref().unwrap_or_default())?;
            let algorithm = upload.algorithm.clone();
            bucket.allows(&input.key, input.if_match.as_ref(), input.if_none_match.as_ref())?;
            let upload = open(bucket, &input.key, &input.upload_id)?;
            Ok((parts, algorithm, upload.full))
        })?;
        let content = Arc::new(assembled(&parts, algorithm.as_deref(), full).await?);
        let said: Sums = sums_of!(input);
        let differs = |at: usize| said.0[at].is_some() && full && said.0[at] != content.sums.0[at];
        if (0..NAMES.len()).any(differs) {
            return Err(s3_error!(BadDigest, "The checksum did not match the calculated one."));
        }
        self.with(&place, |bucket| {
            // Somebody else may have written, or ended the upload, while it was put together.
            bucket.allows(&input.key, input.if_match.as_ref(), input.if_none_match.as_ref())?;
            open(bucket, &input.key, &input.upload_id)?;
            let Some(upload) = bucket.uploads.remove(&input.upload_id) else {
                return Err(s3_error!(NoSuchUpload));
            };
            let about = Arc::clone(&upload.about);
            let version = Version {
                id: String::new(),
                modified: now(),
                content: Some(Arc::clone(&content)),
                about: upload.about,
                tags: upload.tags,
                lock: upload.lock,
            };
            let mut output = CompleteMultipartUploadOutput {
                bucket: Some(input.bucket.clone()),
                key: Some(input.key.clone()),
                e_tag: Some(content.etag()),
                version_id: bucket.add(&input.key, version)?,
                server_side_encryption: about.encryption.clone(),
                ssekms_key_id: about.kms_key.clone(),
                checksum_type: Some(ChecksumType::from_static(content.kind())),
                location: Some(format!("/{}/{}", input.bucket, input.key)),
                ..CompleteMultipartUploadOutput::default()
            };
            tell_sums!(output, content.sums);
            Ok(output)
        })
    }

    pub(super) fn abort(&self, request: &S3Request<AbortMultipartUploadInput>) -> S3Result<()> {
        let input = &request.input;
        self.with(&Place::of(request, &input.bucket), |bucket| {
            open(bucket, &input.key, &input.upload_id)?;
            bucket.uploads.remove(&input.upload_id);
            Ok(())
        })
    }

    pub(super) fn list_uploads(
        &self,
        request: &S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<ListMultipartUploadsOutput> {
        let input = &request.input;
        let most = usize::try_from(input.max_uploads.unwrap_or(1000)).unwrap_or(1000);
        let prefix = input.prefix.as_deref().unwrap_or_default();
        let after = input.key_marker.as_ref().map(|key| (key, input.upload_id_marker.as_ref()));
        self.with(&Place::of(request, &input.bucket), |bucket| {
            let mut all: Vec<_> = bucket.uploads.iter().collect();
            all.retain(|(_, upload)| upload.key.starts_with(prefix));
            all.sort_by_key(|(id, upload)| (&upload.key, *id));
            all.retain(|(id, upload)| match after {
                Some((key, Some(last))) => (&upload.key, *id) > (key, last),
                Some((key, None)) => upload.key > *key,
                None => true,
            });
            let truncated = all.len() > most;
            all.truncate(most);
            let last = all.last().filter(|_| truncated);
            Ok(ListMultipartUploadsOutput {
                bucket: Some(input.bucket.clone()),
                prefix: input.prefix.clone(),
                is_truncated: Some(truncated),
                next_key_marker: last.map(|(_, upload)| upload.key.clone()),
                next_upload_id_marker: last.map(|(id, _)| (*id).clone()),
                uploads: Some(all.iter().map(|(id, upload)| told(id, upload)).collect()),
                ..ListMultipartUploadsOutput::default()
            })
        })
    }

    pub(super) fn list_parts(
        &self,
        request: &S3Request<ListPartsInput>,
    ) -> S3Result<ListPartsOutput> {
        let input = &request.input;
        let most = usize::try_from(input.max_parts.unwrap_or(1000)).unwrap_or(1000);
        let after = input.part_number_marker.unwrap_or_default();
        self.with(&Place::of(request, &input.bucket), |bucket| {
            let upload = open(bucket, &input.key, &input.upload_id)?;
            let mut parts: Vec<_> = upload.parts.range(after + 1..).map(told_part).collect();
            let truncated = parts.len() > most;
            parts.truncate(most);
            Ok(ListPartsOutput {
                bucket: Some(input.bucket.clone()),
                key: Some(input.key.clone()),
                upload_id: Some(input.upload_id.clone()),
                is_truncated: Some(truncated),
                next_part_number_marker: parts.last().and_then(|part| part.part_number),
                parts: Some(parts),
                checksum_algorithm: upload.algorithm.clone().map(ChecksumAlgorithm::from),
                storage_class: upload.about.storage_class.clone(),
                ..ListPartsOutput::default()
            })
        })
    }
}

/// The parts that a completion names, in its order.
fn chosen(upload: &Upload, listed: &[CompletedPart]) -> S3Result<Vec<Part>> {
    if listed.is_empty() {
        return Err(s3_error!(MalformedXML, "You must specify at least one part"));
    }
    let mut parts: Vec<Part> = Vec::new();
    let mut last = 0;
    for one in listed {
        let number = one.part_number.unwrap_or_default();
        if number <= last {
            return Err(s3_error!(InvalidPartOrder));
        }
        last = number;
        if parts.last().is_some_and(|part| part.file.bytes() < SMALLEST) {
            return Err(s3_error!(EntityTooSmall));
        }
        let part = upload.parts.get(&number).ok_or_else(|| s3_error!(InvalidPart))?;
        let etag = one.e_tag.as_ref().map(ETag::value);
        let said: Sums = sums_of!(one);
        let differs = |at: usize| said.0[at].is_some() && said.0[at] != part.sums.0[at];
        if etag.is_some_and(|etag| etag != hex(&part.md5)) || (0..NAMES.len()).any(differs) {
            return Err(s3_error!(InvalidPart));
        }
        parts.push(part.clone());
    }
    Ok(parts)
}

/// The object that parts make.
async fn assembled(parts: &[Part], algorithm: Option<&str>, full: bool) -> S3Result<Content> {
    let files: Vec<_> = parts.iter().map(|part| Arc::clone(&part.file)).collect();
    let known = |name: &str| NAMES.iter().position(|one| *one == name);
    let at = algorithm.and_then(known).or_else(|| parts.first()?.sums.algorithm());
    let each: Vec<&Sums> = parts.iter().map(|part| &part.sums).collect();
    let sums = match at {
        Some(at) if !full => composite(at, &each).unwrap_or_default(),
        _ => disk::hash(&files, Hashing::one(at)).await?.sums,
    };
    let md5: Vec<_> = parts.iter().map(|part| part.md5).collect();
    let sizes: Vec<u64> = files.iter().map(|file| file.bytes()).collect();
    Ok(Content {
        bytes: sizes.iter().sum(),
        files,
        etag: composite_etag(&md5),
        sums,
        composite: !full,
        parts: sizes,
    })
}

fn told(id: &str, upload: &Upload) -> MultipartUpload {
    MultipartUpload {
        upload_id: Some(id.to_owned()),
        key: Some(upload.key.clone()),
        initiated: Some(upload.started.clone()),
        storage_class: upload.about.storage_class.clone(),
        checksum_algorithm: upload.algorithm.clone().map(ChecksumAlgorithm::from),
        ..MultipartUpload::default()
    }
}

fn told_part((number, part): (&i32, &Part)) -> ToldPart {
    let mut told = ToldPart {
        part_number: Some(*number),
        e_tag: Some(ETag::Strong(hex(&part.md5))),
        size: Some(size(part.file.bytes())),
        last_modified: Some(part.modified.clone()),
        ..ToldPart::default()
    };
    tell_sums!(told, part.sums);
    told
}
