//! What of a plan is left when a region is gone. Nothing is started and nothing is asked.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::bed::Ended;

const RUNBOOK: &str = "version: 1
name: failover
params: {note: {type: string, required: false}}
vars: {said: \"{{ params.note | default('') }}\"}
connections:
  old: {url: \"{{ secrets.old }}\", region: us-east-1}
  standby: {host: app.c9.us-west-2.rds.amazonaws.com, dbname: app}
  app: {host: app.internal, dbname: app}
secrets: {old: {env: OLD_URL}}
stores:
  east: {url: \"s3://acme-east\", region: us-east-1}
  west: {url: \"s3://acme-west\", region: us-west-2}
steps:
  - {id: drain, uses: pg.identify, with: {connection: old}, ungraceful: skip}
  - {id: ready, uses: pg.identify, with: {connection: standby}}
  - id: sets
    uses: store.list
    with: {store: east}
    ungraceful: {with: {store: west}}
  - {id: look, uses: pg.identify, if: \"vars.said == ''\", with: {connection: app}}
handlers:
  exit: [{id: copies, uses: store.list, with: {store: east}}]
";

fn plan(folder: &Path, args: &[&str]) -> Ended {
    let file = folder.join("failover.yaml");
    std::fs::write(&file, RUNBOOK).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_runbook"));
    command.arg("plan").arg(&file).args(args).current_dir(folder);
    command.env("RUNBOOK_STATE", folder.join("state")).env("NO_COLOR", "1");
    let ended = Ended::of(command.output().unwrap());
    assert!(!folder.join("state").exists(), "nothing was executed");
    ended
}

#[test]
fn the_steps_that_could_not_run_are_listed_with_what_they_need() {
    let folder = tempfile::tempdir().unwrap();
    let said = plan(folder.path(), &["--without-region", "us-east-1"]).expect(8);
    snapbox::assert_data_eq!(
        said.stdout,
        snapbox::str![[r"
plan failover without us-east-1

drain  pg.identify  (left out by `--ungraceful`)
    needs us-east-1: connection `old` (data plane)

sets  store.list
    needs us-east-1: store `east` (data plane) at s3.us-east-1.amazonaws.com; s3:ListBucket, s3:GetObject

exit.copies  store.list  (a handler)
    needs us-east-1: store `east` (data plane) at s3.us-east-1.amazonaws.com; s3:ListBucket, s3:GetObject

would not be reached: look
the steps name the regions: us-east-1, us-west-2
nothing tells where these connections are (say `region`): app
3 steps could not run without us-east-1; nothing was executed

"]]
    );
    let pull_request = ["--without-region", "us-east-1", "--format", "markdown"];
    let said = plan(folder.path(), &pull_request).expect(8).stdout;
    assert!(said.contains("| `sets`"), "{said}");
    assert!(said.contains("- would not be reached: look"), "{said}");
}

#[test]
fn an_ungraceful_run_is_judged_as_it_would_be() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["--ungraceful", "--without-region", "us-east-1", "--format", "json"];
    let said: Value = serde_json::from_str(&plan(folder.path(), &args).expect(0).stdout).unwrap();
    assert_eq!(said["could_run"], true);
    assert_eq!(said["unreached"], json!([]));
    let blocked: Vec<&Value> =
        said["blocked"].as_array().unwrap().iter().map(|step| &step["id"]).collect();
    assert_eq!(blocked, ["exit.copies"], "a handler that fails fails no run");
    let args = ["--ungraceful", "--without-region", "us-west-2"];
    let said = plan(folder.path(), &args).expect(8).stdout;
    assert!(said.contains("\nready  pg.identify\n") && said.contains("\nsets  "), "{said}");
    assert!(said.contains("would not be reached: look\n"), "{said}");
}

#[test]
fn a_region_that_no_step_needs_takes_nothing_away_and_one_that_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let said = plan(folder.path(), &["--without-region", "eu-west-1"]).expect(0).stdout;
    assert!(said.contains("no step needs eu-west-1; nothing was executed"), "{said}");
    let refused = plan(folder.path(), &["--without-region", "us-esat-1"]).expect(2);
    assert_eq!(refused.stdout, "");
    shown::case("RB0326", refused.stderr);
}

#[test]
fn a_plan_shows_where_its_steps_go() {
    let folder = tempfile::tempdir().unwrap();
    let text = plan(folder.path(), &[]).expect(0).stdout;
    let needs = "needs: us-west-2: connection `standby` (data plane)\n";
    assert!(text.contains(needs), "{text}");
    let text = plan(folder.path(), &["--format", "markdown"]).expect(0).stdout;
    assert!(text.contains("| us-east-1 | data"), "{text}");
    let json = plan(folder.path(), &["--format", "json"]).expect(0).stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["steps"][2]["regions"][0]["region"], "us-east-1");
    assert_eq!(json["steps"][2]["regions"][0]["plane"], "data");
}
