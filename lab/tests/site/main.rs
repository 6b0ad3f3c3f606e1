//! The laboratory's S3, its name server, its application, and all of it together, asked by programs
//! of other people: the official `aws` command line and `psql`.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests start programs and look at files from outside"
)]

mod names;
mod store;
mod whole;

use std::process::Command;
use std::time::{Duration, Instant};

/// The `aws` program, with a clean environment that leads to `url`.
fn aws(url: &str, region: &str, (id, secret): (&str, &str)) -> Command {
    let mut command = Command::new(lab::moto::program("aws").unwrap());
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("AWS_ACCESS_KEY_ID", id)
        .env("AWS_SECRET_ACCESS_KEY", secret)
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_MAX_ATTEMPTS", "1")
        .args(["--endpoint-url", url, "--region", region]);
    command
}

/// What a program printed; it has to succeed.
fn printed(command: &mut Command) -> String {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// What a program complained about; it has to fail.
fn refused(command: &mut Command) -> String {
    let done = command.output().unwrap();
    assert!(!done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    String::from_utf8(done.stderr).unwrap()
}

/// Waits until something holds.
fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_mins(1);
    while !holds() {
        assert!(Instant::now() < end, "gave up waiting until {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
