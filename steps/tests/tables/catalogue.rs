//! Before and after, the catalogue differs in nothing but the rows: by `pg_dump`, by the manifest,
//! and by the object ids themselves (a check that is
//! not valid for older rows is made again as it was when one of those comes back).

use lab::cluster::ClusterOptions;
use serde_json::{Value, json};

use crate::bench::{ACCIDENT, Bench, SHOP, context, run};

/// Every object that has to do with the orders, with what hangs on it, by object id.
const OBJECTS: &str = r"
    SELECT c.oid, c.relname, c.relfilenode, c.relacl, c.reloptions, c.relreplident, c.relrowsecurity
      FROM pg_class c WHERE c.relname !~ '__rb_' AND c.relnamespace = 'app'::regnamespace
        AND c.relkind <> 'm' AND c.relname <> 'totals of'";

const HANGING: &str = r#"
    SELECT t.oid::text, tgname, tgenabled::text FROM pg_trigger t UNION ALL
    SELECT oid::text, conname, '' FROM pg_constraint WHERE conrelid <> 0 AND convalidated UNION ALL
    SELECT oid::text, polname, polroles::text FROM pg_policy UNION ALL
    SELECT w.oid::text, rulename, ev_enabled::text FROM pg_rewrite w WHERE w.oid >= 16384 UNION ALL
    SELECT prrelid::text, pg_get_expr(prqual, prrelid), '' FROM pg_publication_rel UNION ALL
    SELECT oid::text, stxname, stxkeys::text FROM pg_statistic_ext UNION ALL
    SELECT objoid::text, description, objsubid::text FROM pg_description
      WHERE classoid = 'pg_class'::regclass AND objoid >= 16384
        AND description NOT LIKE '{"runbook%'"#;

async fn differences(bench: &Bench, set: &str) -> Vec<String> {
    let with = json!({"connection": "prod", "store": "backups", "backup": set,
        "level": "identical", "allow_differences": true});
    let output = run("pg.manifest", &with, &context(&bench.host, "manifest")).await.unwrap();
    let messages = output["difference_messages"].as_array().unwrap();
    assert_eq!(output["differences"], messages.len(), "all of them are shown");
    messages.iter().map(|message| message.as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_the_rows_differs() {
    let bench = Bench::with(SHOP);
    let lost = bench.dump("lost", json!({})).await;
    bench.sql(ACCIDENT);
    let now = bench.dump("now", json!({})).await;
    let (definitions, objects) = (bench.definitions(), bench.ask(OBJECTS));
    let hanging = bench.ask(HANGING);
    assert!(differences(&bench, &now).await.is_empty());

    let output = bench.restore(&lost, "swap", json!({})).await.unwrap();
    assert_eq!(bench.definitions(), definitions);
    assert_eq!(bench.ask(OBJECTS), objects);
    assert_eq!(bench.ask(HANGING), hanging);

    // Against the moment before: the rows of this table, and the table that keeps the former ones.
    let kept = output["tables"][0]["kept"].as_str().unwrap().to_owned();
    bench.swap_back(json!({"release": true})).await.unwrap();
    let found = differences(&bench, &now).await;
    assert!(
        !found.is_empty() && found.iter().all(|it| it.contains(r#"app."Orders""#)),
        "{found:?}"
    );
    assert!(found.iter().all(|it| it.contains("rows")), "{found:?}");
    assert!(!found.iter().any(|it| it.contains(&kept)), "{found:?}");
    // Against the set: nothing at all.
    assert_eq!(differences(&bench, &lost).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_of_all_tables_sends_the_exchange_and_not_the_kept_rows() {
    let options = ClusterOptions::new().setting("wal_level", "logical");
    let bench = Bench::on(&options, SHOP);
    let set = bench.dump("dump", json!({})).await;
    bench.sql(ACCIDENT);
    bench.sql(
        "CREATE PUBLICATION everything FOR ALL TABLES;
        SELECT pg_create_logical_replication_slot('subscriber', 'pgoutput')",
    );
    bench.restore(&set, "swap", json!({})).await.unwrap();
    let changes = |what: &str| {
        format!(
            "SELECT count(*) FROM pg_logical_slot_peek_binary_changes('subscriber', NULL, NULL,
               'proto_version', '1', 'publication_names', 'everything')
             WHERE {what}"
        )
    };
    let named = |name: &str| changes(&format!("position('{name}'::bytea in data) > 0"));
    assert_eq!(bench.ask(&named("__rb_")), ["0"], "a subscriber has no such table");
    assert_eq!(bench.ask(&named("Orders")), ["1"], "the table itself is described");
    let rows =
        |letter: &str| bench.ask(&changes(&format!("get_byte(data, 0) = ascii('{letter}')")));
    assert_eq!((rows("D"), rows("I")), (vec!["4".to_owned()], vec!["5".to_owned()]));
    let logged = "SELECT relpersistence FROM pg_class WHERE relname ~ '__rb_'";
    assert_eq!(bench.ask(logged), ["p"], "a crash does not empty it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_others_inherit_from_is_restored_alone() {
    let bench = Bench::with(
        "CREATE TABLE parent (id int PRIMARY KEY, n int); CREATE TABLE child () INHERITS (parent);
         INSERT INTO parent VALUES (1, 1), (2, 2); INSERT INTO child VALUES (1, 10), (3, 3)",
    );
    let set = bench.dump("dump", json!({})).await;
    bench.sql("DELETE FROM ONLY parent; UPDATE child SET n = 11 WHERE id = 1");
    let with = json!({"connection": "prod", "store": "backups", "backup": set, "table": "parent",
        "mode": "swap"});
    let output: Value =
        run("pg.restore_table", &with, &context(&bench.host, "swap")).await.unwrap();
    assert_eq!(bench.rows("parent"), ["(1,1)", "(2,2)"]);
    assert_eq!(bench.rows("child"), ["(1,11)", "(3,3)"]);
    assert_eq!(output["tables"][0]["counts"]["rows_there"], 2);
}
