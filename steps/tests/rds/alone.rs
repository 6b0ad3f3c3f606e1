//! A test in a process of its own, because credentials come from the environment, which a process
//! may not change for itself.

use std::process::Command;

use lab::cloud::{ACCESS_KEY, SECRET_KEY};

/// Set in the process that runs the test.
const ALONE: &str = "RUNBOOK_TEST_ALONE";

/// Runs the test of this name, as `module::function`, with the laboratory's credentials.
#[track_caller]
pub(crate) fn alone(name: &str, test: impl Future<Output = ()>) {
    if std::env::var_os(ALONE).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        return runtime.block_on(test);
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture", "--include-ignored"])
        .env(ALONE, "1")
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env_remove("AWS_PROFILE")
        .env_remove("AWS_ENDPOINT_URL")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}\n{why}");
    assert!(told.contains("1 passed"), "there is no test `{name}`: {told}");
}
