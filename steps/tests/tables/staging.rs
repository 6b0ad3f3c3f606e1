//! The rows of the set aside: shown, taken up, removed.

use engine::step::Observation;
use serde_json::json;

use crate::bench::{ACCIDENT, Bench, RUN, SHOP, context, observe, orders, run};

#[tokio::test(flavor = "multi_thread")]
async fn the_difference_is_shown_and_nothing_is_changed() {
    let bench = Bench::with(SHOP);
    let before = bench.orders();
    let set = bench.dump("dump", json!({})).await;
    bench.sql(ACCIDENT);
    let (after, definitions) = (bench.orders(), bench.definitions());
    let with = orders(&set, "staging", json!({"staging": "beside"}));
    let host = bench.host_at(&bench.cluster.url("shop"));
    let ctx = context(&host, "look");
    let output = run("pg.restore_table", &with, &ctx).await.unwrap();
    let words =
        "app.\"Orders\": 39 rows here and 40 in the set: 2 only here, 3 only in the set, 2 changed";
    assert_eq!(output["summary"], words);
    assert_eq!(output["staging"], "beside");
    assert_eq!(output["tables"][0]["staged"], r#"beside."Orders""#);
    assert_eq!(bench.rows(r#"beside."Orders""#), before);
    assert_eq!(bench.orders(), after);
    assert_eq!(observe("pg.restore_table", &with, &ctx).await, Observation::Done(output));

    let goes = orders(&set, "discard", json!({"staging": "beside"}));
    let (host, discard) = (bench.host_at(&bench.cluster.url("shop")), "discard");
    let away = context(&host, discard);
    assert_eq!(observe("pg.restore_table", &goes, &away).await, Observation::NotDone);
    let output = run("pg.restore_table", &goes, &away).await.unwrap();
    assert_eq!(observe("pg.restore_table", &goes, &away).await, Observation::Done(output));
    run("pg.restore_table", &goes, &away).await.unwrap();
    bench.sql("CREATE SCHEMA beside");
    let not_ours = run("pg.restore_table", &goes, &away).await.unwrap_err();
    assert_eq!(not_ours.code, "RB0539");
    bench.sql("DROP SCHEMA beside");
    assert_eq!(observe("pg.restore_table", &with, &ctx).await, Observation::NotDone);
    assert_eq!(bench.definitions(), definitions);
}

#[tokio::test(flavor = "multi_thread")]
async fn staged_rows_are_taken_up_and_the_set_is_not_read_again() {
    let bench = Bench::with(SHOP);
    let before = bench.orders();
    let set = bench.dump("dump", json!({})).await;
    bench.sql(ACCIDENT);
    let staging = json!({"staging": "rb_beside"});
    bench.restore(&set, "staging", staging.clone()).await.unwrap();
    let data = bench.store().join("sets/shop").join(&set).join("data");
    std::fs::rename(&data, data.with_extension("away")).unwrap();
    let more = json!({"staging": "rb_beside", "removes_at_most": 1});
    let error = bench.restore(&set, "swap", more).await.unwrap_err();
    shown::case("RB0535", error.told());
    assert_eq!(bench.left(), ["rb_beside"], "what was taken up stays for another attempt");
    let output = bench.restore(&set, "swap", staging).await.unwrap();
    assert_eq!(output["bytes_read"], 0);
    assert_eq!(bench.orders(), before);
    assert_eq!(bench.left(), [format!("Orders__rb_{RUN}")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn staged_rows_that_a_crash_emptied_are_read_again() {
    let bench = Bench::with(SHOP);
    let before = bench.orders();
    let set = bench.dump("dump", json!({})).await;
    bench.sql(ACCIDENT);
    let staging = json!({"staging": "rb_beside"});
    bench.restore(&set, "staging", staging.clone()).await.unwrap();
    bench.sql(r#"TRUNCATE rb_beside."Orders""#);
    bench.restore(&set, "swap", staging).await.unwrap();
    assert_eq!(bench.orders(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_attempt_left_is_replaced_and_what_is_not_ours_is_not() {
    let bench = Bench::with(SHOP);
    let before = bench.orders();
    let set = bench.dump("dump", json!({})).await;
    bench.sql(ACCIDENT);
    let after = bench.orders();
    let lease = |run: &str, expires: &str| {
        json!({"runbook": run, "set": set, "tables": ["app.\"Orders\""], "whole": false,
            "expires": expires})
    };
    let half = lease(RUN, "2026-11-21T00:00:00Z");
    let old = lease("01JD5Z8Q4W7N2V9XK3M6T1R0AB", "2026-11-19T00:00:00Z");
    let young = lease("01JD5Z8Q4W7N2V9XK3M6T1R0AB", "2026-11-21T00:00:00Z");
    bench.sql(&format!(
        "CREATE SCHEMA rb_half; COMMENT ON SCHEMA rb_half IS '{half}';
         CREATE TABLE rb_half.\"Orders\" (id int);
         CREATE SCHEMA rb_staging_old; COMMENT ON SCHEMA rb_staging_old IS '{old}';
         CREATE SCHEMA rb_staging_young; COMMENT ON SCHEMA rb_staging_young IS '{young}';
         CREATE SCHEMA mine; CREATE TABLE mine.precious (id int)"
    ));
    let error = bench.restore(&set, "swap", json!({"staging": "mine"})).await.unwrap_err();
    shown::case("RB0539", error.told());
    let other = bench.restore(&set, "swap", json!({"staging": "rb_staging_young"})).await;
    assert_eq!(other.unwrap_err().code, "RB0539");
    assert_eq!(bench.ask("SELECT count(*) FROM mine.precious"), ["0"]);
    assert_eq!(bench.orders(), after);
    bench.restore(&set, "swap", json!({"staging": "rb_half"})).await.unwrap();
    assert_eq!(bench.orders(), before);
    assert_eq!(bench.left(), [format!("Orders__rb_{RUN}"), "rb_staging_young".to_owned()]);
}
