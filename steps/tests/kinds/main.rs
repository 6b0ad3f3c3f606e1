//! Step kinds run as the driver runs them, against real folders and real servers.
#![expect(clippy::disallowed_methods, reason = "tests look at what lies behind the steps")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
mod files;
mod http;
mod pagerduty;
mod postgres;
mod prune;
mod request;
mod said;
mod wait_ready;
