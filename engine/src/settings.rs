//! Connections and stores as a step gets them: rendered, with their secrets read.

use model::plan::Encrypt;
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
    /// `file:///path`.
    pub url: String,
    /// The lowest proof level at which a set counts as proven.
    pub min_proof: Level,
    /// For whom every set that is written here is encrypted.
    pub encrypt: Option<Encrypt>,
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
