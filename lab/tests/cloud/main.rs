//! The AWS of the laboratory, asked by programs of other people: the official `aws` command line,
//! a client over the official Python SDK, and `psql`.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests start programs and look at files from outside"
)]

mod client;
mod faults;
mod instances;
mod names;
mod objects;
mod promotion;
mod restores;

use std::time::{Duration, Instant};

use lab::cloud::{Cloud, CloudOptions};

/// A cloud with its primary and its replica.
fn cloud() -> Cloud {
    CloudOptions::new().start().unwrap()
}

/// A cloud without databases.
fn bare() -> Cloud {
    CloudOptions::new().without_databases().start().unwrap()
}

/// The words of a command line.
fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

/// The status of an instance, past every client.
fn status(cloud: &Cloud, region: &str, id: &str) -> String {
    let seen = cloud.world().instances().into_iter();
    let found = seen.filter(|it| it.region == region && it.id == id).map(|it| it.status).next();
    found.unwrap_or_default()
}

/// Waits until something holds.
fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_mins(1);
    while !holds() {
        assert!(Instant::now() < end, "gave up waiting until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
