//! What can be wrong with the world: each a coded error, the right exit status, and nothing left
//! that anything would take for a backup.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::bed::{Bed, Ended};

const RUN: [&str; 2] = ["run", "runbooks/daily-backup.yaml"];
const SAMPLE: &str = "create table t as select n, md5(n::text) from generate_series(1, 1000) n";

#[track_caller]
fn refused(bed: &Bed, ended: Ended, status: i32, code: &str) -> Ended {
    let ended = ended.expect(status);
    assert!(
        ended.stderr.contains(&format!("[{code}]")),
        "`{code}` is not named:\n{}",
        ended.stderr
    );
    assert_eq!(bed.sets(), Vec::<String>::new());
    ended
}

#[test]
fn a_database_that_is_down_fails_the_preflight() {
    let bed = Bed::with(SAMPLE);
    bed.cluster.stop().unwrap();
    let ended = refused(&bed, bed.runbook(&RUN), 3, "RB0501");
    assert!(ended.stderr.contains("prod"), "{}", ended.stderr);
    assert!(ended.stderr.contains("scratch"), "all problems in one pass:\n{}", ended.stderr);
}

#[test]
fn a_wrong_password_fails_the_preflight_and_is_not_shown() {
    let bed = Bed::with(SAMPLE);
    let url = bed.cluster.url("app").replace(bed.cluster.password(), "wrong-canary");
    let output = bed.command(&RUN).env("DATABASE_URL", url).output().unwrap();
    let ended = refused(&bed, Ended::of(output), 3, "RB0502");
    assert!(!ended.stderr.contains("wrong-canary"), "{}", ended.stderr);
}

#[test]
fn a_secret_that_is_not_set_fails_the_preflight() {
    let bed = Bed::with(SAMPLE);
    let output = bed.command(&RUN).env_remove("SCRATCH_DATABASE_URL").output().unwrap();
    let ended = Ended::of(output).expect(3);
    assert!(ended.stderr.contains("SCRATCH_DATABASE_URL"), "{}", ended.stderr);
}

/// A `PATH` of links to the client programs, without `missing`.
fn path_without(bed: &Bed, missing: &str) -> PathBuf {
    let folder = bed.folder().join("bin");
    std::fs::create_dir(&folder).unwrap();
    for program in ["pg_dump", "pg_dumpall", "pg_restore", "psql"] {
        if program != missing {
            std::os::unix::fs::symlink(bed.cluster.program(program), folder.join(program)).unwrap();
        }
    }
    folder
}

#[test]
fn a_missing_client_program_fails_the_preflight() {
    let bed = Bed::with(SAMPLE);
    let path = path_without(&bed, "pg_dump");
    let output = bed.command(&RUN).env("PATH", path).output().unwrap();
    let ended = Ended::of(output).expect(3);
    assert!(ended.stderr.contains("`pg_dump`"), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("postgresql-client"),
        "it says what to install:\n{}",
        ended.stderr
    );
}

#[test]
fn a_client_older_than_the_server_fails_the_preflight() {
    let bed = Bed::with(SAMPLE);
    let path = path_without(&bed, "pg_dump");
    let old = path.join("pg_dump");
    std::fs::write(&old, "#!/bin/sh\necho 'pg_dump (PostgreSQL) 12.9'\n").unwrap();
    std::fs::set_permissions(&old, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/bin:/usr/bin", path.display());
    let output = bed.command(&RUN).env("PATH", path).output().unwrap();
    let ended = Ended::of(output).expect(3);
    shown::case("RB0431", ended.stderr);
    assert_eq!(bed.sets(), Vec::<String>::new());
}

/// A file system of `size`, mounted while the value lives. Needs root, as CI has.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn at(path: PathBuf, size: &str) -> Self {
        std::fs::create_dir_all(&path).unwrap();
        let args = ["-t", "tmpfs", "-o", &format!("size={size},mode=0700"), "tmpfs"];
        let status = std::process::Command::new("mount").args(args).arg(&path).status().unwrap();
        assert!(
            status.success(),
            "mounting a small tmpfs needs root: run the tests as root, as CI does"
        );
        Self(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        std::process::Command::new("umount").arg("-l").arg(&self.0).status().unwrap();
    }
}

#[test]
fn a_full_disk_in_the_store_leaves_no_backup() {
    let random = "create extension pgcrypto; \
        create table noise as select n, gen_random_bytes(1000) b from generate_series(1, 120000) n";
    let bed = Bed::with(random);
    let disk = SmallDisk::at(bed.folder().join("small"), "80m");
    let store = format!("store=file://{}", disk.0.display());
    let ended =
        bed.runbook(&["run", "runbooks/daily-backup.yaml", "-p", &store] as &[&str]).expect(1);
    assert!(ended.stderr.contains("[RB06"), "{}", ended.stderr);
    let left = std::process::Command::new("find")
        .arg(&disk.0)
        .args(["-name", "manifest.json"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(left.stdout).unwrap(), "");
}

#[test]
fn an_unattended_backup_that_lacks_rights_fails_and_sends_its_alarm() {
    let bed = Bed::with(SAMPLE);
    bed.cluster.execute("app", "create role weak login password 'weak'").unwrap();
    let address = format!("127.0.0.1:{}", bed.cluster.port());
    let output = bed
        .command(&["run", "runbooks/daily-backup.yaml", "-p", "slack=true"])
        .env("DATABASE_URL", format!("postgresql://weak:weak@{address}/app"))
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    refused(&bed, Ended::of(output), 1, "RB0509");
    let messages = bed.sink.messages();
    assert_eq!(messages.len(), 1, "{messages:?}");
    let text = messages[0].body["text"].as_str().unwrap();
    assert!(text.contains("daily-backup FAILED at dump"), "{text}");
}

#[test]
fn a_store_with_little_room_fails_the_preflight() {
    let bed = Bed::with(SAMPLE);
    let disk = SmallDisk::at(bed.folder().join("small"), "4m");
    let store = format!("store=file://{}", disk.0.display());
    let ended = bed.runbook(&["run", "runbooks/daily-backup.yaml", "-p", &store]).expect(3);
    shown::case("RB0434", ended.stderr);
}

#[test]
fn a_full_disk_under_the_journal_starts_no_effect() {
    let bed = Bed::with(SAMPLE);
    let disk = SmallDisk::at(bed.folder().join("full"), "64k");
    std::fs::write(disk.0.join("ballast"), vec![0; 64 << 10]).ok();
    let output = bed.command(&RUN).env("RUNBOOK_STATE", disk.0.join("state")).output().unwrap();
    let ended = Ended::of(output);
    assert_ne!(ended.status, Some(0));
    assert_ne!(ended.status, Some(70), "{}", ended.stderr);
    assert_eq!(bed.server_saw("pg_export_snapshot"), 0);
    assert_eq!(bed.sets(), Vec::<String>::new());
}

#[test]
fn a_state_folder_of_another_user_is_refused() {
    let bed = Bed::with(SAMPLE);
    std::fs::create_dir(bed.state()).unwrap();
    std::os::unix::fs::chown(bed.state(), Some(65_534), None)
        .expect("tests run as root, as CI does");
    let ended = bed.runbook(&RUN).expect(4);
    assert!(ended.stderr.contains("[RB08"), "{}", ended.stderr);
}

#[test]
fn a_runbook_that_everybody_may_write_is_planned_and_never_run() {
    let bed = Bed::with("select 1");
    let file =
        bed.write("pass.yaml", "version: 1\nname: pass\nsteps: [{id: a, uses: flow.pass}]\n");
    let mode = |mode| {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(0o646);
    bed.runbook(&["validate", &file]).expect(0);
    bed.runbook(&["plan", &file]).expect(0);
    let refused = bed.runbook(&["run", &file]).expect(4).stderr;
    assert!(refused.contains("error[RB0819]"), "{refused}");
    assert!(refused.contains(&format!("help: chmod o-w {file}")), "{refused}");
    assert_eq!(bed.runs(), Vec::<String>::new());
    mode(0o644);
    bed.runbook(&["run", &file]).expect(0);
}

#[test]
fn a_state_folder_that_others_may_write_is_refused() {
    let bed = Bed::with(SAMPLE);
    std::fs::create_dir(bed.state()).unwrap();
    std::fs::set_permissions(bed.state(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let ended = bed.runbook(&RUN).expect(4);
    assert!(ended.stderr.contains("chmod"), "it says what to do:\n{}", ended.stderr);
}
