//! A person at a terminal: questions are asked and answered there, in a real terminal window.

use std::time::{Duration, Instant};

use crate::bed::{Bed, of_type};
use crate::tmux::{Terminal, same};

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

#[test]
fn a_picture_follows_the_size_of_its_terminal() {
    let bed = Bed::with("select 1");
    let file = bed.write("naps.yaml", &NAPS.replace("2s", "6s"));
    let terminal = Terminal::start(&bed, &format!("run {file}"));
    terminal.wait_for("· two");
    same(&newest_picture(&terminal), "size-80x24");
    terminal.resize(40, 10);
    terminal.wait_for("…");
    same(&newest_picture(&terminal), "size-40x10");
    terminal.resize(200, 50);
    terminal.wait_for("of 5  wait until");
    same(&newest_picture(&terminal), "size-200x50");
    terminal.wait_for("ended=0");
    same(&newest_picture(&terminal), "size-ended");
}

/// The screen from the last title on: a picture that was drawn while the terminal took another
/// size may have left lines above.
fn newest_picture(terminal: &Terminal<'_>) -> String {
    let screen = terminal.screen();
    let title = screen.rfind("naps  ").expect("there is a title");
    screen[title..].to_owned()
}

#[test]
fn a_dumb_terminal_gets_plain_lines() {
    let bed = Bed::with("select 1");
    let file = bed.write("naps.yaml", NAPS);
    let terminal = Terminal::start_with(&bed, "TERM=dumb", &format!("run {file}"));
    terminal.wait_for("ended=0");
    same(&terminal.screen(), "dumb");
    assert!(!terminal.received().contains('\x1b'), "{:?}", terminal.received());
}

#[test]
fn no_colour_is_a_picture_all_the_same() {
    let bed = Bed::with("select 1");
    let file = bed.write("naps.yaml", NAPS);
    let terminal = Terminal::start_with(&bed, "NO_COLOR=1", &format!("run {file}"));
    terminal.wait_for("ended=0");
    let received = terminal.received();
    let styles = received.split("\x1b[").skip(1).filter(|rest| {
        rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').starts_with('m')
    });
    assert_eq!(styles.count(), 0, "{received:?}");
    assert!(received.contains("\x1b[K"), "it was drawn: {received:?}");
}

#[test]
fn a_terminal_that_is_stopped_does_not_stop_the_run() {
    let bed = Bed::with("select 1");
    let file = bed.write("naps.yaml", NAPS);
    let terminal = Terminal::start(&bed, &format!("run {file}"));
    terminal.wait_for("● one");
    terminal.key("C-s");
    let begun = Instant::now();
    while of_type(&bed.journal(), "run_finished").is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(30), "the run ends");
        std::thread::sleep(Duration::from_millis(50));
    }
    terminal.key("C-q");
    terminal.wait_for("ended=0");
}

#[test]
fn control_c_says_what_happens_and_what_can_be_done() {
    let bed = Bed::with("select 1");
    let file = bed.write("naps.yaml", &NAPS.replace("2s", "30s"));
    let terminal = Terminal::start(&bed, &format!("run {file}"));
    terminal.wait_for("● one");
    terminal.key("C-c");
    terminal.wait_for("ended=7");
    same(&terminal.screen(), "control-c");
}

#[test]
fn control_c_at_a_question_ends_the_run_without_an_answer() {
    let bed = Bed::with("select 1");
    let file = bed.write("ask.yaml", ASK);
    let terminal = Terminal::start(&bed, &format!("run {file} --incident-at 2026-01-02T03:04:05Z"));
    terminal.wait_for("approve? type `yes` or `no`:");
    terminal.key("C-c");
    terminal.wait_for("ended=7");
    assert!(of_type(&bed.journal(), "approval_answered").is_empty());
}

const PROMOTES: &str = r"
version: 1
name: failover
steps:
  - {id: promote, uses: command.run, with: {argv: [sleep, '2']}}
  - {id: dns, uses: flow.pass}
";

/// A run that is stopped in a step that cannot be taken back, up to the choice.
fn held(bed: &Bed) -> Terminal<'_> {
    let file = bed.write("failover.yaml", PROMOTES);
    let terminal = Terminal::start(bed, &format!("run {file}"));
    terminal.wait_for("● promote");
    terminal.key("C-c");
    terminal.wait_for("then you choose how it");
    terminal.wait_for("type `go on`, `pause` or `cancel`:");
    assert!(of_type(&bed.journal(), "step_started").len() == 1, "nothing starts meanwhile");
    terminal
}

#[test]
fn stopped_in_a_step_that_cannot_be_taken_back_a_run_may_go_on() {
    let bed = Bed::with("select 1");
    let terminal = held(&bed);
    terminal.types("maybe");
    terminal.wait_for("maybe\ntype `go on`, `pause` or `cancel`:");
    terminal.types("go on");
    terminal.wait_for("ended=0");
    same(&terminal.scrollback(), "held");
    assert_eq!(of_type(&bed.journal(), "step_succeeded").len(), 2);
}

#[test]
fn stopped_in_a_step_that_cannot_be_taken_back_a_run_may_be_paused() {
    let bed = Bed::with("select 1");
    let terminal = held(&bed);
    terminal.types("pause");
    terminal.wait_for("ended=5");
    drop(terminal);
    bed.runbook(&["resume"]).expect(0);
}

#[test]
fn stopped_in_a_step_that_cannot_be_taken_back_a_run_may_be_cancelled() {
    let bed = Bed::with("select 1");
    let terminal = held(&bed);
    terminal.types("cancel");
    terminal.wait_for("ended=7");
    assert_eq!(of_type(&bed.journal(), "step_succeeded").len(), 1);
}

#[test]
fn control_c_twice_stops_also_what_cannot_be_taken_back() {
    let bed = Bed::with("select 1");
    let file = bed.write("failover.yaml", &PROMOTES.replace("'2'", "'60'"));
    let terminal = Terminal::start(&bed, &format!("run {file}"));
    terminal.wait_for("● promote");
    terminal.key("C-c");
    terminal.wait_for("then you choose how it");
    terminal.key("C-c");
    terminal.wait_for("ended=5");
    terminal.wait_for("in doubt");
}

const SESSION: &str = r#"
version: 1
name: table-restore
objectives: {rto: 20m}
contacts: [{role: DBA, name: Dana Ortiz, phone: "+1 555 0100"}]
steps:
  - {id: safety, uses: flow.pass, milestone: {name: kept, rto: 10m}}
  - {id: confirm, uses: human.approve, with: {prompt: "Replace public.orders?", allow_self: true}}
  - id: swap
    uses: command.run
    with: {argv: [touch, FOLDER/swapped]}
    undo: {uses: command.run, with: {argv: [rm, FOLDER/swapped]}}
  - {id: check, uses: command.run, with: {argv: [test, -e, FOLDER/rows]}, restores_service: true}
handlers:
  failure: [{id: note, uses: flow.pass}]
"#;

/// Approved, failed, undone, put right, and brought to its end: what a person sees all the way.
#[test]
fn a_session_from_approval_to_resume() {
    let bed = Bed::with("select 1");
    let folder = bed.folder().display().to_string();
    let file = bed.write("session.yaml", &SESSION.replace("FOLDER", &folder));

    let terminal = Terminal::start(&bed, &format!("run {file}"));
    terminal.wait_for("type `yes` or `no`:");
    terminal.types("yes");
    terminal.wait_for("ended=1");
    same(&terminal.scrollback(), "session-1-run");
    drop(terminal);
    assert!(bed.folder().join("swapped").exists());

    let run = bed.runs().pop().unwrap();
    let terminal = Terminal::start(&bed, &format!("undo {run}"));
    terminal.wait_for("undo");
    terminal.types("undo");
    terminal.wait_for("ended=1");
    same(&terminal.scrollback(), "session-2-undo");
    drop(terminal);
    assert!(!bed.folder().join("swapped").exists());

    bed.write("rows", "3\n");
    let terminal = Terminal::start(&bed, &format!("resume {run} --retry-failed"));
    terminal.wait_for("ended=0");
    same(&terminal.scrollback(), "session-3-resume");
    assert!(bed.folder().join("swapped").exists());
}
