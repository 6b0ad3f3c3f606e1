//! `s3://bucket/key`: an object, or with a slash at its end everything under a prefix.

use std::fmt;

use model::catalog::InputProblem;
use model::s3_url::{S3Url, SCHEME};

/// A bucket, and a key or a prefix in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) bucket: String,
    /// Empty or with a slash at its end for a prefix.
    pub(super) key: String,
}

impl Location {
    /// Reads one; none when it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (bucket, key) = text.strip_prefix(SCHEME)?.split_once('/')?;
        format!("{SCHEME}{bucket}").parse::<S3Url>().ok()?;
        let key = key.to_owned();
        (!key.starts_with('/')).then(|| Self { bucket: bucket.to_owned(), key })
    }

    /// Everything under a prefix is meant.
    pub(super) fn is_prefix(&self) -> bool {
        self.key.is_empty() || self.key.ends_with('/')
    }

    /// The place of the same object under another prefix.
    pub(super) fn beside(&self, from: &Self, key: &str) -> String {
        if self.is_prefix() {
            let rest = key.strip_prefix(&from.key).unwrap_or(key);
            return format!("{}{rest}", self.key);
        }
        self.key.clone()
    }

    /// Whether one of them lies in the other.
    fn overlaps(&self, other: &Self) -> bool {
        let inside = |one: &Self, other: &Self| {
            one.key == other.key || one.is_prefix() && other.key.starts_with(&one.key)
        };
        self.bucket == other.bucket && (inside(self, other) || inside(other, self))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.bucket, self.key)
    }
}

/// What is wrong with a pair of locations.
pub(super) fn problems(from: &str, to: &str, prefixes: bool) -> Vec<InputProblem> {
    let help = "write `s3://bucket/key`, or `s3://bucket/prefix/` for all under a prefix";
    let read = |key: &str, text: &str| {
        Location::parse(text).ok_or_else(|| {
            InputProblem::at(key, format!("`{text}` is no place in a bucket")).help(help)
        })
    };
    let (from, to) = match (read("from", from), read("to", to)) {
        (Ok(from), Ok(to)) => (from, to),
        (from, to) => return [from.err(), to.err()].into_iter().flatten().collect(),
    };
    if prefixes && !from.is_prefix() {
        return vec![InputProblem::at("from", "a prefix ends with `/`").help(help)];
    }
    if from.is_prefix() != to.is_prefix() {
        let problem = InputProblem::at("to", "one is an object and the other a prefix");
        return vec![problem.help("end both with `/`, or neither")];
    }
    if from.overlaps(&to) {
        let problem = InputProblem::at("to", "objects are copied to where they are");
        return vec![problem.help("name another bucket or prefix")];
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_an_object_or_a_prefix() {
        let read = |text| Location::parse(text).unwrap();
        assert!(read("s3://backups/").is_prefix() && read("s3://backups/a/").is_prefix());
        assert!(!read("s3://backups/a/b").is_prefix());
        assert_eq!(read("s3://backups/a b/ü").to_string(), "s3://backups/a b/ü");
        for none in ["s3://backups", "s3://B/x", "file:///x/y", "s3://backups//x", "backups/x"] {
            assert_eq!(Location::parse(none), None, "{none}");
        }
        let (from, to) = (read("s3://one/a/"), read("s3://two/b/"));
        assert_eq!(to.beside(&from, "a/x/y"), "b/x/y");
        assert_eq!(read("s3://two/z").beside(&read("s3://one/a"), "a"), "z");
    }

    #[test]
    fn a_pair_that_makes_no_sense_is_refused() {
        let of = |from, to| problems(from, to, false).len();
        assert_eq!(of("s3://one/a", "s3://one/b"), 0);
        assert_eq!(of("s3://one/a/", "s3://two/"), 0);
        assert_eq!(of("s3://one/a/", "s3://two/b"), 1);
        assert_eq!(of("s3://one/a/", "s3://one/a/b/"), 1);
        assert_eq!(of("s3://one/", "s3://one/x/"), 1);
        assert_eq!(of("s3://one/a", "s3://one/a"), 1);
        assert_eq!(of("one", "two"), 2);
        assert_eq!(problems("s3://one/a", "s3://two/a", true).len(), 1);
    }
}
