//! What is set for a bucket, and the tags and locks of objects.

#[cfg_attr(
    not(test),
    expect(clippy::wildcard_imports, reason = "each request of S3 has types of its own")
)]
use s3s::dto::*;
use s3s::{S3Request, S3Result, s3_error};

use super::about::is_on;
use super::objects::held;
use super::service::{Place, Service};
use super::shelf::{Bucket, Versioning, size};
use super::sums::tell_sums;

impl Service {
    pub(super) fn make_bucket(&self, request: &S3Request<CreateBucketInput>) -> S3Result<()> {
        let input = &request.input;
        let asked = input.create_bucket_configuration.as_ref();
        let asked = asked.and_then(|asked| asked.location_constraint.as_ref());
        let region = asked.map(|region| region.as_str().to_owned());
        let region = region.or_else(|| request.region.as_ref().map(ToString::to_string));
        let mut bucket = Bucket::new(region.unwrap_or_else(|| super::REGION.to_owned()));
        if input.object_lock_enabled_for_bucket == Some(true) {
            bucket.versioning = Versioning::Enabled;
            bucket.lock = Some(ObjectLockConfiguration {
                object_lock_enabled: Some(ObjectLockEnabled::from_static("Enabled")),
                rule: None,
            });
        }
        let mut buckets = self.buckets();
        if buckets.contains_key(&input.bucket) {
            return Err(s3_error!(BucketAlreadyOwnedByYou));
        }
        buckets.insert(input.bucket.clone(), bucket);
        Ok(())
    }

    pub(super) fn drop_bucket(&self, request: &S3Request<DeleteBucketInput>) -> S3Result<()> {
        let name = &request.input.bucket;
        self.with(&Place::of(request, name), |bucket| {
            if bucket.objects.is_empty() {
                return Ok(());
            }
            Err(s3_error!(BucketNotEmpty, "The bucket you tried to delete is not empty"))
        })?;
        self.buckets().remove(name);
        Ok(())
    }

    pub(super) fn told_buckets(&self) -> ListBucketsOutput {
        let told = |(name, bucket): (&String, &Bucket)| s3s::dto::Bucket {
            name: Some(name.clone()),
            creation_date: Some(bucket.created.clone()),
            bucket_region: Some(bucket.region.clone()),
        };
        let buckets = Some(self.buckets().iter().map(told).collect());
        ListBucketsOutput { buckets, ..ListBucketsOutput::default() }
    }

    pub(super) fn set_versioning(
        &self,
        request: &S3Request<PutBucketVersioningInput>,
    ) -> S3Result<()> {
        let asked = request.input.versioning_configuration.status.as_ref();
        let versioning = match asked.map(BucketVersioningStatus::as_str) {
            Some(BucketVersioningStatus::ENABLED) => Versioning::Enabled,
            Some(BucketVersioningStatus::SUSPENDED) => Versioning::Suspended,
            _ => return Err(s3_error!(MalformedXML)),
        };
        self.with(&Place::of(request, &request.input.bucket), |bucket| {
            if bucket.lock.is_some() && versioning != Versioning::Enabled {
                return Err(s3_error!(
                    InvalidBucketState,
                    "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed."
                ));
            }
            bucket.versioning = versioning;
            Ok(())
        })
    }

    pub(super) fn set_lock(
        &self,
        request: &S3Request<PutObjectLockConfigurationInput>,
    ) -> S3Result<()> {
        let asked = request.input.object_lock_configuration.clone();
        self.with(&Place::of(request, &request.input.bucket), |bucket| {
            if bucket.versioning != Versioning::Enabled {
                return Err(s3_error!(
                    InvalidBucketState,
                    "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration"
                ));
            }
            bucket.lock = asked;
            Ok(())
        })
    }

    pub(super) fn retain(&self, request: &S3Request<PutObjectRetentionInput>) -> S3Result<()> {
        let input = &request.input;
        let bypass = input.bypass_governance_retention == Some(true);
        let asked = input.retention.clone().unwrap_or_default();
        self.with(&Place::of(request, &input.bucket), |bucket| {
            if bucket.lock.is_none() {
                return Err(s3_error!(
                    InvalidRequest,
                    "Bucket is missing Object Lock Configuration"
                ));
            }
            let version = bucket.find_mut(&input.key, input.version_id.as_deref())?;
            let lock = &mut version.lock;
            let weaker = lock.until.is_some() && asked.retain_until_date < lock.until
                || lock.mode.as_deref() == Some("COMPLIANCE")
                    && asked.mode.as_ref().map(ObjectLockRetentionMode::as_str)
                        != Some("COMPLIANCE");
            let retained = super::shelf::Lock { hold: false, ..lock.clone() };
            if weaker && retained.holds(bypass) {
                return Err(s3_error!(AccessDenied));
            }
            lock.mode = asked.mode.map(|mode| mode.as_str().to_owned());
            lock.until = asked.retain_until_date;
            Ok(())
        })
    }

    pub(super) fn retention(
        &self,
        request: &S3Request<GetObjectRetentionInput>,
    ) -> S3Result<GetObjectRetentionOutput> {
        let input = &request.input;
        self.with(&Place::of(request, &input.bucket), |bucket| {
            let lock = bucket.find(&input.key, input.version_id.as_deref())?.lock.clone();
            let mode = lock.mode.ok_or_else(|| s3_error!(NoSuchObjectLockConfiguration))?;
            let mode = Some(ObjectLockRetentionMode::from(mode));
            let retention = ObjectLockRetention { mode, retain_until_date: lock.until };
            Ok(GetObjectRetentionOutput { retention: Some(retention) })
        })
    }

    pub(super) fn hold(&self, request: &S3Request<PutObjectLegalHoldInput>) -> S3Result<()> {
        let input = &request.input;
        let on = is_on(input.legal_hold.as_ref().and_then(|hold| hold.status.as_ref()));
        self.with(&Place::of(request, &input.bucket), |bucket| {
            if bucket.lock.is_none() {
                return Err(s3_error!(
                    InvalidRequest,
                    "Bucket is missing Object Lock Configuration"
                ));
            }
            bucket.find_mut(&input.key, input.version_id.as_deref())?.lock.hold = on;
            Ok(())
        })
    }

    pub(super) fn told_hold(
        &self,
        request: &S3Request<GetObjectLegalHoldInput>,
    ) -> S3Result<GetObjectLegalHoldOutput> {
        let input = &request.input;
        self.with(&Place::of(request, &input.bucket), |bucket| {
            let on = bucket.find(&input.key, input.version_id.as_deref())?.lock.hold;
            let status = ObjectLockLegalHoldStatus::from_static(if on { "ON" } else { "OFF" });
            let hold = ObjectLockLegalHold { status: Some(status) };
            Ok(GetObjectLegalHoldOutput { legal_hold: Some(hold) })
        })
    }

    pub(super) fn tag(
        &self,
        request: &S3Request<PutObjectTaggingInput>,
    ) -> S3Result<PutObjectTaggingOutput> {
        let input = &request.input;
        self.with(&Place::of(request, &input.bucket), |bucket| {
            let version = bucket.find_mut(&input.key, input.version_id.as_deref())?;
            version.tags.clone_from(&input.tagging.tag_set);
            let version = bucket.find(&input.key, input.version_id.as_deref())?;
            Ok(PutObjectTaggingOutput { version_id: bucket.told(version) })
        })
    }

    pub(super) fn tags(
        &self,
        request: &S3Request<GetObjectTaggingInput>,
    ) -> S3Result<GetObjectTaggingOutput> {
        let input = &request.input;
        self.with(&Place::of(request, &input.bucket), |bucket| {
            let version = bucket.find(&input.key, input.version_id.as_deref())?;
            let tag_set = version.tags.clone();
            Ok(GetObjectTaggingOutput { tag_set, version_id: bucket.told(version) })
        })
    }

    pub(super) fn attributes(
        &self,
        request: &S3Request<GetObjectAttributesInput>,
    ) -> S3Result<GetObjectAttributesOutput> {
        let input = &request.input;
        let wanted = |name: &str| input.object_attributes.iter().any(|one| one.as_str() == name);
        self.with(&Place::of(request, &input.bucket), |bucket| {
            let version = bucket.find(&input.key, input.version_id.as_deref())?;
            let content = held(version)?;
            let mut checksum = Checksum {
                checksum_type: Some(ChecksumType::from_static(content.kind())),
                ..Checksum::default()
            };
            tell_sums!(checksum, content.sums);
            let parts = i32::try_from(content.parts.len()).ok().filter(|parts| *parts > 0);
            let parts = parts.map(|parts| GetObjectAttributesParts {
                total_parts_count: Some(parts),
                ..GetObjectAttributesParts::default()
            });
            Ok(GetObjectAttributesOutput {
                e_tag: wanted("ETag").then(|| content.etag()),
                object_size: wanted("ObjectSize").then(|| size(content.bytes)),
                storage_class: version.about.storage_class.clone(),
                checksum: wanted("Checksum").then_some(checksum),
                object_parts: parts.filter(|_| wanted("ObjectParts")),
                last_modified: Some(version.modified.clone()),
                version_id: bucket.told(version),
                ..GetObjectAttributesOutput::default()
            })
        })
    }
}
