//! The shipped runbooks with a store on S3.

use std::process::Command;

use serde_json::json;

use super::SERVER;
use crate::bed::{Bed, Ended};

/// The binary with a store on S3 in its environment, as every program of AWS has it.
fn command(bed: &Bed, store: &str, args: &[&str]) -> Command {
    let mut command = bed.command(args);
    command.env("RUNBOOK_STORE", store);
    command.env("AWS_ENDPOINT_URL", SERVER.url());
    command.env("AWS_REGION", "us-east-1");
    command.env("AWS_ACCESS_KEY_ID", "lab").env("AWS_SECRET_ACCESS_KEY", "lab");
    without_the_machine(&mut command);
    command
}

/// Takes away what the machine itself might know of AWS.
fn without_the_machine(command: &mut Command) {
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    command.env_remove("AWS_PROFILE").env_remove("AWS_SESSION_TOKEN");
}

fn run(bed: &Bed, store: &str, args: &[&str]) -> Ended {
    Ended::of(command(bed, store, args).output().unwrap())
}

/// Keys of a bucket that end so.
fn keys(bucket: &str, end: &str) -> usize {
    let listed = SERVER.request("GET", &format!("/{bucket}?list-type=2"), &[], "").unwrap();
    listed.body.matches(&format!("{end}</Key>")).count()
}

#[test]
fn a_day_on_s3_is_backed_up_proven_listed_and_brought_back() {
    SERVER.create_bucket("day").unwrap();
    let bed = Bed::with(&lab::sample::application(2_000));
    let store = "s3://day/team/backups";
    let params = ["-p", "label=nightly"];
    run(&bed, store, &[&["run", "runbooks/daily-backup.yaml"], &params[..]].concat()).expect(0);
    assert_eq!(bed.output("verify")["level"], "identical");
    assert_eq!(keys("day", "/manifest.json"), 1);
    assert!(bed.sets().is_empty(), "nothing lies in the folder");

    let list = run(&bed, store, &["backups", "list"]).expect(0).stdout;
    assert!(list.contains("nightly") && list.contains("identical"), "{list}");
    let show = run(&bed, store, &["backups", "show", "--database", "app", "latest"]);
    assert!(show.expect(0).stdout.contains("passed"));

    run(&bed, store, &["run", "runbooks/verify-backup.yaml", "-p", "database=app"]).expect(0);
    let restore = ["run", "runbooks/full-restore.yaml", "--yes", "-p", "source=app"];
    run(&bed, store, &[&restore[..], &["-p", "database=back"]].concat()).expect(0);
    let count = "select count(*) from billing.payments";
    let here = bed.cluster.query_one("app", count).unwrap();
    assert_eq!(bed.cluster.query_one("back", count).unwrap(), here);
}

#[test]
fn a_copy_goes_from_a_folder_to_s3_and_back() {
    SERVER.create_bucket("offsite").unwrap();
    let bed = Bed::with(&lab::sample::application(300));
    let text = format!(
        "version: 1\n\
         name: offsite\n\
         params: {{key: {{type: string, default: \"\"}}}}\n\
         aws: {{region: eu-west-1, endpoint_url: \"{}\"}}\n\
         stores:\n  \
           here: {{url: \"file://{}\"}}\n  \
           there: {{url: \"s3://offsite\", storage_class: STANDARD_IA, kms_key: \"{{{{ params.key }}}}\"}}\n  \
           again: {{url: \"file://{}\"}}\n\
         steps:\n  \
           - {{id: out, uses: store.copy, with: {{from: here, to: there}}}}\n  \
           - {{id: home, uses: store.copy, with: {{from: there, to: again}}}}\n",
        SERVER.url(),
        bed.store().display(),
        bed.archive().display(),
    );
    let runbook = bed.write("offsite.yaml", &text);
    bed.runbook(&["run", "runbooks/daily-backup.yaml"]).expect(0);
    let mut command = bed.command(&["run", &runbook]);
    command.env("AWS_ACCESS_KEY_ID", "lab").env("AWS_SECRET_ACCESS_KEY", "lab");
    without_the_machine(&mut command);
    Ended::of(command.output().unwrap()).expect(0);
    let manifest = |root: std::path::PathBuf| {
        std::fs::read(root.join("sets/app").join(&bed.sets()[0]).join("manifest.json")).unwrap()
    };
    assert_eq!(manifest(bed.store()), manifest(bed.archive()));
    let listed = SERVER.request("GET", "/offsite?list-type=2", &[], "").unwrap().body;
    assert!(listed.contains("<StorageClass>STANDARD_IA<"), "{listed}");
    assert!(!listed.contains("<StorageClass>STANDARD<"), "{listed}");
}

#[test]
fn a_set_that_a_lock_holds_stays_and_is_told() {
    SERVER.create_locking_bucket("vault").unwrap();
    let bed = Bed::with("create table a (b int primary key)");
    let text = format!(
        "version: 1\n\
         name: vault\n\
         aws: {{region: eu-west-1, endpoint_url: \"{}\"}}\n\
         stores:\n  \
           here: {{url: \"file://{}\"}}\n  \
           vault: {{url: \"s3://vault\", object_lock: {{mode: compliance, days: 30}}}}\n\
         steps:\n  \
           - {{id: out, uses: store.copy, with: {{from: here, to: vault}}}}\n  \
           - id: prune\n    \
             uses: store.prune\n    \
             with: {{store: vault, database: app, label: daily, keep: {{last: 1}}, min_proven: 1, max_delete: 0}}\n",
        SERVER.url(),
        bed.store().display(),
    );
    let runbook = bed.write("vault.yaml", &text);
    let mut kept = Vec::new();
    for _ in 0..2 {
        bed.runbook(&["run", "runbooks/daily-backup.yaml"]).expect(0);
        kept.push(bed.output("dump")["set"].clone());
        let mut command = bed.command(&["run", &runbook]);
        command.env("AWS_ACCESS_KEY_ID", "lab").env("AWS_SECRET_ACCESS_KEY", "lab");
        without_the_machine(&mut command);
        Ended::of(command.output().unwrap()).expect(0);
    }
    let prune = bed.output("prune");
    assert_eq!((&prune["deleted"], &prune["retained"]), (&json!([]), &json!([kept[0]])));
    assert_eq!((&prune["kept"], &prune["freed"]), (&json!(2), &json!(0)));
    assert_eq!(keys("vault", "/manifest.json"), 2);
}

#[test]
fn without_credentials_nothing_is_begun_and_a_person_is_told_what_to_do() {
    SERVER.create_bucket("nobody").unwrap();
    let bed = Bed::with("create table a (b int)");
    let mut command = command(&bed, "s3://nobody/x", &["run", "runbooks/daily-backup.yaml"]);
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    let ended = Ended::of(command.output().unwrap()).expect(3);
    assert!(ended.stderr.contains("RB0690"), "{}", ended.stderr);
    assert!(ended.stderr.contains("AWS_PROFILE"), "{}", ended.stderr);
    assert_eq!(keys("nobody", ""), 0);
}
