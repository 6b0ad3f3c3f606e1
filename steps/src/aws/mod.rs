//! AWS, by its own SDK. Nothing outside this folder names a crate of the SDK.

pub mod classify;
mod config;
pub(crate) mod place;
pub mod s3;

pub use self::config::Keys;
