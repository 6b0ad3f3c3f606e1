//! What is refused, before anything is changed.

use std::process::Command;

use lab::cluster::Cluster;
use serde_json::{Value, json};

use crate::bench::{ACCIDENT, Bench, SHOP, context, run};

/// The code of a restore that is refused; nothing is left of it.
async fn refused(bench: &Bench, set: &str, mode: &str, keys: Value) -> String {
    let error = bench.restore(set, mode, keys).await.unwrap_err();
    assert_eq!(bench.left(), Vec::<String>::new());
    error.told()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_not_the_server_it_should_be() {
    let bench = Bench::with(SHOP);
    let set = bench.dump("dump", json!({})).await;
    let more = json!({"system_identifier": "7000000000000000001"});
    shown::case("RB0531", refused(&bench, &set, "swap", more).await);
    let own = "SELECT system_identifier FROM pg_control_system()";
    let more = json!({"system_identifier": bench.ask(own)[0]});
    bench.restore(&set, "swap", more).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_of_another_database() {
    let bench = Bench::with(SHOP);
    bench.cluster.execute("postgres", "CREATE DATABASE billing").unwrap();
    bench
        .cluster
        .execute(
            "billing",
            "CREATE SCHEMA app; CREATE TABLE app.fired (what text);
        INSERT INTO app.fired VALUES ('x')",
        )
        .unwrap();
    let host = bench.host_at(&bench.cluster.url("billing"));
    let with = json!({"connection": "prod", "store": "backups"});
    let output = run("pg.dump", &with, &context(&host, "dump")).await.unwrap();
    let set = output["set"].as_str().unwrap();
    let fired = json!({"table": "app.fired"});
    shown::case("RB0530", refused(&bench, set, "swap", fired).await);
    let meant = json!({"table": "app.fired", "source": "billing"});
    bench.restore(set, "swap", meant).await.unwrap();
    assert_eq!(bench.rows("app.fired"), ["(x)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_not_what_it_was() {
    let bench = Bench::with(SHOP);
    let set = bench.dump("dump", json!({"exclude_tables": ["app.fired"]})).await;
    let holds_none = refused(&bench, &set, "swap", json!({"table": "app.fired"})).await;
    assert!(holds_none.contains("[RB0532]") && holds_none.contains("no row of it"), "{holds_none}");
    bench.sql(
        r#"CREATE TABLE app.later (id int);
        ALTER TABLE app."Orders" ADD COLUMN discount int; ALTER TABLE app."Orders" DROP COLUMN tags;
        ALTER TABLE app.payments ALTER COLUMN paid TYPE text"#,
    );
    let unknown = refused(&bench, &set, "swap", json!({"table": "app.later"})).await;
    assert!(unknown.contains("[RB0532]") && unknown.contains("no such table"), "{unknown}");
    let less = refused(&bench, &set, "swap", json!({})).await;
    assert!(less.contains("has columns that the table has not: `tags`"), "{less}");
    bench.sql(r#"ALTER TABLE app."Orders" ADD COLUMN tags text[]"#);
    shown::case("RB0532", refused(&bench, &set, "swap", json!({})).await);
    let other = refused(&bench, &set, "swap", json!({"table": "app.payments"})).await;
    assert!(other.contains("`paid`, numeric there and text here"), "{other}");
    let none = refused(&bench, &set, "swap", json!({"table": "app.nowhere"})).await;
    assert!(none.contains("[RB0521]"), "{none}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_whose_rows_cannot_be_exchanged() {
    let bench = Bench::with(
        "CREATE TABLE log (day int) PARTITION BY LIST (day);
         CREATE TABLE log_1 PARTITION OF log FOR VALUES IN (1);
         CREATE TABLE bare (n int); CREATE TABLE watched (n int); CREATE VIEW seen AS SELECT 1 AS n;
         CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
         CREATE TRIGGER always BEFORE INSERT ON watched FOR EACH ROW EXECUTE FUNCTION f();
         ALTER TABLE watched ENABLE ALWAYS TRIGGER always",
    );
    let set = bench.dump("dump", json!({})).await;
    let told = refused(&bench, &set, "swap", json!({"table": "log"})).await;
    shown::case("RB0533", told);
    for (table, mode, why) in [
        ("log_1", "swap", "a partition"),
        ("bare", "merge", "primary key"),
        ("watched", "swap", "trigger `always`"),
        ("seen", "swap", "a view"),
    ] {
        let told = refused(&bench, &set, mode, json!({"table": table})).await;
        assert!(told.contains("[RB0533]") && told.contains(why), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_not_let_triggers_rest() {
    let bench = Bench::with(SHOP);
    let set = bench.dump("dump", json!({})).await;
    bench.sql(ACCIDENT);
    bench.sql(
        "CREATE ROLE keeper LOGIN PASSWORD 'pw' IN ROLE shopkeeper;
        GRANT CREATE ON DATABASE shop TO keeper; GRANT ALL ON SCHEMA app TO keeper",
    );
    let after = bench.orders();
    let host =
        bench.host_at(&format!("postgresql://keeper:pw@127.0.0.1:{}/shop", bench.cluster.port()));
    let with = crate::bench::orders(&set, "swap", json!({"refresh": false}));
    let error = run("pg.restore_table", &with, &context(&host, "swap")).await.unwrap_err();
    assert_eq!(error.code, "RB0509", "{}", error.told());
    assert!(error.hint.unwrap().contains("session_replication_role"));
    assert_eq!((bench.orders(), bench.left()), (after, Vec::new()));
}

/// A small file system of its own, gone with the value.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(cluster: &Cluster) -> Self {
        let folder = tempfile::tempdir_in(cluster.host_dir()).unwrap();
        let owner = std::os::unix::fs::MetadataExt::uid(&cluster.data_dir().metadata().unwrap());
        let options = format!("size=16m,mode=0700,uid={owner}");
        let mount = ["-t", "tmpfs", "-o", &options, "tmpfs"];
        let mounted = Command::new("mount").args(mount).arg(folder.path()).status().unwrap();
        assert!(mounted.success(), "these tests may mount a small file system");
        std::os::unix::fs::chown(folder.path(), Some(owner), None).unwrap();
        Self(folder)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("--lazy").arg(self.0.path()).status().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lacks_room() {
    let bench = Bench::with("SELECT");
    let disk = SmallDisk::mount(&bench.cluster);
    bench.sql(&format!("CREATE TABLESPACE small LOCATION '{}'", disk.0.path().display()));
    bench.sql(
        "CREATE TABLE large (id int PRIMARY KEY, text text) TABLESPACE small;
        INSERT INTO large SELECT n, repeat(md5(n::text), 20) FROM generate_series(1, 9000) n",
    );
    let set = bench.dump("dump", json!({})).await;
    bench.sql("DELETE FROM large WHERE id = 1");
    let told = refused(&bench, &set, "swap", json!({"table": "large"})).await;
    shown::case("RB0536", told);
    bench.sql("DROP TABLE large; DROP TABLESPACE small");
}
