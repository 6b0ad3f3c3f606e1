//! Backup sets against real servers: dump, restore, proof.
#![expect(clippy::disallowed_methods, reason = "tests damage files and start programs")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bench;
mod dump;
mod formats;
mod manifest;
mod restore;
mod said;
mod sealed;
mod tls;
mod verify;
