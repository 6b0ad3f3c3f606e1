//! What a bucket knows: its settings, its objects in their versions, and uploads that go on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use s3s::dto::{
    BucketLifecycleConfiguration, ETag, ETagCondition, ObjectLockConfiguration,
    PublicAccessBlockConfiguration, ServerSideEncryptionConfiguration, Tag, Timestamp,
};
use s3s::{S3Result, s3_error};

use super::about::About;
use super::disk::Stored;
use super::sums::Sums;

/// The id of a version in a bucket that keeps none.
pub(super) const NULL: &str = "null";

/// Whether a bucket keeps former versions.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Versioning {
    #[default]
    Never,
    Enabled,
    Suspended,
}

/// A bucket.
pub(super) struct Bucket {
    pub(super) region: String,
    pub(super) created: Timestamp,
    pub(super) versioning: Versioning,
    pub(super) lock: Option<ObjectLockConfiguration>,
    pub(super) lifecycle: Option<BucketLifecycleConfiguration>,
    pub(super) encryption: Option<ServerSideEncryptionConfiguration>,
    pub(super) public: Option<PublicAccessBlockConfiguration>,
    pub(super) tags: Vec<Tag>,
    /// The versions of each key, the newest last.
    pub(super) objects: BTreeMap<String, Vec<Version>>,
    /// By their ids.
    pub(super) uploads: BTreeMap<String, Upload>,
}

/// What an object holds.
pub(super) struct Content {
    pub(super) files: Vec<Arc<Stored>>,
    pub(super) bytes: u64,
    pub(super) etag: String,
    pub(super) sums: Sums,
    /// The checksum is of those of its parts.
    pub(super) composite: bool,
    /// The sizes of its parts, when it was sent in parts.
    pub(super) parts: Vec<u64>,
}

/// What keeps a version from being removed.
#[derive(Clone, Default)]
pub(super) struct Lock {
    pub(super) mode: Option<String>,
    pub(super) until: Option<Timestamp>,
    pub(super) hold: bool,
}

impl Lock {
    /// Whether it holds now; `bypass` is the right to pass governance.
    pub(super) fn holds(&self, bypass: bool) -> bool {
        let passes = bypass && self.mode.as_deref() == Some("GOVERNANCE");
        let retained = self.until.as_ref().is_some_and(|until| *until > now());
        self.hold || retained && !passes
    }
}

/// One version of an object, or a marker that it is deleted.
#[derive(Clone)]
pub(super) struct Version {
    pub(super) id: String,
    pub(super) modified: Timestamp,
    /// Nothing in a marker.
    pub(super) content: Option<Arc<Content>>,
    pub(super) about: Arc<About>,
    pub(super) tags: Vec<Tag>,
    pub(super) lock: Lock,
}

/// An upload in parts that has not ended.
pub(super) struct Upload {
    pub(super) key: String,
    pub(super) started: Timestamp,
    pub(super) about: Arc<About>,
    pub(super) tags: Vec<Tag>,
    pub(super) lock: Lock,
    pub(super) algorithm: Option<String>,
    pub(super) full: bool,
    pub(super) parts: BTreeMap<i32, Part>,
}

/// A part of an upload.
#[derive(Clone)]
pub(super) struct Part {
    pub(super) file: Arc<Stored>,
    pub(super) md5: [u8; 16],
    pub(super) sums: Sums,
    pub(super) modified: Timestamp,
}

/// The time now.
pub(super) fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}

impl Bucket {
    pub(super) fn new(region: String) -> Self {
        Self {
            region,
            created: now(),
            versioning: Versioning::Never,
            lock: None,
            lifecycle: None,
            encryption: None,
            public: None,
            tags: Vec::new(),
            objects: BTreeMap::new(),
            uploads: BTreeMap::new(),
        }
    }

    /// The newest version of a key, a marker or not.
    pub(super) fn newest(&self, key: &str) -> Option<&Version> {
        self.objects.get(key)?.last()
    }

    /// What is at a key now.
    pub(super) fn current(&self, key: &str) -> Option<&Version> {
        self.newest(key).filter(|version| version.content.is_some())
    }

    /// That version of a key, or what is there now.
    pub(super) fn find(&self, key: &str, id: Option<&str>) -> S3Result<&Version> {
        let Some(id) = id else {
            return self.current(key).ok_or_else(|| s3_error!(NoSuchKey));
        };
        let found = self.objects.get(key).and_then(|all| all.iter().find(|one| one.id == id));
        let found = found.ok_or_else(|| s3_error!(NoSuchVersion))?;
        if found.content.is_none() {
            return Err(s3_error!(MethodNotAllowed));
        }
        Ok(found)
    }

    /// The same, to be changed.
    pub(super) fn find_mut(&mut self, key: &str, id: Option<&str>) -> S3Result<&mut Version> {
        let id = self.find(key, id)?.id.clone();
        let all = self.objects.get_mut(key).into_iter().flatten();
        all.into_iter().find(|one| one.id == id).ok_or_else(|| s3_error!(NoSuchVersion))
    }

    /// Refuses a write whose condition does not hold.
    pub(super) fn allows(
        &self,
        key: &str,
        if_match: Option<&ETagCondition>,
        if_none_match: Option<&ETagCondition>,
    ) -> S3Result<()> {
        let current = self.current(key).and_then(|version| version.content.as_ref());
        let meets = |condition: &ETagCondition| match (condition, current) {
            (ETagCondition::Any, there) => there.is_some(),
            (ETagCondition::ETag(etag), Some(there)) => etag.value() == there.etag,
            (ETagCondition::ETag(_), None) => false,
        };
        if if_none_match.is_some_and(meets) {
            return Err(s3_error!(
                PreconditionFailed,
                "At least one of the pre-conditions you specified did not hold"
            ));
        }
        match if_match {
            Some(_) if current.is_none() => Err(s3_error!(NoSuchKey)),
            Some(condition) if !meets(condition) => Err(s3_error!(PreconditionFailed)),
            _ => Ok(()),
        }
    }

    /// Adds a version; gives its id as it is told.
    pub(super) fn add(&mut self, key: &str, mut version: Version) -> S3Result<Option<String>> {
        let keeps = self.versioning == Versioning::Enabled;
        version.id = if keeps {
            super::random_word().map_err(s3s::S3Error::internal_error)?
        } else {
            NULL.to_owned()
        };
        let told = (self.versioning != Versioning::Never).then(|| version.id.clone());
        let all = self.objects.entry(key.to_owned()).or_default();
        if !keeps {
            all.retain(|one| one.id != NULL);
        }
        all.push(version);
        Ok(told)
    }

    /// Removes a version; a key without any is gone.
    pub(super) fn take(&mut self, key: &str, id: &str) {
        if let Some(all) = self.objects.get_mut(key) {
            all.retain(|one| one.id != id);
            if all.is_empty() {
                self.objects.remove(key);
            }
        }
    }

    /// The lock of a new version that asks for none.
    pub(super) fn usual_lock(&self) -> Lock {
        let rule = self.lock.as_ref().and_then(|lock| lock.rule.as_ref());
        let Some(usual) = rule.and_then(|rule| rule.default_retention.as_ref()) else {
            return Lock::default();
        };
        let days = usual.days.unwrap_or_default() + 365 * usual.years.unwrap_or_default();
        let length = std::time::Duration::from_hours(24 * u64::from(days.unsigned_abs()));
        Lock {
            mode: usual.mode.as_ref().map(|mode| mode.as_str().to_owned()),
            until: Some(Timestamp::from(SystemTime::now() + length)),
            hold: false,
        }
    }

    /// The id of a version as it is told.
    pub(super) fn told(&self, version: &Version) -> Option<String> {
        (self.versioning != Versioning::Never).then(|| version.id.clone())
    }
}

impl Content {
    /// Its `ETag` as it is told.
    pub(super) fn etag(&self) -> ETag {
        ETag::Strong(self.etag.clone())
    }

    /// What its checksum is of, as it is told.
    pub(super) fn kind(&self) -> &'static str {
        if self.composite { "COMPOSITE" } else { "FULL_OBJECT" }
    }
}

/// A size as it is told.
pub(super) fn size(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
