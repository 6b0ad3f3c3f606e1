//! What can go wrong with a store, and what it means for a step.

use std::io;

use model::step_error::StepError;

use crate::aws::classify::AwsError;

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The `url` is of no kind that is known.
    #[error("`{url}` is not a store: it is `file:///path` or `s3://bucket/folder`")]
    Url {
        /// As written.
        url: String,
    },
    /// The path leaves the store or goes through a symbolic link.
    #[error("`{path}` is no path in a store: {why}")]
    Refused {
        /// The path.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Nothing is at that path.
    #[error("`{path}` is not in the store")]
    Missing {
        /// The path.
        path: String,
    },
    /// Something is at that path already.
    #[error("`{path}` is in the store already, and objects are never overwritten")]
    Exists {
        /// The path.
        path: String,
    },
    /// No more bytes fit.
    #[error("the store is full: `{path}` could not be written")]
    Full {
        /// The path.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The account may not do that.
    #[error("the store refuses access to `{path}`")]
    Denied {
        /// The path.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// A small object is not small.
    #[error("`{path}` has more than {limit} bytes")]
    TooLarge {
        /// The path.
        path: String,
        /// The most it may have.
        limit: u64,
    },
    /// A manifest does not read, or belongs to another set.
    #[error("`{path}` is not the manifest of the set in this folder: {why}")]
    Manifest {
        /// The path.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// A promise that a folder cannot keep.
    #[error("`{key}` is for stores on S3, and `{url}` is none")]
    OnlyS3 {
        /// The store.
        url: String,
        /// The key of the store.
        key: &'static str,
    },
    /// Nobody vouches for us, or no longer.
    #[error("AWS does not know who asks for `{path}`")]
    Credentials {
        /// The path.
        path: String,
        /// What AWS said.
        source: Box<AwsError>,
    },
    /// The bucket is not there, or somewhere else.
    #[error("the bucket of `{path}` is not where the store says")]
    Bucket {
        /// The path.
        path: String,
        /// What S3 said.
        source: Box<AwsError>,
    },
    /// S3 refuses the request as such.
    #[error("the store refuses the request for `{path}`")]
    Rejected {
        /// The path.
        path: String,
        /// What S3 said.
        source: Box<AwsError>,
    },
    /// The answer was lost, and nothing tells whether the object was committed.
    #[error("`{path}` may have been committed, or not")]
    Unsure {
        /// The path.
        path: String,
        /// How the answer was lost.
        source: Box<AwsError>,
    },
    /// What the store keeps is not what was sent.
    #[error("what the store keeps at `{path}` is not what was sent: {why}")]
    Altered {
        /// The path.
        path: String,
        /// The difference.
        why: String,
    },
    /// Anything else.
    #[error("the store failed at `{path}`")]
    Io {
        /// The path.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

impl StoreError {
    /// An error of the system at `path`.
    pub(super) fn of(path: &str, source: io::Error) -> Self {
        let path = path.to_owned();
        let code = rustix::io::Errno::from_io_error(&source);
        match code {
            Some(rustix::io::Errno::LOOP) => {
                Self::Refused { path, why: "it goes through a symbolic link" }
            }
            Some(rustix::io::Errno::NOTDIR) => {
                Self::Refused { path, why: "part of it is not a folder" }
            }
            Some(rustix::io::Errno::ISDIR) => Self::Refused { path, why: "it is a folder" },
            Some(rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT | rustix::io::Errno::FBIG) => {
                Self::Full { path, source }
            }
            _ => match source.kind() {
                io::ErrorKind::NotFound => Self::Missing { path },
                io::ErrorKind::AlreadyExists => Self::Exists { path },
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    Self::Denied { path, source }
                }
                _ => Self::Io { path, source },
            },
        }
    }

    /// Whether it is about what lies at the path, so that another try finds the same.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Refused { .. }
            | Self::Missing { .. }
            | Self::Denied { .. }
            | Self::TooLarge { .. }
            | Self::Manifest { .. } => true,
            Self::Url { .. }
            | Self::OnlyS3 { .. }
            | Self::Exists { .. }
            | Self::Full { .. }
            | Self::Credentials { .. }
            | Self::Bucket { .. }
            | Self::Rejected { .. }
            | Self::Unsure { .. }
            | Self::Altered { .. }
            | Self::Io { .. } => false,
        }
    }
}

impl From<StoreError> for StepError {
    fn from(error: StoreError) -> Self {
        use std::error::Error;
        let message = error.to_string();
        let made = match &error {
            StoreError::Url { .. } => Self::permanent("RB0600", message),
            StoreError::Refused { .. } => Self::permanent("RB0601", message),
            StoreError::Missing { .. } => Self::permanent("RB0602", message)
                .hint("check the store's `url`; its folder must lie in one that exists"),
            StoreError::Exists { .. } => Self::permanent("RB0603", message),
            StoreError::Full { .. } => Self::permanent("RB0604", message)
                .hint("free space in the store, then resume; the unfinished set was removed"),
            StoreError::Denied { .. } => Self::needs_operator("RB0605", message)
                .hint("let the account that runs `runbook` read and write the store"),
            StoreError::TooLarge { .. } => Self::permanent("RB0606", message),
            StoreError::Manifest { .. } => Self::permanent("RB0612", message)
                .hint("the set cannot be trusted: restore from another one"),
            StoreError::OnlyS3 { .. } => Self::permanent("RB0695", message)
                .hint("remove the key, or give a `url` at `s3://`"),
            StoreError::Credentials { .. } => Self::needs_operator("RB0690", message).hint(
                "give credentials by `AWS_PROFILE`, `AWS_ACCESS_KEY_ID` or a role, or renew them; \
                 then resume",
            ),
            StoreError::Bucket { .. } => Self::needs_operator("RB0691", message)
                .hint("check the bucket in the store's `url`, its `region` and `endpoint_url`"),
            StoreError::Rejected { .. } => Self::permanent("RB0692", message)
                .hint("check the store's keys; one that is not AWS may need `compatible: true`"),
            StoreError::Unsure { .. } => Self::ambiguous("RB0693", message),
            StoreError::Altered { .. } => Self::permanent("RB0694", message).hint(
                "the object was removed again; one that is not AWS may need `compatible: true`",
            ),
            StoreError::Io { .. } => Self::transient("RB0607", message),
        };
        match error.source() {
            Some(cause) => made.caused_by(cause),
            None => made,
        }
    }
}

#[cfg(test)]
mod tests {
    use model::step_error::ErrorClass;
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn each_error_of_the_system_has_its_code() {
        use ErrorClass::{NeedsOperator, Permanent, Transient};
        for (errno, code, class) in [
            (Errno::LOOP, "RB0601", Permanent),
            (Errno::NOTDIR, "RB0601", Permanent),
            (Errno::ISDIR, "RB0601", Permanent),
            (Errno::NOENT, "RB0602", Permanent),
            (Errno::EXIST, "RB0603", Permanent),
            (Errno::NOSPC, "RB0604", Permanent),
            (Errno::DQUOT, "RB0604", Permanent),
            (Errno::FBIG, "RB0604", Permanent),
            (Errno::ACCESS, "RB0605", NeedsOperator),
            (Errno::PERM, "RB0605", NeedsOperator),
            (Errno::ROFS, "RB0605", NeedsOperator),
            (Errno::IO, "RB0607", Transient),
        ] {
            let error = StepError::from(StoreError::of("sets/shop", errno.into()));
            assert_eq!((error.code.as_str(), error.class), (code, class), "{errno}");
        }
        let told = |errno: Errno| StepError::from(StoreError::of("sets/shop", errno.into())).told();
        shown::case("RB0605", told(Errno::ACCESS));
        shown::case("RB0607", told(Errno::IO));
    }
}
