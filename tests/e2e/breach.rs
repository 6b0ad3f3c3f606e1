//! `breach-recovery` with a living intruder: isolated, kept as evidence, and restored from a set
//! of before, while the newest set holds what the intruder left.

use std::path::Path;
use std::process::Command;

use crate::bed::{Bed, Ended};

const APPLICATION: &str = "
    create role shop login password 'old-word';
    grant usage on schema lms to shop; grant select on all tables in schema lms to shop;
    delete from lms.users where false";

/// As the application's role, with a password.
fn as_shop(bed: &Bed, password: &str, database: &str, sql: &str) -> Result<String, String> {
    let url = format!("postgresql://shop:{password}@127.0.0.1:{}/{database}", bed.cluster.port());
    let output = Command::new(bed.cluster.program("psql"))
        .args(["-X", "-At", "-c", sql, &url])
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim().to_owned();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

fn command(bed: &Bed, args: &[&str]) -> Ended {
    let mut command = bed.command(args);
    let new = format!("postgresql://shop:new-word@127.0.0.1:{}/app", bed.cluster.port());
    command.env("NEW_APPLICATION_URL", new);
    command.env("RUNBOOK_EVIDENCE", format!("file://{}", bed.folder().join("evidence").display()));
    command.env("PAGERDUTY_ROUTING_KEY", "0123456789abcdef0123456789abcdef");
    command.env("PAGERDUTY_ENDPOINT", bed.sink.pagerduty_url());
    Ended::of(command.output().unwrap())
}

fn sets_in(folder: &Path) -> Vec<String> {
    let sets = std::fs::read_dir(folder.join("sets/app")).unwrap();
    sets.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// A session of the intruder that stays open.
fn intruder(bed: &Bed) -> std::process::Child {
    let port = bed.cluster.port();
    let held = Command::new(bed.cluster.program("psql"))
        .args(["-X", "-c", "select pg_sleep(600)"])
        .arg(format!("postgresql://shop:old-word@127.0.0.1:{port}/app"))
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let sessions = "select count(*) from pg_stat_activity where usename = 'shop'";
    while bed.cluster.query_one("postgres", sessions).unwrap() != "1" {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    held
}

/// The evidence is what was there, in a store of its own.
fn check_evidence(bed: &Bed, run: &str) {
    let evidence = bed.folder().join("evidence");
    let kept = sets_in(&evidence);
    assert_eq!(bed.output("keep")["set"], kept[0].as_str());
    let manifest = evidence.join("sets/app").join(&kept[0]).join("manifest.json");
    let manifest = std::fs::read_to_string(manifest).unwrap();
    assert!(manifest.contains("\"breach-evidence\"") && manifest.contains("pwned"));
    let log = evidence.join("logs").join(run).join("server.log");
    assert_eq!(std::fs::read_to_string(log).unwrap(), "what the server logged");
}

/// People rotate the secrets and tick what they have done.
fn rotate(bed: &Bed, run: &str) {
    bed.cluster.execute("app", "alter role shop login password 'new-word'").unwrap();
    for item in ["1", "2", "3", "4", "5"] {
        let tick = ["approve", run, "rotate", "--item", item, "--as", "dana", "--note", "seen"];
        command(bed, &tick).expect(0);
    }
}

#[test]
fn a_breach_ends_with_a_clean_database_and_new_secrets() {
    let bed = Bed::with(&lab::sample::application(300));
    bed.cluster.execute("app", APPLICATION).unwrap();
    bed.runbook(&["run", "runbooks/daily-backup.yaml"]).expect(0);
    let clean = bed.sets();
    let now =
        "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')";
    let began = bed.cluster.query_one("postgres", now).unwrap();
    // The intruder takes what it can, and the nightly backup keeps it all.
    bed.cluster
        .execute("app", "drop table billing.payments cascade; create table lms.pwned (note text)")
        .unwrap();
    bed.runbook(&["run", "runbooks/daily-backup.yaml"]).expect(0);
    assert_eq!(bed.sets().len(), 2);
    let logs = bed.folder().join("server.log");
    std::fs::write(&logs, "what the server logged").unwrap();
    let mut held = intruder(&bed);
    let before = format!("clean_before={began}");
    let logs = format!("logs={}", logs.display());
    let params = [
        "source=app",
        "database=app_clean",
        "roles=shop",
        "same_server=true",
        "slack=true",
        "page=true",
        &before,
        &logs,
    ];
    let mut args = vec!["run", "runbooks/breach-recovery.yaml", "--yes"];
    args.extend(params.iter().flat_map(|param| ["-p", param]));
    let waiting = command(&bed, &args).expect(5);
    assert!(waiting.stderr.contains("waits for"), "{}", waiting.stderr);
    assert!(!held.wait().unwrap().success(), "the intruder's session was ended");
    let refused = as_shop(&bed, "old-word", "app", "select 1").unwrap_err();
    assert!(refused.contains("pg_hba.conf rejects"), "{refused}");
    assert_eq!(bed.output("restore")["set"], clean[0].as_str(), "the newest set is infected");
    assert_eq!(bed.output("sessions")["rows"][0]["usename"].as_str(), Some("shop"));

    let run = bed.runs().pop().unwrap();
    check_evidence(&bed, &run);
    rotate(&bed, &run);
    command(&bed, &["resume", &run]).expect(0);
    let restored = as_shop(&bed, "new-word", "app_clean", "select count(*) >= 0 from lms.users");
    assert_eq!(restored.as_deref(), Ok("t"));
    let tables =
        "select to_regclass('billing.payments') is not null, to_regclass('lms.pwned') is null";
    assert_eq!(bed.cluster.query_one("app_clean", tables).unwrap(), "t|t");
    assert!(as_shop(&bed, "old-word", "app_clean", "select 1").unwrap_err().contains("password"));
    let texts = bed.texts();
    assert!(texts.iter().any(|text| text.contains("waits for people")), "{texts:?}");
    assert!(texts.last().unwrap().contains("is back as app_clean"), "{texts:?}");
    let calls = bed.sink.messages().into_iter().filter(|it| it.path == "/v2/enqueue").count();
    assert_eq!(calls, 1);
}

#[test]
fn without_a_set_from_before_nothing_is_restored() {
    let bed = Bed::with(&lab::sample::application(300));
    bed.cluster.execute("app", APPLICATION).unwrap();
    bed.runbook(&["run", "runbooks/daily-backup.yaml"]).expect(0);
    let args = [
        "run",
        "runbooks/breach-recovery.yaml",
        "--yes",
        "-p",
        "source=app",
        "-p",
        "database=app_clean",
        "-p",
        "roles=shop",
        "-p",
        "slack=true",
        "-p",
        "clean_before=2020-01-01T00:00:00Z",
    ];
    let ended = command(&bed, &args).expect(1);
    assert!(ended.stderr.contains("[RB0610]"), "{}", ended.stderr);
    assert_eq!(bed.databases(), ["app", "postgres"]);
    let said = bed.texts().pop().unwrap();
    assert!(said.contains("FAILED at clean: what was shut out stays shut out"), "{said}");
    // The way back, when it was a false alarm: the role's password is gone, the block is lifted.
    let run = bed.runs().pop().unwrap();
    let undone = command(&bed, &["undo", &run, "--yes"]).expect(1);
    assert!(undone.stderr.contains("block.undo    done: unblocked=true"), "{}", undone.stderr);
    bed.cluster.execute("app", "alter role shop login password 'new-word'").unwrap();
    assert_eq!(as_shop(&bed, "new-word", "app", "select 1").as_deref(), Ok("1"));
}
