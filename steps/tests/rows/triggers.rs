//! Triggers of the target.

use serde_json::json;
use shown::case;

use crate::common::Ground;

const TRIGGERS: &str = "
    create table audit (n int generated always as identity, what text);
    create function tell() returns trigger language plpgsql as
      'begin insert into audit (what) values (tg_op || '' '' || tg_table_name); return null; end';
    create trigger tells after insert or delete on products for each row execute function tell();
    create function stamp() returns trigger language plpgsql as
      'begin new.updated_at = now(); return new; end';
    create trigger stamps before insert or update on customers for each row execute function stamp();
    create trigger always after insert on customers for each row execute function tell();
    alter table customers enable always trigger always;
    create trigger never after insert on customers for each row execute function tell();
    alter table customers disable trigger never;
    create trigger visited after insert on visits for each row execute function tell();";

fn ground() -> Ground {
    let ground = Ground::shop();
    ground.sql(TRIGGERS);
    ground.copy();
    ground
}

#[tokio::test(flavor = "multi_thread")]
async fn they_fire_unless_told_otherwise() {
    let ground = ground();
    ground.sql("insert into products (name) values ('fig')");
    ground.copy();
    ground.sql("delete from products where name = 'fig'; truncate audit");
    ground.extract(json!({"table": "products", "where": "name = 'fig'"})).await.unwrap();
    ground.preview(json!({})).await.unwrap();
    assert_eq!(ground.one("select count(*) from audit"), "0");
    ground.restore(json!({})).await.unwrap();
    assert_eq!(ground.one("select what from audit"), "INSERT products");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_changes_the_rows_is_found_out_and_can_be_switched_off() {
    let ground = ground();
    let definitions = ground.definitions("shop");
    ground.sql("alter table customers disable trigger stamps");
    ground.sql("update customers set referrer = null where referrer = 1");
    ground.copy();
    let whole = ground.rows("shop");
    ground.sql("delete from customers where id = 1; alter table customers enable trigger stamps");
    let before = ground.rows("shop");
    ground.extract_ann().await;
    for preview in [true, false] {
        let error = ground.restore(json!({"preview": preview})).await.unwrap_err();
        case("RB0548", error.told());
        assert_eq!(ground.rows("shop"), before);
    }
    ground.restore(json!({"triggers": "disable"})).await.unwrap();
    assert_eq!(ground.rows("shop"), whole, "no trigger fired, not even in `audit`");
    assert_eq!(ground.definitions("shop"), definitions, "each is on again as it was");
    ground.undo(json!({"triggers": "disable"})).await.unwrap();
    assert_eq!(ground.rows("shop"), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_keeps_a_row_from_being_removed_fails_the_undo() {
    let ground = Ground::after_the_accident();
    ground
        .extract(json!({"table": "orders", "where": "customer = 1", "children": false}))
        .await
        .unwrap();
    ground.restore(json!({})).await.unwrap();
    ground.sql(
        "create function stay() returns trigger language plpgsql as 'begin return null; end';
         create trigger stays before delete on orders for each row execute function stay()",
    );
    let before = ground.rows("shop");
    let error = ground.undo(json!({})).await.unwrap_err();
    assert_eq!(
        (error.code.as_str(), error.message.as_str()),
        ("RB0548", "what was taken back is not as it was")
    );
    assert_eq!(ground.rows("shop"), before);
    ground.undo(json!({"triggers": "disable"})).await.unwrap();
    assert_eq!(ground.one("select count(*) from orders where customer = 1"), "0");
}
