//! The contract of a store, in a folder and on S3, and what is particular to each.
#![expect(clippy::disallowed_methods, reason = "tests look at the files behind the store")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod contract;
mod file;
mod moto;
#[expect(clippy::duplicate_mod, reason = "the same tests run over two servers")]
mod own;
