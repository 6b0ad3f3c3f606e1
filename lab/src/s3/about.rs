//! What is kept beside the bytes of an object.

use s3s::dto::{
    Metadata, ObjectLockLegalHoldStatus, ServerSideEncryption, StorageClass, Tag, Timestamp,
};
use s3s::{S3Result, s3_error};

use super::shelf::{Bucket, Lock};

/// Headers that are kept and told again, and how an object is stored.
#[derive(Clone, Default)]
pub(super) struct About {
    pub(super) cache_control: Option<String>,
    pub(super) content_disposition: Option<String>,
    pub(super) content_encoding: Option<String>,
    pub(super) content_language: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) expires: Option<Timestamp>,
    pub(super) metadata: Option<Metadata>,
    pub(super) storage_class: Option<StorageClass>,
    pub(super) encryption: Option<ServerSideEncryption>,
    pub(super) kms_key: Option<String>,
}

/// What any request that makes an object says of it.
macro_rules! about {
    ($input:expr) => {
        $crate::s3::about::About {
            cache_control: $input.cache_control.clone(),
            content_disposition: $input.content_disposition.clone(),
            content_encoding: $input.content_encoding.clone(),
            content_language: $input.content_language.clone(),
            content_type: $input.content_type.clone(),
            expires: $input.expires.clone(),
            metadata: $input.metadata.clone(),
            storage_class: $input.storage_class.clone(),
            encryption: $input.server_side_encryption.clone(),
            kms_key: $input.ssekms_key_id.clone(),
        }
    };
}

/// Writes it into an answer.
macro_rules! tell_about {
    ($output:expr, $about:expr) => {
        let about = &$about;
        $output.cache_control.clone_from(&about.cache_control);
        $output.content_disposition.clone_from(&about.content_disposition);
        $output.content_encoding.clone_from(&about.content_encoding);
        $output.content_language.clone_from(&about.content_language);
        $output.content_type =
            about.content_type.clone().or_else(|| Some("binary/octet-stream".to_owned()));
        $output.expires.clone_from(&about.expires);
        $output.metadata.clone_from(&about.metadata);
        $output.storage_class = about.storage_class.clone().filter(|it| it.as_str() != "STANDARD");
        $output.server_side_encryption.clone_from(&about.encryption);
        $output.ssekms_key_id.clone_from(&about.kms_key);
    };
}

/// The lock that any request that makes an object asks for.
macro_rules! lock_of {
    ($input:expr) => {
        $crate::s3::shelf::Lock {
            mode: $input.object_lock_mode.as_ref().map(|mode| mode.as_str().to_owned()),
            until: $input.object_lock_retain_until_date.clone(),
            hold: $crate::s3::about::is_on($input.object_lock_legal_hold_status.as_ref()),
        }
    };
}

pub(super) use {about, lock_of, tell_about};

/// Whether a legal hold is asked for.
pub(super) fn is_on(status: Option<&ObjectLockLegalHoldStatus>) -> bool {
    status.is_some_and(|status| status.as_str() == ObjectLockLegalHoldStatus::ON)
}

/// The lock a new object gets in a bucket. `vouched`: its writer sent a checksum.
pub(super) fn settle_lock(asked: Lock, bucket: &Bucket, vouched: bool) -> S3Result<Lock> {
    let asks = asked.mode.is_some() || asked.until.is_some() || asked.hold;
    if !asks {
        return Ok(bucket.usual_lock());
    }
    if bucket.lock.is_none() {
        return Err(s3_error!(InvalidRequest, "Bucket is missing Object Lock Configuration"));
    }
    if !vouched {
        return Err(s3_error!(
            InvalidRequest,
            "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters"
        ));
    }
    if asked.mode.is_some() != asked.until.is_some() {
        return Err(s3_error!(
            InvalidArgument,
            "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied"
        ));
    }
    Ok(asked)
}

/// Tags as the header `x-amz-tagging` has them.
pub(super) fn tags(header: Option<&String>) -> Vec<Tag> {
    let pairs = url::form_urlencoded::parse(header.map_or("", String::as_str).as_bytes());
    let tag = |(key, value): (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)| Tag {
        key: Some(key.into_owned()),
        value: Some(value.into_owned()),
    };
    pairs.map(tag).collect()
}
