//! The undo takes back only what is as the restore left it.

use serde_json::json;
use shown::case;

use crate::common::Ground;

/// A shop in which customer 1 was brought back.
async fn restored() -> Ground {
    let ground = Ground::after_the_accident();
    let keys = json!({"table": "customers", "keys": [1], "exclude": ["customers"]});
    ground.extract(keys).await.unwrap();
    ground.restore(json!({})).await.unwrap();
    ground
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_changed_or_used_since_refuse_it() {
    let ground = restored().await;
    ground.sql(
        "update orders set total = 11 where tenant = 1 and no = 1;
         insert into visits values (9, '2026-12-01', 1)",
    );
    let before = ground.rows("shop");
    let error = ground.undo(json!({})).await.unwrap_err();
    case("RB0664", error.told());
    assert_eq!(ground.rows("shop"), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn skipping_it_leaves_them_and_what_they_hang_on() {
    let ground = restored().await;
    ground.sql("update items set product = 3 where tenant = 1 and no = 1 and line = 2");
    let undone = ground.undo(json!({"on_conflict": "skip"})).await.unwrap();
    // The item keeps its order, and that its customer; the others go.
    let all = &undone["all"];
    assert_eq!((&all["changed"], &all["remove"]), (&json!(3), &json!(6)));
    assert_eq!(ground.one("select count(*) from customers where id = 1"), "1");
    assert_eq!(ground.one("select no from orders where customer = 1"), "1");
    assert_eq!(ground.one("select line from items where tenant = 1 and no = 1"), "2");
    assert_eq!(ground.one("select count(*) from visits where customer = 1"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_that_cascades_never_takes_a_new_row_with_it() {
    let ground = restored().await;
    ground.sql("insert into orders (tenant, no, customer, total) values (2, 99, 1, 5)");
    let error = ground.undo(json!({})).await.unwrap_err();
    assert_eq!(error.causes, ["`public.customers` id=1 is referenced by a row of `public.orders`"]);
    let undone = ground.undo(json!({"on_conflict": "skip"})).await.unwrap();
    assert_eq!(undone["all"]["changed"], json!(1));
    assert_eq!(ground.one("select no from orders where customer = 1"), "99");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_gone_since_needs_no_removing() {
    let ground = restored().await;
    ground.sql("delete from items where tenant = 1");
    let undone = ground.undo(json!({})).await.unwrap();
    assert_eq!((&undone["all"]["same"], &undone["all"]["remove"]), (&json!(3), &json!(6)));
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_the_bundle_did_not_know_are_compared_too() {
    let ground = Ground::after_the_accident();
    let keys = json!({"table": "customers", "keys": [1], "exclude": ["customers"]});
    ground.extract(keys).await.unwrap();
    ground.sql("alter table customers add grade text not null default 'new'");
    ground.restore(json!({})).await.unwrap();
    assert_eq!(ground.one("select grade from customers where id = 1"), "new");
    ground.sql("update customers set grade = 'gold' where id = 1");
    let error = ground.undo(json!({})).await.unwrap_err();
    assert_eq!(error.causes, ["`public.customers` id=1 differs in grade"]);
}
