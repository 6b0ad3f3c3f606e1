//! How a bucket keeps what lies in it.

use std::collections::BTreeMap;

use model::plan::LockMode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of a bucket. What is absent is not touched.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Whether objects keep their versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versioning: Option<Versioning>,
    /// The rules by which objects move to other classes and go, all of them; `[]` removes those
    /// that are there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<Vec<Rule>>,
    /// How long new objects are locked when their writer does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_lock: Option<DefaultLock>,
    /// By what new objects are encrypted when their writer does not say; `{}` is SSE-S3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// What of public access is blocked; `{}` is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_access: Option<PublicAccess>,
}

/// Whether objects keep their versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Versioning {
    /// Each write adds a version.
    Enabled,
    /// Those that are there stay; new writes have none.
    Suspended,
    /// As a new bucket is. S3 has no way back to it: `suspended` is set in its place.
    Never,
}

/// How long new objects are locked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DefaultLock {
    /// `governance` or `compliance`.
    #[serde(default = "governance")]
    #[schemars(with = "String")]
    pub mode: LockMode,
    /// Days from the moment an object is written; 0 for no default.
    pub days: u32,
}

fn governance() -> LockMode {
    LockMode::Governance
}

/// By what new objects are encrypted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Encryption {
    /// The key in KMS (SSE-KMS); without it, S3's own (SSE-S3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key: Option<String>,
    /// Asks KMS once for the bucket rather than for each object.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bucket_key: bool,
}

/// What of public access is blocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "AWS has these four, each by itself")]
pub struct PublicAccess {
    /// New access lists that make something public are refused.
    #[serde(default = "crate::defaults::yes")]
    pub block_acls: bool,
    /// Access lists that make something public have no effect.
    #[serde(default = "crate::defaults::yes")]
    pub ignore_acls: bool,
    /// Policies that make the bucket public are refused.
    #[serde(default = "crate::defaults::yes")]
    pub block_policy: bool,
    /// A bucket that a policy makes public is for its own account only.
    #[serde(default = "crate::defaults::yes")]
    pub restrict_buckets: bool,
}

/// A rule of a lifecycle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name, unique in the bucket.
    pub id: String,
    /// It is for keys that start so; without it, for all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// It is for objects with all these tags.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// It is for objects of more bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub larger_than: Option<i64>,
    /// It is for objects of fewer bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smaller_than: Option<i64>,
    /// It is in force.
    #[serde(default = "crate::defaults::yes")]
    pub enabled: bool,
    /// To which classes objects move, and when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transitions: Vec<Transition>,
    /// Objects go after so many days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expire_after_days: Option<i32>,
    /// A marker of deletion goes when no version is left behind it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub remove_lone_markers: bool,
    /// To which classes versions move that are no longer current, and when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub noncurrent_transitions: Vec<Transition>,
    /// Versions go so many days after they were replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noncurrent_expire_after_days: Option<i32>,
    /// So many versions stay that are no longer current, however old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noncurrent_keep: Option<i32>,
    /// Uploads in parts that did not end are aborted after so many days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abort_uploads_after_days: Option<i32>,
}

/// A move to another class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Transition {
    /// Days after an object was written, or a version replaced.
    pub days: i32,
    /// The class: `STANDARD_IA`, `GLACIER_IR`, `GLACIER`, `DEEP_ARCHIVE` ...
    pub storage_class: String,
}

impl Settings {
    /// Nothing is said.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The parts that are said, each with its name.
    pub(super) fn parts(&self) -> Vec<(&'static str, String)> {
        fn text(value: &impl Serialize) -> String {
            let value = serde_json::to_value(value).expect("settings are plain data");
            value.as_str().map_or_else(|| value.to_string(), str::to_owned)
        }
        let all = [
            ("versioning", self.versioning.as_ref().map(text)),
            ("lifecycle", self.lifecycle.as_ref().map(text)),
            ("object_lock", self.object_lock.as_ref().map(text)),
            ("encryption", self.encryption.as_ref().map(text)),
            ("public_access", self.public_access.as_ref().map(text)),
        ];
        all.into_iter().filter_map(|(name, text)| Some((name, text?))).collect()
    }

    /// What S3 can be asked for: it knows no way back to a bucket without versions.
    pub(super) fn settled(mut self) -> Self {
        if self.versioning == Some(Versioning::Never) {
            self.versioning = Some(Versioning::Suspended);
        }
        self.told()
    }

    /// In one order, whoever told it: rules have none, and a lock of no days has no mode.
    pub(super) fn told(mut self) -> Self {
        if let Some(rules) = &mut self.lifecycle {
            rules.sort_by(|one, other| one.id.cmp(&other.id));
            for rule in rules {
                rule.transitions.sort_by_key(|one| one.days);
                rule.noncurrent_transitions.sort_by_key(|one| one.days);
            }
        }
        if let Some(lock) = self.object_lock.as_mut().filter(|lock| lock.days == 0) {
            lock.mode = LockMode::Governance;
        }
        self
    }

    /// Objects or versions go by a rule that is in force.
    pub(super) fn expires(&self) -> bool {
        let goes = |rule: &Rule| {
            rule.enabled
                && (rule.expire_after_days.is_some() || rule.noncurrent_expire_after_days.is_some())
        };
        self.lifecycle.iter().flatten().any(goes)
    }

    /// The classes to which objects move whose content has to be thawed before it is read.
    pub(super) fn archives(&self) -> bool {
        let moves = |rule: &Rule| {
            let all = rule.transitions.iter().chain(&rule.noncurrent_transitions);
            all.clone().any(|one| super::super::is_archive(&one.storage_class))
        };
        self.lifecycle.iter().flatten().any(moves)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_settled_as_s3_would_tell_it() {
        let rule = |id: &str| Rule {
            id: id.to_owned(),
            ..serde_json::from_value(serde_json::json!({"id": "x", "expire_after_days": 3}))
                .unwrap()
        };
        let asked = Settings {
            versioning: Some(Versioning::Never),
            lifecycle: Some(vec![rule("b"), rule("a")]),
            object_lock: Some(DefaultLock { mode: LockMode::Compliance, days: 0 }),
            ..Settings::default()
        };
        assert!(asked.expires() && !asked.archives());
        let settled = asked.settled();
        assert_eq!(settled.versioning, Some(Versioning::Suspended));
        assert_eq!(settled.lifecycle.unwrap()[0].id, "a");
        assert_eq!(settled.object_lock.unwrap().mode, LockMode::Governance);
    }
}
