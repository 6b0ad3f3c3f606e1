//! Whether an object is a copy of another, by what S3 tells of both.

use std::collections::HashMap;

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::{ChecksumMode, ServerSideEncryption};
use model::step_error::StepError;

use super::super::classify::{AwsError, Kind};

/// Under this name a copy carries the `ETag` of what it was made of.
pub(super) const COPY_OF: &str = "runbook-copy-of";

/// What S3 tells of an object.
#[derive(Debug, Clone)]
pub(super) struct Head(pub(super) HeadObjectOutput);

impl Head {
    /// Asks for an object; nothing when there is none.
    pub(super) async fn of(
        client: &Client,
        bucket: &str,
        key: &str,
    ) -> Result<Option<Self>, StepError> {
        let request = client.head_object().bucket(bucket).key(key);
        match request.checksum_mode(ChecksumMode::Enabled).send().await {
            Ok(head) => Ok(Some(Self(head))),
            Err(error) => match AwsError::of("HeadObject", &error) {
                AwsError { kind: Kind::Missing, .. } => Ok(None),
                error => Err(error.looking()),
            },
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.0.content_length().and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default()
    }

    pub(super) fn etag(&self) -> &str {
        plain(self.0.e_tag().unwrap_or_default())
    }

    pub(super) fn class(&self) -> &str {
        self.0.storage_class().map_or("STANDARD", |class| class.as_str())
    }

    pub(super) fn metadata(&self) -> HashMap<String, String> {
        self.0.metadata().cloned().unwrap_or_default()
    }

    /// Its SHA-256, when it is that of the whole object.
    pub(super) fn sha256(&self) -> Option<&str> {
        self.0.checksum_sha256().filter(|sum| !sum.contains('-'))
    }

    /// Its MD5, when its tag is one.
    fn md5(&self) -> Option<&str> {
        let encrypted = matches!(
            self.0.server_side_encryption(),
            Some(ServerSideEncryption::AwsKms | ServerSideEncryption::AwsKmsDsse)
        );
        Some(self.etag()).filter(|tag| !tag.contains('-') && tag.len() == 32 && !encrypted)
    }

    /// Whether it is a copy of `source`; nothing when nothing tells.
    pub(super) fn is_copy_of(&self, source: &Self) -> Option<bool> {
        if let Some(differs) = self.differs_from(source) {
            return Some(!differs);
        }
        let said = self.0.metadata().and_then(|metadata| metadata.get(COPY_OF));
        said.map(|tag| tag == source.etag()).filter(|same| *same)
    }

    /// Whether the content differs, where size, SHA-256 or MD5 tell.
    pub(super) fn differs_from(&self, source: &Self) -> Option<bool> {
        if self.bytes() != source.bytes() {
            return Some(true);
        }
        let pairs = [(self.sha256(), source.sha256()), (self.md5(), source.md5())];
        pairs.into_iter().find_map(|(own, other)| Some(own? != other?))
    }
}

/// A tag without its quotes.
pub(super) fn plain(etag: &str) -> &str {
    etag.trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(bytes: i64, etag: &str, sha256: Option<&str>, of: Option<&str>) -> Head {
        let head = HeadObjectOutput::builder().content_length(bytes).e_tag(format!("\"{etag}\""));
        let head = match of {
            Some(of) => head.metadata(COPY_OF, of),
            None => head,
        };
        Head(head.set_checksum_sha256(sha256.map(str::to_owned)).build())
    }

    #[test]
    fn content_is_compared_where_s3_tells_of_it_and_origin_where_it_does_not() {
        let (one, other) = ("0123456789abcdef0123456789abcdef", "ffff456789abcdef0123456789abcdef");
        let parts = "0123456789abcdef0123456789abcdef-3";
        let source = head(5, one, Some("AAAA="), None);
        assert_eq!(head(4, one, Some("AAAA="), None).is_copy_of(&source), Some(false));
        assert_eq!(head(5, parts, Some("AAAA="), None).is_copy_of(&source), Some(true));
        assert_eq!(head(5, one, Some("BBBB="), None).is_copy_of(&source), Some(false));
        assert_eq!(head(5, one, None, None).is_copy_of(&source), Some(true));
        assert_eq!(head(5, other, None, Some(one)).is_copy_of(&source), Some(false));
        assert_eq!(head(5, parts, Some("CCCC=-3"), None).is_copy_of(&source), None);
        assert_eq!(head(5, parts, Some("CCCC=-3"), Some(one)).is_copy_of(&source), Some(true));
        assert_eq!(head(5, parts, None, Some(other)).is_copy_of(&source), None);
    }
}
