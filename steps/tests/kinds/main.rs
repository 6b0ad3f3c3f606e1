//! Step kinds run as the driver runs them, against real folders and real servers.
#![expect(clippy::disallowed_methods, reason = "tests look at what lies behind the steps")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod amcheck;
mod common;
mod copies;
mod files;
mod git;
mod http;
mod keys;
mod pagerduty;
mod postgres;
mod prune;
mod replication;
mod request;
mod said;
mod seal;
mod sets;
mod store_check;
mod wait_ready;
