//! `runbook archive` as a server calls it, and the runbooks that keep the archive.

use std::path::Path;
use std::process::Command;

use crate::bed::{Bed, Ended};
use crate::ground::Ground;

const SAMPLE: &str = "create table t as select n, md5(n::text) from generate_series(1, 1000) n";

/// The program without any state folder or other environment.
fn archive(args: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runbook"));
    command.arg("archive").args(args).env_clear();
    Ended::of(command.output().unwrap())
}

fn fetch(ground: &Ground, name: &str, to: &Path) -> Ended {
    let (url, of) = (ground.archive_url(), ground.identifier());
    let to = to.display().to_string();
    archive(&["fetch", "--store", &url, "--cluster", &of, name, &to])
}

#[test]
fn a_server_archives_through_the_program_and_gets_its_segments_back() {
    let ground = Ground::with(SAMPLE);
    let segment = ground.archived();
    let to = ground.bed.folder().join("RECOVERYXLOG");
    let fetched = fetch(&ground, &segment, &to).expect(0);
    assert_eq!((fetched.stdout.as_str(), fetched.stderr.as_str()), ("", ""));
    assert_eq!(std::fs::metadata(&to).unwrap().len(), 16 << 20);
    assert!(!ground.bed.state().exists(), "the server's account needs no state folder");
}

#[test]
fn the_exit_status_tells_a_server_what_to_do() {
    let ground = Ground::with(SAMPLE);
    let segment = ground.archived();
    let to = ground.bed.folder().join("RECOVERYXLOG");
    let one_line = |ended: &Ended| {
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
        assert!(ended.stderr.starts_with("error[RB"), "{}", ended.stderr);
    };
    // Not there: the archive ends here.
    let missing = fetch(&ground, "0000000100000000000000FF", &to).expect(1);
    one_line(&missing);
    // Damaged: above 125 a server stops instead of taking it for the end.
    let object = ground.object(&segment);
    let whole = std::fs::read(&object).unwrap();
    std::fs::write(&object, &whole[..whole.len() / 2]).unwrap();
    let damaged = fetch(&ground, &segment, &to).expect(126);
    one_line(&damaged);
    assert!(damaged.stderr.contains("RB0596"), "{}", damaged.stderr);
    let nowhere = archive(&["fetch", "--store", "nonsense", &segment, "/tmp/x"]).expect(126);
    one_line(&nowhere);
    assert!(!to.exists());
    // The same again is a success, something else is refused.
    std::fs::write(&object, &whole).unwrap();
    fetch(&ground, &segment, &to).expect(0);
    let copy = ground.bed.folder().join(&segment);
    std::fs::rename(&to, &copy).unwrap();
    let (url, file) = (ground.archive_url(), copy.display().to_string());
    archive(&["push", "--store", &url, &file]).expect(0);
    let mut bytes = std::fs::read(&copy).unwrap();
    bytes[10_000_000] ^= 1;
    std::fs::write(&copy, bytes).unwrap();
    let other = archive(&["push", "--store", &url, &file]).expect(4);
    one_line(&other);
    assert!(other.stderr.contains("RB0594"), "{}", other.stderr);
    assert_eq!(std::fs::read(&object).unwrap(), whole);
    one_line(&archive(&["push", "--store", &url, "/no/such/file"]).expect(1));
}

#[test]
fn a_base_backup_and_the_archive_behind_it() {
    let ground = Ground::with(SAMPLE);
    ground.shipped("base-backup", &["slack=true"]).expect(0);
    let base = ground.bed.output("base");
    assert_eq!(base["system_identifier"], serde_json::json!(ground.identifier()));
    assert!(ground.bed.texts()[0].contains(base["base"].as_str().unwrap()));
    assert_eq!(ground.bed.sets(), Vec::<String>::new(), "it is no logical set");
    ground.archived();
    ground.shipped("archive-check", &["slack=true"]).expect(0);
    assert_eq!(ground.bed.output("archive")["bases"], 1);
    assert_eq!(ground.bed.texts().len(), 1, "nothing is wrong, nothing is told");
    // Logical backups beside it stay what they are.
    ground.shipped("daily-backup", &[]).expect(0);
    assert_eq!(ground.bed.sets().len(), 1);
    ground.shipped("archive-check", &[]).expect(0);
    assert_eq!(ground.bed.output("archive")["bases"], 1, "pruning sets leaves base backups");
}

#[test]
fn a_gap_and_a_failing_archiver_raise_the_alarm() {
    let ground = Ground::with(SAMPLE);
    ground.shipped("base-backup", &[]).expect(0);
    let segments: Vec<String> = (0..3).map(|_| ground.archived()).collect();
    let object = ground.object(&segments[1]);
    let aside = object.with_extension("aside");
    std::fs::rename(&object, &aside).unwrap();
    let ended = ground.shipped("archive-check", &["slack=true"]).expect(1);
    assert!(ended.stderr.contains("[RB0598]"), "{}", ended.stderr);
    let said = ground.bed.texts().pop().unwrap();
    assert!(said.contains("archive-check FAILED") && said.contains(&segments[1]), "{said}");
    std::fs::rename(&aside, &object).unwrap();
    ground.shipped("archive-check", &[]).expect(0);
    ground.bed.cluster.archive_with("false").unwrap();
    ground.bed.cluster.switch_wal().unwrap();
    let sql = "select failed_count > 0 from pg_stat_archiver";
    while ground.bed.cluster.query_one("postgres", sql).unwrap() != "t" {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let ended = ground.shipped("archive-check", &[]).expect(1);
    assert!(ended.stderr.contains("[RB0599]"), "{}", ended.stderr);
}

#[test]
fn a_base_backup_that_is_killed_anywhere_is_made_by_the_resume() {
    let ground = Ground::with(SAMPLE);
    ground.shipped("base-backup", &[]).expect(0);
    for seq in ground.bed.records_of("base") {
        reset(&ground.bed);
        let mut killed = ground.command("base-backup", &[]);
        killed.env("RUNBOOK_FAILPOINT", format!("journal:{seq}:after"));
        let killed = killed.output().unwrap();
        assert_eq!(killed.status.code(), None, "{seq}: {}", Ended::of(killed).stderr);
        let resumed = ground.bed.runbook(&["resume"]);
        assert_eq!(resumed.status, Some(0), "killed after record {seq}:\n{}", resumed.stderr);
        let folder = ground.bed.store().join(format!("base/{}", ground.identifier()));
        let made: Vec<_> =
            std::fs::read_dir(&folder).unwrap().map(|it| it.unwrap().path()).collect();
        assert_eq!(made.len(), 1, "killed after record {seq}: {made:?}");
        assert!(made[0].join("manifest.json").exists(), "{seq}");
    }
}

/// Empties state and store, so that each kill starts from nothing.
fn reset(bed: &Bed) {
    std::fs::remove_dir_all(bed.state()).ok();
    std::fs::remove_dir_all(bed.store()).ok();
    std::fs::create_dir(bed.store()).unwrap();
}
