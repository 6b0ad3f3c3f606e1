//! A person at a terminal: questions are asked and answered there, in a real terminal window.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::bed::{Bed, of_type};

/// A terminal of 80 by 24, which ends with the value.
struct Terminal<'a> {
    name: String,
    bed: &'a Bed,
}

impl<'a> Terminal<'a> {
    /// Starts `runbook args` in the window.
    fn start(bed: &'a Bed, args: &str) -> Self {
        let terminal = Self { name: format!("runbook-{}", bed.cluster.port()), bed };
        let state = format!("RUNBOOK_STATE={}", bed.state().display());
        // The shell outlives the terminal, so that it can tell how the run ended.
        let command = format!(
            "trap : HUP; {} {args}; code=$?; echo $code > ended; echo ended=$code && sleep 60",
            env!("CARGO_BIN_EXE_runbook")
        );
        let locale = ["-e", "LC_ALL=C.UTF-8"];
        let session = ["new-session", "-d", "-x", "80", "-y", "24", "-e", &state];
        terminal.tmux(&[&session[..], &locale, &[&command]].concat());
        terminal
    }

    fn tmux(&self, args: &[&str]) -> Output {
        let mut tmux = Command::new("tmux");
        tmux.args(["-u", "-L", &self.name]).args(args).current_dir(self.bed.folder());
        let output = tmux.output().expect("tmux runs; install it with `apt-get install tmux`");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output
    }

    fn screen(&self) -> String {
        String::from_utf8(self.tmux(&["capture-pane", "-p"]).stdout).unwrap()
    }

    #[track_caller]
    fn wait_for(&self, text: &str) {
        let begun = Instant::now();
        while !self.screen().contains(text) {
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "no `{text}` on:\n{}",
                self.screen()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn types(&self, text: &str) {
        self.tmux(&["send-keys", text, "Enter"]);
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        Command::new("tmux").args(["-L", &self.name, "kill-server"]).output().ok();
    }
}

const ASK: &str = r#"
version: 1
name: ask-first
objectives: {rpo: 1h}
steps:
  - {id: confirm, uses: human.approve, with: {prompt: "Go on?", allow_self: true}}
  - {id: after, uses: flow.pass}
"#;

#[test]
fn the_incident_and_the_approval_are_asked_for() {
    let bed = Bed::with("select 1");
    let file = bed.write("ask.yaml", ASK);
    let terminal = Terminal::start(&bed, &format!("run {file}"));
    terminal.wait_for("when did the incident begin?");
    terminal.types("yesterday");
    terminal.wait_for("write it as `2026-11-20T02:00:00Z`");
    terminal.types("2026-01-02T03:04:05Z");
    terminal.wait_for("confirm: Go on?");
    terminal.types("maybe");
    terminal.wait_for("type `yes` or `no`");
    terminal.types("yes");
    terminal.wait_for("ended=0");
    let report = bed.runbook(&["report", "--format", "json"]).expect(0);
    let report: serde_json::Value = serde_json::from_str(&report.stdout).unwrap();
    assert_eq!(report["incident_at"], "2026-01-02T03:04:05Z");
    assert_eq!(report["approvals"][0]["answers"][0][1]["decision"], "approved");
    assert_eq!(report["approvals"][0]["answers"][0][1]["claimed"], true);
}

#[test]
fn a_rejection_fails_the_run() {
    let bed = Bed::with("select 1");
    let file = bed.write("ask.yaml", ASK);
    let terminal = Terminal::start(&bed, &format!("run {file} --incident-at 2026-01-02T03:04:05Z"));
    terminal.wait_for("confirm: Go on?");
    terminal.types("no");
    terminal.wait_for("ended=1");
}

const NAPS: &str = r"
version: 1
name: naps
steps:
  - {id: one, uses: flow.wait, with: {duration: 2s}}
  - {id: two, uses: flow.wait, with: {duration: 1s}}
";

/// The exit status of what ran in a terminal that is gone.
fn ended(bed: &Bed) -> String {
    let begun = Instant::now();
    loop {
        match std::fs::read_to_string(bed.folder().join("ended")) {
            Ok(status) if status.ends_with('\n') => return status.trim().to_owned(),
            _ => assert!(begun.elapsed() < Duration::from_secs(30), "the run lets go"),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_run_with_a_bar_on_the_screen_outlives_its_terminal() {
    let bed = Bed::with("select 1");
    let file = bed.write("naps.yaml", NAPS);
    let terminal = Terminal::start(&bed, &format!("run {file}"));
    terminal.wait_for("● one");
    drop(terminal);
    assert_eq!(ended(&bed), "0");
    assert_eq!(of_type(&bed.journal(), "step_succeeded").len(), 2);
}

#[test]
fn a_question_on_a_terminal_that_is_gone_stays_open() {
    let bed = Bed::with("select 1");
    let file = bed.write("ask.yaml", ASK);
    let terminal = Terminal::start(&bed, &format!("run {file} --incident-at 2026-01-02T03:04:05Z"));
    terminal.wait_for("confirm: Go on?");
    drop(terminal);
    assert_eq!(ended(&bed), "5");
    let status = bed.runbook(&["status", "--exit-code"]).expect(5).stdout;
    assert!(status.contains("waiting_for_approval"), "{status}");
}

#[test]
fn init_asks_for_what_no_flag_says() {
    let bed = Bed::with("select 1");
    let terminal = Terminal::start(&bed, "init --slack --hour 5");
    for (question, answer) in
        [("with the URL of the database, or `-` for its parts [-]:", "PROD URL"), ("ended=2", "")]
    {
        terminal.wait_for(question);
        terminal.types(answer);
    }
    drop(terminal);
    let terminal = Terminal::start(&bed, "init --slack --hour 5");
    for (question, answer) in [
        ("with the URL of the database, or `-` for its parts [-]:", ""),
        ("host, or the folder of its unix socket:", "db.example.com"),
        ("port:", ""),
        ("name of the database:", "app"),
        ("role to log in as:", "backup"),
        ("folder of the store [", "kept"),
        ("ended=0", ""),
    ] {
        terminal.wait_for(question);
        terminal.types(answer);
    }
    let text = std::fs::read_to_string(bed.folder().join("daily-backup.yaml")).unwrap();
    let prod = "prod: {host: \"db.example.com\", user: \"backup\", dbname: \"app\"}\n";
    assert!(text.contains(prod), "{text}");
    assert!(text.contains("/kept\"\n"), "{text}");
}
