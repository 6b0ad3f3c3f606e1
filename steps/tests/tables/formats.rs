//! Sets that are archives or texts, and sets of some tables.

use serde_json::json;

use crate::bench::{ACCIDENT, Bench, SHOP};

#[tokio::test(flavor = "multi_thread")]
async fn a_table_comes_back_from_every_format() {
    for format in ["custom", "directory", "plain"] {
        let bench = Bench::with(SHOP);
        // A line that looks like the start of the rows.
        bench.sql(r#"UPDATE app.customers SET name = 'COPY app."Orders" (id) FROM stdin;'"#);
        let before = bench.orders();
        let set = bench.dump("dump", json!({"format": format})).await;
        bench.sql(ACCIDENT);
        let output = bench.restore(&set, "swap", json!({})).await.unwrap();
        assert_eq!(bench.orders(), before, "{format}");
        assert_eq!(output["changed"], 2, "{format}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_in_another_encoding_keeps_its_letters() {
    let bench = Bench::with("CREATE TABLE t (id int)");
    bench
        .cluster
        .execute(
            "postgres",
            "DROP DATABASE shop WITH (FORCE);
        CREATE DATABASE shop TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'",
        )
        .unwrap();
    bench.sql(
        "CREATE TABLE t (id int PRIMARY KEY, name text);
        INSERT INTO t VALUES (1, 'Gr' || chr(246) || chr(223) || 'e'), (2, chr(233))",
    );
    let text = "SELECT encode(convert_to(name, 'UTF8'), 'hex') FROM t ORDER BY id";
    assert_eq!(bench.ask(text), ["4772c3b6c39f65", "c3a9"]);
    let set = bench.dump("dump", json!({"format": "custom"})).await;
    bench.sql("DELETE FROM t WHERE id = 1");
    bench.restore(&set, "swap", json!({"table": "t"})).await.unwrap();
    assert_eq!(bench.ask(text), ["4772c3b6c39f65", "c3a9"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_proven_set_that_holds_the_table_is_taken() {
    let bench = Bench::with(SHOP);
    let proven = async |step: &str, tables: &[&str]| {
        let set = bench.dump(step, json!({"tables": tables})).await;
        let with = json!({"store": "backups", "database": "shop", "scratch": "scratch",
            "backup": set, "jobs": 1});
        let ctx = crate::bench::context(&bench.host, &format!("{step}_verify"));
        crate::bench::run("pg.verify_backup", &with, &ctx).await.unwrap();
        set
    };
    let orders = proven("orders", &["app.Orders", "app.customers"]).await;
    proven("payments", &["app.payments"]).await;
    bench.sql(ACCIDENT);
    let output = bench.restore("latest", "staging", json!({})).await.unwrap();
    assert_eq!(output["set"], orders);
    let none = bench.restore("latest", "staging", json!({"table": "app.fired"})).await;
    assert_eq!(none.unwrap_err().code, "RB0611");
}
