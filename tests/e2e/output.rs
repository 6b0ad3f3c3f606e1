//! What is printed reaches its reader, or the exit status says that it did not.

use std::os::unix::fs::FileTypeExt as _;
use std::process::{Command, Output, Stdio};

fn runbook(args: &[&str], stdout: Stdio) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runbook"));
    command.args(args).current_dir(env!("CARGO_MANIFEST_DIR")).stdout(stdout);
    command.stderr(Stdio::piped()).output().unwrap()
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    for args in [
        &["schema"][..],
        &["steps"],
        &["completions", "zsh"],
        &["plan", "runbooks/daily-backup.yaml"],
    ] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = runbook(args, full.into());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {stderr}");
        assert!(stderr.contains("[RB0912]"), "{args:?}: {stderr}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    for args in ["schema", "completions bash", "steps pg.dump"] {
        let line = format!(
            "{} {args} | head -n 1 > /dev/null; exit ${{PIPESTATUS[0]}}",
            env!("CARGO_BIN_EXE_runbook")
        );
        let output = Command::new("bash").args(["-c", &line]).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*stderr), (Some(0), ""), "{args}");
    }
}

#[test]
fn a_terminal_obeys_nothing_of_a_foreign_runbook() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("evil.yaml");
    let text = "version: 1\nname: evil\ndescription: \"\\e]0;owned\\a\"\nsteps:\n  - {id: one, name: \"\\e[2J\", uses: flow.pass}\n";
    std::fs::write(&file, text).unwrap();
    let output = runbook(&["plan", file.to_str().unwrap()], Stdio::piped());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!output.stdout.contains(&0x1b), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_plan_is_written_where_it_is_asked_for_and_a_device_stays_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan.md");
    let plan = ["plan", "runbooks/daily-backup.yaml", "--format", "markdown", "--out"];
    let written = runbook(&[&plan[..], &[file.to_str().unwrap()]].concat(), Stdio::piped());
    assert_eq!((written.status.code(), &*written.stdout), (Some(0), &b""[..]));
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("# Plan of `daily-backup`"));

    let refused = runbook(&[&plan[..], &["/dev/full"]].concat(), Stdio::piped());
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("[RB0905]"));
    assert!(std::fs::metadata("/dev/full").unwrap().file_type().is_char_device());
}
