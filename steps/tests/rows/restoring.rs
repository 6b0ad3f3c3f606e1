//! Rows come back as they were.

use serde_json::{Value, json};

use crate::common::{ACCIDENT, Ground};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_comes_back_exactly_and_the_undo_takes_it_back() {
    let ground = Ground::shop();
    let whole = ground.rows("shop");
    let definitions = ground.definitions("shop");
    ground.sql(ACCIDENT);
    let after = ground.rows("shop");
    assert_eq!(whole.len() - after.len(), 9, "Ann and all that was hers");
    // Bob and Cy were not deleted: only Bob's reference is another one.
    ground
        .extract(json!({"table": "customers", "keys": [1], "exclude": ["customers"]}))
        .await
        .unwrap();
    let preview = ground.preview(json!({})).await.unwrap();
    assert_eq!((&preview["applied"], &preview["undo"]), (&json!(false), &Value::Null));
    assert_eq!(preview["all"]["insert"], json!(9));
    assert_eq!(ground.rows("shop"), after, "a preview leaves nothing behind");
    assert!(!ground.path("undo").exists());

    let restored = ground.restore(json!({})).await.unwrap();
    assert_eq!(restored["tables"], preview["tables"]);
    assert_eq!(restored["summary"], preview["summary"]);
    ground.sql("update customers set referrer = 1 where id = 2");
    assert_eq!(ground.rows("shop"), whole);
    ground.sql("update customers set referrer = null where id = 2");

    let again = ground.preview(json!({})).await.unwrap();
    assert_eq!((&again["all"]["insert"], &again["all"]["same"]), (&json!(0), &json!(12)));
    let undone = ground.undo(json!({"preview": true})).await.unwrap();
    assert_eq!(undone["all"]["remove"], json!(9));
    assert_ne!(ground.rows("shop"), after);
    let undone = ground.undo(json!({})).await.unwrap();
    assert_eq!(undone["all"]["remove"], json!(9));
    assert_eq!(ground.rows("shop"), after, "exactly the former state");
    let twice = ground.undo(json!({})).await.unwrap();
    assert_eq!((&twice["all"]["remove"], &twice["all"]["same"]), (&json!(0), &json!(9)));
    assert_eq!(ground.definitions("shop"), definitions);
}

#[tokio::test(flavor = "multi_thread")]
async fn parents_that_are_gone_as_well_come_back() {
    let ground = Ground::shop();
    let whole = ground.rows("shop");
    ground.sql(
        "delete from customers where id = 4; delete from tenants where id = 3;
         delete from products where id = 3",
    );
    ground.extract(json!({"table": "orders", "keys": [{"tenant": 2, "no": 1}]})).await.unwrap();
    let restored = ground.restore(json!({})).await.unwrap();
    let said = restored["summary"].as_str().unwrap();
    assert!(said.contains("public.customers: insert 1"), "{said}");
    assert!(said.contains("public.products: insert 1"), "{said}");
    assert!(said.contains("public.tenants: same 1"), "{said}");
    // What hung on the customer was not asked for: only the order and what it needs.
    let missing: Vec<_> =
        whole.iter().filter(|row| !ground.rows("shop").contains(row)).cloned().collect();
    assert_eq!(missing.len(), 2, "{missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sequences_are_moved_on_and_never_back() {
    let ground = Ground::shop();
    ground.sql("insert into products (name) select 'p' || n from generate_series(4, 20) n");
    ground.copy();
    ground.sql(
        "delete from products where id > 10; alter sequence products_id_seq restart with 11;
         delete from customers where id = 4; alter sequence customers_id_seq restart with 100",
    );
    ground.extract(json!({"table": "products", "where": "id > 10"})).await.unwrap();
    let preview = ground.preview(json!({})).await.unwrap();
    assert_eq!(preview["sequences"], json!([]));
    assert_eq!(ground.one("select last_value, is_called from products_id_seq"), "11|f");
    let restored = ground.restore(json!({})).await.unwrap();
    assert_eq!(restored["sequences"], json!(["public.products_id_seq to 20"]));
    assert_eq!(ground.one("insert into products (name) values ('new') returning id"), "21");

    let keys = json!({"table": "customers", "keys": [4], "to": ground.path("dan")});
    ground.extract(keys).await.unwrap();
    let keys = json!({"from": ground.path("dan"), "undo_bundle": ground.path("dan.undo")});
    assert_eq!(ground.restore(keys).await.unwrap()["sequences"], json!([]));
    assert_eq!(ground.one("select last_value, is_called from customers_id_seq"), "100|f");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_reference_each_other_in_a_circle_come_back() {
    let circle = "
        create table teams (id int primary key, lead int);
        create table people (id int primary key, team int not null references teams on delete cascade,
          mentor int references people on delete cascade);
        alter table teams add foreign key (lead) references people;
        insert into teams values (1, null), (2, null);
        insert into people values (10, 1, null), (11, 1, 10), (12, 1, 11), (20, 2, 12);
        update people set mentor = 12 where id = 10;
        update teams set lead = id * 10;";
    let ground = Ground::with(circle);
    let whole = ground.rows("shop");
    ground.sql("update teams set lead = null; delete from people; delete from teams");
    let keys = json!({"table": "teams", "keys": [1]});
    let output = ground.extract(keys).await.unwrap();
    assert_eq!(output["summary"], "public.teams: 2, public.people: 4");
    let after = ground.rows("shop");
    ground.restore(json!({})).await.unwrap();
    assert_eq!(ground.rows("shop"), whole);
    ground.undo(json!({})).await.unwrap();
    assert_eq!(ground.rows("shop"), after);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_or_a_paused_copy_gives_rows_too() {
    let ground = Ground::shop();
    let standby = ground.cluster.standby("west").unwrap();
    standby.caught_up_with(&ground.cluster).unwrap();
    let host =
        crate::common::host(vec![crate::common::connection("copy", &standby.url("shop"), true)]);
    let asked = json!({"connection": "copy", "table": "customers", "keys": [1],
                       "to": ground.path("rows")});
    let output = crate::common::run("pg.extract_rows", asked, &crate::common::context(&host)).await;
    assert_eq!(output.unwrap()["rows"], json!(16));
}
