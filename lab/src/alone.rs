//! A test in a process of its own, because credentials come from the environment, which a process
//! may not change for itself.

use std::process::Command;

/// Set in the process that runs the test.
const ALONE: &str = "RUNBOOK_TEST_ALONE";

/// Runs the test of this name, as `module::function`, in this test program started once more, with
/// these variables and no other way to AWS. Panics when it fails, or when there is no such test.
#[track_caller]
pub fn alone(name: &str, environment: &[(&str, &str)], test: impl Future<Output = ()>) {
    if std::env::var_os(ALONE).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        return runtime.expect("a runtime starts").block_on(test);
    }
    let program = std::env::current_exe().expect("a program knows where it lies");
    let output = Command::new(program)
        .args([name, "--exact", "--nocapture", "--include-ignored"])
        .env(ALONE, "1")
        .env_remove("AWS_PROFILE")
        .env_remove("AWS_ENDPOINT_URL")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .envs(environment.iter().copied())
        .output()
        .expect("the program starts once more");
    let told = String::from_utf8_lossy(&output.stdout);
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}\n{why}");
    assert!(told.contains("1 passed"), "there is no test `{name}`: {told}");
}
