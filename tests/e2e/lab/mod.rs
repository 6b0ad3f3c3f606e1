//! `runbook lab`, as a person uses it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::bed::Ended;

/// A folder with, perhaps, a laboratory in it; dropping it ends the laboratory.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn lab(&self) -> PathBuf {
        self.0.path().join("lab")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runbook"));
        command.arg("lab").args(args).env("RUNBOOK_LAB", self.lab()).env("NO_COLOR", "1");
        command
    }

    fn runbook(&self, args: &[&str]) -> Ended {
        Ended::of(self.command(args).output().unwrap())
    }

    fn status(&self) -> Value {
        let status = self.runbook(&["status", "--format", "json"]).expect(0).stdout;
        serde_json::from_str(&status).unwrap()
    }

    fn account(&self) -> Value {
        let account = self.runbook(&["account", "--format", "json"]).expect(0).stdout;
        serde_json::from_str(&account).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.runbook(&["down"]);
    }
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_mins(1);
    while !holds() {
        assert!(Instant::now() < end, "gave up waiting until {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The process that holds the laboratory.
fn process(lab: &Path) -> u32 {
    let record: Value =
        serde_json::from_slice(&std::fs::read(lab.join("lab.json")).unwrap()).unwrap();
    u32::try_from(record["process"].as_u64().unwrap()).unwrap()
}

#[test]
fn a_laboratory_is_started_hurt_looked_at_and_ended() {
    let place = Place::new();
    let up = place.runbook(&["up", "--rows", "1000"]).expect(0);
    assert!(up.stderr.contains("starting the primary in us-east-1"), "{}", up.stderr);
    assert_eq!(place.runbook(&["env"]).expect(0).stdout, up.stdout);
    let value = |name: &str| {
        let line = up.stdout.lines().find(|line| line.starts_with(&format!("{name}=")));
        line.unwrap_or_else(|| panic!("no {name}")).split_once('=').unwrap().1.to_owned()
    };
    for name in
        ["AWS_ENDPOINT_URL", "STANDBY_DATABASE_URL", "RUNBOOK_STORE", "LAB_DNS", "LAB_ZONE_ID"]
    {
        assert!(!value(name).is_empty(), "{name}");
    }
    let twice = place.runbook(&["up"]).expect(4);
    shown::case("RB0916", twice.stderr.replace(&place.lab().display().to_string(), ".runbook-lab"));

    let users = ["-XAtc", "SELECT count(*) FROM lms.users", &value("STANDBY_DATABASE_URL")];
    let counted = Command::new("psql").args(users).output().unwrap();
    assert_eq!(String::from_utf8(counted.stdout).unwrap(), "66\n");

    until("the application has written", || place.account()["acknowledged"].as_u64() > Some(10));
    assert_eq!(place.account()["lost"], 0);
    place.runbook(&["disaster", "region", "--for", "3s"]).expect(0);
    assert_eq!(place.status()["disasters"][0]["fault"], "region");
    until("the application notices", || place.status()["writing"] == false);
    let told = place.runbook(&["status"]).expect(0).stdout;
    assert!(told.contains("app-primary  down"), "{told}");
    until("the region comes back", || place.status()["writing"] == true);
    assert_eq!(place.status()["disasters"], serde_json::json!([]));
    let effects = place.runbook(&["effects"]).expect(0).stdout;
    assert!(effects.contains("FaultBegan") && effects.contains("FaultEnded"), "{effects}");
    let nowhere = place.runbook(&["disaster", "region", "--region", "mars"]).expect(1);
    shown::case("RB0919", &nowhere.stderr);
    let unknown = place.runbook(&["disaster", "flood"]).expect(2);
    assert!(unknown.stderr.contains("primary-crash"), "{}", unknown.stderr);

    place.runbook(&["down"]).expect(0);
    assert!(!place.lab().exists(), "nothing is left");
    let again = place.runbook(&["down"]).expect(0);
    assert!(again.stderr.contains("no laboratory was up"), "{}", again.stderr);
    let none = place.runbook(&["status"]).expect(4);
    shown::case("RB0915", none.stderr.replace(&place.lab().display().to_string(), ".runbook-lab"));
}

#[test]
fn a_crash_is_noticed_and_what_is_left_is_removed() {
    let place = Place::new();
    place.runbook(&["up", "--rows", "1000"]).expect(0);
    let clusters = || {
        let all = Command::new("pgrep").args(["-fc", "postgres.*runbook-lab"]).output().unwrap();
        String::from_utf8(all.stdout).unwrap().trim().parse::<u32>().unwrap()
    };
    assert!(clusters() >= 3);
    let pid = process(&place.lab()).to_string();
    assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    until("it is gone", || place.runbook(&["status"]).status == Some(1));
    let crashed = place.runbook(&["status"]).expect(1).stderr;
    shown::case("RB0917", crashed.replace(&place.lab().display().to_string(), ".runbook-lab"));
    place.runbook(&["up"]).expect(1);
    place.runbook(&["down"]).expect(0);
    assert!(!place.lab().exists());
    place.runbook(&["up", "--rows", "1000"]).expect(0);
}

#[test]
fn whoever_gives_up_while_it_starts_leaves_nothing() {
    let place = Place::new();
    let mut up = place.command(&["up", "--rows", "1000"]);
    let mut up = up.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("it has begun", || place.lab().join("lock").exists());
    up.kill().unwrap();
    up.wait().unwrap();
    until("all is removed", || !place.lab().exists());
}

#[test]
fn files_of_somebody_else_are_left_alone() {
    let place = Place::new();
    std::fs::create_dir_all(place.lab()).unwrap();
    std::fs::write(place.lab().join("env"), "mine").unwrap();
    let refused = place.runbook(&["up"]).expect(1).stderr;
    shown::case("RB0918", refused.replace(&place.lab().display().to_string(), ".runbook-lab"));
    place.runbook(&["down"]).expect(0);
    assert_eq!(std::fs::read_to_string(place.lab().join("env")).unwrap(), "mine");
}
