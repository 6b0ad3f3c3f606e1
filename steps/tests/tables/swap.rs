//! The table holds the rows of the set; the former ones are kept, come back, and are released.

use serde_json::json;

use crate::bench::{ACCIDENT, Bench, RUN, SHOP, add, context, run};

const KEPT: &str = r#"app."Orders__rb_00000000000000000000000000""#;

#[tokio::test(flavor = "multi_thread")]
async fn the_rows_of_the_set_are_there_and_the_former_ones_are_kept_exactly() {
    let bench = Bench::with(SHOP);
    let before = bench.orders();
    let set = bench.dump("dump", json!({})).await;
    bench.sql(ACCIDENT);
    let after = bench.orders();
    let output = bench.restore(&set, "swap", json!({})).await.unwrap();
    assert_eq!(bench.orders(), before);
    assert_eq!(bench.rows(KEPT), after);
    assert_eq!((&output["only_here"], &output["only_there"]), (&json!(2), &json!(3)));
    assert_eq!(output["changed"], 2);
    assert_eq!(output["tables"][0]["counts"]["rows_here"], 39);
    assert_eq!(output["tables"][0]["kept"], KEPT);
    assert_eq!(output["refreshed"], json!(["app.totals", "app.best"]));
    assert!(output["bytes_read"].as_u64().unwrap() > 0);
    assert!(output["disk_bytes"].as_u64().unwrap() > 0);

    // Nothing fired and nothing hung on the rows went with them.
    assert_eq!(bench.ask("SELECT count(*) FROM app.fired"), ["0"]);
    assert_eq!(bench.ask("SELECT count(*) FROM app.payments"), ["20"]);
    assert_eq!(
        bench.ask("SELECT max FROM app.best"),
        bench.ask(
            "SELECT max(s) FROM (SELECT
        sum(amount) AS s FROM app.\"Orders\" GROUP BY customer) t"
        )
    );
    assert_eq!(bench.left(), ["Orders__rb_00000000000000000000000000"]);
    let logged = bench.host.logged();
    assert!(logged.contains("only here: (41) (42)"), "{logged}");
    assert!(logged.contains("only in the set: (38) (39) (40)"), "{logged}");
    assert!(logged.contains("changed: (7) (8)"), "{logged}");
    assert!(logged.contains("of the server's disk"), "{logged}");

    // The next order gets an id of its own.
    bench.sql(r#"INSERT INTO app."Orders" (customer, amount) VALUES (1, 1)"#);
    assert_eq!(bench.ask(r#"SELECT max(id) FROM app."Orders""#), ["43"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_kept_comes_back_and_is_gone_then() {
    let bench = Bench::with(SHOP);
    let set = bench.dump("dump", json!({})).await;
    bench.sql(ACCIDENT);
    let (after, definitions) = (bench.orders(), bench.definitions());
    bench.restore(&set, "swap", json!({})).await.unwrap();
    let output = bench.swap_back(json!({})).await.unwrap();
    assert_eq!(bench.orders(), after);
    assert_eq!(bench.definitions(), definitions);
    assert_eq!((&output["removed"], &output["returned"]), (&json!(3), &json!(2)));
    assert_eq!(bench.left(), Vec::<String>::new());
    assert_eq!(bench.ask("SELECT count(*) FROM app.fired"), ["0"]);
    let error = bench.swap_back(json!({})).await.unwrap_err();
    shown::case("RB0537", error.told());
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_came_since_are_not_lost_by_going_back() {
    let bench = Bench::with(SHOP);
    let set = bench.dump("dump", json!({})).await;
    bench.sql(ACCIDENT);
    let former = bench.orders();
    bench.restore(&set, "swap", json!({})).await.unwrap();
    bench.sql(r#"UPDATE app."Orders" SET note = 'since' WHERE id = 1"#);
    let now = bench.orders();
    let error = bench.swap_back(json!({})).await.unwrap_err();
    shown::case("RB0538", error.told());
    assert_eq!(bench.orders(), now);
    let output = bench.swap_back(json!({"force": true})).await.unwrap();
    assert_eq!(bench.orders(), former);
    assert_eq!(output["kept"], json!([KEPT]));
    assert_eq!(bench.rows(KEPT), now, "what was replaced is kept in turn");
    bench.swap_back(json!({})).await.unwrap();
    assert_eq!(bench.orders(), now);
    assert_eq!(bench.left(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn former_rows_are_released_and_nothing_else_is() {
    let bench = Bench::with(SHOP);
    let set = bench.dump("dump", json!({})).await;
    bench.sql(ACCIDENT);
    bench.restore(&set, "swap", json!({})).await.unwrap();
    let restored = bench.orders();
    let again = bench.restore(&set, "swap", json!({})).await.unwrap_err();
    assert_eq!(again.code, "RB0537", "{}", again.told());
    let output = bench.swap_back(json!({"release": true})).await.unwrap();
    assert_eq!((&output["released"], output["returned"].as_u64()), (&json!(true), Some(0)));
    assert_eq!((bench.orders(), bench.left()), (restored, Vec::new()));
    // A table of that name that no run made stays.
    bench.sql(&format!("CREATE TABLE {KEPT} (id int)"));
    assert_eq!(bench.swap_back(json!({"release": true})).await.unwrap_err().code, "RB0537");
    assert_eq!(bench.left().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_owner_may_read_former_rows_which_no_policy_hides() {
    let bench = Bench::with(SHOP);
    let set = bench.dump("dump", json!({})).await;
    bench.restore(&set, "swap", json!({})).await.unwrap();
    let privileges = format!(
        "SELECT pg_get_userbyid(relowner), coalesce(array_to_string(ARRAY(SELECT DISTINCT
           pg_get_userbyid(grantee) FROM aclexplode(relacl)), ','), '')
         FROM pg_class WHERE oid = '{KEPT}'::regclass"
    );
    assert_eq!(bench.ask(&privileges), ["shopkeeper|shopkeeper"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_rows_are_told_apart_by_content_and_by_number() {
    let bench = Bench::with(
        "CREATE TABLE log (line text, n int);
         INSERT INTO log VALUES ('a', 1), ('a', 1), ('a', 1), (NULL, 2), ('', 2), ('c', NULL)",
    );
    let before = bench.rows("log");
    let set = bench.dump("dump", json!({})).await;
    bench.sql(
        "DELETE FROM log WHERE ctid IN ('(0,1)', '(0,2)') OR line IS NULL;
        INSERT INTO log VALUES ('c', NULL), ('new', 9)",
    );
    let with = json!({"connection": "prod", "store": "backups", "backup": set, "table": "log",
        "mode": "swap"});
    let output = run("pg.restore_table", &with, &context(&bench.host, "swap")).await.unwrap();
    assert_eq!(bench.rows("log"), before);
    let counts = &output["tables"][0]["counts"];
    assert_eq!(output["tables"][0]["by_key"], false);
    assert_eq!((&counts["only_here"], &counts["only_there"]), (&json!(2), &json!(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_tables_come_back_together_or_not_at_all() {
    let bench = Bench::with(SHOP);
    let before = (bench.orders(), bench.rows("app.payments"));
    let set = bench.dump("dump", json!({})).await;
    bench.sql(ACCIDENT);
    bench
        .sql("INSERT INTO app.payments VALUES (100, 41, 1); DELETE FROM app.payments WHERE id < 5");
    let after = (bench.orders(), bench.rows("app.payments"));

    // The new payment refers to an order that would go.
    let error = bench.restore(&set, "swap", json!({})).await.unwrap_err();
    shown::case("RB0534", error.told());
    assert_eq!((bench.orders(), bench.rows("app.payments")), after);
    assert_eq!(bench.left(), Vec::<String>::new());

    let both = json!({"table": null, "tables": ["app.payments", "app.Orders"]});
    let output = bench.restore(&set, "swap", both.clone()).await.unwrap();
    assert_eq!((bench.orders(), bench.rows("app.payments")), before);
    assert_eq!(output["tables"].as_array().unwrap().len(), 2);
    let mut with = json!({"connection": "prod", "run": RUN});
    add(&mut with, both);
    run("pg.swap_back", &with, &context(&bench.host, "back")).await.unwrap();
    assert_eq!((bench.orders(), bench.rows("app.payments")), after);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_one_name_in_two_schemas_stay_apart() {
    let bench = Bench::with(
        "CREATE SCHEMA a; CREATE SCHEMA b; CREATE TABLE a.t (id int PRIMARY KEY);
         CREATE TABLE b.t (id text PRIMARY KEY); INSERT INTO a.t VALUES (1), (2);
         INSERT INTO b.t VALUES ('x')",
    );
    let set = bench.dump("dump", json!({})).await;
    bench.sql("DELETE FROM a.t; DELETE FROM b.t");
    let both = json!({"table": null, "tables": ["a.t", "b.t"]});
    bench.restore(&set, "swap", both).await.unwrap();
    assert_eq!(
        (bench.rows("a.t"), bench.rows("b.t")),
        (vec!["(1)".into(), "(2)".into()], vec!["(x)".into()])
    );
}
