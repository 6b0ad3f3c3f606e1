//! What is missing comes back and what was changed, too; nothing goes.

use serde_json::json;

use crate::bench::{ACCIDENT, Bench, SHOP, context, run};

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_came_since_stay() {
    let bench = Bench::with(SHOP);
    let before = bench.orders();
    let set = bench.dump("dump", json!({})).await;
    bench.sql(ACCIDENT);
    bench.sql("INSERT INTO app.payments VALUES (100, 41, 1)");
    let (after, definitions) = (bench.orders(), bench.definitions());
    let output = bench.restore(&set, "merge", json!({})).await.unwrap();
    let new = after.iter().filter(|row| row.starts_with("(41,") || row.starts_with("(42,"));
    let mut expected: Vec<String> = before.into_iter().chain(new.cloned()).collect();
    expected.sort_unstable();
    let mut found = bench.orders();
    found.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(output["only_here"], 2);
    assert_eq!(bench.definitions(), definitions);
    bench.swap_back(json!({})).await.unwrap();
    assert_eq!(bench.orders(), after);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_taken_twice_is_refused_although_its_check_would_come_too_late() {
    let bench = Bench::with(SHOP);
    let set = bench.dump("dump", json!({})).await;
    bench.sql(ACCIDENT);
    bench.sql(r#"UPDATE app."Orders" SET place = 40 WHERE id = 41"#);
    let after = bench.orders();
    let error = bench.restore(&set, "merge", json!({})).await.unwrap_err();
    assert_eq!(error.code, "RB0534", "{}", error.told());
    assert!(error.message.contains("one a place") && error.message.contains("(40)"), "{error}");
    assert_eq!(bench.orders(), after);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_rare_types_is_compared_by_its_own_operators() {
    let bench = Bench::with(
        "CREATE EXTENSION citext; CREATE EXTENSION IF NOT EXISTS btree_gist;
         CREATE TABLE words (word citext, at daterange, n int, PRIMARY KEY (word, at));
         INSERT INTO words VALUES ('Ab', '[2026-01-01,2026-02-01)', 1), ('c', 'empty', 2)",
    );
    let before = bench.rows("words");
    let set = bench.dump("dump", json!({})).await;
    bench.sql("UPDATE words SET word = 'AB', n = 5 WHERE n = 1; DELETE FROM words WHERE n = 2");
    let with = json!({"connection": "prod", "store": "backups", "backup": set, "table": "words",
        "mode": "merge"});
    let output = run("pg.restore_table", &with, &context(&bench.host, "merge")).await.unwrap();
    assert_eq!(bench.rows("words"), before);
    assert_eq!((&output["changed"], &output["only_there"]), (&json!(1), &json!(1)));
}
