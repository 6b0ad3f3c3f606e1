//! Undo, handlers, second openings and skips, through the binary.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::bed::Ended;

/// `first` and `second` leave a line in a file of their name, and so do their undos; `gate` fails
/// until there is a file `open`, and `second` cannot be undone while there is a file `stuck`.
const STAGED: &str = r#"
version: 1
name: staged
params: {folder: {type: string, required: true}}
rollback: on_failure
steps:
  - id: first
    uses: command.run
    with: {argv: [sh, -c, 'echo done >> "$1/first"', sh, "{{ params.folder }}"]}
    undo:
      uses: command.run
      with: {argv: [sh, -c, 'echo undone >> "$1/first"', sh, "{{ params.folder }}"]}
  - id: second
    uses: command.run
    with: {argv: [sh, -c, 'echo done >> "$1/second"', sh, "{{ params.folder }}"]}
    undo:
      uses: command.run
      with:
        argv: [sh, -c, 'test ! -e "$1/stuck" && echo undone >> "$1/second"', sh, "{{ params.folder }}"]
  - id: gate
    uses: command.run
    with: {argv: [test, -e, "{{ params.folder }}/open"]}
handlers:
  success:
    - id: tell
      uses: command.run
      with: {argv: [sh, -c, 'echo told >> "$1/tell"', sh, "{{ params.folder }}"]}
  failure:
    - id: broken
      uses: command.run
      with: {argv: ["false"]}
    - id: alarm
      uses: command.run
      with: {argv: [sh, -c, 'echo "$2" >> "$1/alarm"', sh, "{{ params.folder }}", "{{ run.failed_step }}"]}
  exit:
    - id: tidy
      uses: command.run
      with: {argv: [sh, -c, 'echo tidy >> "$1/tidy"', sh, "{{ params.folder }}"]}
"#;

/// A folder with a runbook, its state and the files that its steps leave.
struct Place(TempDir);

impl Place {
    fn with(runbook: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("runbook.yaml"), runbook).unwrap();
        Self(folder)
    }

    fn folder(&self) -> &Path {
        self.0.path()
    }

    fn runbook(&self, args: &[&str]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runbook"));
        command.args(args).current_dir(self.folder()).env("NO_COLOR", "1");
        command.env("RUNBOOK_STATE", self.folder().join("state"));
        command.stdin(std::process::Stdio::null());
        Ended::of(command.output().unwrap())
    }

    fn start(&self) -> Ended {
        let folder = format!("folder={}", self.folder().display());
        self.runbook(&["run", "runbook.yaml", "-p", &folder])
    }

    /// The only run.
    fn run(&self) -> String {
        let mut runs = std::fs::read_dir(self.folder().join("state/runs")).unwrap();
        runs.next().unwrap().unwrap().file_name().into_string().unwrap()
    }

    fn put(&self, name: &str) {
        std::fs::write(self.folder().join(name), "").unwrap();
    }

    /// The lines of a file that steps left, on one line.
    fn left(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.folder().join(name)).unwrap_or_default();
        text.lines().collect::<Vec<_>>().join(" ")
    }

    fn status(&self) -> serde_json::Value {
        let shown = self.runbook(&["status", &self.run(), "--format", "json"]).expect(0);
        serde_json::from_str(&shown.stdout).unwrap()
    }

    fn status_of(&self, step: &str) -> String {
        let status = self.status();
        let steps = status["steps"].as_array().unwrap();
        let found = steps.iter().find(|it| it["step"] == step || it["id"] == step);
        found.unwrap_or_else(|| panic!("{step} in {status}"))["status"].as_str().unwrap().to_owned()
    }
}

#[test]
fn a_failed_run_is_rolled_back_told_and_retried() {
    let place = Place::with(STAGED);
    let failed = place.start().expect(1);
    assert!(failed.stderr.contains("rolling back: `second`, `first`"), "{}", failed.stderr);
    assert_eq!((place.left("first"), place.left("second")), both("done undone"));
    // A handler that fails hides nothing and keeps no other one from telling.
    assert_eq!((place.left("alarm"), place.left("tidy")), ("gate".to_owned(), "tidy".to_owned()));
    assert_eq!(place.status()["failed_step"], "gate");
    assert_eq!(["first", "gate"].map(|step| place.status_of(step)), ["undone", "failed"]);
    let run = place.run();
    place.runbook(&["resume", &run]).expect(1);
    place.runbook(&["undo", &run, "--yes"]).expect(4);
    assert_eq!((place.left("first"), place.left("tidy")), ("done undone".into(), "tidy".into()));
    place.put("open");
    place.runbook(&["resume", &run, "--retry-failed"]).expect(0);
    assert_eq!((place.left("first"), place.left("second")), both("done undone done"));
    assert_eq!((place.left("tell"), place.left("tidy")), ("told".into(), "tidy tidy".into()));
}

fn both(text: &str) -> (String, String) {
    (text.to_owned(), text.to_owned())
}

#[test]
fn a_finished_run_is_undone_when_a_person_agrees() {
    let place = Place::with(STAGED);
    place.put("open");
    place.start().expect(0);
    let run = place.run();
    let asked = place.runbook(&["undo", &run]).expect(4);
    assert!(asked.stderr.contains("in this order:\n  second\n  first\n"), "{}", asked.stderr);
    assert_eq!((place.left("first"), place.left("second")), both("done"));
    place.runbook(&["undo", &run, "--yes"]).expect(0);
    assert_eq!((place.left("first"), place.left("second")), both("done undone"));
    place.runbook(&["undo", &run, "--yes"]).expect(4);
    assert_eq!((place.left("first"), place.left("tell")), ("done undone".into(), "told".into()));
}

#[test]
fn an_undo_that_fails_says_what_is_left_standing() {
    let place = Place::with(STAGED);
    place.put("stuck");
    let failed = place.start().expect(1);
    assert!(failed.stderr.contains("left standing: first, second\n"), "{}", failed.stderr);
    assert_eq!((place.left("first"), place.left("second")), both("done"));
    let status = place.runbook(&["status", &place.run()]).expect(0).stdout;
    assert!(status.contains("left standing: first, second\n"), "{status}");
    let report = place.runbook(&["report", &place.run()]).expect(0).stdout;
    assert!(report.contains("not every finished step was undone: `first`, `second`"), "{report}");
    assert_eq!(place.status()["failed_step"], "gate");
    assert_eq!(place.status_of("first.undo"), "not_run");
}

const ASKING: &str = r#"
version: 1
name: asking
params: {folder: {type: string, required: true}}
steps:
  - id: confirm
    uses: human.approve
    with: {prompt: "Go?", approvers: [dba]}
  - id: act
    uses: command.run
    with: {argv: [touch, "{{ params.folder }}/acted"]}
handlers:
  waiting:
    - id: page
      uses: command.run
      with: {argv: [sh, -c, 'echo paged >> "$1/page"', sh, "{{ params.folder }}"]}
"#;

#[test]
fn a_step_is_skipped_but_no_question_and_a_wait_is_told_once() {
    let place = Place::with(ASKING);
    place.start().expect(5);
    assert_eq!(place.left("page"), "paged");
    let run = place.run();
    place.runbook(&["resume", &run, "--no-wait"]).expect(5);
    assert_eq!(place.left("page"), "paged");
    let around = place.runbook(&["skip", &run, "confirm", "--reason", "in a hurry"]).expect(4);
    assert!(around.stderr.contains("it asks people"), "{}", around.stderr);
    place.runbook(&["skip", &run, "act", "--reason", "agreed by phone"]).expect(0);
    place.runbook(&["skip", &run, "act", "--reason", "twice"]).expect(4);
    place.runbook(&["approve", &run, "confirm", "--as", "dba"]).expect(0);
    place.runbook(&["resume", &run]).expect(0);
    assert!(!place.folder().join("acted").exists());
    let status = place.runbook(&["status", &run]).expect(0).stdout;
    assert!(status.contains(": agreed by phone"), "{status}");
}

const GROUPED: &str = r#"
version: 1
name: grouped
params: {folder: {type: string, required: true}}
concurrency: {group: "restore:{{ params.folder }}", on_conflict: fail}
steps:
  - id: confirm
    uses: human.approve
    with: {prompt: "Go?", approvers: [dba]}
"#;

#[test]
fn of_two_runs_of_a_group_the_second_is_refused_until_the_first_has_ended() {
    let place = Place::with(GROUPED);
    place.start().expect(5);
    let first = place.run();
    let refused = place.start().expect(4);
    let named = format!("run {first} holds the group `restore:{}`", place.folder().display());
    assert!(refused.stderr.contains(&named), "{}", refused.stderr);
    place.runbook(&["cancel", &first, "--reason", "not needed"]).expect(0);
    place.start().expect(5);
}

const SLEEPING: &str = r#"
version: 1
name: sleeping
params: {folder: {type: string, required: true}}
steps:
  - id: wait
    uses: command.run
    with: {argv: [sleep, "1"]}
  - id: act
    uses: command.run
    with: {argv: [sh, -c, 'echo acted >> "$1/acted"', sh, "{{ params.folder }}"]}
"#;

#[test]
fn a_holder_that_is_stopped_keeps_its_run_until_it_is_gone_and_nothing_happens_twice() {
    let place = Place::with(SLEEPING);
    let mut holder = Command::new(env!("CARGO_BIN_EXE_runbook"))
        .args(["run", "runbook.yaml", "-p", &format!("folder={}", place.folder().display())])
        .current_dir(place.folder())
        .env("RUNBOOK_STATE", place.folder().join("state"))
        .stdin(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let started = |place: &Place| {
        let runs = std::fs::read_dir(place.folder().join("state/runs")).ok()?;
        let run = runs.flatten().next()?.path().join("journal.jsonl");
        std::fs::read_to_string(run).ok().filter(|text| text.contains("step_started"))
    };
    while started(&place).is_none() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let signal = |name: &str| {
        let pid = holder.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    };
    signal("-STOP");
    let refused = place.runbook(&["resume", &place.run()]).expect(4);
    assert!(refused.stderr.contains("holds the run, and is stopped"), "{}", refused.stderr);
    assert_eq!(place.left("acted"), "");
    signal("-CONT");
    assert_eq!(holder.wait().unwrap().code(), Some(0));
    place.runbook(&["resume", &place.run()]).expect(0);
    assert_eq!(place.left("acted"), "acted");
}
