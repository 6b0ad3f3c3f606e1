//! Buckets and the objects in them, against a server of other people, seen past every library.
#![expect(clippy::disallowed_methods, reason = "each test has a process of its own, for its keys")]
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the message")]

mod common;
mod configure;
mod copy;
mod proxy;
mod stores;
mod sync;
