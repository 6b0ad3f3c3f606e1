//! `s3://bucket/prefix`: where a store on S3 lies.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use regex::Regex;

/// How the URL of a store on S3 starts.
pub const SCHEME: &str = "s3://";

/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>
static BUCKET: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$").expect("the pattern is a constant")
});
static ADDRESS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+$").expect("the pattern is a constant")
});

/// A bucket, and the folder in it that is the store's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Url {
    /// The bucket.
    pub bucket: String,
    /// The folder, without slashes at its ends; empty for the bucket itself.
    pub prefix: String,
}

/// Why a text is no such URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidS3Url {
    /// It has another scheme.
    #[error("it does not start with `s3://`")]
    Scheme,
    /// S3 has no buckets of that name.
    #[error("its bucket has 3 to 63 lower-case letters, digits, `-` and `.`, and is no address")]
    Bucket,
    /// The folder cannot hold paths.
    #[error("its folder has an empty part, or one that starts with a dot, or `?`, `#` or `%`")]
    Prefix,
}

impl FromStr for S3Url {
    type Err = InvalidS3Url;

    fn from_str(text: &str) -> Result<Self, InvalidS3Url> {
        let rest = text.strip_prefix(SCHEME).ok_or(InvalidS3Url::Scheme)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if !BUCKET.is_match(bucket) || bucket.contains("..") || ADDRESS.is_match(bucket) {
            return Err(InvalidS3Url::Bucket);
        }
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let bad = |part: &str| part.is_empty() || part.starts_with('.');
        let unclear = |c: char| matches!(c, '?' | '#' | '%') || c.is_control();
        if !prefix.is_empty() && (prefix.split('/').any(bad) || prefix.contains(unclear)) {
            return Err(InvalidS3Url::Prefix);
        }
        Ok(Self { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

impl fmt::Display for S3Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bucket, prefix } = self;
        let slash = if prefix.is_empty() { "" } else { "/" };
        write!(f, "{SCHEME}{bucket}{slash}{prefix}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_bucket_and_a_folder() {
        for (text, bucket, prefix, shown) in [
            ("s3://backups", "backups", "", "s3://backups"),
            ("s3://backups/", "backups", "", "s3://backups"),
            ("s3://my.backups-1/lms/daily/", "my.backups-1", "lms/daily", ""),
            ("s3://abc/a b/ü", "abc", "a b/ü", "s3://abc/a b/ü"),
        ] {
            let url: S3Url = text.parse().unwrap();
            assert_eq!((url.bucket.as_str(), url.prefix.as_str()), (bucket, prefix), "{text}");
            let shown = if shown.is_empty() { text.trim_end_matches('/') } else { shown };
            assert_eq!(url.to_string(), shown);
        }
    }

    #[test]
    fn what_leads_nowhere_is_refused() {
        use InvalidS3Url::{Bucket, Prefix, Scheme};
        for (text, why) in [
            ("S3://backups", Scheme),
            ("file:///backups", Scheme),
            ("s3://", Bucket),
            ("s3:///backups", Bucket),
            ("s3://ab", Bucket),
            ("s3://Backups", Bucket),
            ("s3://my_backups", Bucket),
            ("s3://-ab", Bucket),
            ("s3://a..b", Bucket),
            ("s3://127.0.0.1/x", Bucket),
            ("s3://key:secret@backups", Bucket),
            ("s3://abc//x", Prefix),
            ("s3://abc/x//", Prefix),
            ("s3://abc/../x", Prefix),
            ("s3://abc/.x", Prefix),
            ("s3://abc/x?region=y", Prefix),
            ("s3://abc/a%20b", Prefix),
        ] {
            assert_eq!(text.parse::<S3Url>(), Err(why), "{text}");
        }
    }
}
