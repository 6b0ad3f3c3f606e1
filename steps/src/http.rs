//! HTTP: one client, one reading of what an answer means, and the steps that ask.

pub mod check;
pub mod classify;
pub mod client;
pub mod request;
