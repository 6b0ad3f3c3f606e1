//! Tests with the credentials of the laboratory.

use lab::cloud::{ACCESS_KEY, SECRET_KEY};

/// Runs the test of this name, as `module::function`, with the laboratory's credentials.
#[track_caller]
pub(crate) fn alone(name: &str, test: impl Future<Output = ()>) {
    let keys = [("AWS_ACCESS_KEY_ID", ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY)];
    lab::alone::alone(name, &keys, test);
}
