//! The shipped runbooks of the week, the month, a deployment, the schema, critical tables, an
//! audit and a test restore: as they are, with parameters, and without the faults they replace.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::bed::{Bed, Ended};

fn bed() -> Bed {
    Bed::with(&lab::sample::application(300))
}

/// Folders of sets of `app` in a store that have a manifest.
fn sets_in(store: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(store.join("sets/app")) else { return Vec::new() };
    let folders = entries.map(|entry| entry.unwrap().path());
    folders.filter(|folder| folder.join("manifest.json").exists()).collect()
}

/// Prints nothing, fails as `program` would.
fn git(folder: &Path, args: &[&str]) -> String {
    let who = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com"];
    let output = Command::new("git").args(who).args(args).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn the_week_is_proven_and_in_two_stores() {
    let bed = bed();
    bed.shipped("weekly-backup", &["slack=true"]).expect(0);
    let (here, there) = (sets_in(&bed.store()), sets_in(&bed.archive()));
    assert_eq!((here.len(), there.len()), (1, 1));
    assert_eq!(here[0].file_name(), there[0].file_name());
    let manifest = |folder: &PathBuf| std::fs::read(folder.join("manifest.json")).unwrap();
    assert_eq!(manifest(&here[0]), manifest(&there[0]));
    assert_eq!(bed.output("copy")["proofs"], 1);
    assert!(bed.texts()[0].contains("is proven identical and in both stores"), "{:?}", bed.texts());

    // The copy alone brings the database back.
    std::fs::remove_dir_all(bed.store().join("sets")).unwrap();
    let archive = format!("store=file://{}", bed.archive().display());
    bed.shipped("weekly-restore", &["source=app", &archive]).expect(0);
}

#[test]
fn after_a_failing_week_nothing_is_pruned_and_somebody_is_told() {
    let bed = bed();
    for _ in 0..3 {
        bed.shipped("weekly-backup", &["keep_weekly=2"]).expect(0);
    }
    let before = (sets_in(&bed.store()).len(), sets_in(&bed.archive()).len());
    assert_eq!(before, (2, 2), "one week has one set, and the floor is two");
    let path = bed.failing("pg_dump");
    let params = ["keep_weekly=2", "slack=true"];
    bed.shipped_with("weekly-backup", &params, &[("PATH", &path)]).expect(1);
    assert_eq!((sets_in(&bed.store()).len(), sets_in(&bed.archive()).len()), before);
    assert!(bed.texts()[0].contains("weekly-backup FAILED at dump"), "{:?}", bed.texts());
}

#[test]
fn the_archive_is_read_by_pg_restore_alone() {
    let bed = bed();
    bed.shipped("monthly-archive", &["slack=true"]).expect(0);
    assert_eq!(bed.output("verify")["level"], "identical");
    let set = sets_in(&bed.archive()).pop().unwrap();
    let mut files = std::fs::read_dir(&set).unwrap().map(|entry| entry.unwrap().path());
    let dump = files.find(|path| path.extension().is_some_and(|it| it == "dump")).unwrap();
    let listed = bed.cluster.command("pg_restore").arg("--list").arg(dump).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("TABLE DATA billing payments"), "{listed}");
    assert!(bed.texts()[0].contains("1 sets are kept"), "{:?}", bed.texts());
}

#[test]
fn a_deployment_begins_with_a_proven_set_and_not_without() {
    let bed = bed();
    bed.shipped("pre-deploy-backup", &["slack=true"]).expect(0);
    let set = bed.output("dump")["set"].as_str().unwrap().to_owned();
    assert!(bed.texts()[0].contains("the deployment may begin"), "{:?}", bed.texts());
    assert!(bed.texts()[0].contains(&set));
    bed.cluster.execute("app", "drop table billing.payments cascade").unwrap();
    let again = format!("backup={set}");
    let params = ["source=app", "database=before", &again];
    let mut args = vec!["run", "runbooks/full-restore.yaml", "--yes"];
    args.extend(params.iter().flat_map(|param| ["-p", param]));
    bed.runbook(&args).expect(0);
    let count = bed.cluster.query_one("before", "select count(*) from billing.payments").unwrap();
    assert!(count.parse::<u64>().unwrap() > 0);

    let path = bed.failing("pg_restore");
    bed.shipped_with("pre-deploy-backup", &["slack=true"], &[("PATH", &path)]).expect(1);
    let said = bed.texts().pop().unwrap();
    assert!(said.contains("FAILED at verify: do not deploy"), "{said}");
}

#[test]
fn the_schema_is_recorded_when_it_changes_and_pushed_to_a_branch_of_its_own() {
    let bed = bed();
    git(bed.folder(), &["init", "--quiet", "--bare", "remote.git"]);
    git(bed.folder(), &["clone", "--quiet", "remote.git", "schema"]);
    let tree = bed.folder().join("schema");
    git(&tree, &["commit", "--quiet", "--allow-empty", "--message=first"]);
    git(&tree, &["push", "--quiet", "origin", "HEAD:main"]);
    git(&tree, &["switch", "--quiet", "--create", "schema-snapshots"]);
    let main = git(&bed.folder().join("remote.git"), &["rev-parse", "main"]);

    bed.shipped("schema-snapshot", &["slack=true"]).expect(0);
    assert_eq!(bed.output("record")["committed"], true);
    let text = git(&bed.folder().join("remote.git"), &["show", "schema-snapshots:schema.sql"]);
    assert!(text.contains("CREATE TABLE billing.payments"));
    assert_eq!(bed.texts().len(), 1);

    bed.shipped("schema-snapshot", &["slack=true"]).expect(0);
    assert_eq!(bed.output("record")["committed"], false);
    assert_eq!(bed.texts().len(), 1, "nothing new is nothing to tell");

    bed.cluster
        .execute("app", "alter table billing.payments add column remark_of_test text")
        .unwrap();
    bed.shipped("schema-snapshot", &[]).expect(0);
    assert_eq!(bed.output("record")["committed"], true);
    let change = git(&tree, &["show", "--format=", "HEAD"]);
    assert!(change.contains("+    remark_of_test text"), "{change}");
    assert_eq!(git(&bed.folder().join("remote.git"), &["rev-parse", "main"]), main);
}

#[test]
fn the_snapshot_refuses_a_work_tree_on_main() {
    let bed = bed();
    git(bed.folder(), &["init", "--quiet", "--initial-branch=main", "schema"]);
    let ended = bed.shipped("schema-snapshot", &[]);
    assert_ne!(ended.status, Some(0));
    assert!(ended.stderr.contains("[RB0752]"), "{}", ended.stderr);
}

#[test]
fn critical_tables_are_of_one_snapshot() {
    let bed = bed();
    let tables = "tables=lms.users,billing.payments";
    bed.shipped("critical-tables-backup", &[tables]).expect(0);
    let sets = sets_in(&bed.store());
    assert_eq!(sets.len(), 1, "all tables are in one set");
    let manifest = std::fs::read_to_string(sets[0].join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    let names = manifest["contents"]["tables"].as_array().unwrap();
    let names: Vec<_> = names.iter().map(|table| table["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["payments", "users"]);
    assert_eq!(bed.output("verify")["level"], "identical");

    // An emptied table does not push the good sets out.
    bed.cluster.execute("app", "truncate billing.payments cascade").unwrap();
    let ended = bed.shipped("critical-tables-backup", &[tables, "slack=true"]).expect(1);
    assert!(ended.stderr.contains("billing.payments has rows"), "{}", ended.stderr);
    assert_eq!(sets_in(&bed.store()), sets);
    assert!(bed.texts()[0].contains("FAILED at filled"), "{:?}", bed.texts());
}

#[test]
fn a_restore_does_not_bring_back_who_asked_to_be_erased() {
    let bed = bed();
    bed.runbook(&["run", "runbooks/daily-backup.yaml"]).expect(0);
    let list =
        bed.write("erasures.sql", "update lms.users set email = 'erased-' || id where id = 7;");
    let (list, none) = (
        format!("erasures={list}"),
        "erased=select count(*) from lms.users where id = 7 and email like '%@%'",
    );
    let restore = |database: &str, erased: &[&str]| {
        let database = format!("database={database}");
        let mut args = vec!["run", "runbooks/full-restore.yaml", "--yes"];
        let params = ["source=app", &database, &list, "slack=true"];
        args.extend(params.iter().chain(erased).flat_map(|param| ["-p", param]));
        bed.runbook(&args)
    };
    restore("again", &[none]).expect(0);
    let there = "select count(*) from lms.users where id = 7 and email like '%@%'";
    assert_eq!(bed.cluster.query_one("again", there).unwrap(), "0");
    assert_eq!(bed.cluster.query_one("app", there).unwrap(), "1", "the list has something to do");

    // A list without a query that checks it, and a list that does not do what it should.
    restore("unchecked", &[]).expect(1);
    let missed = "erased=select count(*) from lms.users where id < 9 and email like '%@%'";
    let ended = restore("missed", &[missed]).expect(1);
    assert!(ended.stderr.contains("nobody who asked to be erased"), "{}", ended.stderr);
    assert!(bed.texts().pop().unwrap().contains("FAILED at erased: missed is not to be used"));
}

#[test]
fn what_holds_some_tables_never_passes_for_the_database() {
    let bed = bed();
    bed.runbook(&["run", "runbooks/daily-backup.yaml"]).expect(0);
    bed.shipped("critical-tables-backup", &["tables=lms.users"]).expect(0);
    let newest = bed.output("dump")["set"].as_str().unwrap().to_owned();
    let restore = |database: &str, backup: &str| {
        let (database, backup) = (format!("database={database}"), format!("backup={backup}"));
        let file = "runbooks/full-restore.yaml";
        bed.runbook(&["run", file, "--yes", "-p", "source=app", "-p", &database, "-p", &backup])
    };
    restore("whole", "latest").expect(0);
    let payments = "select count(*) > 0 from billing.payments";
    assert_eq!(bed.cluster.query_one("whole", payments).unwrap(), "t");
    let ended = restore("part", &newest).expect(1);
    assert!(ended.stderr.contains("[RB0615]"), "{}", ended.stderr);
    assert!(!bed.databases().contains(&"part".to_owned()));
}

#[test]
fn an_audit_passes_good_backups_and_calls_for_bad_ones() {
    let bed = bed();
    let audit = ["database=app", "min_free=1B", "slack=true", "page=true"];
    let ended = bed.shipped("backup-audit", &audit).expect(1);
    assert!(ended.stderr.contains("there is no set"), "{}", ended.stderr);
    let events: Vec<_> =
        bed.sink.messages().into_iter().filter(|it| it.path == "/v2/enqueue").collect();
    assert_eq!(events.len(), 1, "no backup at all is no good backup");
    assert_eq!(events[0].body["dedup_key"], "backup-audit/app");

    for _ in 0..2 {
        bed.runbook(&["run", "runbooks/daily-backup.yaml"]).expect(0);
    }
    bed.shipped("backup-audit", &audit).expect(0);
    assert_eq!(bed.output("check")["proven"], 2);
    assert_eq!(bed.output("count.daily")["count"], 2);
    assert_eq!(bed.output("count.weekly")["count"], 0);
    let said = bed.texts().pop().unwrap();
    assert!(said.contains("2 of 2 sets of app are proven"), "{said}");
    assert!(said.contains("was restored and is usable"), "{said}");
    assert_eq!(bed.databases(), ["app", "postgres"]);

    // A backup that nobody proved is an alarm, although it is new.
    let path = bed.failing("pg_restore");
    let daily = Ended::of(
        bed.command(&["run", "runbooks/daily-backup.yaml"]).env("PATH", path).output().unwrap(),
    );
    daily.expect(1);
    let ended = bed.shipped("backup-audit", &audit).expect(1);
    assert!(ended.stderr.contains("max_unproven"), "{}", ended.stderr);
}

#[test]
fn a_test_restore_leaves_nothing_behind() {
    let bed = bed();
    bed.runbook(&["run", "runbooks/daily-backup.yaml"]).expect(0);
    let before = bed.databases();
    bed.shipped("weekly-restore", &["source=app", "slack=true"]).expect(0);
    assert_eq!(bed.output("sound")["passed"], true);
    assert_eq!(bed.output("remove")["dropped"], true);
    assert_eq!(bed.databases(), before);
    assert!(bed.texts()[0].contains("was restored and answers"), "{:?}", bed.texts());

    let wrong = "check=select count(*) from lms.users where id < 0";
    let ended = bed.shipped("weekly-restore", &["source=app", "slack=true", wrong]);
    ended.expect(1);
    assert_eq!(bed.databases(), before);
    let said = bed.texts().pop().unwrap();
    assert!(said.contains("weekly-restore FAILED at check"), "{said}");
}
