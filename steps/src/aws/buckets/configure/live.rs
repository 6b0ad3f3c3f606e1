//! The settings of a bucket as S3 has them.

use std::fmt::Debug;

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, BucketVersioningStatus, DefaultRetention,
    ObjectLockConfiguration, ObjectLockEnabled, ObjectLockRetentionMode, ObjectLockRule,
    PublicAccessBlockConfiguration, ServerSideEncryption, ServerSideEncryptionByDefault,
    ServerSideEncryptionConfiguration, ServerSideEncryptionRule, VersioningConfiguration,
};
use model::plan::LockMode;
use model::step_error::StepError;

use super::super::super::classify::{AwsError, Kind};
use super::rules;
use super::settings::{DefaultLock, Encryption, PublicAccess, Rule, Settings, Versioning};

/// A bucket that is looked at or changed.
pub(super) struct Bucket<'a> {
    pub(super) client: &'a Client,
    pub(super) name: &'a str,
}

/// What was told, or that there is none.
fn told<T>(answer: Result<T, AwsError>) -> Result<Option<T>, StepError> {
    match answer {
        Ok(told) => Ok(Some(told)),
        Err(AwsError { kind: Kind::Missing, .. }) => Ok(None),
        Err(error) => Err(error.looking()),
    }
}

/// Why a request could not be made.
fn unmade(error: impl Debug) -> StepError {
    StepError::permanent("RB0665", format!("the request cannot be made: {error:?}"))
}

impl Bucket<'_> {
    /// The parts that `asked` speaks of, as they are.
    pub(super) async fn read(&self, asked: &Settings) -> Result<Settings, StepError> {
        let mut found = Settings::default();
        if asked.versioning.is_some() {
            found.versioning = Some(self.versioning().await?);
        }
        if asked.lifecycle.is_some() {
            found.lifecycle = Some(self.lifecycle().await?);
        }
        if asked.object_lock.is_some() {
            found.object_lock = Some(self.object_lock().await?);
        }
        if asked.encryption.is_some() {
            found.encryption = Some(self.encryption().await?);
        }
        if asked.public_access.is_some() {
            found.public_access = Some(self.public_access().await?);
        }
        Ok(found)
    }

    async fn versioning(&self) -> Result<Versioning, StepError> {
        let answer = self.client.get_bucket_versioning().bucket(self.name).send().await;
        let answer = answer.map_err(|error| AwsError::of("GetBucketVersioning", &error));
        let answer = answer.map_err(AwsError::looking)?;
        Ok(match answer.status() {
            Some(BucketVersioningStatus::Enabled) => Versioning::Enabled,
            Some(_) => Versioning::Suspended,
            None => Versioning::Never,
        })
    }

    async fn lifecycle(&self) -> Result<Vec<Rule>, StepError> {
        let request = self.client.get_bucket_lifecycle_configuration().bucket(self.name);
        let answer = request.send().await;
        let answer = told(answer.map_err(|e| AwsError::of("GetBucketLifecycleConfiguration", &e)))?;
        let rules = answer.and_then(|answer| answer.rules).unwrap_or_default();
        let read = rules.iter().map(|rule| rules::of_s3(rule).map_err(|why| (rule, why)));
        read.collect::<Result<_, _>>().map_err(|(rule, why)| {
            let id = rule.id().unwrap_or_default();
            let message = format!(
                "the rule `{id}` of the bucket `{}` could not be put back: {why}",
                self.name
            );
            StepError::needs_operator("RB0699", message)
                .hint("keep a copy of it and remove it by hand, or leave `lifecycle` out")
        })
    }

    async fn object_lock(&self) -> Result<DefaultLock, StepError> {
        let answer = self.client.get_object_lock_configuration().bucket(self.name).send().await;
        let answer = told(answer.map_err(|e| AwsError::of("GetObjectLockConfiguration", &e)))?;
        let configured = answer.and_then(|answer| answer.object_lock_configuration);
        let default = configured.and_then(|one| one.rule).and_then(|rule| rule.default_retention);
        let Some(default) = default else {
            return Ok(DefaultLock { mode: LockMode::Governance, days: 0 });
        };
        let mode = match default.mode() {
            Some(ObjectLockRetentionMode::Compliance) => LockMode::Compliance,
            _ => LockMode::Governance,
        };
        let years = default.years().unwrap_or_default();
        let days = default.days().unwrap_or(years.saturating_mul(365));
        Ok(DefaultLock { mode, days: u32::try_from(days).unwrap_or_default() })
    }

    async fn encryption(&self) -> Result<Encryption, StepError> {
        let answer = self.client.get_bucket_encryption().bucket(self.name).send().await;
        let answer = told(answer.map_err(|e| AwsError::of("GetBucketEncryption", &e)))?;
        let configured = answer.and_then(|answer| answer.server_side_encryption_configuration);
        let rules = configured.map(|one| one.rules).unwrap_or_default();
        let Some(rule) = rules.first() else { return Ok(Encryption::default()) };
        let default = rule.apply_server_side_encryption_by_default();
        Ok(Encryption {
            kms_key: default.and_then(|one| one.kms_master_key_id()).map(str::to_owned),
            bucket_key: rule.bucket_key_enabled() == Some(true),
        })
    }

    async fn public_access(&self) -> Result<PublicAccess, StepError> {
        let answer = self.client.get_public_access_block().bucket(self.name).send().await;
        let answer = told(answer.map_err(|e| AwsError::of("GetPublicAccessBlock", &e)))?;
        let configured = answer.and_then(|answer| answer.public_access_block_configuration);
        let is = |of: fn(&PublicAccessBlockConfiguration) -> Option<bool>| {
            configured.as_ref().and_then(of) == Some(true)
        };
        Ok(PublicAccess {
            block_acls: is(PublicAccessBlockConfiguration::block_public_acls),
            ignore_acls: is(PublicAccessBlockConfiguration::ignore_public_acls),
            block_policy: is(PublicAccessBlockConfiguration::block_public_policy),
            restrict_buckets: is(PublicAccessBlockConfiguration::restrict_public_buckets),
        })
    }

    /// Makes the parts so that differ from what is there. Versions come before locks, which need
    /// them.
    pub(super) async fn write(&self, asked: &Settings, now: &Settings) -> Result<(), StepError> {
        if let Some(versioning) = asked.versioning.filter(|_| asked.versioning != now.versioning) {
            self.set_versioning(versioning).await?;
        }
        if let Some(lock) =
            asked.object_lock.as_ref().filter(|_| asked.object_lock != now.object_lock)
        {
            self.set_object_lock(lock).await?;
        }
        if let Some(one) = asked.encryption.as_ref().filter(|_| asked.encryption != now.encryption)
        {
            self.set_encryption(one).await?;
        }
        if let Some(access) =
            asked.public_access.filter(|_| asked.public_access != now.public_access)
        {
            self.set_public_access(access).await?;
        }
        if let Some(rules) = asked.lifecycle.as_ref().filter(|_| asked.lifecycle != now.lifecycle) {
            self.set_lifecycle(rules).await?;
        }
        Ok(())
    }

    async fn set_versioning(&self, versioning: Versioning) -> Result<(), StepError> {
        let status = match versioning {
            Versioning::Enabled => BucketVersioningStatus::Enabled,
            Versioning::Suspended | Versioning::Never => BucketVersioningStatus::Suspended,
        };
        let asked = VersioningConfiguration::builder().status(status).build();
        let request = self.client.put_bucket_versioning().bucket(self.name);
        let answer = request.versioning_configuration(asked).send().await;
        answer.map(drop).map_err(|e| AwsError::of("PutBucketVersioning", &e).changing())
    }

    async fn set_lifecycle(&self, rules: &[Rule]) -> Result<(), StepError> {
        if rules.is_empty() {
            let answer = self.client.delete_bucket_lifecycle().bucket(self.name).send().await;
            return answer
                .map(drop)
                .map_err(|e| AwsError::of("DeleteBucketLifecycle", &e).changing());
        }
        let rules = rules.iter().map(rules::to_s3).collect::<Result<Vec<_>, _>>();
        let asked = BucketLifecycleConfiguration::builder().set_rules(Some(rules.map_err(unmade)?));
        let asked = asked.build().map_err(unmade)?;
        let request = self.client.put_bucket_lifecycle_configuration().bucket(self.name);
        let answer = request.lifecycle_configuration(asked).send().await;
        answer.map(drop).map_err(|e| AwsError::of("PutBucketLifecycleConfiguration", &e).changing())
    }

    async fn set_object_lock(&self, lock: &DefaultLock) -> Result<(), StepError> {
        let mode = match lock.mode {
            LockMode::Governance => ObjectLockRetentionMode::Governance,
            LockMode::Compliance => ObjectLockRetentionMode::Compliance,
        };
        let days = i32::try_from(lock.days).unwrap_or(i32::MAX);
        let default = DefaultRetention::builder().mode(mode).days(days).build();
        let rule = ObjectLockRule::builder().default_retention(default).build();
        let asked = ObjectLockConfiguration::builder()
            .object_lock_enabled(ObjectLockEnabled::Enabled)
            .set_rule((lock.days > 0).then_some(rule))
            .build();
        let request = self.client.put_object_lock_configuration().bucket(self.name);
        let answer = request.object_lock_configuration(asked).send().await;
        answer.map(drop).map_err(|e| AwsError::of("PutObjectLockConfiguration", &e).changing())
    }

    async fn set_encryption(&self, encryption: &Encryption) -> Result<(), StepError> {
        let algorithm = match encryption.kms_key {
            Some(_) => ServerSideEncryption::AwsKms,
            None => ServerSideEncryption::Aes256,
        };
        let default = ServerSideEncryptionByDefault::builder()
            .sse_algorithm(algorithm)
            .set_kms_master_key_id(encryption.kms_key.clone())
            .build()
            .map_err(unmade)?;
        let rule = ServerSideEncryptionRule::builder()
            .apply_server_side_encryption_by_default(default)
            .bucket_key_enabled(encryption.bucket_key)
            .build();
        let asked = ServerSideEncryptionConfiguration::builder().rules(rule);
        let request = self.client.put_bucket_encryption().bucket(self.name);
        let asked = asked.build().map_err(unmade)?;
        let answer = request.server_side_encryption_configuration(asked).send().await;
        answer.map(drop).map_err(|e| AwsError::of("PutBucketEncryption", &e).changing())
    }

    async fn set_public_access(&self, access: PublicAccess) -> Result<(), StepError> {
        let asked = PublicAccessBlockConfiguration::builder()
            .block_public_acls(access.block_acls)
            .ignore_public_acls(access.ignore_acls)
            .block_public_policy(access.block_policy)
            .restrict_public_buckets(access.restrict_buckets)
            .build();
        let request = self.client.put_public_access_block().bucket(self.name);
        let answer = request.public_access_block_configuration(asked).send().await;
        answer.map(drop).map_err(|e| AwsError::of("PutPublicAccessBlock", &e).changing())
    }
}
