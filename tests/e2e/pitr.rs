//! Recovery to a moment on a real server: what is there, what is not, and what is refused before
//! anything is begun.

use std::process::Command;
use std::time::{Duration, Instant};

use jiff::{Timestamp, ToSpan};
use model::set::SetId;
use model::step_error::StepError;
use model::wal::WalName;
use serde_json::json;

use crate::bed::{Ended, of_type};
use crate::ground::Ground;

const SAMPLE: &str =
    "create table orders as select n as id, 'order ' || n as what from generate_series(1, 500) n";

/// A ground with a base backup, rows that were added, and rows that were deleted later.
struct Story {
    ground: Ground,
    /// After the insert, before the delete.
    between: Timestamp,
}

impl Story {
    fn told() -> Self {
        let ground = Ground::with(SAMPLE);
        ground.shipped("base-backup", &[]).expect(0);
        ground.sql("insert into orders select n, 'late ' || n from generate_series(501, 600) n");
        // One second before the delete, as an operator would say it.
        std::thread::sleep(Duration::from_millis(1200));
        ground.sql("delete from orders where id > 100");
        let deleted = ground.now();
        ground.sql("insert into orders values (1000, 'after the fact')");
        ground.archived();
        let between = deleted.checked_sub(1.seconds()).unwrap();
        Self { ground, between }
    }

    fn recover(&self, target: &str, more: &[&str]) -> Ended {
        let target = format!("target={target}");
        let mut params = vec!["database=app", target.as_str()];
        params.extend(more);
        self.ground.shipped("pitr", &params)
    }

    /// Refused before anything was made.
    #[track_caller]
    fn refused(&self, target: &str, more: &[&str], code: &str) -> String {
        let ended = self.recover(target, more).expect(1);
        assert!(ended.stderr.contains(&format!("[{code}]")), "{}", ended.stderr);
        assert!(!self.ground.instance().exists(), "nothing was begun");
        ended.stderr
    }

    fn undo(&self) {
        let run = self.ground.bed.runs().pop().unwrap();
        self.ground.bed.runbook(&["undo", &run, "--yes"]).expect(0);
        assert!(!self.ground.instance().exists());
        assert_eq!(self.ground.server(), None);
    }
}

/// What the last step that failed said, without the words of a server's log and with the numbers
/// and names settled that differ from run to run.
fn said(ground: &Ground) -> String {
    let journal = ground.bed.journal();
    let failed = of_type(&journal, "step_failed").pop().expect("a step failed").clone();
    let error: StepError = serde_json::from_value(failed["data"]["error"].clone()).unwrap();
    let told = error.told();
    let lines = told.lines().filter(|line| !line.contains(" UTC ["));
    lines.map(|line| settled(line, ground) + "\n").collect()
}

fn settled(text: &str, ground: &Ground) -> String {
    let mut out = String::new();
    for word in text.split_inclusive([' ', '`', '/', '.']) {
        let plain = word.trim_end_matches([' ', '`', '/', '.', ';', ',']);
        let rest = &word[plain.len()..];
        let number = plain.len() > 5
            && !plain.starts_with('0')
            && plain.bytes().all(|byte| byte.is_ascii_digit());
        let settled = match plain.parse::<WalName>() {
            Ok(_) => "000000010000000000000003",
            Err(_) if plain.parse::<SetId>().is_ok() => "20261120T020000Z-7k3m9q2x5w8r1t4v",
            Err(_) if number && plain != ground.identifier() => "4194304",
            Err(_) => plain,
        };
        out.push_str(settled);
        out.push_str(rest);
    }
    out
}

#[test]
fn one_second_before_a_delete_the_rows_are_there() {
    let story = Story::told();
    let ground = &story.ground;
    let inspect = "inspect=select count(*) as n from orders,select nonsense";
    story.recover(&story.between.to_string(), &[inspect, "slack=true"]).expect(0);
    let recovered = ground.bed.output("recover");
    assert_eq!(recovered["state"], "paused");
    assert_eq!(recovered["inspected"][0]["rows"], json!([{"n": 600}]));
    assert!(recovered["inspected"][1]["error"].as_str().unwrap().contains("nonsense"));
    let stopped = recovered["stopped"].as_str().unwrap();
    assert!(stopped.starts_with("recovery stopping before commit of transaction"), "{stopped}");
    let point: Timestamp = recovered["recovery_point"].as_str().unwrap().parse().unwrap();
    assert!(point <= story.between, "{point}");

    // Seen from outside: all rows, not the delete, not what came after; the origin is untouched.
    assert_eq!(ground.ask("app", "select count(*), max(id) from orders"), "600|600");
    assert_eq!(ground.ask("app", "select pg_is_in_recovery()"), "t");
    assert_eq!(ground.bed.cluster.query_one("app", "select count(*) from orders").unwrap(), "101");
    let settings = "select string_agg(name || '=' || setting, ' ' order by name) from pg_settings \
        where name in ('archive_mode', 'listen_addresses', 'shared_preload_libraries')";
    assert_eq!(
        ground.ask("app", settings),
        "archive_mode=off listen_addresses=127.0.0.1 shared_preload_libraries="
    );
    assert!(ground.bed.texts()[0].contains(stopped), "{:?}", ground.bed.texts());
    let run = ground.bed.runs().pop().unwrap();
    let report = ground.bed.runbook(&["report", &run]).expect(0).stdout;
    assert!(
        report.contains(&point.to_string()[..19]),
        "the stop point is in the report:\n{report}"
    );

    // The set of the moment has the rows that table-restore and row-restore bring over.
    let kept = ground.bed.output("keep");
    assert_eq!(kept["rows"], 600);
    story.undo();
    assert_eq!(ground.bed.sets().len(), 1, "the set stays");
}

#[test]
fn an_instance_that_is_opened_has_a_timeline_of_its_own_and_archives_nothing() {
    let story = Story::told();
    let ground = &story.ground;
    story.recover(&story.between.to_string(), &["open=true", "keep=false"]).expect(0);
    let opened = ground.bed.output("open");
    assert_eq!((&opened["state"], &opened["timeline"]), (&json!("open"), &json!(2)));
    ground.ask("app", "insert into orders values (9999, 'on the new timeline')");
    ground.ask("app", "select pg_switch_wal()");
    assert_eq!(ground.ask("app", "select count(*) from orders"), "601");
    let timelines =
        std::fs::read_dir(ground.archive().join(format!("wal/{}", ground.identifier())));
    assert_eq!(timelines.unwrap().count(), 1, "only the origin archives");
    // It may be in use: undo does not remove it.
    let run = ground.bed.runs().pop().unwrap();
    let undone = ground.bed.runbook(&["undo", &run, "--yes"]);
    assert_ne!(undone.status, Some(0));
    assert!(undone.stderr.contains("[RB0635]"), "{}", undone.stderr);
    shown::case("RB0635", said(ground));
    assert!(ground.server().is_some());
}

#[test]
fn latest_a_position_a_transaction_and_a_restore_point_are_moments_too() {
    let story = Story::told();
    let ground = &story.ground;
    let one = |sql: &str| ground.bed.cluster.query_one("app", sql).unwrap();
    ground.sql("insert into orders values (2000, 'x')");
    let xid =
        one("begin; insert into orders values (2001, 'y'); select pg_current_xact_id(); commit");
    let lsn = one("select pg_current_wal_insert_lsn()");
    ground.sql("insert into orders values (2002, 'z')");
    ground.sql("select pg_create_restore_point('before release')");
    ground.sql("insert into orders values (2003, 'last')");
    ground.archived();
    for (target, newest) in [
        (format!("xid:{xid}"), "2001"),
        // The row that was written there, before its transaction was committed.
        (lsn, "2001"),
        ("name:before release".to_owned(), "2002"),
        ("latest".to_owned(), "2003"),
    ] {
        story.recover(&target, &["keep=false"]).expect(0);
        let newest_there = ground.ask("app", "select max(id) from orders");
        assert_eq!(newest_there, newest, "{target}");
        story.undo();
    }
    story.refused("name:never made", &["keep=false"], "RB0632");
    story.refused("xid:4000000", &["keep=false"], "RB0632");
    shown::case("RB0632", said(ground));
}

#[test]
fn a_moment_beyond_the_archive_is_told_from_a_missing_segment() {
    let story = Story::told();
    let ground = &story.ground;
    story.refused("2099-01-01T00:00:00Z", &[], "RB0630");
    shown::case("RB0630", said(ground));
    story.refused("FFFFFFFF/0", &[], "RB0630");
    ground.sql("insert into orders values (3000, 'in a segment that will be missing')");
    let missing = ground.archived();
    ground.sql("insert into orders values (3001, 'after it')");
    let after = ground.now();
    ground.sql("insert into orders values (3002, 'later')");
    ground.archived();
    let object = ground.object(&missing);
    let whole = std::fs::read(&object).unwrap();
    std::fs::remove_file(&object).unwrap();
    let gap = story.refused(&after.to_string(), &[], "RB0631");
    assert!(gap.contains(&missing), "{gap}");
    shown::case("RB0631", said(ground));
    story.refused("latest", &[], "RB0631");
    // A moment before the gap is still one.
    story.recover(&story.between.to_string(), &["keep=false"]).expect(0);
    assert_eq!(ground.ask("app", "select count(*) from orders"), "600");
    story.undo();
    // A damaged segment stops the server, it is not taken for the end of the archive.
    std::fs::write(&object, &whole[..whole.len() / 2]).unwrap();
    let ended = story.recover(&after.to_string(), &[]).expect(1);
    assert!(ended.stderr.contains("RB0596"), "{}", ended.stderr);
    assert_eq!(ground.server(), None);
}

#[test]
fn a_base_backup_newer_than_the_moment_is_refused_by_name() {
    let story = Story::told();
    story.refused("2020-01-01T00:00:00Z", &[], "RB0626");
    shown::case("RB0626", said(&story.ground));
    let base = story.ground.shipped("base-backup", &[]);
    base.expect(0);
    let base = story.ground.bed.output("base")["base"].as_str().unwrap().to_owned();
    story.ground.archived();
    let named = format!("base={base}");
    let newer = story.refused(&story.between.to_string(), &[&named], "RB0626");
    assert!(newer.contains(&base), "{newer}");
    // By itself it takes the one before.
    story.recover(&story.between.to_string(), &["keep=false"]).expect(0);
    assert_eq!(story.ground.ask("app", "select count(*) from orders"), "600");
    assert_ne!(story.ground.bed.output("recover")["base"], json!(base));
}

#[test]
fn a_time_without_a_zone_is_refused_by_validate() {
    let ground = Ground::with("select 1");
    let args = ["plan", "runbooks/pitr.yaml", "-p", "target=2026-11-20 02:00:00"];
    let ended = ground.bed.runbook(&args).expect(2);
    assert!(ended.stderr.contains("is a time without a zone"), "{}", ended.stderr);
}

#[test]
fn a_folder_that_is_not_free_and_a_disk_that_is_too_small_are_refused() {
    let story = Story::told();
    let ground = &story.ground;
    let target = story.between.to_string();
    let folder = ground.instance();
    std::fs::create_dir(&folder).unwrap();
    // Root's own, and empty.
    let foreign = story.recover(&target, &[]).expect(1);
    assert!(foreign.stderr.contains("[RB0627]"), "{}", foreign.stderr);
    std::fs::write(folder.join("PG_VERSION"), "15\n").unwrap();
    story.recover(&target, &[]).expect(1);
    shown::case("RB0627", said(ground));
    assert_eq!(std::fs::read_to_string(folder.join("PG_VERSION")).unwrap(), "15\n");
    let live = format!("data_directory={}", ground.bed.cluster.data_dir().display());
    let live = story.recover(&target, &[&live]).expect(1);
    assert!(live.stderr.contains("[RB0627]"), "{}", live.stderr);
    std::fs::remove_dir_all(&folder).unwrap();
    story.refused(&target, &["run_as=nobody_there"], "RB0636");
    shown::case("RB0636", said(ground));
    let small = SmallDisk::at(ground.bed.folder().join("small"), "8m");
    let there = format!("data_directory={}/pitr", small.0.display());
    let full = story.recover(&target, &[&there]).expect(1);
    assert!(full.stderr.contains("[RB0628]"), "{}", full.stderr);
    assert!(!small.0.join("pitr").exists());
}

#[test]
fn a_damaged_base_backup_and_an_archive_that_the_server_cannot_read_are_told() {
    let story = Story::told();
    let ground = &story.ground;
    let target = story.between.to_string();
    // An account that may not look into the archive.
    let closed = story.recover(&target, &["run_as=nobody"]).expect(1);
    assert!(closed.stderr.contains("[RB0633]"), "{}", closed.stderr);
    shown::case("RB0633", said(ground));
    std::fs::remove_dir_all(ground.instance()).unwrap();
    let base = ground.bed.output("archive")["newest_base"].as_str().unwrap().to_owned();
    let folder = ground.bed.store().join(format!("base/{}/{base}", ground.identifier()));
    let data = folder.join("base.tar.zst");
    let whole = std::fs::read(&data).unwrap();
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 4;
    std::fs::write(&data, damaged).unwrap();
    story.recover(&target, &[]).expect(1);
    shown::case("RB0629", said(ground));
    // Another run does not take the folder; the same run goes on from where it was.
    std::fs::write(&data, whole).unwrap();
    let run = ground.bed.runs().pop().unwrap();
    let mut again = ground.command("pitr", &[]);
    let again = Ended::of(resumed(&mut again, &run).output().unwrap());
    again.expect(0);
    assert_eq!(ground.ask("app", "select count(*) from orders"), "600");
}

/// The same environment, another command.
fn resumed(from: &mut Command, run: &str) -> Command {
    let mut command = Command::new(from.get_program());
    command.args(["resume", run, "--retry-failed", "--yes"]);
    command.envs(from.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

#[test]
fn a_server_that_does_not_come_up_says_why_and_is_taken_up_again() {
    let story = Story::told();
    let ground = &story.ground;
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port();
    let taken = format!("port={port}");
    let ended = story.recover(&story.between.to_string(), &[&taken, "keep=false"]).expect(1);
    assert!(ended.stderr.contains("could not"), "{}", ended.stderr);
    shown::case("RB0634", said(ground));
    drop(busy);
    let run = ground.bed.runs().pop().unwrap();
    let mut again = ground.command("pitr", &[]);
    Ended::of(resumed(&mut again, &run).output().unwrap()).expect(0);
    assert_eq!(ground.ask("app", "select count(*) from orders"), "600");
}

#[test]
fn killed_after_any_record_the_resume_finds_the_instance() {
    let story = Story::told();
    let ground = &story.ground;
    let target = format!("target={}", story.between);
    let params = ["database=app", target.as_str(), "keep=false"];
    std::fs::remove_dir_all(ground.bed.state()).unwrap();
    ground.shipped("pitr", &params).expect(0);
    let records = ground.bed.records_of("recover");
    story.undo();
    for seq in records {
        std::fs::remove_dir_all(ground.bed.state()).unwrap();
        let mut command = ground.command("pitr", &params);
        let killed =
            command.env("RUNBOOK_FAILPOINT", format!("journal:{seq}:after")).output().unwrap();
        assert_eq!(killed.status.code(), None, "{seq}");
        let run = ground.bed.runs().pop().unwrap();
        let resumed = ground.bed.runbook(&["resume", &run, "--yes"]);
        assert_eq!(resumed.status, Some(0), "killed after record {seq}:\n{}", resumed.stderr);
        assert_eq!(ground.ask("app", "select count(*), pg_is_in_recovery() from orders"), "600|t");
        story.undo();
    }
}

#[test]
fn killed_while_the_server_recovers_the_resume_waits_for_it() {
    let story = Story::told();
    let ground = &story.ground;
    let target = format!("target={}", story.between);
    let params = ["database=app", target.as_str(), "keep=false"];
    let mut run =
        ground.command("pitr", &params).stderr(std::process::Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while ground.server().is_none() {
        assert!(begun.elapsed() < Duration::from_mins(2), "the server never started");
        std::thread::sleep(Duration::from_millis(5));
    }
    run.kill().unwrap();
    run.wait().unwrap();
    let server = ground.server();
    ground.bed.runbook(&["resume", "--yes"]).expect(0);
    assert_eq!(ground.server(), server, "the same server, not a second one");
    assert_eq!(ground.ask("app", "select count(*) from orders"), "600");
}

/// A file system of `size`, mounted while the value lives. Needs root, as CI has.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn at(path: std::path::PathBuf, size: &str) -> Self {
        std::fs::create_dir_all(&path).unwrap();
        let args = ["-t", "tmpfs", "-o", &format!("size={size},mode=0755"), "tmpfs"];
        let status = Command::new("mount").args(args).arg(&path).status().unwrap();
        assert!(
            status.success(),
            "mounting a small tmpfs needs root: run the tests as root, as CI does"
        );
        Self(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().unwrap();
    }
}
