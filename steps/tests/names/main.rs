//! Names, parameters and secrets on AWS, against `moto`, a program of other people.
#![expect(clippy::disallowed_methods, reason = "tests look at what lies behind the steps")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "../fencing/dns_server.rs"]
#[expect(dead_code, reason = "another test has servers that keep silent")]
mod dns_server;
mod keep;
mod provider;
mod proxy;
mod update;
mod wait;
