//! Approvals on a terminal, steps in doubt, cancellation by another process.

use std::time::{Duration, Instant};

use crate::bed::{Bed, Ended, of_type};

const APPROVAL: &str = r#"
version: 1
name: ask-first
steps:
  - {id: confirm, uses: human.approve, with: {prompt: "Go on?", allow_self: true}}
  - {id: mark, uses: command.run, with: {argv: [touch, "MARK"], idempotent: true}}
"#;

const OPAQUE: &str = r#"
version: 1
name: opaque
steps:
  - {id: once, uses: command.run, with: {argv: [sh, -c, "echo once >> MARK; kill -9 $PPID; sleep 1"]}}
  - {id: after, uses: command.run, with: {argv: [sh, -c, "echo after >> MARK"], idempotent: true}}
"#;

fn written(bed: &Bed, text: &str) -> (String, std::path::PathBuf) {
    let mark = bed.folder().join("mark");
    (bed.write("plan.yaml", &text.replace("MARK", &mark.display().to_string())), mark)
}

/// Until the newest run's journal holds the start of a step; it may not be there at first.
fn wait_for_a_start(bed: &Bed) {
    let journal = |run: String| bed.state().join("runs").join(run).join("journal.jsonl");
    let started = || {
        let text = std::fs::read_to_string(journal(bed.runs().pop()?)).ok()?;
        text.contains("\"type\":\"step_started\"").then_some(())
    };
    let begun = Instant::now();
    while started().is_none() {
        assert!(begun.elapsed() < Duration::from_secs(30), "the run starts");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn without_a_terminal_an_approval_waits_with_exit_status_5() {
    let bed = Bed::with("select 1");
    let (file, mark) = written(&bed, APPROVAL);
    bed.runbook(&["run", &file]).expect(5);
    assert!(!mark.exists(), "nothing after the approval may run");
    let status = bed.runbook(&["status", "--exit-code"]).expect(5);
    assert!(status.stdout.contains("waiting_for_approval"), "{}", status.stdout);
    bed.runbook(&["resume", "--yes"]).expect(0);
    assert!(mark.exists());
}

#[test]
fn an_opaque_step_killed_midway_is_in_doubt_until_a_person_resolves_it() {
    let bed = Bed::with("select 1");
    let (file, mark) = written(&bed, OPAQUE);
    let killed = bed.command(&["run", &file]).output().unwrap();
    assert_eq!(killed.status.code(), None, "the step kills its parent");
    let resolve = ["resolve", &bed.runs()[0], "once", "--applied", "--reason", "seen", "--yes"];
    let early = bed.runbook(&resolve).expect(4).stderr;
    assert!(early.contains("error[RB0814]: the run must be resumed first"), "{early}");
    assert!(early.contains("looks at what was running"), "{early}");
    bed.runbook(&["resume"]).expect(5);
    assert_eq!(std::fs::read_to_string(&mark).unwrap(), "once\n", "never a silent second attempt");
    let run = bed.runs().pop().unwrap();
    bed.runbook(&["resolve", &run, "once", "--applied", "--reason", "the mark is there", "--yes"])
        .expect(0);
    bed.runbook(&["resume"]).expect(0);
    assert_eq!(std::fs::read_to_string(&mark).unwrap(), "once\nafter\n");
    let journal = bed.journal();
    assert_eq!(of_type(&journal, "step_resolved")[0]["data"]["reason"], "the mark is there");
    // A finished run stays finished.
    bed.runbook(&["resume", &run]).expect(0);
    assert_eq!(std::fs::read_to_string(&mark).unwrap(), "once\nafter\n");
}

#[test]
fn another_process_cancels_a_run() {
    let bed = Bed::with("select 1");
    let file = bed.write(
        "sleep.yaml",
        "version: 1\nname: sleeper\nsteps:\n  - {id: nap, uses: flow.wait, with: {duration: 10m}}\n",
    );
    let mut run = bed.command(&["run", &file]).stderr(std::process::Stdio::null()).spawn().unwrap();
    wait_for_a_start(&bed);
    bed.runbook(&["cancel", "--reason", "wrong night"]).expect(0);
    assert_eq!(run.wait().unwrap().code(), Some(7));
    let status = bed.runbook(&["status", &bed.runs()[0], "--format", "json"]).expect(0);
    assert!(status.stdout.contains("\"cancelled\""), "{}", status.stdout);
}

#[test]
fn a_run_that_nobody_holds_is_cancelled_at_once() {
    let bed = Bed::with("select 1");
    let (file, mark) = written(&bed, APPROVAL);
    bed.runbook(&["run", &file]).expect(5);
    bed.runbook(&["cancel"]).expect(0);
    let status = bed.runbook(&["status", &bed.runs()[0], "--exit-code"]).expect(7);
    assert!(status.stdout.contains("cancelled"), "{}", status.stdout);
    assert!(!mark.exists());
}

#[test]
fn a_run_goes_on_when_its_terminal_is_gone() {
    let bed = Bed::with("select 1");
    let step = |id: &str| format!("  - {{id: {id}, uses: flow.wait, with: {{duration: 1s}}}}\n");
    let steps = ["one", "two", "three"].map(step).concat();
    let file = bed.write("naps.yaml", &format!("version: 1\nname: naps\nsteps:\n{steps}"));
    let run = bed.command(&["run", &file]).stderr(std::process::Stdio::piped()).spawn().unwrap();
    wait_for_a_start(&bed);
    let hang_up = ["-HUP".to_owned(), run.id().to_string()];
    assert!(std::process::Command::new("kill").args(hang_up).status().unwrap().success());
    let ended = Ended::of(run.wait_with_output().unwrap()).expect(0);
    assert!(ended.stderr.contains("the terminal is gone; the run goes on"), "{}", ended.stderr);
    assert_eq!(of_type(&bed.journal(), "step_succeeded").len(), 3);
}

#[test]
fn control_c_cancels_the_run_and_cleans_up() {
    let bed = Bed::with(
        "create table big as select n, repeat(md5(n::text), 20) t from generate_series(1, 200000) n",
    );
    let run = bed
        .command(&["run", "runbooks/daily-backup.yaml"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while bed.server_saw("pg_export_snapshot") == 0 {
        assert!(begun.elapsed() < Duration::from_mins(1), "the dump starts");
        std::thread::sleep(Duration::from_millis(20));
    }
    let kill =
        std::process::Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap();
    assert!(kill.success());
    Ended::of(run.wait_with_output().unwrap()).expect(7);
    assert_eq!(bed.sets(), Vec::<String>::new(), "a cancelled dump is no backup");
}
