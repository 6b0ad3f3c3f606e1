//! The parts of `runbook init`: what is asked, and what is written.

pub(crate) mod answers;
pub(crate) mod ask;
pub(crate) mod text;
