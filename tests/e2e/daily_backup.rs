//! The main job: dump, prove, prune, notify, report; and the set that must be refused.

use crate::bed::{Bed, Ended, of_type};

fn sample() -> String {
    lab::sample::application(2_000)
}

#[test]
fn the_daily_backup_is_proven_and_told() {
    let bed = Bed::with(&sample());
    bed.runbook(&["run", "runbooks/daily-backup.yaml", "-p", "slack=true"]).expect(0);
    assert_eq!(bed.sets().len(), 1);

    let journal = bed.journal();
    let succeeded = of_type(&journal, "step_succeeded");
    let verify = succeeded.iter().find(|record| record["data"]["step"] == "verify").unwrap();
    assert_eq!(verify["data"]["output"]["level"], "identical");
    assert_eq!(verify["data"]["output"]["passed"], true);

    let messages = bed.sink.messages();
    assert_eq!(messages.len(), 1);
    let text = messages[0].body["text"].as_str().unwrap().to_owned();
    assert!(text.contains("is proven identical"), "{text}");
}

#[test]
fn the_report_tells_phases_and_measures() {
    let bed = Bed::with(&sample());
    let incident = ["--incident-at", "2020-01-01T00:00:00Z"];
    bed.runbook(&[&["run", "runbooks/daily-backup.yaml"][..], &incident].concat()).expect(0);
    let markdown = bed.runbook(&["report"]).expect(0).stdout;
    for part in ["# ", "daily-backup", "RTO", "RPO", "backup", "prove", "prune", "succeeded"] {
        assert!(markdown.contains(part), "`{part}` is missing:\n{markdown}");
    }
    let json = bed.runbook(&["report", "--format", "json"]).expect(0).stdout;
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["status"], "succeeded");
}

#[test]
fn a_damaged_copy_is_refused_by_name() {
    let bed = Bed::with(&sample());
    bed.runbook(&["run", "runbooks/daily-backup.yaml"]).expect(0);
    let set = bed.store().join("sets/app").join(&bed.sets()[0]).join("data");
    let entries = std::fs::read_dir(&set).unwrap().map(|entry| entry.unwrap().path());
    let object = entries.filter(|path| path.to_string_lossy().contains("payments")).min().unwrap();
    let mut bytes = std::fs::read(&object).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::remove_file(&object).unwrap();
    std::fs::write(&object, bytes).unwrap();

    let refused =
        bed.runbook(&["run", "runbooks/verify-backup.yaml", "-p", "database=app"]).expect(1);
    let name = object.file_name().unwrap().to_str().unwrap();
    assert!(refused.stderr.contains(name), "the object is not named:\n{}", refused.stderr);
}

#[test]
fn a_full_restore_brings_the_database_back() {
    let bed = Bed::with(&sample());
    bed.runbook(&["run", "runbooks/daily-backup.yaml"]).expect(0);
    let args =
        ["run", "runbooks/full-restore.yaml", "-p", "source=app", "-p", "database=again", "--yes"];
    bed.runbook(&args).expect(0);
    let count = "select count(*) from billing.payments";
    let expected = bed.cluster.query_one("app", count).unwrap();
    assert_eq!(bed.cluster.query_one("again", count).unwrap(), expected);
}

#[test]
fn after_a_failing_night_nothing_is_pruned() {
    let bed = Bed::with(&sample());
    let daily = [
        "run",
        "runbooks/daily-backup.yaml",
        "-p",
        "keep_daily=1",
        "-p",
        "keep_weekly=0",
        "-p",
        "keep_monthly=0",
    ];
    for _ in 0..3 {
        bed.runbook(&daily).expect(0);
    }
    // The floor of two proven sets holds although the policy keeps one.
    assert_eq!(bed.sets().len(), 2);
    let before = bed.sets();
    let path = bed.failing("pg_dump");
    let failed = Ended::of(bed.command(&daily).env("PATH", path).output().unwrap());
    failed.expect(1);
    assert_eq!(bed.sets(), before);
}

#[test]
fn a_store_that_is_not_there_is_not_an_empty_one() {
    let bed = Bed::with("select 1");
    let missing = bed.folder().join("missing");
    let url = format!("file://{}", missing.display());
    let ended = bed.runbook(&["backups", "list", "--store", &url]).expect(2);
    assert!(ended.stderr.contains("[RB0913]"), "{}", ended.stderr);
    assert!(!missing.exists(), "a look makes nothing");
}
