//! Steps on files of the machine that runs the runbook.

pub mod checksum;
pub(crate) mod local;
