//! `plan` provably touches nothing.

use std::path::Path;
use std::process::Command;

const FORBIDDEN: [&str; 7] = ["socket", "connect", "sendto", "fork", "vfork", "execve", "execveat"];

/// Every system call of `runbook args`, as strace saw it, child threads included.
fn traced(args: &[&str], trace: &Path) -> String {
    let output = Command::new("strace")
        .args(["-f", "-qq", "-o"])
        .arg(trace)
        .arg(env!("CARGO_BIN_EXE_runbook"))
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("DATABASE_URL", "postgresql://nobody:canary-7c1d@127.0.0.1:1/none")
        .env("RUNBOOK_STATE", trace.with_extension("state"))
        .output()
        .expect("strace runs; install it with `apt-get install strace`");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned() + &stderr;
    assert!(!shown.contains("canary-7c1d"), "the plan shows a secret");
    assert!(shown.contains("pg.dump"), "the plan does not show its steps: {shown}");
    std::fs::read_to_string(trace).expect("the trace reads")
}

fn calls<'a>(trace: &'a str, name: &str) -> Vec<&'a str> {
    let call = format!(" {name}(");
    trace.lines().filter(|line| line.contains(&call)).collect()
}

#[test]
fn a_plan_starts_no_process_and_opens_no_socket() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let trace = traced(&["plan", "runbooks/daily-backup.yaml"], &trace);
    for name in FORBIDDEN {
        let found = calls(&trace, name);
        // The first `execve` is strace starting the binary itself.
        let own = usize::from(name == "execve");
        assert_eq!(found.len(), own, "{found:?}");
    }
    let clones = calls(&trace, "clone").into_iter().chain(calls(&trace, "clone3"));
    let processes: Vec<&str> = clones.filter(|line| !line.contains("CLONE_THREAD")).collect();
    assert_eq!(processes, Vec::<&str>::new());
}

#[test]
fn a_plan_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let text = traced(&["plan", "runbooks/daily-backup.yaml"], &trace);
    let writes = |line: &&str| {
        line.contains("openat(")
            && (line.contains("O_WRONLY") || line.contains("O_RDWR") || line.contains("O_CREAT"))
    };
    let opened: Vec<&str> =
        text.lines().filter(writes).filter(|line| !line.contains("/dev/tty")).collect();
    assert_eq!(opened, Vec::<&str>::new());
    for name in ["mkdir", "mkdirat", "unlink", "unlinkat", "rename", "renameat2"] {
        assert_eq!(calls(&text, name), Vec::<&str>::new());
    }
    assert!(!trace.with_extension("state").exists());
}
