//! Secrets Manager: secrets that applications read, and their versions.

pub mod put;
mod version;
