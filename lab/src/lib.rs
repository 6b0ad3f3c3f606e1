//! A laboratory of real servers on loopback, for tests, the demo and rehearsals.
//!
//! Everything here is blocking and needs no async runtime of the caller, so the same calls serve
//! plain tests and asynchronous ones.
#![expect(
    clippy::disallowed_methods,
    reason = "the laboratory is made of effects: servers, files, time"
)]

pub mod alone;
pub mod cloud;
pub mod cluster;
pub mod dns;
mod http;
pub mod ledger;
pub mod moto;
mod plain;
pub mod relay;
pub mod route;
pub mod s3;
pub mod sample;
pub mod sink;
pub mod site;
pub mod sshd;
pub mod supabase;
pub mod wire;
