//! `row-restore`: rows that were deleted come back from a set, with what hangs on them, and the
//! undo takes exactly that back. What is there is told by `pg_dump`.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::bed::{Bed, Ended, of_type};

const SHOP: &str = "
    create table customers (id int generated always as identity primary key, email text unique);
    create table orders (id bigserial primary key, total numeric(10,2),
      customer int not null references customers on delete cascade,
      doubled numeric generated always as (total * 2) stored);
    create table items (\"order\" bigint references orders on delete cascade, line int, what text,
      primary key (\"order\", line));
    insert into customers (email) select 'c' || n || '@example.com' from generate_series(1, 20) n;
    insert into orders (total, customer) select n / 3.0, 1 + n % 20 from generate_series(1, 100) n;
    insert into items select 1 + n % 100, n, 'item ' || n from generate_series(1, 300) n;";

fn shop() -> Bed {
    Bed::with(SHOP)
}

/// Every row of a database, by `pg_dump`.
fn rows(bed: &Bed) -> Vec<String> {
    let dump = bed.cluster.command("pg_dump").args(["--data-only", "--inserts", "app"]).output();
    let text = String::from_utf8(dump.unwrap().stdout).unwrap();
    let inserts = text.lines().filter(|line| line.starts_with("INSERT INTO "));
    let mut rows: Vec<_> = inserts.map(str::to_owned).collect();
    rows.sort_unstable();
    rows
}

fn back_up(bed: &Bed) {
    bed.runbook(&["run", "runbooks/daily-backup.yaml"]).expect(0);
}

fn row_restore(bed: &Bed, params: &[&str]) -> Ended {
    let folder = format!("folder={}", bed.folder().join("rows").display());
    let mut args =
        vec!["run", "runbooks/row-restore.yaml", "--yes", "-p", "source=app", "-p", &folder];
    args.extend(params.iter().flat_map(|param| ["-p", param]));
    bed.runbook(&args)
}

fn started(bed: &Bed, step: &str) -> bool {
    of_type(&bed.journal(), "step_started").iter().any(|record| record["data"]["step"] == step)
}

const ONE_CUSTOMER: [&str; 3] = ["table=customers", "where=id = $1", "values=7"];

#[test]
fn deleted_rows_come_back_with_what_hung_on_them_and_go_again() {
    let bed = shop();
    back_up(&bed);
    let whole = rows(&bed);
    bed.cluster.execute("app", "delete from customers where id = 7").unwrap();
    let after = rows(&bed);
    assert_eq!(whole.len() - after.len(), 1 + 5 + 15);
    let databases = bed.databases();
    row_restore(&bed, &[&ONE_CUSTOMER[..], &["slack=true"]].concat()).expect(0);
    assert_eq!(rows(&bed), whole);
    assert_eq!(bed.databases(), databases, "the copy is gone");
    assert_eq!(bed.output("preview")["summary"], bed.output("restore")["summary"]);
    assert_eq!(bed.output("prove")["level"], "identical", "the safety set is proven");
    let said = bed.texts().pop().unwrap();
    assert!(said.contains("public.customers: insert 1"), "{said}");
    let run = bed.runs().pop().unwrap();
    bed.runbook(&["undo", "--yes", &run]).expect(0);
    assert_eq!(rows(&bed), after, "exactly the former state");
}

#[test]
fn an_id_that_was_used_again_blocks_what_hangs_on_it_until_a_person_attaches_it() {
    let bed = shop();
    back_up(&bed);
    bed.cluster
        .execute(
            "app",
            "delete from customers where id = 7;
             insert into customers (id, email) overriding system value values (7, 'new@example.com')",
        )
        .unwrap();
    let before = rows(&bed);
    let (databases, orders) =
        (bed.databases(), ["table=orders", "where=customer = 7", "slack=true"]);
    let ended = row_restore(&bed, &orders).expect(1);
    let why =
        "`public.customers` id=7 differs in email, and 5 rows of `public.orders` would hang on it";
    assert!(ended.stderr.contains("[RB0547]") && ended.stderr.contains(why), "{}", ended.stderr);
    assert!(!started(&bed, "confirm") && !started(&bed, "restore"));
    assert_eq!((rows(&bed), bed.databases()), (before.clone(), databases));
    let said = bed.texts().pop().unwrap();
    assert!(said.contains("row-restore FAILED at preview"), "{said}");

    row_restore(&bed, &[&orders[..], &["parents=attach"]].concat()).expect(0);
    assert_eq!(rows(&bed).len(), before.len() + 5 + 15);
    let run = bed.runs().pop().unwrap();
    bed.runbook(&["undo", "--yes", &run]).expect(0);
    assert_eq!(rows(&bed), before, "exactly the former state");
}

#[test]
fn what_nobody_can_mean_stops_before_anything_is_written() {
    let bed = shop();
    back_up(&bed);
    bed.cluster.execute("app", "delete from customers where id = 7").unwrap();
    let (before, databases) = (rows(&bed), bed.databases());
    for (params, code) in [
        (["table=customers", "where=id = 4711"], "[RB0541]"),
        (["table=customers", "where=true); delete from customers; --"], "[RB0540]"),
        (["table=no_such_table", "where=true"], "[RB0521]"),
    ] {
        let ended = row_restore(&bed, &params).expect(1);
        assert!(ended.stderr.contains(code), "{params:?}: {}", ended.stderr);
        assert!(!started(&bed, "preview"), "{params:?}");
    }
    let ended = row_restore(&bed, &["table=customers", "where=true", "max_rows=50"]).expect(1);
    assert!(ended.stderr.contains("[RB0542]"), "{}", ended.stderr);
    assert_eq!((rows(&bed), bed.databases()), (before, databases));
}

#[test]
fn whoever_asked_to_be_erased_does_not_come_back() {
    let bed = shop();
    back_up(&bed);
    bed.cluster.execute("app", "delete from customers where id in (7, 8)").unwrap();
    let list = bed.write("erasures.sql", "delete from customers where email = 'c8@example.com';");
    let erasures = format!("erasures={list}");
    let erased = "erased=select count(*) from customers where email = 'c8@example.com'";
    let params = ["table=customers", "where=id in (7, 8)", &erasures, erased];
    row_restore(&bed, &params).expect(0);
    let ids = bed.cluster.query("app", "select id from customers where id in (7, 8)").unwrap();
    assert_eq!(ids, ["7"]);
}

/// Takes rows out of the database `copy` and brings them back: what is killed here.
fn small(bed: &Bed) -> String {
    let (rows, undo) = (bed.folder().join("rows"), bed.folder().join("undo"));
    let text = format!(
        "version: 1
name: small-restore
description: Bring rows back.
secrets: {{url: {{env: DATABASE_URL}}}}
connections:
  live: {{url: \"{{{{ secrets.url }}}}\", protected: false}}
  copy: {{url: \"{{{{ secrets.url }}}}\", dbname: copy, protected: false}}
steps:
  - id: extract
    uses: pg.extract_rows
    with: {{connection: copy, database: app, table: customers, where: id = 7, to: {rows}}}
  - id: restore
    uses: pg.restore_rows
    with: {{connection: live, from: {rows}, undo_bundle: {undo}, lock_timeout: 30s}}
    undo: {{uses: pg.restore_rows, with: {{connection: live, undo: {undo}}}}}
  - id: check
    uses: pg.assert
    with: {{connection: live, query: select count(*) from customers where id = 7, expect: {{equals: 1}}}}
",
        rows = rows.display(),
        undo = undo.display(),
    );
    bed.write("small.yaml", &text)
}

/// Deletes the rows again and forgets the run.
fn reset(bed: &Bed) {
    bed.cluster.execute("app", "delete from customers where id = 7").unwrap();
    for folder in ["state", "rows", "undo", "undo.attempt-1"] {
        std::fs::remove_dir_all(bed.folder().join(folder)).ok();
    }
}

#[test]
fn killed_at_any_record_the_rows_come_back_once_and_can_be_taken_back() {
    let bed = shop();
    let whole = rows(&bed);
    bed.cluster.execute("postgres", "create database copy template app").unwrap();
    let file = small(&bed);
    reset(&bed);
    let after = rows(&bed);
    bed.runbook(&["run", &file]).expect(0);
    assert_eq!(rows(&bed), whole);
    let records = bed.journal().last().unwrap()["seq"].as_u64().unwrap();
    assert!(records > 8, "the steps journal what they do: {records}");
    for point in (1..=records).flat_map(|seq| ["before", "after"].map(|side| (seq, side))) {
        reset(&bed);
        let point = format!("journal:{}:{}", point.0, point.1);
        let killed =
            bed.command(&["run", &file]).env("RUNBOOK_FAILPOINT", &point).output().unwrap();
        assert_eq!(killed.status.signal(), Some(9), "{point}: {}", Ended::of(killed).stderr);
        let ended = match bed.runs().pop() {
            Some(run) if !bed.journal().is_empty() => bed.runbook(&["resume", &run]),
            _ => bed.runbook(&["run", &file]),
        };
        assert_eq!(ended.status, Some(0), "{point}\n{}\n{}", ended.stdout, ended.stderr);
        assert_eq!(rows(&bed), whole, "{point}");
        assert_eq!(bed.output("restore")["all"]["insert"], 21, "{point}");
        let run = bed.runs().pop().unwrap();
        bed.runbook(&["undo", "--yes", &run]).expect(0);
        assert_eq!(rows(&bed), after, "{point}");
    }
}

#[test]
fn killed_in_the_middle_of_the_transaction_nothing_stays_and_a_resume_does_it() {
    let bed = shop();
    let whole = rows(&bed);
    bed.cluster.execute("postgres", "create database copy template app").unwrap();
    let file = small(&bed);
    reset(&bed);
    let after = rows(&bed);
    let mut psql = bed.cluster.command("psql");
    psql.args(["--quiet", "--no-psqlrc", "app"]).stdin(Stdio::piped());
    let mut holding = psql.spawn().unwrap();
    let lock = b"begin; lock table items in row exclusive mode;\n";
    holding.stdin.as_mut().unwrap().write_all(lock).unwrap();
    let mut run = bed.command(&["run", &file]).stderr(Stdio::null()).spawn().unwrap();
    let waiting = "select count(*) from pg_stat_activity
                   where wait_event_type = 'Lock' and application_name like 'runbook/%'";
    let begun = Instant::now();
    while bed.cluster.query_one("app", waiting).unwrap() == "0" {
        assert!(begun.elapsed() < Duration::from_mins(1), "the step never waited for the lock");
        std::thread::sleep(Duration::from_millis(20));
    }
    run.kill().unwrap();
    run.wait().unwrap();
    drop(holding.stdin.take());
    holding.wait().unwrap();
    assert_eq!(rows(&bed), after, "the transaction went with the process");
    bed.runbook(&["resume"]).expect(0);
    assert_eq!(rows(&bed), whole);
}
