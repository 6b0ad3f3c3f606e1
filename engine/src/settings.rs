//! Connections and stores as a step gets them: rendered, with their secrets read.

use model::plan::{Encrypt, ObjectLock};
use model::proof::Level;
use secrecy::SecretString;

/// A PostgreSQL target, rendered. Parts that are absent take libpq's defaults.
#[derive(Debug, Clone, Default)]
pub struct ConnectionSettings {
    /// The name under `connections:`.
    pub name: String,
    /// The whole URL; it may hold a password.
    pub url: Option<SecretString>,
    /// Host name, address, or the folder of a unix socket.
    pub host: Option<String>,
    /// Port.
    pub port: Option<String>,
    /// Database name.
    pub dbname: Option<String>,
    /// Role.
    pub user: Option<String>,
    /// Password.
    pub password: Option<SecretString>,
    /// A section of libpq's service file.
    pub service: Option<String>,
    /// libpq's `sslmode`.
    pub sslmode: Option<String>,
    /// libpq's `sslrootcert`: a file in PEM, or `system`.
    pub sslrootcert: Option<String>,
    /// libpq's `sslcert`: a file in PEM.
    pub sslcert: Option<String>,
    /// libpq's `sslkey`: a file in PEM.
    pub sslkey: Option<String>,
    /// The container in which the server runs; host and port lead to it.
    pub docker: Option<String>,
    /// The runbook does not call it scratch.
    pub protected: bool,
}

/// A backup store, rendered.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    /// The name under `stores:`.
    pub name: String,
    /// `file:///path` or `s3://bucket/folder`.
    pub url: String,
    /// The lowest proof level at which a set counts as proven.
    pub min_proof: Level,
    /// For whom every set that is written here is encrypted.
    pub encrypt: Option<Encrypt>,
    /// How to reach a store on S3, and how to write there.
    pub s3: S3Settings,
}

impl StoreSettings {
    /// The store at a URL of which nothing else is said.
    pub fn at(url: &str) -> Self {
        Self {
            name: url.to_owned(),
            url: url.to_owned(),
            min_proof: Level::Identical,
            encrypt: None,
            s3: S3Settings::default(),
        }
    }
}

/// What a store on S3 has besides its URL, rendered. What is absent comes from the variables and
/// files that every program for AWS reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct S3Settings {
    /// The region of the bucket.
    pub region: Option<String>,
    /// Where S3 answers, when that is not AWS.
    pub endpoint_url: Option<String>,
    /// The profile whose credentials are used.
    pub profile: Option<String>,
    /// The storage class of every object that is written.
    pub storage_class: Option<String>,
    /// The key in KMS by which the bucket encrypts every object that is written.
    pub kms_key: Option<String>,
    /// How long nobody may remove an object that is written.
    pub object_lock: Option<ObjectLock>,
    /// Whether the bucket stands in the path of the URL.
    pub path_style: Option<bool>,
    /// It is not AWS: checksums are sent only where they must be.
    pub compatible: bool,
}

/// What opens the sets of a store, rendered, its secrets read.
#[derive(Debug, Clone, Default)]
pub struct StoreKeys {
    /// The text of an identity file of age.
    pub identity: Option<SecretString>,
    /// The folder of gpg's keyring.
    pub gpg_home: Option<String>,
    /// The passphrase of gpg's private key.
    pub passphrase: Option<SecretString>,
}
