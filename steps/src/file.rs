//! Steps on files of the machine that runs the runbook.

pub mod checksum;
pub mod decrypt;
pub mod encrypt;
pub(crate) mod local;
mod sealed;
