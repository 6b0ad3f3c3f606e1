//! Single objects: put, get, head, delete.

use std::ops::Range as Span;
use std::sync::Arc;

use s3s::dto::{
    ChecksumMode, ChecksumType, DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput,
    DeleteObjectsOutput, DeletedObject, Error, GetObjectInput, GetObjectOutput, HeadObjectInput,
    HeadObjectOutput, ObjectLockLegalHoldStatus, ObjectLockMode, PutObjectInput, PutObjectOutput,
    Range, StreamingBlob,
};
use s3s::{S3Request, S3Result, s3_error};

use super::about::{about, lock_of, settle_lock, tags, tell_about};
use super::disk;
use super::service::{Place, Service};
use super::shelf::{Bucket, Content, Lock, NULL, Version, Versioning, now, size};
use super::sums::{Said, hex, tell_sums};

/// What any request that sends bytes says of them.
macro_rules! said {
    ($request:expr) => {
        $crate::s3::sums::Said {
            sums: $crate::s3::sums::sums_of!($request.input),
            algorithm: $request.input.checksum_algorithm.as_ref().map(|it| it.as_str().to_owned()),
            md5: $request.input.content_md5.clone(),
            trailer: $crate::s3::objects::header(&$request.headers, "x-amz-trailer"),
            trailing: $request.trailing_headers.clone(),
        }
    };
}

pub(super) use said;

/// A header as text.
pub(super) fn header(headers: &axum::http::HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

impl Service {
    pub(super) async fn put(
        &self,
        request: S3Request<PutObjectInput>,
    ) -> S3Result<PutObjectOutput> {
        let place = Place::of(&request, &request.input.bucket);
        self.with(&place, |_| Ok(()))?;
        let said: Said = said!(request);
        let vouched = said.vouches();
        let mut input = request.input;
        let body = input.body.take().unwrap_or_else(|| StreamingBlob::from(s3s::Body::empty()));
        let (file, hashed) = self.disk().write(body, said).await?;
        let content = Arc::new(Content {
            bytes: file.bytes(),
            files: vec![file],
            etag: hex(&hashed.md5),
            sums: hashed.sums,
            composite: false,
            parts: Vec::new(),
        });
        self.with(&place, |bucket| {
            bucket.allows(&input.key, input.if_match.as_ref(), input.if_none_match.as_ref())?;
            let lock = settle_lock(lock_of!(input), bucket, vouched)?;
            let version = Version {
                id: String::new(),
                modified: now(),
                content: Some(Arc::clone(&content)),
                about: Arc::new(about!(input)),
                tags: tags(input.tagging.as_ref()),
                lock,
            };
            let mut output = PutObjectOutput {
                e_tag: Some(content.etag()),
                version_id: bucket.add(&input.key, version)?,
                server_side_encryption: input.server_side_encryption.clone(),
                ssekms_key_id: input.ssekms_key_id.clone(),
                checksum_type: Some(ChecksumType::from_static(content.kind())),
                ..PutObjectOutput::default()
            };
            tell_sums!(output, content.sums);
            Ok(output)
        })
    }

    pub(super) fn head(&self, request: &S3Request<HeadObjectInput>) -> S3Result<HeadObjectOutput> {
        let input = &request.input;
        self.with(&Place::of(request, &input.bucket), |bucket| {
            let version = bucket.find(&input.key, input.version_id.as_deref())?;
            let content = held(version)?;
            conditions(content, input.if_match.as_ref(), input.if_none_match.as_ref())?;
            let (span, ranged) = span(content, input.range, input.part_number)?;
            let mut output = HeadObjectOutput::default();
            tell!(output, bucket, version, content, span, ranged, input);
            Ok(output)
        })
    }

    pub(super) fn get(&self, request: &S3Request<GetObjectInput>) -> S3Result<GetObjectOutput> {
        let input = &request.input;
        self.with(&Place::of(request, &input.bucket), |bucket| {
            let version = bucket.find(&input.key, input.version_id.as_deref())?;
            let content = held(version)?;
            conditions(content, input.if_match.as_ref(), input.if_none_match.as_ref())?;
            let class = version.about.storage_class.as_ref().map(|class| class.as_str().to_owned());
            if class.is_some_and(|class| class == "GLACIER" || class == "DEEP_ARCHIVE") {
                return Err(s3_error!(
                    InvalidObjectState,
                    "The operation is not valid for the object's storage class"
                ));
            }
            let (span, ranged) = span(content, input.range, input.part_number)?;
            let mut output = GetObjectOutput::default();
            tell!(output, bucket, version, content, span, ranged, input);
            let tags = i32::try_from(version.tags.len()).unwrap_or(i32::MAX);
            output.tag_count = (tags > 0).then_some(tags);
            output.body = Some(StreamingBlob::wrap(disk::read(&content.files, span)));
            Ok(output)
        })
    }

    pub(super) fn delete(
        &self,
        request: &S3Request<DeleteObjectInput>,
    ) -> S3Result<DeleteObjectOutput> {
        let input = &request.input;
        let bypass = input.bypass_governance_retention == Some(true);
        self.with(&Place::of(request, &input.bucket), |bucket| {
            if let Some(condition) = &input.if_match {
                bucket.allows(&input.key, Some(condition), None)?;
            }
            remove(bucket, &input.key, input.version_id.as_deref(), bypass)
        })
    }

    pub(super) fn delete_many(
        &self,
        request: &S3Request<DeleteObjectsInput>,
    ) -> S3Result<DeleteObjectsOutput> {
        let input = &request.input;
        let bypass = input.bypass_governance_retention == Some(true);
        let quiet = input.delete.quiet == Some(true);
        self.with(&Place::of(request, &input.bucket), |bucket| {
            let (mut deleted, mut errors) = (Vec::new(), Vec::new());
            for one in &input.delete.objects {
                match remove(bucket, &one.key, one.version_id.as_deref(), bypass) {
                    Ok(_) if quiet => {}
                    Ok(done) => deleted.push(told(&one.key, one.version_id.clone(), done)),
                    Err(error) => errors.push(Error {
                        code: Some(error.code().as_str().to_owned()),
                        key: Some(one.key.clone()),
                        message: error.message().map(str::to_owned),
                        version_id: one.version_id.clone(),
                    }),
                }
            }
            let some = |errors: Vec<Error>| (!errors.is_empty()).then_some(errors);
            Ok(DeleteObjectsOutput {
                deleted: Some(deleted),
                errors: some(errors),
                request_charged: None,
            })
        })
    }
}

/// Fills the answer of HEAD or GET.
macro_rules! tell {
    ($output:expr, $bucket:expr, $version:expr, $content:expr, $span:expr, $ranged:expr, $input:expr) => {
        tell_about!($output, $version.about);
        $output.accept_ranges = Some("bytes".to_owned());
        $output.content_length = Some(size($span.end - $span.start));
        $output.content_range =
            $ranged.then(|| format!("bytes {}-{}/{}", $span.start, $span.end - 1, $content.bytes));
        $output.e_tag = Some($content.etag());
        $output.last_modified = Some($version.modified.clone());
        $output.version_id = $bucket.told($version);
        let Lock { mode, until, hold } = $version.lock.clone();
        $output.object_lock_mode = mode.map(ObjectLockMode::from);
        $output.object_lock_retain_until_date = until;
        $output.object_lock_legal_hold_status =
            hold.then(|| ObjectLockLegalHoldStatus::from_static(ObjectLockLegalHoldStatus::ON));
        $output.parts_count = $input
            .part_number
            .and_then(|_| i32::try_from($content.parts.len()).ok().filter(|parts| *parts > 0));
        let asked = $input.checksum_mode.as_ref().map(ChecksumMode::as_str);
        if asked == Some(ChecksumMode::ENABLED) && !$ranged {
            tell_sums!($output, $content.sums);
            $output.checksum_type = Some(ChecksumType::from_static($content.kind()));
        }
    };
}
use tell;

/// What a version holds.
pub(super) fn held(version: &Version) -> S3Result<&Arc<Content>> {
    version.content.as_ref().ok_or_else(|| s3_error!(NoSuchKey))
}

/// Refuses a read whose condition does not hold.
fn conditions(
    content: &Content,
    if_match: Option<&s3s::dto::ETagCondition>,
    if_none_match: Option<&s3s::dto::ETagCondition>,
) -> S3Result<()> {
    let meets = |condition: &s3s::dto::ETagCondition| {
        condition.as_etag().is_none_or(|etag| etag.value() == content.etag)
    };
    if if_match.is_some_and(|condition| !meets(condition)) {
        return Err(s3_error!(PreconditionFailed));
    }
    if if_none_match.is_some_and(meets) {
        return Err(s3_error!(NotModified));
    }
    Ok(())
}

/// Which bytes are asked for, and whether that is a part of all.
fn span(content: &Content, range: Option<Range>, part: Option<i32>) -> S3Result<(Span<u64>, bool)> {
    if let Some(range) = range {
        let span = range.check(content.bytes).map_err(|_| s3_error!(InvalidRange))?;
        return Ok((span, true));
    }
    let Some(number) = part.filter(|_| !content.parts.is_empty()) else {
        return Ok((0..content.bytes, false));
    };
    let at = usize::try_from(number - 1).unwrap_or(usize::MAX);
    let length = *content.parts.get(at).ok_or_else(|| s3_error!(InvalidPart))?;
    let start = content.parts[..at].iter().sum();
    Ok((start..start + length, true))
}

/// Removes a version, or marks a key as deleted.
fn remove(
    bucket: &mut Bucket,
    key: &str,
    id: Option<&str>,
    bypass: bool,
) -> S3Result<DeleteObjectOutput> {
    let id = match (id, bucket.versioning) {
        (Some(id), _) => id,
        (None, Versioning::Never) => NULL,
        (None, _) => return mark(bucket, key),
    };
    let all = bucket.objects.get(key);
    let found = all.and_then(|all| all.iter().find(|version| version.id == id));
    let mut output = DeleteObjectOutput {
        version_id: (bucket.versioning != Versioning::Never).then(|| id.to_owned()),
        ..DeleteObjectOutput::default()
    };
    let Some(version) = found else { return Ok(output) };
    if version.lock.holds(bypass) {
        return Err(s3_error!(
            AccessDenied,
            "Access Denied because object protected by object lock."
        ));
    }
    output.delete_marker = version.content.is_none().then_some(true);
    bucket.take(key, id);
    Ok(output)
}

/// Hides a key behind a marker.
fn mark(bucket: &mut Bucket, key: &str) -> S3Result<DeleteObjectOutput> {
    let marker = Version {
        id: String::new(),
        modified: now(),
        content: None,
        about: Arc::default(),
        tags: Vec::new(),
        lock: Lock::default(),
    };
    let version_id = bucket.add(key, marker)?;
    Ok(DeleteObjectOutput { delete_marker: Some(true), version_id, request_charged: None })
}

fn told(key: &str, asked: Option<String>, done: DeleteObjectOutput) -> DeletedObject {
    let marker = done.delete_marker == Some(true);
    DeletedObject {
        delete_marker: done.delete_marker,
        delete_marker_version_id: if marker { done.version_id } else { None },
        key: Some(key.to_owned()),
        version_id: asked,
    }
}
