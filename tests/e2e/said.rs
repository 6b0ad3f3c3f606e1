//! Errors as they are said on the command line, each provoked: the cases of `docs/errors`.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use model::step_error::StepError;
use serde_json::Value;
use tempfile::TempDir;

use crate::bed::Ended;

const PASS: &str = "{id: a, uses: flow.pass}";
const ASK: &str = "{id: ask, uses: human.approve, with: {prompt: \"Go on?\", allow_self: true}}";
const SLEEP: &str = "{id: a, uses: command.run, with: {argv: [sleep, \"60\"], idempotent: true}}";

/// A folder with a state and runbooks, and nothing else.
struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, steps: &str) {
        let text = format!("version: 1\nname: {name}\nsteps: [{steps}]\n");
        std::fs::write(self.path(&format!("{name}.yaml")), text).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runbook"));
        command.args(args).current_dir(self.folder.path()).env_clear().stdin(Stdio::null());
        command.env("PATH", std::env::var("PATH").unwrap()).env("HOME", self.folder.path());
        command.env("RUNBOOK_STATE", self.path("state"));
        command
    }

    fn run(&self, args: &[&str]) -> Ended {
        Ended::of(self.command(args).output().unwrap())
    }

    /// What is said by a command that ends with `status`.
    #[track_caller]
    fn said(&self, status: i32, args: &[&str]) -> String {
        self.run(args).expect(status).stderr
    }

    /// The id of the newest run.
    fn newest(&self) -> String {
        let runs = std::fs::read_dir(self.path("state/runs")).unwrap();
        let runs = runs.map(|run| run.unwrap().file_name().into_string().unwrap());
        runs.max().unwrap()
    }

    fn in_run(&self, name: &str) -> PathBuf {
        self.path("state/runs").join(self.newest()).join(name)
    }

    /// Runs the steps; gives what the journal says about the step that did not end well.
    #[track_caller]
    fn failure(&self, status: i32, steps: &str) -> String {
        self.write("fails", steps);
        self.said(status, &["run", "fails.yaml", "--no-wait"]);
        self.told()
    }

    /// What the newest run's journal says, last of all, about a step that did not end well.
    fn told(&self) -> String {
        let journal = std::fs::read_to_string(self.in_run("journal.jsonl")).unwrap();
        let records = journal.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut errors = records.filter_map(|record| record["data"].get("error").cloned());
        let error: StepError = serde_json::from_value(errors.next_back().unwrap()).unwrap();
        error.told()
    }

    /// A run that is held by a process as long as that lives.
    fn held(&self) -> Holder {
        self.write("held", SLEEP);
        let child = self.command(&["run", "held.yaml"]).stderr(Stdio::null()).spawn().unwrap();
        let holder = Holder(child);
        let started = || {
            let journal = std::fs::read_to_string(self.in_run("journal.jsonl")).ok()?;
            journal.contains("\"step_started\"").then_some(())
        };
        let begun = Instant::now();
        while !self.path("state/runs").exists() || started().is_none() {
            assert!(begun.elapsed() < Duration::from_secs(30), "the run starts");
            std::thread::sleep(Duration::from_millis(20));
        }
        holder
    }
}

/// A process that holds a run; it dies with the test.
struct Holder(Child);

impl Drop for Holder {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn set_mode(path: &Path, mode: u32) {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
    std::fs::set_permissions(path, mode).unwrap();
}

/// A folder where a file was.
fn replace_by_folder(path: &Path) {
    std::fs::remove_file(path).ok();
    std::fs::create_dir(path).unwrap();
}

#[test]
fn a_step_that_does_not_end_in_time() {
    let desk = Desk::new();
    let timed =
        SLEEP.replace("idempotent: true}", "idempotent: true}, timeout: 1s, retry: {limit: 0}");
    shown::case("RB0404", desk.failure(1, &timed));
    let opaque = timed.replace(", idempotent: true", "").replace(", retry: {limit: 0}", "");
    shown::case("RB0405", desk.failure(5, &opaque));
}

#[test]
fn a_question_that_is_answered_with_no_or_by_nobody() {
    let desk = Desk::new();
    desk.write("ask", ASK);
    desk.said(5, &["run", "ask.yaml", "--no-wait"]);
    let no = ["reject", &desk.newest(), "ask", "--as", "dana", "--reason", "the wrong database"];
    desk.said(0, &no);
    desk.said(1, &["resume", "--no-wait"]);
    shown::case("RB0450", desk.told());
    desk.write("ask", &ASK.replace("allow_self: true", "allow_self: true, timeout: 1s"));
    desk.said(5, &["run", "ask.yaml", "--no-wait"]);
    std::thread::sleep(Duration::from_millis(1200));
    desk.said(1, &["resume", "--no-wait"]);
    shown::case("RB0451", desk.told());
}

#[test]
fn what_the_preflight_misses() {
    let desk = Desk::new();
    desk.write("missing", "{id: a, uses: command.run, with: {argv: [no-such-program]}}");
    shown::case("RB0430", desk.said(3, &["run", "missing.yaml"]));
    let text = "version: 1\nname: secret\nsecrets: {token: {env: API_TOKEN}}\nsteps: \
                [{id: a, uses: command.run, with: {argv: [\"true\"], env: {TOKEN: \"{{ secrets.token }}\"}}}]\n";
    std::fs::write(desk.path("secret.yaml"), text).unwrap();
    shown::case("RB0420", desk.said(3, &["run", "secret.yaml"]));
}

#[test]
fn parameters_that_do_not_fit() {
    let desk = Desk::new();
    let text = "version: 1\nname: params\nparams: {jobs: {type: integer, default: 2, max: 8}}\n\
                steps: [{id: a, uses: flow.pass, with: {values: {jobs: \"{{ params.jobs }}\"}}}]\n";
    std::fs::write(desk.path("params.yaml"), text).unwrap();
    shown::case("RB0302", desk.said(2, &["run", "params.yaml", "-p", "job=2"]));
    shown::case("RB0303", desk.said(2, &["run", "params.yaml", "-p", "jobs=many"]));
    let unused = text.replace("{{ params.jobs }}", "two");
    std::fs::write(desk.path("unused.yaml"), unused).unwrap();
    shown::case("RB0240", desk.said(0, &["validate", "unused.yaml"]));
    let ids: Vec<String> = (0..1001).map(|id| format!("n{id}")).collect();
    let many = format!(
        "version: 1\nname: many\nparams: {{ids: {{type: list, default: [{}]}}}}\nsteps:\n  \
         - id: a\n    uses: flow.pass\n    foreach: {{items: \"{{{{ params.ids }}}}\", as: id}}\n",
        ids.join(", ")
    );
    std::fs::write(desk.path("many.yaml"), many).unwrap();
    shown::case("RB0263", desk.said(2, &["validate", "many.yaml"]));
    std::fs::write(desk.path("large.yaml"), "# \n".repeat(3 << 20)).unwrap();
    shown::case("RB0105", desk.said(2, &["validate", "large.yaml"]));
}

#[test]
fn a_journal_that_cannot_be_used() {
    let desk = Desk::new();
    desk.write("pass", PASS);
    desk.said(0, &["run", "pass.yaml"]);
    let (run, journal) = (desk.newest(), desk.in_run("journal.jsonl"));
    let whole = std::fs::read(&journal).unwrap();
    let mut damaged = whole.clone();
    let boot = damaged.windows(8).position(|text| text == b"\"boot\":\"").unwrap();
    damaged[boot + 8] ^= 1;
    std::fs::write(&journal, damaged).unwrap();
    shown::case("RB0802", desk.said(6, &["resume", &run]));
    std::fs::write(&journal, "").unwrap();
    shown::case("RB0817", desk.said(4, &["resume", &run]));
    replace_by_folder(&journal);
    shown::case("RB0801", desk.said(4, &["resume", &run]));
}

#[test]
fn a_register_that_cannot_be_used() {
    let desk = Desk::new();
    desk.write("pass", PASS);
    desk.said(0, &["run", "pass.yaml"]);
    desk.said(0, &["run", "pass.yaml"]);
    let register = desk.path("state/register.jsonl");
    let mut damaged = std::fs::read(&register).unwrap();
    damaged[60] ^= 1;
    std::fs::write(&register, damaged).unwrap();
    shown::case("RB0806", desk.said(6, &["runs"]));
    replace_by_folder(&register);
    shown::case("RB0805", desk.said(4, &["runs"]));
}

#[test]
fn a_run_that_somebody_holds() {
    let desk = Desk::new();
    let holder = desk.held();
    let run = desk.newest();
    shown::case("RB0804", desk.said(4, &["resume", &run]));
    std::fs::remove_dir_all(desk.in_run("inbox")).ok();
    std::fs::write(desk.in_run("inbox"), "").unwrap();
    shown::case("RB0807", desk.said(4, &["cancel", &run]));
    drop(holder);
    replace_by_folder(&desk.in_run("lock"));
    shown::case("RB0803", desk.said(4, &["resume", &run]));
}

#[test]
fn a_state_folder_that_is_not_safe() {
    let desk = Desk::new();
    desk.write("pass", PASS);
    let run = ["run", "pass.yaml"];
    std::fs::write(desk.path("state"), "").unwrap();
    shown::case("RB0811", desk.said(4, &run));
    std::fs::remove_file(desk.path("state")).unwrap();
    std::fs::create_dir(desk.path("state")).unwrap();
    set_mode(&desk.path("state"), 0o777);
    shown::case("RB0809", desk.said(4, &run));
    set_mode(&desk.path("state"), 0o700);
    std::os::unix::fs::chown(desk.path("state"), Some(1), None).unwrap();
    shown::case("RB0808", desk.said(4, &run));
    let mut nowhere = desk.command(&["runs"]);
    nowhere.env_remove("RUNBOOK_STATE").env_remove("HOME");
    shown::case("RB0810", Ended::of(nowhere.output().unwrap()).expect(4).stderr);
    set_mode(&desk.path("pass.yaml"), 0o666);
    shown::case("RB0819", desk.said(4, &run));
}

#[test]
fn a_run_that_is_not_clear_or_not_ready() {
    let desk = Desk::new();
    desk.write("ask", ASK);
    shown::case("RB0904", desk.said(2, &["report"]));
    desk.said(5, &["run", "ask.yaml", "--no-wait"]);
    let run = desk.newest();
    let resolve = ["resolve", &run, "ask", "--applied", "--reason", "seen"];
    shown::case("RB0906", desk.said(4, &resolve));
    shown::case("RB0814", desk.said(4, &[&resolve[..], &["--yes"]].concat()));
    let misspelt = ["resolve", &run, "Ask", "--applied", "--reason", "seen", "--yes"];
    shown::case("RB0909", desk.said(2, &misspelt));
    desk.said(5, &["run", "ask.yaml", "--no-wait"]);
    shown::case("RB0813", desk.said(4, &["resume"]));
}

#[test]
fn a_report_of_nothing() {
    let desk = Desk::new();
    desk.write("pass", PASS);
    desk.said(0, &["run", "pass.yaml"]);
    std::fs::write(desk.in_run("journal.jsonl"), "").unwrap();
    shown::case("RB0911", desk.said(6, &["report", &desk.newest()]));
}

#[test]
fn a_store_without_the_set() {
    let desk = Desk::new();
    std::fs::create_dir(desk.path("store")).unwrap();
    let url = format!("file://{}", desk.path("store").display());
    let show = ["backups", "show", "--store", &url, "--database", "app"];
    shown::case("RB0907", desk.said(2, &show));
    let manifest = include_str!("../../model/tests/formats/manifest-1.json");
    let set = desk.path("store/sets/lms/20261120T020000Z-knktpsst595xbr24");
    std::fs::create_dir_all(set.join("proofs")).unwrap();
    std::fs::write(set.join("manifest.json"), manifest).unwrap();
    std::fs::write(set.join("proofs/20261120T030000Z.json"), "{}").unwrap();
    let id = "20261120T020000Z-knktpsst595xbr24";
    let show = ["backups", "show", "--store", &url, "--database", "lms", id];
    shown::case("RB0908", desk.said(6, &show));
    let missing = format!("{url}/missing/too");
    shown::case("RB0913", desk.said(2, &["backups", "list", "--store", &missing]));
}

#[test]
fn a_program_without_file_handles_or_a_place_for_its_output() {
    let desk = Desk::new();
    desk.write("pass", PASS);
    let binary = env!("CARGO_BIN_EXE_runbook");
    let shell = |script: &str| {
        let mut shell = Command::new("bash");
        shell.args(["-c", script]).current_dir(desk.folder.path());
        Ended::of(shell.env("RUNBOOK_STATE", desk.path("state")).output().unwrap())
    };
    let few = shell(&format!("ulimit -n 4; exec {binary} run pass.yaml"));
    shown::case("RB0910", few.expect(70).stderr);
    let full = shell(&format!("exec {binary} explain > /dev/full"));
    shown::case("RB0912", full.expect(1).stderr);
}
