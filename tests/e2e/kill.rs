//! `kill -9` at every journal record of the daily backup, then `resume`: judged by what the server,
//! the message sink and the store saw, never by the journal alone.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::bed::{Bed, Ended, of_type};

const SAMPLE: &str = "
    create table tenants (id int primary key, name text not null);
    create table orders (id bigserial primary key, tenant int references tenants, amount numeric);
    insert into tenants select n, 'tenant ' || n from generate_series(1, 20) n;
    insert into orders (tenant, amount) select 1 + n % 20, n / 7.0 from generate_series(1, 500) n;
    create index orders_by_tenant on orders (tenant);";

const RUN: [&str; 4] = ["run", "runbooks/daily-backup.yaml", "-p", "slack=true"];

/// What the outside saw of one run, killed or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Effects {
    dumps: usize,
    restores: usize,
    messages: usize,
    sets: usize,
    scratch_left: usize,
}

/// Where each step of an undisturbed run begins and ends, in journal records.
struct Undisturbed {
    records: u64,
    journal: Vec<Value>,
}

impl Undisturbed {
    fn seq(&self, kind: &str, step: &str) -> u64 {
        let found =
            of_type(&self.journal, kind).into_iter().find(|record| record["data"]["step"] == step);
        found.and_then(|record| record["seq"].as_u64()).expect("the step is in the journal")
    }

    /// Whether a journal of `durable` records holds the step's start but not its end.
    fn is_open(&self, step: &str, durable: u64) -> bool {
        (self.seq("step_started", step)..self.seq("step_succeeded", step)).contains(&durable)
    }
}

/// Empties state and store, so that each kill starts from nothing.
fn reset(bed: &Bed) {
    std::fs::remove_dir_all(bed.state()).ok();
    std::fs::remove_dir_all(bed.store()).ok();
    std::fs::create_dir(bed.store()).unwrap();
}

fn effects(bed: &Bed, before: Effects) -> Effects {
    let scratch = "select count(*) from pg_database where datname not in ('app', 'postgres', 'template0', 'template1')";
    Effects {
        dumps: bed.server_saw("pg_export_snapshot") - before.dumps,
        restores: bed.server_saw("CREATE DATABASE") - before.restores,
        messages: bed.sink.messages().len() - before.messages,
        sets: bed.sets().len(),
        scratch_left: bed.cluster.query_one("postgres", scratch).unwrap().parse().unwrap(),
    }
}

fn nothing_yet(bed: &Bed) -> Effects {
    effects(bed, Effects { dumps: 0, restores: 0, messages: 0, sets: 0, scratch_left: 0 })
}

fn undisturbed(bed: &Bed) -> (Undisturbed, Effects) {
    reset(bed);
    let before = nothing_yet(bed);
    bed.runbook(&RUN).expect(0);
    let journal = bed.journal();
    let records =
        journal.last().and_then(|record| record["seq"].as_u64()).expect("records are numbered");
    (Undisturbed { records, journal }, effects(bed, before))
}

/// Runs until the fail point kills the process, then resumes to the end.
fn killed_and_resumed(bed: &Bed, fail_point: &str) -> Ended {
    let killed = bed.command(&RUN).env("RUNBOOK_FAILPOINT", fail_point).output().unwrap();
    assert_eq!(killed.status.signal(), Some(9), "{fail_point}: {}", Ended::of(killed).stderr);
    match bed.runs().pop() {
        Some(run) if !bed.journal().is_empty() => bed.runbook(&["resume", &run]),
        // Nothing was durable, so nothing was begun.
        _ => bed.runbook(&RUN),
    }
}

fn check(bed: &Bed, whole: &Undisturbed, expected: Effects, seq: u64, side: &str) {
    reset(bed);
    let before = nothing_yet(bed);
    let point = format!("journal:{seq}:{side}");
    let ended = killed_and_resumed(bed, &point);
    assert_eq!(ended.status, Some(0), "{point}\n{}\n{}", ended.stdout, ended.stderr);
    let seen = effects(bed, before);
    let durable = if side == "before" { seq - 1 } else { seq };
    let open = |step| usize::from(whole.is_open(step, durable));
    let most = |once: usize, step| once + once * open(step);
    assert!(
        (expected.dumps..=most(expected.dumps, "dump")).contains(&seen.dumps),
        "{point}: {seen:?}"
    );
    assert!(
        (expected.restores..=most(expected.restores, "verify")).contains(&seen.restores),
        "{point}: {seen:?}"
    );
    // A message is never sent twice; only a kill while it was being sent may lose it.
    assert!((1 - open("tell")..=1).contains(&seen.messages), "{point}: {seen:?}");
    assert_eq!((seen.sets, seen.scratch_left), (expected.sets, 0), "{point}");
}

fn kill_everywhere(side: &str) {
    let bed = Bed::with(SAMPLE);
    let (whole, expected) = undisturbed(&bed);
    assert_eq!(
        (expected.dumps, expected.messages, expected.sets, expected.scratch_left),
        (1, 1, 1, 0)
    );
    assert!(whole.records > 20, "the daily backup journals its steps: {}", whole.records);
    for seq in 1..=whole.records {
        check(&bed, &whole, expected, seq, side);
    }
}

#[test]
fn killed_before_any_record_nothing_finished_is_repeated() {
    kill_everywhere("before");
}

#[test]
fn killed_after_any_record_nothing_finished_is_repeated() {
    kill_everywhere("after");
}

/// A `pg_dump` that writes when it starts and ends, and takes its time over the schema.
fn slow_pg_dump(bed: &Bed) -> (PathBuf, PathBuf) {
    let (folder, log) = (bed.folder().join("bin"), bed.folder().join("pg_dump.log"));
    std::fs::create_dir(&folder).unwrap();
    let real = bed.cluster.program("pg_dump");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *--version*) exec {real} --version;; esac\n\
         echo start >> {log}\ntrap '' PIPE TERM HUP\nsleep 3\necho end >> {log}\nexec {real} \"$@\"\n",
        real = real.display(),
        log = log.display(),
    );
    let program = folder.join("pg_dump");
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    (folder, log)
}

fn wait_for(log: &std::path::Path, text: &str) {
    let begun = Instant::now();
    while !std::fs::read_to_string(log).unwrap_or_default().contains(text) {
        assert!(
            begun.elapsed() < Duration::from_mins(1),
            "`{text}` never stood in {}",
            log.display()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn no_second_dump_starts_beside_an_orphan() {
    let bed = Bed::with(SAMPLE);
    let (folder, log) = slow_pg_dump(&bed);
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let mut run = bed.command(&RUN).env("PATH", &path).stderr(Stdio::null()).spawn().unwrap();
    wait_for(&log, "start");
    run.kill().unwrap();
    run.wait().unwrap();
    let resumed = bed.command(&["resume"]).env("PATH", &path).output().unwrap();
    Ended::of(resumed).expect(0);
    let lines = std::fs::read_to_string(&log).unwrap();
    assert!(!lines.contains("start\nstart"), "a dump started beside a living one:\n{lines}");
    assert_eq!(bed.sets().len(), 1);
}
