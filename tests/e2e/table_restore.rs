//! `table-restore` and `corruption-recovery` as they are shipped: the rows come back, nothing else
//! changes, `undo` takes it back, and a kill at any record of the exchange does it once.

use std::os::unix::process::ExitStatusExt;

use serde_json::{Value, json};

use crate::bed::{Bed, Ended, of_type};

/// Orders with foreign keys both ways, views, policies, triggers, an identity, a publication.
const SHOP: &str = include_str!("../../steps/tests/tables/shop.sql");

/// Three rows lost, two changed, one new.
const ACCIDENT: &str = r#"
    DELETE FROM app."Orders" WHERE id IN (38, 39, 40);
    UPDATE app."Orders" SET amount = 0, note = 'oops' WHERE id IN (7, 8);
    INSERT INTO app."Orders" (customer, amount, place) VALUES (2, 100, 100);
    DELETE FROM app.payments WHERE id > 18;
    TRUNCATE app.fired"#;

const RUN: [&str; 5] = ["run", "runbooks/table-restore.yaml", "--yes", "-p", "table=app.Orders"];

fn ask(bed: &Bed, sql: &str) -> Vec<String> {
    bed.cluster.query("app", sql).unwrap()
}

fn rows(bed: &Bed, table: &str) -> Vec<String> {
    ask(bed, &format!("SELECT t::text FROM {table} t ORDER BY 1"))
}

fn orders(bed: &Bed) -> Vec<String> {
    rows(bed, r#"app."Orders""#)
}

/// Tables of former rows.
fn kept(bed: &Bed) -> Vec<String> {
    ask(
        bed,
        "SELECT format('app.%I', relname) FROM pg_class WHERE relname ~ '__rb_' AND relkind = 'r'",
    )
}

/// Schemas that were read aside.
fn staged(bed: &Bed) -> Vec<String> {
    ask(bed, "SELECT nspname FROM pg_namespace WHERE nspname ~ '^rb_'")
}

/// What `pg_dump` prints of the definitions, without the tables of former rows.
fn definitions(bed: &Bed) -> String {
    let mut dump = bed.cluster.command("pg_dump");
    dump.args(["--schema-only", "--exclude-table=*.*__rb_*", "--dbname=app"]);
    let output = dump.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter(|line| !line.contains("restrict ")).collect::<Vec<_>>().join("\n")
}

/// A shop with a proven set, after the accident; and the orders of the set.
fn after_the_accident() -> (Bed, Vec<String>) {
    let bed = Bed::with(SHOP);
    // One connection: `pg_restore --jobs` may meet itself at the indexes of this table.
    bed.runbook(&["run", "runbooks/daily-backup.yaml", "-p", "jobs=1"]).expect(0);
    let good = orders(&bed);
    bed.cluster.execute("app", ACCIDENT).unwrap();
    (bed, good)
}

#[test]
fn a_table_comes_back_and_nothing_but_its_rows_changes_and_undo_takes_it_back() {
    let (bed, good) = after_the_accident();
    let (bad, before) = (orders(&bed), definitions(&bed));
    let mut args = RUN.to_vec();
    args.extend(["-p", "slack=true"]);
    bed.runbook(&args).expect(0);
    assert_eq!((orders(&bed), definitions(&bed)), (good, before.clone()));
    assert_eq!(ask(&bed, "SELECT count(*) FROM app.fired"), ["0"]);
    let tables = kept(&bed);
    assert_eq!(tables.len(), 1);
    assert_eq!(rows(&bed, &tables[0]), bad);
    assert_eq!(staged(&bed), Vec::<String>::new());
    let output = bed.output("restore");
    assert_eq!(output["bytes_read"], 0, "what was shown is taken up");
    assert_eq!((&output["only_here"], &output["only_there"]), (&json!(1), &json!(3)));
    let asked = of_type(&bed.journal(), "approval_requested").len();
    assert_eq!(asked, 1);
    assert!(bed.texts().pop().unwrap().contains("has the rows of"), "{:?}", bed.texts());

    let run = bed.runs().pop().unwrap();
    bed.runbook(&["undo", &run, "--yes"]).expect(0);
    assert_eq!((orders(&bed), definitions(&bed)), (bad, before));
    assert_eq!(kept(&bed), Vec::<String>::new());
}

#[test]
fn people_who_were_erased_do_not_come_back_with_the_rows() {
    let (bed, good) = after_the_accident();
    let list =
        bed.write("erasures.sql", "UPDATE app.\"Orders\" SET note = NULL WHERE customer = 1;\n");
    let erasures = format!("erasures={list}");
    let erased =
        "erased=SELECT count(*) FROM app.\"Orders\" WHERE customer = 1 AND note IS NOT NULL";
    let mut args = RUN.to_vec();
    args.extend(["-p", &erasures, "-p", erased]);
    bed.runbook(&args).expect(0);
    assert_eq!(orders(&bed).len(), good.len());
    assert_eq!(ask(&bed, "SELECT count(*) FROM app.\"Orders\" WHERE note IS NULL"), ["8"]);
}

#[test]
fn rows_that_came_after_the_question_are_not_removed() {
    let (bed, _) = after_the_accident();
    let waiting = bed.runbook(&[
        "run",
        "runbooks/table-restore.yaml",
        "--no-wait",
        "-p",
        "table=app.Orders",
        "-p",
        "slack=true",
    ]);
    assert_eq!(waiting.status, Some(5), "{}", waiting.stderr);
    assert!(bed.texts()[0].contains("waits for an answer"), "{:?}", bed.texts());
    bed.cluster
        .execute("app", "INSERT INTO app.\"Orders\" (customer, amount) VALUES (4, 4)")
        .unwrap();
    let now = orders(&bed);
    let run = bed.runs().pop().unwrap();
    bed.runbook(&["approve", &run, "confirm", "--as", "ann"]).expect(0);
    let ended = bed.runbook(&["resume", &run]);
    assert_eq!(ended.status, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("RB0535"), "{}", ended.stderr);
    assert_eq!((orders(&bed), kept(&bed), staged(&bed)), (now, Vec::new(), Vec::new()));
}

#[test]
fn a_damaged_set_leaves_the_table_as_it_was_and_tells_so() {
    let (bed, _) = after_the_accident();
    let bad = orders(&bed);
    let set = bed.store().join("sets/app").join(&bed.sets()[0]).join("data");
    for entry in std::fs::read_dir(set).unwrap() {
        std::fs::write(entry.unwrap().path(), b"nothing").unwrap();
    }
    let mut args = RUN.to_vec();
    args.extend(["-p", "slack=true"]);
    let ended = bed.runbook(&args).expect(1);
    assert!(ended.stderr.contains("RB0613"), "{}", ended.stderr);
    assert_eq!((orders(&bed), kept(&bed), staged(&bed)), (bad, Vec::new(), Vec::new()));
    assert!(bed.texts()[0].contains("FAILED at compare"), "{:?}", bed.texts());
}

/// The records of the journal from the start of the exchange to its end.
fn records_of_the_exchange(journal: &[Value]) -> std::ops::RangeInclusive<u64> {
    let seq = |kind: &str| {
        let found = of_type(journal, kind).into_iter().find(|it| it["data"]["step"] == "restore");
        found.and_then(|record| record["seq"].as_u64()).unwrap()
    };
    seq("step_started")..=seq("step_succeeded")
}

#[test]
fn killed_at_any_record_of_the_exchange_the_rows_are_exchanged_once() {
    let (bed, good) = after_the_accident();
    let bad = orders(&bed);
    // Each kill meets the accident anew.
    bed.cluster.execute("postgres", "ALTER DATABASE app RENAME TO accident").unwrap();
    let anew = || {
        let sql = "DROP DATABASE IF EXISTS app WITH (FORCE); CREATE DATABASE app TEMPLATE accident";
        bed.cluster.execute("postgres", sql).unwrap();
    };
    anew();
    bed.runbook(&RUN).expect(0);
    let records = records_of_the_exchange(&bed.journal());
    assert!(records.clone().count() >= 4, "{records:?}");
    for seq in records {
        for side in ["before", "after"] {
            anew();
            let point = format!("journal:{seq}:{side}");
            let killed = bed.command(&RUN).env("RUNBOOK_FAILPOINT", &point).output().unwrap();
            assert_eq!(killed.status.signal(), Some(9), "{point}: {}", Ended::of(killed).stderr);
            let run = bed.runs().pop().unwrap();
            let ended = bed.runbook(&["resume", &run]);
            assert_eq!(ended.status, Some(0), "{point}\n{}\n{}", ended.stdout, ended.stderr);
            assert_eq!(orders(&bed), good, "{point}");
            let tables = kept(&bed);
            assert_eq!(tables.len(), 1, "{point}");
            assert_eq!(rows(&bed, &tables[0]), bad, "{point}: the rows were exchanged once");
            assert_eq!(staged(&bed), Vec::<String>::new(), "{point}");
        }
    }
}

#[test]
fn damaged_tables_are_compared_and_come_back_together_on_the_right_server_only() {
    let (bed, good) = after_the_accident();
    let (bad, new) = (orders(&bed), "(41,");
    let own =
        bed.cluster.query_one("app", "SELECT system_identifier FROM pg_control_system()").unwrap();
    let run = |identifier: &str| {
        let identifier = format!("system_identifier={identifier}");
        bed.runbook(&[
            "run",
            "runbooks/corruption-recovery.yaml",
            "--yes",
            "-p",
            &identifier,
            "-p",
            "database=app",
            "-p",
            "backup=latest",
            "-p",
            "tables=app.Orders,app.payments",
            "-p",
            "slack=true",
        ])
    };
    let ended = run("7000000000000000001").expect(1);
    assert!(ended.stderr.contains("7000000000000000001"), "{}", ended.stderr);
    assert_eq!((orders(&bed), staged(&bed)), (bad.clone(), Vec::new()));

    run(&own).expect(0);
    let found: Vec<String> = orders(&bed).into_iter().filter(|row| !row.starts_with(new)).collect();
    assert_eq!(found, good, "what was lost or wrong is back");
    assert_eq!(orders(&bed).len(), good.len() + 1, "and what is new is still there");
    assert_eq!(ask(&bed, "SELECT count(*) FROM app.payments"), ["20"]);
    assert!(bed.output("extent")["differences"].as_u64().unwrap() >= 2);
    assert_eq!((kept(&bed).len(), staged(&bed)), (2, Vec::new()));
    let run = bed.runs().pop().unwrap();
    bed.runbook(&["undo", &run, "--yes"]).expect(0);
    assert_eq!((orders(&bed), kept(&bed)), (bad, Vec::new()));
}
