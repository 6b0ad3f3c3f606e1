//! Answers of people: who may give which, signed by real `ssh-keygen`, killed midway, forged.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::bed::Ended;

/// A folder with keys, `approvers.yaml`, runbooks and a state folder.
struct Desk(TempDir);

const PEOPLE: [(&str, &str, &str); 3] =
    [("dana", "dba", "ed25519"), ("eve", "dba", "ecdsa"), ("rob", "sre", "rsa")];

const ASK: &str = "version: 1\nname: ask\nsteps:\n  - {id: confirm, uses: human.approve, with: {prompt: \"Go?\", approvers: [dba], required: 2}}\n  - {id: fence, uses: human.task, needs: [], with: {prompt: Fence it, items: [{text: Power off}, {text: Look, evidence: true}]}}\n  - {id: after, uses: flow.pass, needs: [confirm]}\n";

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// With the keys of everybody in `approvers.yaml`.
    fn with_keys() -> Self {
        let desk = Self::new();
        let mut text = "version: 1\napprovers:\n".to_owned();
        for (name, role, kind) in PEOPLE {
            desk.keygen(name, kind, "");
            let key = std::fs::read_to_string(desk.path(&format!("{name}.pub"))).unwrap();
            let key = key.trim();
            let entry = format!("  - {{name: {name}, roles: [{role}], key: \"{key}\"}}\n");
            text += &entry;
        }
        desk.write("approvers.yaml", &text);
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn keygen(&self, name: &str, kind: &str, passphrase: &str) {
        self.ssh(&["-q", "-t", kind, "-N", passphrase, "-C", name, "-f", name]);
    }

    fn ssh(&self, args: &[&str]) {
        let mut keygen = Command::new("ssh-keygen");
        let status = keygen.args(args).current_dir(self.0.path()).stdout(Stdio::null());
        assert!(status.status().unwrap().success(), "{args:?}");
    }

    fn command(&self, program: &[&str], args: &[&str]) -> Command {
        let binary = env!("CARGO_BIN_EXE_runbook");
        let line: Vec<&str> = program.iter().copied().chain([binary]).collect();
        let mut command = Command::new(line[0]);
        command.args(&line[1..]).args(args).current_dir(self.0.path()).stdin(Stdio::null());
        command.env("RUNBOOK_STATE", self.path("state")).env("NO_COLOR", "1");
        command.env("HOME", self.0.path()).env("LOGNAME", "ann");
        command.env_remove("SSH_AUTH_SOCK").env_remove("RUNBOOK_APPROVERS");
        command
    }

    fn runbook(&self, args: &[&str]) -> Ended {
        Ended::of(self.command(&[], args).output().unwrap())
    }

    fn runs(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path("state/runs")).unwrap();
        let mut runs: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        runs.sort();
        runs
    }

    /// Starts `text` and leaves it waiting; its run.
    fn waiting(&self, text: &str) -> String {
        self.write("ask.yaml", text);
        self.runbook(&["run", "ask.yaml"]).expect(5);
        self.runs().pop().unwrap()
    }

    fn give(&self, run: &str, step: &str, more: &[&str]) -> Ended {
        self.runbook(&[&["approve", run, step], more].concat())
    }

    /// What is refused, with exit status 4.
    fn refused(&self, run: &str, step: &str, more: &[&str]) -> String {
        settled(&self.give(run, step, more).expect(4).stderr)
    }

    /// The bytes to sign, signed by the key of `name` into `file` and `file.sig`.
    fn sign(&self, name: &str, file: &str, text: &str) {
        self.write(file, text);
        std::fs::remove_file(self.path(&format!("{file}.sig"))).ok();
        self.ssh(&["-q", "-Y", "sign", "-n", "runbook-approval@v1", "-f", name, file]);
    }

    fn journal(&self, run: &str) -> String {
        let path = self.path("state/runs").join(run).join("journal.jsonl");
        std::fs::read_to_string(path).unwrap()
    }
}

/// Fingerprints differ from run to run.
fn settled(text: &str) -> String {
    let words = text.split_inclusive(' ').map(|word| {
        if word.starts_with("SHA256:") {
            "SHA256:2FZtb8jT7Nq... ".to_owned()
        } else {
            word.to_owned()
        }
    });
    words.collect()
}

#[test]
fn signatures_of_every_kind_count_and_verify_with_ssh_keygen() {
    let desk = Desk::with_keys();
    let text = ASK.replace("[dba], required: 2", "[dba, sre], required: 3");
    let run = desk.waiting(&text);
    desk.give(&run, "confirm", &["--key", "dana", "--reason", "checked"]).expect(0);
    desk.give(&run, "confirm", &["--key", "eve"]).expect(0);
    let message = desk.give(&run, "confirm", &["--as", "rob", "--print-message"]).expect(0).stdout;
    desk.sign("rob", "message", &message);
    desk.give(&run, "confirm", &["--signature", "message.sig"]).expect(0);
    for item in [["--item", "1"], ["--item", "2"]] {
        desk.give(&run, "fence", &[&item[..], &["--note", "seen", "--key", "rob"]].concat())
            .expect(0);
    }
    desk.runbook(&["resume", &run]).expect(0);
    let report = desk.runbook(&["report", &run, "--format", "json"]).expect(0).stdout;
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let answers = report["approvals"][0]["answers"].as_array().unwrap();
    assert_eq!(answers.len(), 3);
    for answer in answers {
        let (by, signed) = (answer[1]["by"].as_str().unwrap(), &answer[1]["signed"]);
        assert_eq!(answer[1]["claimed"], false);
        let public = std::fs::read_to_string(desk.path(&format!("{by}.pub"))).unwrap();
        desk.write("signers", &format!("{by} {public}"));
        desk.write("said", signed["statement"].as_str().unwrap());
        desk.write("said.sig", signed["signature"].as_str().unwrap());
        let verify =
            "ssh-keygen -Y verify -f signers -I NAME -n runbook-approval@v1 -s said.sig < said";
        let mut shell = Command::new("sh");
        shell.args(["-c", &verify.replace("NAME", by)]).current_dir(desk.0.path());
        assert!(shell.stdout(Stdio::null()).status().unwrap().success(), "{by}");
    }
    // A journal with an answer that its signature does not cover tells no run.
    let path = desk.path("state/runs").join(&run).join("journal.jsonl");
    std::fs::write(&path, desk.journal(&run).replace("checked", "chocked")).unwrap();
    desk.runbook(&["report", &run]).expect(6);
}

#[test]
fn an_answer_that_does_not_count_says_why() {
    let desk = Desk::with_keys();
    let run = desk.waiting(ASK);
    shown::case("RB0492", desk.refused(&run, "confirm", &["--as", "dana"]));
    shown::case("RB0490", desk.refused(&run, "confirm", &["--key", "rob"]));
    desk.keygen("mallory", "ed25519", "");
    shown::case("RB0497", desk.refused(&run, "confirm", &["--key", "mallory"]));
    let message = desk.give(&run, "confirm", &["--as", "dana", "--print-message"]).expect(0).stdout;
    desk.sign("dana", "other", "something else\n");
    std::fs::rename(desk.path("other.sig"), desk.path("forged")).unwrap();
    shown::case("RB0493", desk.refused(&run, "confirm", &["--signature", "forged"]));
    let plan = message.lines().find(|line| line.starts_with("plan: ")).unwrap();
    desk.sign("dana", "plan", &message.replace(plan, "plan: sha256:0000"));
    shown::case("RB0495", desk.refused(&run, "confirm", &["--signature", "plan.sig"]));
    desk.sign("dana", "message", &message);
    shown::case(
        "RB0496",
        desk.refused(&run, "fence", &["--item", "1", "--signature", "message.sig"]),
    );
    let rejects = ["reject", &run, "confirm", "--signature", "message.sig"];
    shown::case("RB0731", desk.runbook(&rejects).expect(4).stderr);
    desk.give(&run, "confirm", &["--signature", "message.sig"]).expect(0);
    shown::case("RB0724", desk.refused(&run, "confirm", &["--signature", "message.sig"]));
    shown::case("RB0725", desk.refused(&run, "after", &["--key", "dana"]));
    shown::case("RB0729", desk.refused(&run, "confirm", &["--break-glass", "--reason", "x"]));
    shown::case("RB0726", desk.refused(&run, "fence", &["--item", "9", "--key", "dana"]));
    shown::case("RB0728", desk.refused(&run, "fence", &["--item", "2", "--key", "dana"]));
    desk.give(&run, "fence", &["--item", "1", "--key", "dana"]).expect(0);
    shown::case("RB0727", desk.refused(&run, "fence", &["--item", "1", "--key", "rob"]));
    desk.runbook(&["cancel", &run]).expect(0);
    let second = desk.waiting(ASK);
    shown::case("RB0494", desk.refused(&second, "confirm", &["--signature", "message.sig"]));
}

#[test]
fn a_key_or_a_file_that_cannot_be_used_says_why() {
    let desk = Desk::with_keys();
    let run = desk.waiting(ASK);
    let invalid = |more: &[&str], status| desk.give(&run, "confirm", more).expect(status).stderr;
    shown::case("RB0994", invalid(&["--key", "no-such-key"], 2));
    desk.keygen("locked", "ed25519", "secret");
    let args = ["approve", &run, "confirm", "--key", "locked"];
    let locked = desk.command(&["setsid", "--wait"], &args).output().unwrap();
    shown::case("RB0995", Ended::of(locked).expect(4).stderr);
    std::fs::rename(desk.path("rob"), desk.path("elsewhere")).unwrap();
    let said = invalid(&["--key", "rob.pub"], 4);
    let why = said.lines().find(|line| line.contains("why:")).unwrap().to_owned();
    shown::case("RB0996", said.replace(&why, "  why: the key is not at hand"));
    shown::case("RB0997", invalid(&["--signature", "ask.yaml"], 2));
}

#[test]
fn approvers_are_checked_with_their_places() {
    let desk = Desk::with_keys();
    let key = std::fs::read_to_string(desk.path("dana.pub")).unwrap();
    let key = key.trim();
    let broken = |entries: &str| {
        desk.write("broken.yaml", &format!("version: 1\napprovers:\n{entries}"));
        let said = desk.runbook(&["approvers", "--approvers", "broken.yaml"]).expect(2).stderr;
        said.replace(key, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI... dana")
            .replace(&"^".repeat(key.len()), "^^^^")
            .replace(&"^".repeat(key.len() + 2), "^^^^")
    };
    shown::case("RB0990", broken("  - {name: dana}\n  - {name: Dana}\n"));
    shown::case(
        "RB0991",
        broken(&format!("  - {{name: a, key: {key}}}\n  - {{name: b, key: {key}}}\n")),
    );
    shown::case("RB0992", broken("  - {name: dana, key: ssh-ed25519 AAAA}\n"));
    desk.ssh(&["-q", "-t", "rsa", "-b", "1024", "-N", "", "-C", "old", "-f", "old"]);
    let old = std::fs::read_to_string(desk.path("old.pub")).unwrap();
    let said = broken(&format!("  - {{name: dana, key: {}}}\n", old.trim()));
    let said = said.replace(old.trim(), "ssh-rsa AAAAB3NzaC1yc2E... old");
    shown::case("RB0993", said.replace(&"^".repeat(old.trim().len().min(160)), "^^^^"));
    desk.write("ask.yaml", ASK);
    let run = |more: &[&str], status| {
        desk.runbook(&[&["run", "ask.yaml"], more].concat()).expect(status).stderr
    };
    desk.write("empty.yaml", "version: 1\napprovers: []\nextra: 1\n");
    shown::case("RB0999", run(&["--approvers", "empty.yaml"], 2));
    desk.write("ask.yaml", &ASK.replace("[dba]", "[dab]"));
    shown::case("RB0732", run(&[], 3));
    desk.write("ask.yaml", &ASK.replace("required: 2", "required: 3"));
    shown::case("RB0733", run(&[], 3));
    std::fs::remove_file(desk.path("approvers.yaml")).unwrap();
    shown::case("RB0998", desk.runbook(&["approvers"]).expect(2).stderr);
    assert!(!desk.path("state").exists(), "nothing was executed");
}

const CLAIMED: &str = "version: 1\nname: ask\nsteps:\n  - {id: confirm, uses: human.approve, with: {prompt: \"Go?\", timeout: 1s, on_timeout: fail}}\n";

#[test]
fn a_question_closes_at_its_instant_and_the_starter_does_not_approve() {
    let desk = Desk::new();
    let run = desk.waiting(&CLAIMED.replace("1s", "1h"));
    shown::case("RB0491", desk.refused(&run, "confirm", &[]));
    desk.give(&run, "confirm", &["--as", "dana"]).expect(0);
    desk.runbook(&["resume", &run]).expect(0);
    let report = desk.runbook(&["report", &run]).expect(0).stdout;
    assert!(report.contains("approved by dana (claimed, from the login ann)"), "{report}");
    let run = desk.waiting(CLAIMED);
    std::thread::sleep(Duration::from_millis(1200));
    shown::case("RB0723", desk.refused(&run, "confirm", &["--as", "dana"]));
    desk.runbook(&["resume", &run]).expect(1);
}

#[test]
fn what_nobody_answers_is_escalated_and_then_the_glass_may_be_broken() {
    let desk = Desk::with_keys();
    let run = desk.waiting(&CLAIMED.replace("fail", "escalate"));
    for _ in 0..2 {
        std::thread::sleep(Duration::from_millis(1200));
        desk.runbook(&["resume", &run]).expect(5);
    }
    shown::case("RB0730", desk.refused(&run, "confirm", &["--break-glass"]));
    desk.give(&run, "confirm", &["--break-glass", "--reason", "nobody answers"]).expect(0);
    desk.runbook(&["resume", &run]).expect(0);
    let report = desk.runbook(&["report", &run]).expect(0).stdout;
    assert!(
        report.contains("**BREAK-GLASS** approved by ann (claimed): nobody answers"),
        "{report}"
    );
}

#[test]
fn yes_never_stands_for_two_nor_for_others() {
    for with in
        ["required: 2, allow_self: true", "approvers: [dana], allow_self: true", "required: 1"]
    {
        let desk = Desk::new();
        desk.write("ask.yaml", &CLAIMED.replace("timeout: 1s, on_timeout: fail", with));
        desk.runbook(&["run", "ask.yaml", "--yes"]).expect(5);
    }
    let desk = Desk::new();
    desk.write("ask.yaml", &CLAIMED.replace("timeout: 1s, on_timeout: fail", "allow_self: true"));
    desk.runbook(&["run", "ask.yaml", "--yes"]).expect(0);
}

fn answers(journal: &str) -> usize {
    journal.matches("\"type\":\"approval_answered\"").count()
}

#[test]
fn an_answer_killed_at_any_point_is_neither_lost_nor_counted_twice() {
    for side in ["before", "after"] {
        let desk = Desk::with_keys();
        let run = desk.waiting(&ASK.replace("required: 2", "required: 1"));
        let next = desk.journal(&run).lines().count() + 1;
        let point = format!("journal:{next}:{side}");
        let args = ["approve", &run, "confirm", "--key", "dana"];
        let killed = desk.command(&[], &args).env("RUNBOOK_FAILPOINT", point).output().unwrap();
        assert_eq!(killed.status.code(), None);
        let again = desk.give(&run, "confirm", &["--key", "dana"]);
        assert_eq!(again.status, Some(if side == "before" { 0 } else { 4 }), "{}", again.stderr);
        assert_eq!(answers(&desk.journal(&run)), 1, "{side}");
    }
}

#[test]
fn a_request_that_the_holder_did_not_come_to_journal_or_to_remove_counts_once() {
    let desk = Desk::new();
    let run = desk.waiting(&CLAIMED.replace("timeout: 1s, on_timeout: fail", "required: 1"));
    let inbox = desk.path("state/runs").join(&run).join("inbox");
    std::fs::create_dir_all(&inbox).unwrap();
    let answer = r#"{"type":"answer","data":{"step":"confirm","answer":{"decision":"approved","by":"dana","claimed":true}}}"#;
    let left = |name: &str| std::fs::write(inbox.join(name), answer).unwrap();
    left("01JD5Z8Q4W7N2V9XK3M6T1R0AB.json");
    left("01JD5Z8Q4W7N2V9XK3M6T1R0AC.json.part");
    let next = desk.journal(&run).lines().count() + 2;
    let point = format!("journal:{next}:after");
    let killed = desk.command(&[], &["resume", &run]).env("RUNBOOK_FAILPOINT", point).output();
    assert_eq!(killed.unwrap().status.code(), None);
    assert_eq!(left_in(&inbox), 1, "the holder died before it removed the request");
    desk.runbook(&["resume", &run]).expect(0);
    assert_eq!((answers(&desk.journal(&run)), left_in(&inbox)), (1, 0));
    assert!(desk.journal(&run).contains("\"status\":\"succeeded\""), "no warning either");
}

fn left_in(inbox: &Path) -> usize {
    let names = std::fs::read_dir(inbox).unwrap().map(|entry| entry.unwrap().path());
    names.filter(|path| path.extension().is_some_and(|it| it == "json")).count()
}
