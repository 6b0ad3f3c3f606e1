//! The requests of S3, one by one, to where they are answered.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use axum::http::{HeaderMap, HeaderValue};
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
#[cfg_attr(
    not(test),
    expect(clippy::wildcard_imports, reason = "each request of S3 has types of its own")
)]
use s3s::dto::*;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};

use super::S3Options;
use super::disk::Disk;
use super::shelf::{Bucket, Versioning};

/// Whether a region is out of reach.
pub(super) type Lost = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// What answers.
#[derive(Clone)]
pub(super) struct Service(Arc<Inner>);

struct Inner {
    disk: Disk,
    buckets: Mutex<BTreeMap<String, Bucket>>,
    options: S3Options,
    token: String,
}

/// A bucket, as whoever asks reaches it.
pub(super) struct Place {
    bucket: String,
    region: Option<String>,
}

impl Place {
    /// As the request's signature says.
    pub(super) fn of<T>(request: &S3Request<T>, bucket: &str) -> Self {
        let region = request.region.as_ref().map(ToString::to_string);
        Self { bucket: bucket.to_owned(), region }
    }

    /// As S3 itself reaches it.
    pub(super) fn anywhere(bucket: &str) -> Self {
        Self { bucket: bucket.to_owned(), region: None }
    }
}

impl Service {
    pub(super) fn new(disk: Disk, options: S3Options, token: String) -> Self {
        Self(Arc::new(Inner { disk, buckets: Mutex::default(), options, token }))
    }

    pub(super) fn disk(&self) -> &Disk {
        &self.0.disk
    }

    pub(super) fn buckets(&self) -> MutexGuard<'_, BTreeMap<String, Bucket>> {
        self.0.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with a bucket, which is nobody else's meanwhile.
    pub(super) fn with<R>(
        &self,
        place: &Place,
        act: impl FnOnce(&mut Bucket) -> S3Result<R>,
    ) -> S3Result<R> {
        let mut buckets = self.buckets();
        let bucket = buckets.get_mut(&place.bucket);
        let bucket =
            bucket.ok_or_else(|| s3_error!(NoSuchBucket, "The specified bucket does not exist"))?;
        let options = &self.0.options;
        if options.lost.as_ref().is_some_and(|lost| lost(&bucket.region)) {
            return Err(s3_error!(ServiceUnavailable, "The bucket's region does not answer."));
        }
        let away = place.region.as_ref().is_some_and(|region| *region != bucket.region);
        if options.strict_regions && away {
            return Err(elsewhere(&bucket.region));
        }
        act(bucket)
    }
}

/// The answer of a region that is not the bucket's.
fn elsewhere(region: &str) -> s3s::S3Error {
    let mut error = s3_error!(
        PermanentRedirect,
        "The bucket you are attempting to access must be addressed using the specified endpoint. \
         Please send all future requests to this endpoint."
    );
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_str(region) {
        headers.insert("x-amz-bucket-region", value);
    }
    headers.insert("content-type", HeaderValue::from_static("application/xml"));
    error.set_headers(headers);
    error
}

#[async_trait]
impl S3Auth for Service {
    async fn get_secret_key(&self, id: &str) -> S3Result<SecretKey> {
        let keys = &self.0.options.keys;
        let secret = keys.iter().find(|(known, _)| known == id).map(|(_, secret)| secret.clone());
        secret.map(SecretKey::from).ok_or_else(|| {
            s3_error!(
                InvalidAccessKeyId,
                "The AWS Access Key Id you provided does not exist in our records."
            )
        })
    }
}

#[async_trait]
impl S3Access for Service {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        let own = context.headers().get(super::TOKEN).is_some_and(|token| *token == self.0.token);
        if own || context.credentials().is_some() {
            return Ok(());
        }
        Err(s3_error!(AccessDenied, "Access Denied"))
    }
}

/// A request that is answered by one call.
macro_rules! answers {
    ($($name:ident($input:ident) -> $output:ident = |$service:ident, $request:ident| $answer:expr;)*) => {
        #[async_trait]
        impl S3 for Service {
            $(async fn $name(&self, request: S3Request<$input>) -> S3Result<S3Response<$output>> {
                let ($service, $request) = (self, request);
                Ok(S3Response::new($answer))
            })*
        }
    };
}

/// Does something with the bucket of a request.
macro_rules! within {
    ($service:ident, $request:ident, $act:expr) => {
        $service.with(&Place::of(&$request, &$request.input.bucket), $act)?
    };
}

answers! {
    list_buckets(ListBucketsInput) -> ListBucketsOutput = |it, _request| it.told_buckets();
    create_bucket(CreateBucketInput) -> CreateBucketOutput = |it, request| {
        it.make_bucket(&request)?;
        CreateBucketOutput { location: Some(format!("/{}", request.input.bucket)) }
    };
    delete_bucket(DeleteBucketInput) -> DeleteBucketOutput = |it, request| {
        it.drop_bucket(&request)?;
        DeleteBucketOutput {}
    };
    head_bucket(HeadBucketInput) -> HeadBucketOutput = |it, request| {
        let region = within!(it, request, |bucket| Ok(bucket.region.clone()));
        HeadBucketOutput { bucket_region: Some(region), ..HeadBucketOutput::default() }
    };
    get_bucket_location(GetBucketLocationInput) -> GetBucketLocationOutput = |it, request| {
        let place = Place::anywhere(&request.input.bucket);
        let region = it.with(&place, |bucket| Ok(bucket.region.clone()))?;
        let told = (region != super::REGION).then(|| BucketLocationConstraint::from(region));
        GetBucketLocationOutput { location_constraint: told }
    };
    get_bucket_versioning(GetBucketVersioningInput) -> GetBucketVersioningOutput = |it, request| {
        let status = match within!(it, request, |bucket| Ok(bucket.versioning)) {
            Versioning::Never => None,
            Versioning::Enabled => Some(BucketVersioningStatus::from_static("Enabled")),
            Versioning::Suspended => Some(BucketVersioningStatus::from_static("Suspended")),
        };
        GetBucketVersioningOutput { status, mfa_delete: None }
    };
    put_bucket_versioning(PutBucketVersioningInput) -> PutBucketVersioningOutput = |it, request| {
        it.set_versioning(&request)?;
        PutBucketVersioningOutput {}
    };
    get_object_lock_configuration(GetObjectLockConfigurationInput)
        -> GetObjectLockConfigurationOutput = |it, request|
    {
        let lock = within!(it, request, |bucket| Ok(bucket.lock.clone()));
        let lock = lock.ok_or_else(|| s3_error!(ObjectLockConfigurationNotFoundError))?;
        GetObjectLockConfigurationOutput { object_lock_configuration: Some(lock) }
    };
    put_object_lock_configuration(PutObjectLockConfigurationInput)
        -> PutObjectLockConfigurationOutput = |it, request|
    {
        it.set_lock(&request)?;
        PutObjectLockConfigurationOutput::default()
    };
    get_bucket_lifecycle_configuration(GetBucketLifecycleConfigurationInput)
        -> GetBucketLifecycleConfigurationOutput = |it, request|
    {
        let lifecycle = within!(it, request, |bucket| Ok(bucket.lifecycle.clone()));
        let lifecycle = lifecycle.ok_or_else(|| s3_error!(NoSuchLifecycleConfiguration))?;
        GetBucketLifecycleConfigurationOutput {
            rules: Some(lifecycle.rules),
            ..GetBucketLifecycleConfigurationOutput::default()
        }
    };
    put_bucket_lifecycle_configuration(PutBucketLifecycleConfigurationInput)
        -> PutBucketLifecycleConfigurationOutput = |it, request|
    {
        let asked = request.input.lifecycle_configuration.clone();
        within!(it, request, |bucket| {
            bucket.lifecycle = asked;
            Ok(())
        });
        PutBucketLifecycleConfigurationOutput::default()
    };
    delete_bucket_lifecycle(DeleteBucketLifecycleInput) -> DeleteBucketLifecycleOutput = |it, request| {
        within!(it, request, |bucket| {
            bucket.lifecycle = None;
            Ok(())
        });
        DeleteBucketLifecycleOutput {}
    };
    get_bucket_encryption(GetBucketEncryptionInput) -> GetBucketEncryptionOutput = |it, request| {
        let told = within!(it, request, |bucket| Ok(bucket.encryption.clone()));
        let told =
            told.ok_or_else(|| s3_error!(ServerSideEncryptionConfigurationNotFoundError))?;
        GetBucketEncryptionOutput { server_side_encryption_configuration: Some(told) }
    };
    put_bucket_encryption(PutBucketEncryptionInput) -> PutBucketEncryptionOutput = |it, request| {
        let asked = request.input.server_side_encryption_configuration.clone();
        within!(it, request, |bucket| {
            bucket.encryption = Some(asked);
            Ok(())
        });
        PutBucketEncryptionOutput {}
    };
    get_public_access_block(GetPublicAccessBlockInput) -> GetPublicAccessBlockOutput = |it, request| {
        let told = within!(it, request, |bucket| Ok(bucket.public.clone()));
        let absent = || s3s::S3ErrorCode::Custom("NoSuchPublicAccessBlockConfiguration".into());
        GetPublicAccessBlockOutput { public_access_block_configuration: Some(told.ok_or_else(absent)?) }
    };
    put_public_access_block(PutPublicAccessBlockInput) -> PutPublicAccessBlockOutput = |it, request| {
        let asked = request.input.public_access_block_configuration.clone();
        within!(it, request, |bucket| {
            bucket.public = Some(asked);
            Ok(())
        });
        PutPublicAccessBlockOutput {}
    };
    get_bucket_tagging(GetBucketTaggingInput) -> GetBucketTaggingOutput = |it, request| {
        let tag_set = within!(it, request, |bucket| Ok(bucket.tags.clone()));
        if tag_set.is_empty() {
            return Err(s3_error!(NoSuchTagSet));
        }
        GetBucketTaggingOutput { tag_set }
    };
    put_bucket_tagging(PutBucketTaggingInput) -> PutBucketTaggingOutput = |it, request| {
        let asked = request.input.tagging.tag_set.clone();
        within!(it, request, |bucket| {
            bucket.tags = asked;
            Ok(())
        });
        PutBucketTaggingOutput {}
    };
    delete_bucket_tagging(DeleteBucketTaggingInput) -> DeleteBucketTaggingOutput = |it, request| {
        within!(it, request, |bucket| {
            bucket.tags.clear();
            Ok(())
        });
        DeleteBucketTaggingOutput {}
    };
    list_objects(ListObjectsInput) -> ListObjectsOutput = |it, request| {
        let marker = request.input.marker.clone();
        let page = it.list(&request.map_input(Into::into))?;
        ListObjectsOutput {
            name: page.name,
            prefix: page.prefix,
            marker,
            max_keys: page.max_keys,
            is_truncated: page.is_truncated,
            contents: page.contents,
            common_prefixes: page.common_prefixes,
            delimiter: page.delimiter,
            next_marker: page.next_continuation_token,
            ..ListObjectsOutput::default()
        }
    };
    list_objects_v2(ListObjectsV2Input) -> ListObjectsV2Output = |it, request| it.list(&request)?;
    list_object_versions(ListObjectVersionsInput) -> ListObjectVersionsOutput =
        |it, request| it.list_versions(&request)?;
    put_object(PutObjectInput) -> PutObjectOutput = |it, request| it.put(request).await?;
    get_object(GetObjectInput) -> GetObjectOutput = |it, request| it.get(&request)?;
    head_object(HeadObjectInput) -> HeadObjectOutput = |it, request| it.head(&request)?;
    delete_object(DeleteObjectInput) -> DeleteObjectOutput = |it, request| it.delete(&request)?;
    delete_objects(DeleteObjectsInput) -> DeleteObjectsOutput =
        |it, request| it.delete_many(&request)?;
    copy_object(CopyObjectInput) -> CopyObjectOutput = |it, request| it.copy(request).await?;
    get_object_attributes(GetObjectAttributesInput) -> GetObjectAttributesOutput =
        |it, request| it.attributes(&request)?;
    get_object_tagging(GetObjectTaggingInput) -> GetObjectTaggingOutput =
        |it, request| it.tags(&request)?;
    put_object_tagging(PutObjectTaggingInput) -> PutObjectTaggingOutput =
        |it, request| it.tag(&request)?;
    get_object_retention(GetObjectRetentionInput) -> GetObjectRetentionOutput =
        |it, request| it.retention(&request)?;
    put_object_retention(PutObjectRetentionInput) -> PutObjectRetentionOutput = |it, request| {
        it.retain(&request)?;
        PutObjectRetentionOutput::default()
    };
    get_object_legal_hold(GetObjectLegalHoldInput) -> GetObjectLegalHoldOutput =
        |it, request| it.told_hold(&request)?;
    put_object_legal_hold(PutObjectLegalHoldInput) -> PutObjectLegalHoldOutput = |it, request| {
        it.hold(&request)?;
        PutObjectLegalHoldOutput::default()
    };
    create_multipart_upload(CreateMultipartUploadInput) -> CreateMultipartUploadOutput =
        |it, request| it.create_upload(&request)?;
    upload_part(UploadPartInput) -> UploadPartOutput = |it, request| it.put_part(request).await?;
    upload_part_copy(UploadPartCopyInput) -> UploadPartCopyOutput =
        |it, request| it.copy_part(request).await?;
    complete_multipart_upload(CompleteMultipartUploadInput) -> CompleteMultipartUploadOutput =
        |it, request| it.complete(request).await?;
    abort_multipart_upload(AbortMultipartUploadInput) -> AbortMultipartUploadOutput = |it, request| {
        it.abort(&request)?;
        AbortMultipartUploadOutput::default()
    };
    list_multipart_uploads(ListMultipartUploadsInput) -> ListMultipartUploadsOutput =
        |it, request| it.list_uploads(&request)?;
    list_parts(ListPartsInput) -> ListPartsOutput = |it, request| it.list_parts(&request)?;
}
