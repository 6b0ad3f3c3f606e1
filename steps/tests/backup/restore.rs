//! `pg.restore`, and restoring without this program.

use std::process::Command;

use engine::step::Observation;
use model::node::Node;
use model::proof::Level;
use model::set::compare::compare;
use model::set::manifest::Scope;
use model::set::{Contents, Manifest};
use serde_json::{Value, json};
use steps::pg::catalogue::{capture, measure, read_large_objects};
use steps::pg::connection::connect_pinned;
use steps::pg::target::Target;

use crate::bench::{Bench, connection, run, step};

/// What a database holds now, hashes included.
async fn contents(bench: &Bench, database: &str, like: &Contents) -> Contents {
    let settings = connection("scratch", &bench.cluster.url(database));
    let target = Target::resolve(&settings).unwrap();
    let session = connect_pinned(&bench.context("look"), &target).await.unwrap();
    let mut contents = capture(&session, &like.scope).await.unwrap();
    if like.scope != Scope::Definitions {
        measure(&session, &mut contents, true).await.unwrap();
    }
    if like.scope == Scope::Full {
        read_large_objects(&session, &mut contents).await.unwrap();
    }
    session.close().await;
    contents
}

pub(crate) fn manifest(bench: &Bench, set: &str) -> Manifest {
    Manifest::from_json(&std::fs::read(bench.set(set).join("manifest.json")).unwrap()).unwrap()
}

pub(crate) async fn assert_identical(bench: &Bench, set: &str, database: &str) {
    let expected = manifest(bench, set).contents;
    let found = contents(bench, database, &expected).await;
    let comparison = compare(&expected, &found, Level::Identical);
    assert_eq!(comparison.differences, vec![]);
    let with_rows = expected.tables.iter().filter(|table| table.rows.is_some()).count() as u64;
    assert_eq!(comparison.checked.hashes, with_rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_becomes_a_database_that_is_identical() {
    for sql in [lab::sample::application(3_000), lab::sample::awkward()] {
        let bench = Bench::with(&sql);
        let set = bench.dump("dump").await;
        let with = json!({"connection": "scratch", "store": "backups", "backup": set,
            "source": "shop", "database": "Copy of 'shop' = \\ é"});
        let ctx = bench.context("restore");
        let kind = step("pg.restore");
        let node = Node::from_json(&with);
        assert_eq!(kind.observe(&node, &ctx).await.unwrap(), Observation::NotDone);
        let output = run("pg.restore", &with, &ctx).await.unwrap();
        assert_eq!(output["set"], json!(set));
        assert_eq!(output["database"], "Copy of 'shop' = \\ é");
        assert_identical(&bench, &set, "Copy of 'shop' = \\ é").await;
        let Observation::Done(seen) = kind.observe(&node, &ctx).await.unwrap() else {
            panic!("a restored database is seen")
        };
        assert_eq!(seen["rows"], output["rows"]);

        let again = run("pg.restore", &with, &bench.context("again")).await.unwrap_err();
        assert_eq!(again.code, "RB0520");
        assert_eq!(bench.other_databases(), ["Copy of 'shop' = \\ é"]);
    }
}

/// What the planner knows of a database, by name.
fn statistics(bench: &Bench, database: &str) -> String {
    let known = "SELECT string_agg(line, E'\n' ORDER BY line) FROM (
        SELECT concat_ws('.', schemaname, tablename, attname, inherited::text) AS line
        FROM pg_stats WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
        UNION ALL SELECT concat_ws('.', statistics_schemaname, statistics_name) FROM pg_stats_ext) AS known";
    bench.cluster.query_one(database, known).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_planner_knows_a_restored_database_as_well_as_an_analyzed_one() {
    let more = "CREATE INDEX of_an_expression ON lms.courses ((id % 7));
        CREATE STATISTICS lms.of_two (dependencies) ON tenant_id, user_id FROM lms.enrolments;
        CREATE MATERIALIZED VIEW lms.gathered AS SELECT tenant_id, count(*) FROM lms.users GROUP BY 1;";
    let bench = Bench::with(&format!("{}{more}", lab::sample::application(3_000)));
    let set = bench.dump("dump").await;
    let with = json!({"connection": "scratch", "store": "backups", "backup": set,
        "source": "shop", "database": "back"});
    run("pg.restore", &with, &bench.context("restore")).await.unwrap();
    bench.cluster.execute("shop", "ANALYZE").unwrap();
    let known = statistics(&bench, "shop");
    for part in ["of_an_expression", "of_two", "log.actor.t", "gathered"] {
        assert!(known.contains(part), "{known}");
    }
    assert_eq!(statistics(&bench, "back"), known);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_instructions_restore_an_identical_database_without_this_program() {
    for sql in [lab::sample::application(3_000), lab::sample::awkward()] {
        let bench = Bench::with(&sql);
        let set = bench.dump("dump").await;
        by_hand(&bench, &set, &[]);
        assert_identical(&bench, &set, "by hand").await;
    }
}

/// Restores a set into database `by hand` with nothing but what its instructions say.
pub(crate) fn by_hand(bench: &Bench, set: &str, more: &[(&str, &str)]) {
    let cluster = &bench.cluster;
    let output = Command::new("bash")
        .arg("RESTORE.txt")
        .current_dir(bench.set(set))
        .env("DB", "by hand")
        .envs(more.iter().copied())
        .env("PGHOST", cluster.host_dir())
        .env("PGPORT", cluster.port().to_string())
        .env("PGUSER", lab::cluster::USER)
        .env("PGPASSWORD", cluster.password())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_proven_sets_are_the_latest() {
    let bench = Bench::with("CREATE TABLE a AS SELECT 1 AS n");
    let old = bench.dump("first").await;
    let with = |backup: Value| {
        json!({"connection": "scratch", "store": "backups", "source": "shop",
        "backup": backup, "database": "copy"})
    };
    let error = run("pg.restore", &with(json!("latest")), &bench.context("restore")).await;
    assert_eq!(error.unwrap_err().code, "RB0611");
    bench.verify(&old, "identical").await.unwrap();
    bench.cluster.execute("shop", "INSERT INTO a VALUES (2)").unwrap();
    let new = bench.dump("second").await;
    let restored = run("pg.restore", &with(json!("latest")), &bench.context("restore")).await;
    assert_eq!(restored.unwrap()["set"], json!(old));
    assert!(bench.host.logged().contains(&format!("set `{new}` is newer and not taken")));
    bench.cluster.drop_database("copy").unwrap();
    let past = with(json!({"before": "2020-01-01T00:00:00Z"}));
    let error = run("pg.restore", &past, &bench.context("restore")).await.unwrap_err();
    assert_eq!(error.code, "RB0611");
    let unknown = with(json!("20200101T000000Z-00000000"));
    let error = run("pg.restore", &unknown, &bench.context("restore")).await.unwrap_err();
    assert_eq!(error.code, "RB0610");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_is_missing_on_the_target_is_said_and_no_owner_does_without() {
    let bench =
        Bench::with("CREATE ROLE shopkeeper; CREATE TABLE a (); ALTER TABLE a OWNER TO shopkeeper");
    let set = bench.dump("dump").await;
    bench.cluster.execute("shop", "DROP TABLE a; DROP ROLE shopkeeper").unwrap();
    let with = |no_owner: bool| {
        json!({"connection": "scratch", "store": "backups",
        "source": "shop", "backup": set, "database": "copy", "no_owner": no_owner})
    };
    let error = run("pg.restore", &with(false), &bench.context("restore")).await.unwrap_err();
    shown::case("RB0517", error.told());
    assert!(error.causes.iter().any(|cause| cause.contains("\"shopkeeper\" does not exist")));
    assert_eq!(bench.other_databases(), Vec::<String>::new());
    run("pg.restore", &with(true), &bench.context("restore")).await.unwrap();
    assert_eq!(bench.other_databases(), ["copy"]);
}
