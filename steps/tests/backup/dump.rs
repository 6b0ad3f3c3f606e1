//! `pg.dump`: what is in a set, and what is left when it fails.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use engine::context::StepContext;
use engine::memory_host::MemoryHost;
use engine::settings::{ConnectionSettings, S3Settings, StoreSettings};
use engine::step::Observation;
use model::node::Node;
use model::proof::Level;
use model::step_error::{ErrorClass, StepError};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::bench::{Bench, connection, run, step};

fn with() -> Value {
    json!({"connection": "prod", "store": "backups", "jobs": 2})
}

/// Nothing in the store that anything would take for a backup, or that takes space.
fn assert_nothing_left(bench: &Bench) {
    let left = walk(&bench.store().join("sets"));
    assert_eq!(left, Vec::<String>::new());
}

fn walk(folder: &std::path::Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(walk(&path));
        } else {
            found.push(path.display().to_string());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_says_what_it_holds_and_is_seen_again() {
    let bench = Bench::with(&lab::sample::application(1_000));
    let ctx = bench.context("dump");
    let (kind, node) = (step("pg.dump"), Node::from_json(&with()));
    assert_eq!(kind.observe(&node, &ctx).await.unwrap(), Observation::NotDone);
    let output = run("pg.dump", &with(), &ctx).await.unwrap();
    let rows = "SELECT sum((xpath('/row/c/text()', query_to_xml(format(
        'select count(*) as c from only %s', oid::regclass), false, true, '')))[1]::text::int)
        FROM pg_class WHERE relkind = 'r' AND relnamespace::regnamespace::text IN ('lms', 'billing', 'audit')";
    let counted = bench.cluster.query_one("shop", rows).unwrap();
    assert_eq!(output["rows"].to_string(), counted);
    assert_eq!((&output["database"], &output["tables"]), (&json!("shop"), &json!(13)));
    let set = output["set"].as_str().unwrap();
    let on_disk: u64 =
        walk(&bench.set(set)).iter().map(|path| std::fs::metadata(path).unwrap().len()).sum();
    assert_eq!(output["bytes"], json!(on_disk));
    let Observation::Done(seen) = kind.observe(&node, &ctx).await.unwrap() else {
        panic!("a written set is seen")
    };
    assert_eq!(seen["manifest_sha256"], output["manifest_sha256"]);
    std::fs::remove_file(bench.set(set).join("manifest.json")).unwrap();
    assert_eq!(kind.observe(&node, &ctx).await.unwrap(), Observation::NotDone);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_in_parts_holds_every_living_row_once() {
    let bench = Bench::with(
        "CREATE TABLE big (id int PRIMARY KEY, t text) WITH (autovacuum_enabled = off);
         INSERT INTO big SELECT n, repeat(md5(n::text), 5) FROM generate_series(1, 40000) AS n;
         UPDATE big SET t = t || 'x' WHERE id % 3 = 0; DELETE FROM big WHERE id % 7 = 0;
         BEGIN; INSERT INTO big VALUES (-1, 'never'); ROLLBACK;",
    );
    let mut with = with();
    with["part_size"] = json!("1MiB");
    let output = run("pg.dump", &with, &bench.context("dump")).await.unwrap();
    let set = output["set"].as_str().unwrap();
    let parts = bench.objects(set).iter().filter(|path| path.starts_with("data/")).count();
    assert!(parts >= 8, "{parts} parts");
    assert_eq!(output["rows"], json!(40_000 - 40_000 / 7));
    bench.verify(set, "identical").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn all_parts_see_one_moment_while_others_write() {
    let bench = Bench::with(
        "CREATE TABLE debit (id int PRIMARY KEY, amount int, filler text);
         CREATE TABLE credit (id int PRIMARY KEY, amount int, filler text);
         INSERT INTO debit SELECT n, 1000, repeat('d', 300) FROM generate_series(1, 20000) AS n;
         INSERT INTO credit SELECT n, 1000, repeat('c', 300) FROM generate_series(1, 20000) AS n;",
    );
    let stop = Arc::new(AtomicBool::new(false));
    let moved = "DO $$ DECLARE it int; BEGIN FOR i IN 1..200 LOOP
        it := 1 + (random() * 19999)::int;
        UPDATE debit SET amount = amount - 7 WHERE id = it;
        UPDATE credit SET amount = amount + 7 WHERE id = 20001 - it;
        COMMIT; END LOOP; END $$";
    let set = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                bench.cluster.execute("shop", moved).unwrap();
            }
        });
        let mut with = with();
        with["part_size"] = json!("1MiB");
        let ctx = bench.context("dump");
        let dumped = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(run("pg.dump", &with, &ctx))
        });
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap();
        dumped.unwrap()["set"].as_str().unwrap().to_owned()
    });
    bench.verify(&set, "identical").await.unwrap();
    let with = json!({"connection": "scratch", "store": "backups", "source": "shop",
        "backup": set, "database": "copy"});
    run("pg.restore", &with, &bench.context("restore")).await.unwrap();
    let sum = "SELECT (SELECT sum(amount) FROM debit) + (SELECT sum(amount) FROM credit)";
    assert_eq!(bench.cluster.query_one("copy", sum).unwrap(), "40000000");
    let credit = "SELECT sum(amount) > 20000000 FROM credit";
    assert_eq!(bench.cluster.query_one("shop", credit).unwrap(), "t", "others did write");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_dump_leaves_no_set_and_no_session() {
    let bench = Bench::with(
        "CREATE TABLE big AS SELECT n, repeat(md5(n::text), 20) AS t FROM generate_series(1, 150000) AS n",
    );
    let cancel = CancellationToken::new();
    let ctx = bench.host.context("dump", 1, cancel.clone());
    let dumping = tokio::spawn(async move { run("pg.dump", &with(), &ctx).await });
    while walk(&bench.store().join("sets")).is_empty() {
        assert!(!dumping.is_finished(), "the dump ended before it was cancelled");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    cancel.cancel();
    let error = dumping.await.unwrap().unwrap_err();
    assert_eq!(error.class, ErrorClass::Cancelled);
    assert_nothing_left(&bench);
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'runbook/%'";
    for _ in 0..100 {
        if bench.cluster.query_one("shop", sessions).unwrap() == "0" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("a session of the cancelled dump is still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_attempt_clears_what_a_killed_one_left() {
    let bench = Bench::with("CREATE TABLE a ()");
    let ctx = bench.context("dump");
    let killed = "20261120T010000Z-aaaaaaaaaaaaaaaa";
    let announced = json!({"id": killed, "database": "shop", "attempt": 1});
    ctx.record("set", announced).await.unwrap();
    std::fs::create_dir_all(bench.set(killed).join("data")).unwrap();
    std::fs::write(bench.set(killed).join("schema.dump"), "PGDMP").unwrap();
    std::fs::write(bench.set(killed).join("data/.part-1-0"), "x").unwrap();
    let node = Node::from_json(&with());
    assert_eq!(step("pg.dump").observe(&node, &ctx).await.unwrap(), Observation::NotDone);
    let second = bench.host.context("dump", 2, CancellationToken::new());
    let output = run("pg.dump", &with(), &second).await.unwrap();
    assert_ne!(output["set"], json!(killed));
    assert!(!bench.set(killed).exists());
}

async fn refused(bench: &Bench, settings: ConnectionSettings, with: &Value) -> StepError {
    let store = StoreSettings {
        name: "backups".to_owned(),
        url: format!("file://{}", bench.store().display()),
        min_proof: Level::Identical,
        encrypt: None,
        s3: S3Settings::default(),
    };
    let now = "2026-11-20T02:00:00Z".parse().unwrap();
    let host = MemoryHost::new(now, bench.folder.path().join("scratch"));
    let host = Arc::new(host.with_connection(settings).with_store(store));
    let ctx: StepContext = host.context("dump", 1, CancellationToken::new());
    let error = run("pg.dump", with, &ctx).await.unwrap_err();
    assert_nothing_left(bench);
    assert!(error.hint.is_some(), "{error:?}");
    assert!(!format!("{error:?}{}", host.logged()).contains("canary"), "{error:?}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_of_the_server_has_its_code() {
    let bench = Bench::with(
        "CREATE ROLE reader LOGIN PASSWORD 'pw'; CREATE TABLE a (n int); CREATE TABLE b (n int);
         GRANT SELECT ON a TO reader; REVOKE ALL ON b FROM reader;",
    );
    let as_role = |user: &str, password: &str, dbname: &str, port: u16| ConnectionSettings {
        name: "prod".to_owned(),
        host: Some("127.0.0.1".to_owned()),
        port: Some(port.to_string()),
        user: Some(user.to_owned()),
        password: Some(password.to_owned().into()),
        dbname: Some(dbname.to_owned()),
        ..ConnectionSettings::default()
    };
    let port = bench.cluster.port();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (settings, code, class) in [
        (as_role("postgres", "canary", "shop", port), "RB0502", ErrorClass::NeedsOperator),
        (
            as_role("postgres", bench.cluster.password(), "none", port),
            "RB0503",
            ErrorClass::Permanent,
        ),
        (as_role("postgres", "canary", "shop", free), "RB0501", ErrorClass::Transient),
        (as_role("reader", "pw", "shop", port), "RB0509", ErrorClass::NeedsOperator),
    ] {
        let error = refused(&bench, settings, &with()).await;
        assert_eq!((error.code.as_str(), error.class), (code, class), "{error:?}");
    }
    bench
        .cluster
        .execute(
            "shop",
            "GRANT SELECT ON b TO reader; ALTER TABLE b ENABLE ROW LEVEL SECURITY;
             CREATE POLICY none ON b USING (false)",
        )
        .unwrap();
    let error = refused(&bench, as_role("reader", "pw", "shop", port), &with()).await;
    assert_eq!((error.code.as_str(), error.class), ("RB0509", ErrorClass::NeedsOperator));
    assert!(format!("{error:?}").contains("row-level security"), "{error:?}");

    bench
        .cluster
        .execute("shop", "GRANT pg_read_all_data TO reader; ALTER ROLE reader BYPASSRLS")
        .unwrap();
    bench.cluster.execute("shop", "SELECT lo_from_bytea(0, 'x')").unwrap();
    let error = refused(&bench, as_role("reader", "pw", "shop", port), &with()).await;
    assert_eq!((error.code.as_str(), error.class), ("RB0509", ErrorClass::NeedsOperator));
    let hint = error.hint.unwrap();
    assert!(hint.contains("large objects") && hint.contains("SELECT on each"), "{hint}");

    let mut misspelt = with();
    misspelt["exclude_tables"] = json!(["c"]);
    let prod = connection("prod", &bench.cluster.url("shop"));
    assert_eq!(refused(&bench, prod.clone(), &misspelt).await.code, "RB0521");
    let mut misspelt = with();
    misspelt["tables"] = json!(["c"]);
    assert_eq!(refused(&bench, prod, &misspelt).await.code, "RB0521");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_not_granted_is_waited_for_and_given_up() {
    let bench = Bench::with("CREATE TABLE a (n int)");
    let prod = connection("prod", &bench.cluster.url("shop"));
    let target = steps::pg::target::Target::resolve(&prod).unwrap();
    let ctx = bench.context("holder");
    let holder = steps::pg::connection::connect(&ctx, &target).await.unwrap();
    holder.batch_execute("BEGIN; LOCK TABLE a IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let pid = holder.text("pid", "SELECT pg_backend_pid()::text").await.unwrap();
    let mut with = with();
    with["lock_timeout"] = json!("2s");
    let error = run("pg.dump", &with, &bench.context("dump")).await.unwrap_err();
    assert_eq!((error.code.as_str(), error.class), ("RB0508", ErrorClass::Transient));
    let on = format!("`public.a` (process {pid} holds ACCESS EXCLUSIVE)");
    assert!(error.message.ends_with(&format!("; the lock is on {on}")), "{error:?}");
    let waits = format!("waits for a lock on {on}");
    assert_eq!(bench.host.last_progress().unwrap().activity, waits);
    assert_eq!(bench.host.logged().matches(&waits).count(), 1, "it is logged once");
    assert_nothing_left(&bench);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_excluded_is_recorded_and_the_rest_is_proven() {
    let bench = Bench::with("CREATE TABLE a AS SELECT 1 AS n; CREATE TABLE b AS SELECT 2 AS n");
    let mut with = with();
    with["exclude_tables"] = json!(["b"]);
    let output = run("pg.dump", &with, &bench.context("dump")).await.unwrap();
    let said = "table content `public.b`: the plan leaves it out (`exclude_tables`)";
    assert_eq!(output["excluded"], json!([said]));
    let proof = bench.verify(output["set"].as_str().unwrap(), "identical").await.unwrap();
    assert_eq!((&proof["tables"], &proof["rows"]), (&json!(1), &json!(1)));
    assert_eq!(proof["excluded"], json!([said]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_of_some_tables_restores_by_itself() {
    let bench = Bench::with(&lab::sample::application(1_000));
    let mut with = with();
    with["tables"] = json!(["lms.enrolments", "billing.payments", "audit.log"]);
    let output = run("pg.dump", &with, &bench.context("dump")).await.unwrap();
    let set = output["set"].as_str().unwrap();
    assert_eq!(output["tables"], json!(7), "two tables, five partitions");
    let proof = bench.verify(set, "identical").await.unwrap();
    assert_eq!((&proof["tables"], &proof["rows"]), (&json!(7), &output["rows"]));
    let with = json!({"connection": "scratch", "store": "backups", "source": "shop",
        "backup": set, "database": "copy", "partial": true});
    run("pg.restore", &with, &bench.context("restore")).await.unwrap();
    let keys =
        "SELECT conname FROM pg_constraint WHERE contype = 'f' AND conparentid = 0 ORDER BY 1";
    assert_eq!(bench.cluster.query("copy", keys).unwrap(), ["payments_enrolment"]);
    let users = "SELECT count(*) FROM lms.users";
    assert_eq!(bench.cluster.query_one("copy", users).unwrap(), "0");
}

/// Names the server for the half of a test that runs in a process of its own.
const CHILD: &str = "RUNBOOK_TEST_URL";

/// Runs this test once more in a process whose limits and variables differ.
fn run_alone(test: &str, bench: &Bench, shell: &str) {
    let output = Command::new("bash")
        .arg("-c")
        .arg(format!("{shell}; exec \"$0\" --exact {test} --nocapture"))
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, bench.cluster.url("shop"))
        .env("RUNBOOK_TEST_FOLDER", bench.folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let panic = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{panic}");
    assert_nothing_left(bench);
}

/// The error of a dump in a process of its own.
async fn error_alone(url: &str) -> StepError {
    let folder = std::env::var("RUNBOOK_TEST_FOLDER").unwrap();
    let store = StoreSettings {
        name: "backups".to_owned(),
        url: format!("file://{folder}/store"),
        min_proof: Level::Identical,
        encrypt: None,
        s3: S3Settings::default(),
    };
    let now = "2026-11-20T02:00:00Z".parse().unwrap();
    let host = MemoryHost::new(now, std::path::Path::new(&folder).join("scratch"));
    let host = Arc::new(host.with_connection(connection("prod", url)).with_store(store));
    run("pg.dump", &with(), &host.context("dump", 1, CancellationToken::new())).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_said_and_nothing_is_left() {
    if let Ok(url) = std::env::var(CHILD) {
        let error = error_alone(&url).await;
        shown::case("RB0604", error.told());
        assert_eq!((error.code.as_str(), error.class), ("RB0604", ErrorClass::Permanent));
        return;
    }
    let bench = Bench::with(
        "CREATE TABLE big AS SELECT n, md5(n::text) AS t FROM generate_series(1, 50000) AS n",
    );
    // The kernel refuses to make a file longer than 256 KiB: EFBIG instead of ENOSPC.
    run_alone(
        "dump::a_full_disk_is_said_and_nothing_is_left",
        &bench,
        "trap '' XFSZ; ulimit -f 256",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_client_program_is_said() {
    if let Ok(url) = std::env::var(CHILD) {
        let error = error_alone(&url).await;
        shown::case("RB0410", error.told());
        assert_eq!((error.code.as_str(), error.class), ("RB0410", ErrorClass::Permanent));
        assert!(error.message.contains("pg_dump"), "{error:?}");
        return;
    }
    let bench = Bench::with("CREATE TABLE a ()");
    run_alone("dump::a_missing_client_program_is_said", &bench, "export PATH=/nonexistent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_program_older_than_the_server_is_refused() {
    if let Ok(url) = std::env::var(CHILD) {
        let error = error_alone(&url).await;
        shown::case("RB0514", error.told());
        assert_eq!((error.code.as_str(), error.class), ("RB0514", ErrorClass::NeedsOperator));
        assert_eq!(error.message, "`pg_dump` is version 12, older than the server's 15");
        return;
    }
    let bench = Bench::with("CREATE TABLE a ()");
    let programs = bench.folder.path().join("programs");
    let shell = format!(
        "mkdir {0}; printf '#!/bin/sh\\necho \"pg_dump (PostgreSQL) 12.22\"\\n' > {0}/pg_dump; \
         chmod +x {0}/pg_dump; export PATH={0}:$PATH",
        programs.display()
    );
    run_alone("dump::a_client_program_older_than_the_server_is_refused", &bench, &shell);
}
