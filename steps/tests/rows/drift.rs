//! A target that is another one, or whose tables changed.

use serde_json::json;
use shown::case;

use crate::common::{Ground, connection, context, host, run, with};

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_changed_are_refused_all_at_once() {
    let ground = Ground::after_the_accident();
    let keys = json!({"table": "customers", "keys": [1], "exclude": ["customers"]});
    ground.extract(keys).await.unwrap();
    ground.sql(
        "alter table customers add region int; update customers set region = 1;
         alter table customers alter region set not null;
         alter table orders drop column doubled, drop column total;
         alter table items drop constraint items_pkey, add primary key (no, tenant, line);
         alter table visits rename to calls",
    );
    let before = ground.rows("shop");
    let error = ground.restore(json!({})).await.unwrap_err();
    case("RB0545", error.told());
    assert_eq!(ground.rows("shop"), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_changed_is_refused_when_it_loses_something() {
    let ground = Ground::after_the_accident();
    ground.extract(json!({"table": "orders", "where": "customer = 1 and no = 2", "parents": false, "children": false}))
        .await
        .unwrap();
    ground.sql("insert into customers (id, tenant) overriding system value values (1, 1);
                alter table orders drop column doubled; alter table orders alter total type numeric(10,1)");
    let error = ground.restore(json!({})).await.unwrap_err();
    assert_eq!(error.code, "RB0545");
    assert_eq!(error.message, "the columns of `public.orders` hold other values than the bundle");
    ground.sql("alter table orders alter total type bool using true");
    let error = ground.restore(json!({})).await.unwrap_err();
    assert_eq!(
        error.message,
        "read `0001.rows.copy` into the server: a column does not take a value any more (SQLSTATE 22P02)"
    );
    ground.sql("alter table orders alter total type numeric using 0");
    // A wider type holds the same values.
    ground.sql("alter table orders alter total type numeric(20,2), alter no type bigint");
    ground.restore(json!({})).await.unwrap();
    assert_eq!(ground.one("select total from orders where no = 2"), "99.99");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_database_or_server_is_refused() {
    let ground = Ground::after_the_accident();
    ground.extract_ann().await;
    ground.cluster.execute("postgres", "create database crm template shop").unwrap();
    let host = host(vec![connection("prod", &ground.cluster.url("crm"), true)]);
    let asked = ground.restoring(json!({}));
    let error = run("pg.restore_rows", asked.clone(), &context(&host)).await.unwrap_err();
    assert_eq!(error.code, "RB0523");
    assert_eq!(error.message, "the database is `crm`, the rows are of `shop`");
    let preview = with(asked, json!({"database": "crm", "preview": true, "on_conflict": "skip"}));
    run("pg.restore_rows", preview, &context(&host)).await.unwrap();
    let error = ground.restore(json!({"system_identifier": "1"})).await.unwrap_err();
    assert_eq!(error.code, "RB0523");
    let is = ground.one("select system_identifier from pg_control_system()");
    ground.preview(json!({"system_identifier": is, "on_conflict": "skip"})).await.unwrap();
}
