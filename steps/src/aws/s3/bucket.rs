//! The bucket behind a store: its client, and what every request to it has in common.

use std::sync::Arc;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation};
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{
    ChecksumMode, ObjectLockLegalHoldStatus, ObjectLockMode, ServerSideEncryption, StorageClass,
};
use engine::clock::{Clock as _, RealClock};
use engine::settings::S3Settings;
use jiff::{SignedDuration, Timestamp};
use model::plan::LockMode;
use model::s3_url::S3Url;
use tokio::sync::{OnceCell, Semaphore};

use super::super::Keys;
use super::super::classify::{AwsError, Kind};
use super::super::config::Account;

/// Under this name an object carries the mark of its writer.
pub(super) const MARK: &str = "runbook-writer";
/// Bytes that one unit of [`Bucket::uploads`] stands for.
pub(super) const UNIT: u64 = 1024 * 1024;
/// Units of parts that are on their way up at once, of all writers of a store.
pub(super) const UPLOADS: u32 = 64;
/// Ranges that are fetched before their reader asks for them, of all readers of a store.
const AHEAD: usize = 6;

/// A bucket and the folder in it.
pub(super) struct Bucket {
    pub(super) place: S3Url,
    pub(super) uploads: Arc<Semaphore>,
    pub(super) ahead: Arc<Semaphore>,
    settings: S3Settings,
    keys: Option<Keys>,
    client: OnceCell<Made>,
}

/// A client, and what its configuration settled.
struct Made {
    client: Client,
    checksums: bool,
}

/// How new objects are kept.
pub(super) struct Keeping {
    pub(super) class: Option<StorageClass>,
    pub(super) encryption: Option<ServerSideEncryption>,
    pub(super) kms_key: Option<String>,
    pub(super) lock: Option<ObjectLockMode>,
    pub(super) until: Option<DateTime>,
}

/// What S3 says of an object.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) bytes: u64,
    pub(super) modified: Timestamp,
    pub(super) etag: Option<String>,
    /// SHA-256 in base64; of an object in parts, of those of its parts.
    pub(super) checksum: Option<String>,
    /// The mark of its writer.
    pub(super) mark: Option<String>,
    /// A lock holds it.
    pub(super) held: bool,
}

impl Bucket {
    pub(super) fn new(place: S3Url, settings: S3Settings, keys: Option<Keys>) -> Self {
        Self {
            place,
            uploads: Arc::new(Semaphore::new(UPLOADS as usize)),
            ahead: Arc::new(Semaphore::new(AHEAD)),
            settings,
            keys,
            client: OnceCell::new(),
        }
    }

    /// Whether one server has both buckets, and may copy from one to the other.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        self.settings.endpoint_url == other.settings.endpoint_url
    }

    /// The key of the object at `path`.
    pub(super) fn key(&self, path: &str) -> String {
        let prefix = &self.place.prefix;
        if prefix.is_empty() { path.to_owned() } else { format!("{prefix}/{path}") }
    }

    /// The path of the object with that key.
    pub(super) fn path<'a>(&self, key: &'a str) -> Option<&'a str> {
        if self.place.prefix.is_empty() {
            return Some(key);
        }
        key.strip_prefix(&self.place.prefix)?.strip_prefix('/')
    }

    async fn made(&self) -> Result<&Made, AwsError> {
        self.client.get_or_try_init(|| self.make()).await
    }

    async fn make(&self) -> Result<Made, AwsError> {
        let S3Settings { region, profile, endpoint_url, compatible, .. } = self.settings.clone();
        let account = Account { region, profile, endpoint_url, keys: self.keys.clone() };
        let shared = account.load().await?;
        let elsewhere = shared.endpoint_url().is_some_and(|url| !url.contains("amazonaws.com"));
        let when_required = Some(RequestChecksumCalculation::WhenRequired);
        let sparing = compatible || shared.request_checksum_calculation() == when_required;
        let mut config = aws_sdk_s3::config::Builder::from(&shared)
            .force_path_style(self.settings.path_style.unwrap_or(elsewhere));
        if sparing {
            config = config
                .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
                .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        }
        // A lock demands a checksum of whoever writes.
        let checksums = !sparing || self.settings.object_lock.is_some();
        Ok(Made { client: Client::from_conf(config.build()), checksums })
    }

    /// The client; its making reads the environment and the files of AWS.
    pub(super) async fn client(&self) -> Result<&Client, AwsError> {
        Ok(&self.made().await?.client)
    }

    /// Whether checksums are sent and compared.
    pub(super) async fn checksums(&self) -> Result<bool, AwsError> {
        Ok(self.made().await?.checksums)
    }

    /// How an object that is written now is kept.
    pub(super) fn keeping(&self) -> Keeping {
        let settings = &self.settings;
        let lock = settings.object_lock.as_ref();
        let until = lock.map(|lock| {
            let days = SignedDuration::from_hours(24 * i64::from(lock.days));
            let until = RealClock.now().checked_add(days).unwrap_or(Timestamp::MAX);
            DateTime::from_secs(until.as_second())
        });
        Keeping {
            class: settings.storage_class.as_deref().map(StorageClass::from),
            encryption: settings.kms_key.as_ref().map(|_| ServerSideEncryption::AwsKms),
            kms_key: settings.kms_key.clone(),
            lock: lock.map(|lock| match lock.mode {
                LockMode::Governance => ObjectLockMode::Governance,
                LockMode::Compliance => ObjectLockMode::Compliance,
            }),
            until,
        }
    }

    /// What is at that path, or at that version of it.
    pub(super) async fn head(
        &self,
        path: &str,
        version: Option<&str>,
    ) -> Result<Option<Head>, AwsError> {
        let made = self.made().await?;
        let request = made.client.head_object().bucket(&self.place.bucket).key(self.key(path));
        let asked = made.checksums.then_some(ChecksumMode::Enabled);
        let request = request.set_checksum_mode(asked).set_version_id(version.map(str::to_owned));
        match request.send().await {
            Ok(head) => Ok(Some(Head::of(head))),
            Err(error) => match AwsError::of("HeadObject", &error) {
                AwsError { kind: Kind::Missing, .. } => Ok(None),
                error => Err(error),
            },
        }
    }
}

impl Head {
    fn of(head: HeadObjectOutput) -> Self {
        let until = head.object_lock_retain_until_date().map(time);
        let hold = head.object_lock_legal_hold_status() == Some(&ObjectLockLegalHoldStatus::On);
        Self {
            bytes: size(head.content_length()),
            modified: head.last_modified().map(time).unwrap_or_default(),
            checksum: head.checksum_sha256().map(str::to_owned),
            mark: head.metadata().and_then(|metadata| metadata.get(MARK)).cloned(),
            held: hold || until.is_some_and(|until| until > RealClock.now()),
            etag: head.e_tag,
        }
    }
}

/// A size as S3 tells it.
pub(super) fn size(bytes: Option<i64>) -> u64 {
    bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default()
}

/// A time as S3 tells it.
pub(super) fn time(time: &DateTime) -> Timestamp {
    let nanos = i32::try_from(time.subsec_nanos()).unwrap_or_default();
    Timestamp::new(time.secs(), nanos).unwrap_or_default()
}
