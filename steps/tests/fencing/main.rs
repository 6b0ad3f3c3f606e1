//! Blocked writes, ended sessions, fences and names, against real servers.
#![expect(clippy::disallowed_methods, reason = "tests look at what lies behind the steps")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
mod dns;
mod dns_server;
mod fence;
mod ssh;
mod terminate;
mod unreachable;
mod writes;
mod writes_refused;
