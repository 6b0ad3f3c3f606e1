//! The shipped runbooks of the application side: staging from a masked set, a Supabase project
//! taken back, a deployment rolled back.

use std::process::Command;

use lab::supabase::{Fate, PROJECT, Supabase};
use serde_json::json;

use crate::bed::{Bed, Ended};
use crate::stubs::Stubs;

const MASKS: &str = r#"
mask:
  - "lms.users.email = 'user' || id || '@example.invalid'"
  - "lms.users.given_name = 'Given ' || id"
  - "lms.users.family_name = 'Family ' || id"
  - "lms.users.password_hash = null"
  - "lms.users.last_login = null"
require: ["*.email", "*name", "*password*"]
keep: [lms.tenants.name, lms.attachments.file_name]
"#;

fn bed() -> Bed {
    let bed = Bed::with(&lab::sample::application(60));
    bed.runbook(&["run", "runbooks/daily-backup.yaml"]).expect(0);
    bed
}

/// Runs a shipped runbook; a question is answered with yes.
fn run(bed: &Bed, name: &str, params: &[&str], env: &[(&str, &str)]) -> Ended {
    let file = format!("runbooks/{name}.yaml");
    let mut args = vec!["run", &file, "--yes"];
    args.extend(params.iter().flat_map(|param| ["-p", param]));
    let mut command = bed.command(&args);
    command.envs(env.iter().copied());
    Ended::of(command.output().unwrap())
}

/// Runs the restore into staging on the bed's server.
fn stage(bed: &Bed, masks: &str, params: &[&str]) -> Ended {
    let file = bed.write("masks.yaml", masks);
    let mut command =
        bed.command(&["run", "runbooks/staging-restore.yaml", "--params-file", &file]);
    command.args(["-p", "source=app", "-p", "slack=true"]);
    command.args(params.iter().flat_map(|param| ["-p", param]));
    command.env("STAGING_DATABASE_URL", bed.cluster.url("postgres"));
    Ended::of(command.output().unwrap())
}

const PEOPLE: &str = "select count(*) from lms.users where email like '%example.invalid' and \
    family_name like 'Family %' and password_hash is null";

#[test]
fn staging_gets_masked_data_under_its_name_and_nothing_is_left() {
    let bed = bed();
    bed.cluster.create_database("staging").unwrap();
    bed.cluster.execute("staging", "create table of_last_month (a int)").unwrap();
    let list = bed.write("erasures.sql", "update lms.users set deleted_at = now() where id = 7;\n");
    let erasures = format!("erasures={list}");
    let erased = "erased=select count(*) from lms.users where id = 7 and deleted_at is null";
    let smoke = format!("smoke={}/health", bed.sink.url());
    stage(&bed, MASKS, &[&erasures, erased, &smoke]).expect(0);
    assert_eq!(bed.databases(), ["app", "postgres", "staging"]);
    let one = |sql: &str| bed.cluster.query_one("staging", sql).unwrap();
    assert_eq!((one(PEOPLE), one("select count(*) from lms.users")), ("20".into(), "20".into()));
    assert_eq!(bed.cluster.query_one("app", PEOPLE).unwrap(), "0", "production is as it was");
    assert_eq!(bed.output("mask")["rewritten"], true);
    assert_eq!(bed.output("erase")["row_count"], 1);
    assert_eq!(bed.output("erase")["file_sha256"], sha256(&list));
    let said = bed.texts().pop().unwrap();
    assert!(said.contains("20 rows masked"), "{said}");
}

/// The checksum as coreutils has it.
fn sha256(file: &str) -> String {
    let output = Command::new("sha256sum").arg(file).output().unwrap();
    String::from_utf8(output.stdout).unwrap()[..64].to_owned()
}

#[test]
fn staging_is_as_it_was_when_the_new_one_does_not_do() {
    let bed = bed();
    bed.cluster.create_database("staging").unwrap();
    bed.cluster.execute("staging", "create table of_last_month (a int)").unwrap();
    let kept = "select count(*) from pg_class where relname = 'of_last_month'";
    let as_it_was = || {
        assert_eq!(bed.databases(), ["app", "postgres", "staging"]);
        assert_eq!(bed.cluster.query_one("staging", kept).unwrap(), "1");
        let said = bed.texts().pop().unwrap();
        assert!(said.contains("staging is as it was"), "{said}");
    };
    // A column of a person without a mask.
    let ended = stage(&bed, &MASKS.replace("\"*.email\"", "\"*.email\", \"*address*\""), &[]);
    assert!(ended.expect(1).stderr.contains("`lms.tenants.address`"));
    as_it_was();
    // The application does not run on it: the names go back.
    bed.sink.set_health(503);
    let smoke = format!("smoke={}/health", bed.sink.url());
    stage(&bed, MASKS, &[&smoke]).expect(1);
    assert_eq!(bed.output("swap")["row_count"], 0);
    as_it_was();
    // Masks are not left out by accident.
    let ended = run(&bed, "staging-restore", &["source=app"], &[]);
    assert!(ended.expect(2).stderr.contains("`mask`"));
}

/// A project on the bed's server that can go back to when it was a copy of `app`.
fn project(bed: &Bed) -> Supabase {
    bed.cluster.execute("postgres", "create database project template app").unwrap();
    bed.cluster.execute("postgres", "create database project_then template app").unwrap();
    bed.cluster.execute("project", "delete from billing.payments").unwrap();
    let (psql, url) = (bed.cluster.program("psql"), bed.cluster.url("postgres"));
    let restore = move |_moment| {
        for sql in
            ["drop database project with (force)", "create database project template project_then"]
        {
            assert!(Command::new(&psql).args([&url, "-qc", sql]).status().unwrap().success());
        }
    };
    // From 2020 to 2099: the run's own clock is real.
    Supabase::start("sbp_canary_7781", (1_577_836_800, 4_070_908_800), restore).unwrap()
}

fn take_back(bed: &Bed, supabase: &Supabase) -> Ended {
    let project = format!("project={PROJECT}");
    let params = [
        project.as_str(),
        "target=2026-11-20T01:59:00Z",
        "interval=50ms",
        "slack=true",
        "check=select count(*) from billing.payments",
    ];
    let (url, api) = (bed.cluster.url("project"), supabase.url());
    let env = [
        ("SUPABASE_DATABASE_URL", url.as_str()),
        ("SUPABASE_API_URL", &api),
        ("SUPABASE_ACCESS_TOKEN", "sbp_canary_7781"),
    ];
    run(bed, "supabase-pitr", &params, &env)
}

#[test]
fn a_supabase_project_goes_back_after_a_proven_set_of_what_was_there() {
    let bed = bed();
    let supabase = project(&bed);
    let ended = take_back(&bed, &supabase).expect(0);
    let asked = json!({"recovery_time_target_unix": 1_795_139_940});
    assert_eq!(supabase.requests(), [asked]);
    let payments = "select count(*) from billing.payments";
    assert_ne!(bed.cluster.query_one("project", payments).unwrap(), "0");
    assert_eq!(bed.output("proof")["level"], "complete");
    assert_eq!(bed.output("restore")["recovery_point"], "2026-11-20T01:59:00Z");
    let journal = format!("{:?}{}{}", bed.journal(), ended.stdout, ended.stderr);
    assert!(!journal.contains("sbp_canary"), "the token is nowhere");
}

#[test]
fn a_lost_answer_of_supabase_is_settled_by_looking() {
    let bed = bed();
    let supabase = project(&bed);
    supabase.next(&[Fate::RestoredUnanswered]);
    let ended = take_back(&bed, &supabase).expect(0);
    assert!(ended.stderr.contains("[RB0769]"), "{}", ended.stderr);
    assert_eq!(supabase.requests().len(), 1, "it is asked once");
    supabase.next(&[Fate::Fails]);
    let ended = take_back(&bed, &supabase).expect(1);
    assert!(ended.stderr.contains("[RB0770]"), "{}", ended.stderr);
    assert!(bed.texts().pop().unwrap().contains("FAILED at restore"));
}

/// Stands for systemd with the unit `lms`.
const SYSTEMD: &str = r#"
case "$*" in
"stop lms") rm "$HERE/running";;
"start lms") touch "$HERE/running";;
"is-active lms") if [ -e "$HERE/running" ]; then echo active; else echo inactive; fi;;
*) exit 64;;
esac
"#;

fn roll_back(bed: &Bed, stubs: &Stubs, set: &str, health: &str) -> Ended {
    let backup = format!("backup={set}");
    let maintenance = format!("maintenance={}/maintenance", bed.sink.url());
    let health = format!("health={}/{health}", bed.sink.url());
    let params = [
        "database=app",
        &backup,
        &maintenance,
        &health,
        "slack=true",
        "check=select count(*) from billing.payments",
    ];
    let path = stubs.search_path();
    run(bed, "rollback-deploy", &params, &[("PATH", &path), ("MAINTENANCE_TOKEN", "canary-771")])
}

fn systemd() -> Stubs {
    let stubs = Stubs::new();
    stubs.program("systemctl", SYSTEMD);
    stubs.write("running", "");
    stubs
}

#[test]
fn a_deployment_is_rolled_back_while_the_application_stands_still() {
    let bed = bed();
    let payments = "select count(*) from billing.payments";
    let before = bed.cluster.query_one("app", payments).unwrap();
    let set = bed.sets().pop().unwrap();
    bed.cluster.execute("app", "delete from billing.payments").unwrap();
    let stubs = systemd();
    roll_back(&bed, &stubs, &set, "health").expect(0);
    assert_eq!(bed.cluster.query_one("app", payments).unwrap(), before);
    assert_eq!(stubs.calls(), ["systemctl [stop] [lms]", "systemctl [start] [lms]"]);
    let modes: Vec<_> = bed
        .sink
        .messages()
        .into_iter()
        .filter(|message| message.path == "/maintenance")
        .map(|message| message.body["enabled"].as_bool().unwrap())
        .collect();
    assert_eq!(modes, [true, false]);
    // What the deployment left is there twice: as a database and as a proven set.
    let former = bed.databases().into_iter().find(|name| name.starts_with("app_until_")).unwrap();
    assert_eq!(bed.cluster.query_one(&former, payments).unwrap(), "0");
    assert_eq!((bed.output("proof")["level"].as_str(), bed.sets().len()), (Some("complete"), 2));

    // And back again: the names change once more.
    let run = bed.runs().pop().unwrap();
    let undone = bed
        .command(&["undo", &run, "--yes"])
        .env("PATH", stubs.search_path())
        .env("MAINTENANCE_TOKEN", "canary-771")
        .output()
        .unwrap();
    Ended::of(undone).expect(0);
    assert_eq!(bed.cluster.query_one("app", payments).unwrap(), "0");
}

#[test]
fn a_rollback_that_fails_switches_nothing_on_and_says_so() {
    let bed = bed();
    let payments = "select count(*) from billing.payments";
    let before = bed.cluster.query_one("app", payments).unwrap();
    let stubs = systemd();
    let ended = roll_back(&bed, &stubs, "20200101T000000Z-0123456789abcdef", "health");
    ended.expect(1);
    assert_eq!(bed.cluster.query_one("app", payments).unwrap(), before);
    assert_eq!(bed.databases(), ["app", "postgres"]);
    assert!(!stubs.exists("running"), "the application stays stopped");
    let said = bed.texts().pop().unwrap();
    assert!(said.contains("FAILED at restore. Nothing was switched on"), "{said}");
    assert_eq!(stubs.calls(), ["systemctl [stop] [lms]"]);
}
