//! AWS, by its own SDK. Nothing outside this folder names a crate of the SDK.

mod asking;
pub mod buckets;
pub mod classify;
mod config;
pub(crate) mod place;
pub(crate) mod rds;
pub mod route53;
pub mod s3;
pub mod secrets;
pub mod ssm;

pub use self::config::Keys;
