//! What a plan reaches: secrets, PostgreSQL targets, backup stores.

use serde::{Deserialize, Serialize};

use super::source::{ManagedSecret, Parameter};

/// Where a secret is read from, each time a step that uses it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretSource {
    /// An environment variable.
    Env(String),
    /// A file, one trailing newline removed.
    File(String),
    /// The standard output of a command, one trailing newline removed.
    Command(Vec<String>),
    /// A parameter of Systems Manager.
    AwsSsm(Parameter),
    /// A secret of Secrets Manager.
    AwsSecretsmanager(ManagedSecret),
}

/// A named PostgreSQL target. Text fields may hold templates over params, vars, run and secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connection {
    /// `postgresql://...`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Host name, address, or the folder of a unix socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Port, as text because it may be a template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// Database name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dbname: Option<String>,
    /// Role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Password, a template over secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// A section of libpq's service file, which gives what is not said here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// libpq's `sslmode`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sslmode: Option<String>,
    /// The file of root certificates (PEM) that the server's is checked by, or `system`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sslrootcert: Option<String>,
    /// The file of the certificate (PEM) that is shown to the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sslcert: Option<String>,
    /// The file of the private key (PEM) of `sslcert`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sslkey: Option<String>,
    /// The container in which the server runs, in place of `url`, `host` and `port`. Client
    /// programs run in it by `docker exec`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docker: Option<String>,
    /// The region in which the server stands, where the name of its host does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// A target that is not scratch. Default true.
    #[serde(default = "protected")]
    pub protected: bool,
}

fn protected() -> bool {
    true
}

/// A named backup store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// `file:///path` or `s3://bucket/folder`, a template over params, vars and run.
    pub url: String,
    /// The lowest proof level at which a set counts as proven. Default `identical`.
    #[serde(default = "min_proof")]
    pub min_proof: crate::proof::Level,
    /// For whom every set that is written here is encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encrypt: Option<Encrypt>,
    /// What opens the sets of this store; read by steps that restore or prove, and by no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decrypt: Option<Decrypt>,
    /// The region of the bucket. This and what follows is for stores on S3; text fields may hold
    /// templates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Where S3 answers, when that is not AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_url: Option<String>,
    /// The profile in the configuration of AWS whose credentials are used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The storage class of every object that is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<String>,
    /// The key in KMS by which the bucket encrypts every object that is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key: Option<String>,
    /// How long nobody may remove an object that is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_lock: Option<ObjectLock>,
    /// Whether the bucket stands in the path of the URL rather than in the name of the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_style: Option<bool>,
    /// The store speaks S3 and is not AWS: checksums are sent only where they must be.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub compatible: bool,
}

/// Where S3 is, for every store that does not say so itself. Text fields may hold templates over
/// params, vars and run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aws {
    /// The region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The profile in the configuration of AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Where the services answer, when that is not AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_url: Option<String>,
}

/// A retention that S3 itself enforces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectLock {
    /// Who may shorten it.
    pub mode: LockMode,
    /// Days from the moment an object is written.
    pub days: u32,
}

/// Who may remove a locked object before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockMode {
    /// Whoever has a privilege of its own.
    Governance,
    /// Nobody, the account's owner included.
    Compliance,
}

/// Recipients, of `age` or of `gpg`. Text fields may hold templates over params, vars and run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encrypt {
    /// Recipients of age: `age1...`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub age: Vec<String>,
    /// Recipients of gpg, by fingerprint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gpg: Vec<String>,
    /// The folder of gpg's keyring; without it, the account's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpg_home: Option<String>,
}

/// Keys: an identity of age, or a keyring of gpg.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decrypt {
    /// The text of an identity file of age, a template over secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// The folder of gpg's keyring; without it, the account's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpg_home: Option<String>,
    /// The passphrase of gpg's private key, a template over secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase: Option<String>,
}

fn min_proof() -> crate::proof::Level {
    crate::proof::Level::Identical
}
