//! One object on its way from bucket to bucket: S3 itself moves the bytes.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use aws_sdk_s3::types::{
    ChecksumAlgorithm, MetadataDirective, ServerSideEncryption, StorageClass, TaggingDirective,
};
use model::step_error::StepError;

use super::super::classify::{AwsError, Kind};
use super::super::config::limits;
use super::alike::{COPY_OF, Head};
use super::is_archive;

/// How copies are kept. What is absent is as it is at the source.
#[derive(Debug, Clone, Default)]
pub(super) struct Keeping {
    pub(super) storage_class: Option<String>,
    pub(super) kms_key: Option<String>,
    pub(super) tags: Option<BTreeMap<String, String>>,
    pub(super) metadata: Option<BTreeMap<String, String>>,
    pub(super) overwrite: bool,
    /// Objects of more bytes are copied in parts of so many.
    pub(super) part_size: u64,
}

/// Both ends.
pub(super) struct Ends {
    pub(super) from: Client,
    pub(super) to: Client,
    pub(super) keeping: Keeping,
}

/// An object, and where its copy goes.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub(super) from_bucket: String,
    pub(super) from_key: String,
    pub(super) to_bucket: String,
    pub(super) to_key: String,
}

/// What became of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) bytes: u64,
    /// It was copied now; else it was there.
    pub(super) copied: bool,
}

impl Pair {
    fn source(&self) -> String {
        format!("s3://{}/{}", self.from_bucket, self.from_key)
    }

    fn target(&self) -> String {
        format!("s3://{}/{}", self.to_bucket, self.to_key)
    }

    /// The source as a request names it.
    pub(super) fn named(&self) -> String {
        format!("{}/{}", self.from_bucket, encoded(&self.from_key))
    }
}

/// A key or a tag as it stands in a URL.
pub(in super::super) fn encoded(text: &str) -> String {
    let one = |byte: &u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => {
            char::from(*byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    text.as_bytes().iter().map(one).collect()
}

impl Ends {
    /// Copies an object, unless its copy is there.
    pub(super) async fn copy(&self, pair: &Pair) -> Result<Moved, StepError> {
        let source = self.source(pair).await?;
        let bytes = source.bytes();
        if let Some(there) = Head::of(&self.to, &pair.to_bucket, &pair.to_key).await? {
            if there.is_copy_of(&source) == Some(true) {
                return Ok(Moved { bytes, copied: false });
            }
            if !self.keeping.overwrite {
                return Err(other_object(pair));
            }
        }
        if is_archive(source.class()) && source.0.restore().is_none() {
            let message = format!("`{}` is in an archive (`{}`)", pair.source(), source.class());
            return Err(StepError::needs_operator("RB0696", message)
                .hint("restore it first (`aws s3api restore-object`), then run again"));
        }
        let sent = if bytes > self.keeping.part_size {
            self.in_parts(pair, &source).await
        } else {
            self.at_once(pair, &source).await
        };
        self.settle(pair, &source, sent).await
    }

    /// The copy of an object, when it is there.
    pub(super) async fn look(&self, pair: &Pair) -> Result<Option<Moved>, StepError> {
        let source = self.source(pair).await?;
        let there = Head::of(&self.to, &pair.to_bucket, &pair.to_key).await?;
        let there = there.filter(|there| there.is_copy_of(&source) == Some(true));
        Ok(there.map(|_| Moved { bytes: source.bytes(), copied: false }))
    }

    async fn source(&self, pair: &Pair) -> Result<Head, StepError> {
        let found = Head::of(&self.from, &pair.from_bucket, &pair.from_key).await?;
        found.ok_or_else(|| {
            StepError::permanent("RB0665", format!("there is no object `{}`", pair.source()))
        })
    }

    /// Looks at what is there after a copy, whatever its answer was.
    async fn settle(
        &self,
        pair: &Pair,
        source: &Head,
        sent: Result<(), AwsError>,
    ) -> Result<Moved, StepError> {
        let moved = Moved { bytes: source.bytes(), copied: true };
        let unsure = |kind| matches!(kind, Kind::Condition | Kind::NoUpload | Kind::Lost);
        match sent {
            Ok(()) => match Head::of(&self.to, &pair.to_bucket, &pair.to_key).await? {
                Some(there) if there.is_copy_of(source) == Some(true) => Ok(moved),
                Some(_) => Err(differs(pair)),
                None => Err(other_object(pair)),
            },
            Err(error) if unsure(error.kind) => {
                let there = Head::of(&self.to, &pair.to_bucket, &pair.to_key).await?;
                match there.map(|there| there.is_copy_of(source)) {
                    Some(Some(true)) => Ok(moved),
                    Some(_) if error.kind == Kind::Condition && !self.keeping.overwrite => {
                        Err(other_object(pair))
                    }
                    _ => Err(error.changing()),
                }
            }
            Err(error) => Err(error.changing()),
        }
    }

    async fn at_once(&self, pair: &Pair, source: &Head) -> Result<(), AwsError> {
        let keeping = &self.keeping;
        let (head, kms) = (&source.0, keeping.kms_key.clone());
        let limits = aws_sdk_s3::config::Builder::new().timeout_config(limits(source.bytes()));
        let request = self
            .to
            .copy_object()
            .bucket(&pair.to_bucket)
            .key(&pair.to_key)
            .copy_source(pair.named())
            .set_copy_source_if_match(head.e_tag.clone())
            .set_if_none_match((!keeping.overwrite).then(|| "*".to_owned()))
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .metadata_directive(MetadataDirective::Replace)
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
            .set_tagging_directive(keeping.tags.as_ref().map(|_| TaggingDirective::Replace))
            .set_tagging(keeping.tags.as_ref().map(tagging));
        let answer = request.customize().config_override(limits).send().await;
        answer.map(drop).map_err(|error| AwsError::of("CopyObject", &error))
    }

    /// The metadata of a copy: that of its source, or another, and of what it is a copy.
    pub(super) fn metadata(&self, source: &Head) -> HashMap<String, String> {
        let given = self.keeping.metadata.clone();
        let mut all = match given {
            Some(given) => given.into_iter().collect(),
            None => source.metadata(),
        };
        all.insert(COPY_OF.to_owned(), source.etag().to_owned());
        all
    }

    /// The class of a copy. An archive is one on purpose only.
    pub(super) fn class(&self, source: &Head) -> Option<StorageClass> {
        let own = Some(source.class()).filter(|class| !is_archive(class));
        self.keeping.storage_class.as_deref().or(own).map(StorageClass::from)
    }
}

/// When a copy expires in caches, as its source does.
pub(super) fn expires(source: &Head) -> Option<DateTime> {
    let text = source.0.expires_string()?;
    DateTime::from_str(text, DateTimeFormat::HttpDate).ok()
}

/// Tags as a header has them.
pub(super) fn tagging(tags: &BTreeMap<String, String>) -> String {
    let value = |text: &str| encoded(text).replace('/', "%2F");
    let pairs = tags.iter().map(|(key, text)| format!("{}={}", value(key), value(text)));
    pairs.collect::<Vec<_>>().join("&")
}

fn other_object(pair: &Pair) -> StepError {
    let message = format!("`{}` holds something else than `{}`", pair.target(), pair.source());
    StepError::needs_operator("RB0696", message)
        .hint("nothing is overwritten: see who wrote it, or say `overwrite: true`")
}

fn differs(pair: &Pair) -> StepError {
    let message = format!("`{}` is no copy of `{}`", pair.target(), pair.source());
    StepError::needs_operator("RB0697", message)
        .hint("look at both; remove what is at the target, then `runbook resume --retry-failed`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_tags_are_written_as_a_url_has_them() {
        assert_eq!(encoded("a b/ü+%.x"), "a%20b/%C3%BC%2B%25.x");
        let tags = BTreeMap::from([("a/b".to_owned(), "c&d".to_owned())]);
        assert_eq!(tagging(&tags), "a%2Fb=c%26d");
    }

    #[test]
    fn a_copy_that_is_none_is_told() {
        let name = str::to_owned;
        let pair = Pair {
            from_bucket: name("home"),
            from_key: name("sets/a"),
            to_bucket: name("away"),
            to_key: name("sets/a"),
        };
        shown::case("RB0697", differs(&pair).told());
    }
}
