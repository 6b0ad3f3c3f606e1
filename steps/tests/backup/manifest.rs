//! `pg.identify` and `pg.manifest` on a real server.

use lab::sample;
use serde_json::{Value, json};

use crate::bench::Bench;

#[tokio::test]
async fn a_server_says_who_it_is_and_a_wrong_one_is_refused() {
    let bench = Bench::with("CREATE TABLE t ()");
    let expect = json!({"database": "shop", "primary": true, "min_version": 13});
    let found = bench.run("pg.identify", json!({"connection": "prod", "expect": expect})).await;
    let found = found.unwrap();
    assert_eq!(found["database"], "shop");
    assert_eq!(found["primary"], true);
    let identifier = "SELECT system_identifier FROM pg_control_system()";
    let identifier = bench.cluster.query_one("shop", identifier).unwrap();
    assert_eq!(found["server"]["system_identifier"], Value::String(identifier));
    assert_eq!(found["server"]["timeline"], 1);
    assert_eq!(found["server"]["encoding"], "UTF8");
    let wrong = json!({"connection": "prod", "expect": {"database": "crm"}});
    let error = bench.run("pg.identify", wrong).await.unwrap_err();
    assert_eq!(error.code, "RB0523");
    assert_eq!(error.message, "the database is `shop`, expected `crm`");
}

#[tokio::test]
async fn a_database_is_what_its_set_holds_until_it_changes() {
    let bench = Bench::with(&sample::application(1000));
    let dump = json!({"connection": "prod", "store": "backups", "jobs": 2});
    let set = bench.run("pg.dump", dump).await.unwrap()["set"].clone();

    let with = json!({"connection": "prod", "store": "backups", "backup": set});
    let same = bench.run("pg.manifest", with.clone()).await.unwrap();
    assert_eq!(same["set"], set);
    assert_eq!(same["differences"], 0);
    assert_eq!(same["difference_messages"], json!([]));
    assert_eq!(same["large_objects"], 13);

    let damage = "DELETE FROM lms.measurements WHERE id = 3; DROP INDEX lms.courses_tags";
    bench.cluster.execute("shop", damage).unwrap();
    let error = bench.run("pg.manifest", with.clone()).await.unwrap_err();
    assert_eq!(error.code, "RB0522");
    let set = set.as_str().unwrap();
    assert_eq!(error.message, format!("database `shop` differs from set `{set}` in 2 things"));
    assert_eq!(
        error.causes,
        [
            "index `courses_tags` on `lms.courses` is missing",
            "table `lms.measurements`: 6 rows, the manifest says 7"
        ]
    );

    let mut only_reported = with;
    only_reported["allow_differences"] = json!(true);
    let reported = bench.run("pg.manifest", only_reported).await.unwrap();
    assert_eq!(reported["differences"], 2);
}

#[tokio::test]
async fn a_database_alone_is_read_and_not_compared() {
    let bench = Bench::with("CREATE TABLE t (n integer); INSERT INTO t VALUES (1), (2)");
    let read = bench.run("pg.manifest", json!({"connection": "prod"})).await.unwrap();
    assert_eq!(read["tables"], 1);
    assert_eq!(read["rows"], 2);
    assert_eq!(read["set"], Value::Null);
    assert_eq!(read["differences"], Value::Null);
}
