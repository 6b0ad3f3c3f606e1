//! The samples load, come out as documented, and survive `pg_dump` and `pg_restore` unchanged.
#![expect(clippy::unwrap_used, reason = "in tests a failed step is a failed test")]

use std::process::Stdio;

use lab::cluster::{Cluster, ClusterOptions};
use lab::sample;

/// Copies a database with PostgreSQL's own programs.
fn copy(cluster: &Cluster, from: &str, to: &str) {
    cluster.create_database(to).unwrap();
    let mut dump = cluster
        .command("pg_dump")
        .args(["--format=custom", from])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let restored = cluster
        .command("pg_restore")
        .args(["--exit-on-error", "--dbname", to])
        .stdin(dump.stdout.take().unwrap())
        .output()
        .unwrap();
    assert!(dump.wait().unwrap().success());
    let said = String::from_utf8_lossy(&restored.stderr);
    assert!(restored.status.success() && said.is_empty(), "{said}");
}

/// The whole database as text, in an order of its own so that two copies compare.
fn text_of(cluster: &Cluster, database: &str) -> Vec<String> {
    let done = cluster.command("pg_dump").arg(database).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let text = String::from_utf8(done.stdout).unwrap();
    // Each dump is guarded by a word of its own.
    let guard = |line: &&str| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict");
    let mut lines: Vec<String> = text.lines().filter(guard).map(str::to_owned).collect();
    lines.sort();
    lines
}

fn assert_same(cluster: &Cluster, one: &str, other: &str) {
    let (one, other) = (text_of(cluster, one), text_of(cluster, other));
    let difference = one.iter().zip(&other).find(|(a, b)| a != b);
    assert_eq!(difference, None);
    assert_eq!(one.len(), other.len());
}

fn assert_values(cluster: &Cluster, database: &str, expected: &[(&str, &str)]) {
    for (sql, value) in expected {
        assert_eq!(&cluster.query_one(database, &format!("select {sql}")).unwrap(), value, "{sql}");
    }
}

#[test]
fn the_application_has_its_rows_and_copies_cleanly() {
    let cluster = ClusterOptions::new().start().unwrap();
    cluster.create_database("app").unwrap();
    cluster.execute("app", &sample::application(15_000)).unwrap();
    copy(&cluster, "app", "copied");
    assert_same(&cluster, "app", "copied");
    let expected = [
        ("count(*) from lms.tenants", "8"),
        ("count(*) from lms.users", "1000"),
        ("count(*) from lms.courses", "10"),
        ("count(*) from lms.lessons", "50"),
        ("count(*) from lms.enrolments", "4500"),
        ("count(*), sum(amount) from billing.payments", "3000|4502985.00"),
        ("count(*) from audit.log", "6000"),
        ("count(*) from only audit.log_2026q3_loud", "526"),
        ("count(*) from billing.revenue", "48"),
        ("count(*) from pg_largeobject_metadata", "13"),
        ("count(*) from pg_policies", "6"),
        ("last_value from billing.receipt_number", "114995"),
        ("count(*) from pg_constraint where not convalidated", "2"),
        ("* from billing.balance(3)", "226272.00|111636.00"),
    ];
    assert_values(&cluster, "app", &expected);
    assert_values(&cluster, "copied", &expected);
}

#[test]
fn the_application_is_the_same_every_time() {
    let cluster = ClusterOptions::new().start().unwrap();
    for database in ["one", "two"] {
        cluster.create_database(database).unwrap();
        cluster.execute(database, &sample::application(1000)).unwrap();
    }
    let content = |database| {
        let rows = "select md5(string_agg(t::text, ',' order by id)) from";
        ["lms.users", "billing.payments", "audit.log", "lms.measurements"]
            .map(|table| cluster.query_one(database, &format!("{rows} {table} as t")).unwrap())
    };
    assert_eq!(content("one"), content("two"));
}

#[test]
fn tenants_see_only_their_rows() {
    let cluster = ClusterOptions::new().start().unwrap();
    cluster.create_database("app").unwrap();
    cluster.execute("app", &sample::application(1000)).unwrap();
    let as_app = "set role lms_app; set lms.tenant = '2'; select count(*), min(tenant_id), max(tenant_id) from lms.users";
    assert_eq!(cluster.query_one("app", as_app).unwrap(), "9|2|2");
}

#[test]
fn the_awkward_schema_copies_cleanly() {
    let cluster = ClusterOptions::new().start().unwrap();
    let name = "awk \"ward\"/ü";
    cluster.create_database(name).unwrap();
    cluster.execute(name, &sample::awkward()).unwrap();
    copy(&cluster, name, "copied");
    assert_same(&cluster, name, "copied");
    let expected = [
        ("count(*) from shapes.no_columns", "2"),
        ("count(*) from shapes.only_dropped", "1"),
        ("count(*) from shapes.no_rows", "0"),
        ("count(*) from only shapes.parent", "1"),
        ("count(*) from shapes.parent", "4"),
        ("count(*), min(id), max(id) from shapes.leaves", "60|10|600"),
        ("count(*) from only shapes.leaves_2026", "30"),
        ("length(c1), c400 from shapes.wide", "8000000|400"),
        ("count(*) from rights.forced", "3"),
        ("last_value, is_called from counters.down", "7|t"),
        ("last_value, is_called from counters.\"Round\"", "15|f"),
        ("count(*) from pg_event_trigger", "1"),
        ("count(*) from pg_foreign_server", "1"),
        ("count(*) from \"a.b\".c", "2"),
        ("count(*) from a.\"b.c\"", "1"),
    ];
    assert_values(&cluster, name, &expected);
    assert_values(&cluster, "copied", &expected);
    let settings =
        "count(*) from pg_db_role_setting as s join pg_database as d on d.oid = s.setdatabase";
    assert_values(&cluster, name, &[(settings, "3")]);
}

#[test]
fn bulk_has_the_size_asked_for() {
    let cluster = ClusterOptions::new().start().unwrap();
    cluster.create_database("bulk").unwrap();
    cluster.execute("bulk", &sample::bulk(10)).unwrap();
    assert_values(
        &cluster,
        "bulk",
        &[
            ("count(*) from bulk.requests", "16000"),
            ("count(*) from bulk.requests_a", "5330"),
            ("count(*) from bulk.requests_b", "5330"),
            ("count(*) from bulk.requests_c", "5340"),
        ],
    );
    let done = cluster.command("pg_dump").arg("bulk").output().unwrap();
    let bytes = done.stdout.len();
    assert!((9_000_000..11_000_000).contains(&bytes), "{bytes} bytes");
}
