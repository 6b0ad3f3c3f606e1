//! What a step says when it fails: the case that the page of each error code shows.

use std::fs;
use std::path::Path;

use engine::settings::ConnectionSettings;
use model::step_error::StepError;
use serde_json::{Value, json};
use shown::case;
use steps::pg::connection::connect;
use steps::pg::target::Target;

use crate::bench::{Bench, connection, run};

/// Runs a step that is bound to fail.
async fn failure(bench: &Bench, kind: &str, with: Value) -> StepError {
    bench.run(kind, with).await.unwrap_err()
}

/// Asserts what the failure of a query over one connection says.
async fn refused(bench: &Bench, code: &str, settings: ConnectionSettings, sql: &str) {
    let with = json!({"connection": "prod", "sql": sql});
    let told = run("pg.query", &with, &bench.context_with(settings)).await.unwrap_err().told();
    case(code, told);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_cannot_be_made() {
    let bench = Bench::with("CREATE ROLE narrow LOGIN PASSWORD 'pw' CONNECTION LIMIT 0");
    let (port, password) = (bench.cluster.port(), bench.cluster.password());
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (code, url) in [
        ("RB0500", format!("postgresql://postgres@127.0.0.1:{port}/shop?sslcrl=crl.pem")),
        ("RB0501", format!("postgresql://postgres:{password}@127.0.0.1:{free}/shop")),
        ("RB0502", format!("postgresql://postgres:canary@127.0.0.1:{port}/shop")),
        ("RB0503", format!("postgresql://postgres:{password}@127.0.0.1:{port}/shup")),
        ("RB0504", format!("postgresql://narrow:pw@127.0.0.1:{port}/shop")),
        (
            "RB0512",
            format!("postgresql://postgres:{password}@127.0.0.1:{port}/shop?sslmode=require"),
        ),
    ] {
        refused(&bench, code, connection("prod", &url), "SELECT 1").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_the_server_refuses() {
    let bench = Bench::with(
        "CREATE ROLE reader LOGIN PASSWORD 'pw'; CREATE TABLE orders (n int);
         CREATE FUNCTION clash() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
           RAISE serialization_failure USING MESSAGE =
             'could not serialize access due to concurrent update'; END $$",
    );
    let url = |options: &str| format!("{}?options={options}", bench.cluster.url("shop"));
    let reader = format!("postgresql://reader:pw@127.0.0.1:{}/shop", bench.cluster.port());
    for (code, url, sql) in [
        ("RB0505", url(""), "SELECT pg_terminate_backend(pg_backend_pid())"),
        ("RB0506", url(""), "SELECT clash()"),
        (
            "RB0507",
            url("-c%20temp_file_limit%3D0%20-c%20work_mem%3D64"),
            "SELECT n FROM generate_series(1, 100000) AS n ORDER BY -n",
        ),
        ("RB0509", reader, "SELECT * FROM orders"),
        ("RB0510", url(""), "SELEKT 1"),
        ("RB0511", url("-c%20statement_timeout%3D50"), "SELECT pg_sleep(10)"),
        ("RB0551", url(""), "SELECT 1 AS a, 2 AS a"),
    ] {
        refused(&bench, code, connection("prod", &url), sql).await;
    }
    let with = json!({"connection": "prod", "sql": "SELECT $1::int"});
    case("RB0550", failure(&bench, "pg.query", with).await.told());
    let with = json!({"connection": "prod", "query": "SELECT 1", "expect": {"min": 2}});
    case("RB0555", failure(&bench, "pg.assert", with).await.told());
    let with = json!({"connection": "prod", "expect": {"primary": false}});
    case("RB0523", failure(&bench, "pg.identify", with).await.told());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_cannot_be_dumped() {
    let bench = Bench::with("CREATE TABLE orders (n int)");
    let with = json!({"connection": "prod", "store": "backups", "tables": ["odrers"]});
    case("RB0521", failure(&bench, "pg.dump", with).await.told());
    let target = Target::resolve(&connection("prod", &bench.cluster.url("shop"))).unwrap();
    let holder = connect(&bench.context("holder"), &target).await.unwrap();
    holder.batch_execute("BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let with = json!({"connection": "prod", "store": "backups", "lock_timeout": "1s"});
    case("RB0508", failure(&bench, "pg.dump", with).await.told());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_in_the_way_or_missing() {
    let bench = Bench::with("CREATE TABLE orders (n int)");
    let made = json!({"connection": "scratch", "database": "shop"});
    case("RB0560", failure(&bench, "pg.create_database", made).await.told());
    let dropped =
        |connection: &str, name: &str| json!({"connection": connection, "database": name});
    case("RB0562", failure(&bench, "pg.drop_database", dropped("scratch", "none")).await.told());
    case("RB0563", failure(&bench, "pg.drop_database", dropped("prod", "shop")).await.told());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_does_not_do() {
    let bench = Bench::with("CREATE TABLE orders AS SELECT n FROM generate_series(1, 100) AS n");
    let restore = |backup: &str, database: &str| {
        json!({"connection": "scratch", "store": "backups", "source": "shop",
            "backup": backup, "database": database})
    };
    case("RB0610", failure(&bench, "pg.restore", restore("latest", "copy")).await.told());
    let set = bench.dump("dump").await;
    case("RB0611", failure(&bench, "pg.restore", restore("latest", "copy")).await.told());
    case("RB0520", failure(&bench, "pg.restore", restore(&set, "shop")).await.told());
    let verify = json!({"store": "backups", "database": "shop", "scratch": "prod", "backup": set});
    case("RB0524", failure(&bench, "pg.verify_backup", verify).await.told());

    let some = json!({"connection": "prod", "store": "backups", "tables": ["orders"]});
    let some = run("pg.dump", &some, &bench.context("some")).await.unwrap();
    let some = restore(some["set"].as_str().unwrap(), "copy");
    case("RB0615", failure(&bench, "pg.restore", some).await.told());

    let objects = bench.objects(&set);
    let rows = objects.iter().find(|path| path.ends_with(".copy.zst")).unwrap();
    let rows = bench.set(&set).join(rows);
    let whole = fs::read(&rows).unwrap();
    damage(&rows, whole.len() / 2);
    case("RB0613", failure(&bench, "pg.restore", restore(&set, "copy")).await.told());
    fs::remove_file(&rows).unwrap();
    case("RB0614", failure(&bench, "pg.restore", restore(&set, "copy")).await.told());
    fs::write(&rows, whole).unwrap();

    let manifest = bench.set(&set).join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("\"rows\": 100", "\"rows\": 101")).unwrap();
    case("RB0522", bench.verify(&set, "complete").await.unwrap_err().told());
    fs::write(&manifest, text.replace("\"shop\"", "\"ship\"")).unwrap();
    case("RB0612", failure(&bench, "pg.restore", restore(&set, "copy")).await.told());
    fs::File::create(&manifest).unwrap().set_len(300 << 20).unwrap();
    case("RB0606", failure(&bench, "pg.restore", restore(&set, "copy")).await.told());
}

/// Turns one bit of a file over.
fn damage(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}
