//! Rows that are there and differ, and parents that are not the ones they were.

use model::step_error::ErrorClass;
use serde_json::{Value, json};
use shown::case;

use crate::common::Ground;

/// Somebody else has the id of customer 1 now.
const USED_AGAIN: &str =
    "insert into customers (id, tenant, email, updated_at) overriding system value
    values (1, 2, 'eve@example.com', '2026-11-19 10:00Z')";

/// The orders of customer 1 in the bundle, and another customer under her id.
async fn re_used() -> Ground {
    let ground = Ground::after_the_accident();
    ground.sql(USED_AGAIN);
    ground.extract(json!({"table": "orders", "where": "customer = 1"})).await.unwrap();
    ground
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_id_that_was_used_again_blocks_its_children() {
    let ground = re_used().await;
    let before = ground.rows("shop");
    for preview in [true, false] {
        let error = ground.restore(json!({"preview": preview})).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Permanent);
        case("RB0547", error.told());
        assert_eq!(ground.rows("shop"), before);
    }
    assert!(!ground.path("undo").exists());
    assert!(!ground.host.logged().contains("eve@example.com"), "no value is told");
}

#[tokio::test(flavor = "multi_thread")]
async fn attached_they_hang_on_it_and_the_undo_brings_back_the_former_state() {
    let ground = re_used().await;
    let before = ground.rows("shop");
    let restored = ground.restore(json!({"parents": "attach"})).await.unwrap();
    let said = restored["summary"].as_str().unwrap();
    assert!(said.contains("public.orders: insert 2"), "{said}");
    assert!(said.contains("public.customers: conflict 1"), "{said}");
    let orders = "select count(*) from orders o join customers c on c.id = o.customer
                  where c.email = 'eve@example.com'";
    assert_eq!(ground.one(orders), "2");
    assert_eq!(ground.rows("shop").len(), before.len() + 5, "two orders, three items");
    ground.undo(json!({})).await.unwrap();
    assert_eq!(ground.rows("shop"), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chosen_row_that_differs_fails_or_stays() {
    let ground = Ground::after_the_accident();
    ground.sql(USED_AGAIN);
    let keys = json!({"table": "customers", "keys": [1], "exclude": ["customers"]});
    ground.extract(keys).await.unwrap();
    let before = ground.rows("shop");
    let error = ground.restore(json!({})).await.unwrap_err();
    case("RB0546", error.told());
    // Keeping the row alone would hang her orders on somebody else.
    let error = ground.restore(json!({"on_conflict": "skip"})).await.unwrap_err();
    assert_eq!(error.code, "RB0547");
    assert_eq!(ground.rows("shop"), before);
    let keys = json!({"on_conflict": "skip", "parents": "attach"});
    let restored = ground.restore(keys).await.unwrap();
    let all = &restored["all"];
    assert_eq!((&all["insert"], &all["conflict"]), (&json!(8), &json!(1)));
    ground.undo(json!({})).await.unwrap();
    assert_eq!(ground.rows("shop"), before);
}

fn overwrite(since: &str) -> Value {
    json!({"on_conflict": "overwrite_if_unchanged_since", "changed_column": "updated_at",
           "since": since})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_overwritten_only_when_it_is_unchanged_since() {
    let ground = Ground::shop();
    let whole = ground.rows("shop");
    // A bad statement that touched no time, and a change that somebody made afterwards.
    ground.sql("update customers set email = 'x' || id where id in (1, 2)");
    ground.extract(json!({"table": "customers", "keys": [1, 2], "children": false})).await.unwrap();
    let before = ground.rows("shop");
    let error = ground.restore(overwrite("2026-11-02T09:00:00Z")).await.unwrap_err();
    assert_eq!(error.code, "RB0546");
    assert_eq!(
        error.message,
        "rows are there, differ, and were changed after 2026-11-02T09:00:00Z"
    );
    assert_eq!(error.causes, ["`public.customers` id=2 differs in email"]);
    assert_eq!(ground.rows("shop"), before);
    let restored = ground.restore(overwrite("2026-11-02T10:00:00Z")).await.unwrap();
    assert_eq!(restored["all"]["overwrite"], json!(2));
    assert_eq!(ground.rows("shop"), whole);
    let undone = ground.undo(json!({})).await.unwrap();
    assert_eq!(undone["all"]["reset"], json!(2));
    assert_eq!(ground.rows("shop"), before);
    assert_eq!(ground.undo(json!({})).await.unwrap()["all"]["same"], json!(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_time_nothing_is_overwritten() {
    let ground = Ground::shop();
    ground.sql("update orders set total = 0 where no = 2");
    ground.extract(json!({"table": "orders", "where": "no = 2", "children": false})).await.unwrap();
    let error = ground.restore(overwrite("2026-11-20T00:00:00Z")).await.unwrap_err();
    assert_eq!(
        error.causes,
        [
            "`public.orders` has no column `updated_at` with a time",
            "`public.orders` tenant=1, no=2 differs in total"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_another_row_has_now_is_told() {
    let ground = Ground::after_the_accident();
    ground.sql("insert into customers (tenant, email) values (1, 'ann@example.com')");
    let keys = json!({"table": "customers", "keys": [1], "exclude": ["customers"]});
    ground.extract(keys).await.unwrap();
    let before = ground.rows("shop");
    let error = ground.preview(json!({})).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Permanent);
    case("RB0549", error.told());
    assert_eq!(ground.restore(json!({})).await.unwrap_err().code, "RB0549");
    assert_eq!(ground.rows("shop"), before);
    assert!(!ground.path("undo").exists(), "nothing was done that could be undone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_that_was_left_out_must_be_there() {
    let ground = Ground::shop();
    ground.sql("delete from customers where id = 4; delete from products where id = 3");
    let keys = json!({"table": "customers", "keys": [4], "exclude": ["products"]});
    ground.extract(keys).await.unwrap();
    let error = ground.restore(json!({})).await.unwrap_err();
    assert_eq!(error.code, "RB0549");
    assert!(error.message.contains("items_product_fkey"), "{error}");
}
