//! Secrets Manager: secrets that applications read, and their versions.

mod provider;
pub mod put;
mod version;

pub use self::provider::Provider;
