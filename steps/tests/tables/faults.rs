//! Locks, lost connections, damaged sets, cancellations: everything is as it was, or is told from
//! what it was.

use std::time::Duration;

use engine::step::Observation;
use lab::wire::{Cut, Wire};
use model::step_error::ErrorClass;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::bench::{ACCIDENT, Bench, RUN, SHOP, context, observe, orders, run};

/// A server with the accident, and a set from before.
async fn after_the_accident() -> (Bench, String) {
    let bench = Bench::with(SHOP);
    let set = bench.dump("dump", json!({})).await;
    bench.sql(ACCIDENT);
    (bench, set)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_not_granted_changes_nothing_and_names_who_holds_it() {
    let (bench, set) = after_the_accident().await;
    let after = bench.orders();
    let mut holder = bench.cluster.command("psql");
    holder.args(["--no-psqlrc", "--dbname=shop", "--command"]);
    let hold = r#"BEGIN; LOCK TABLE app."Orders" IN ROW EXCLUSIVE MODE; SELECT pg_sleep(600)"#;
    let mut holder = holder.arg(hold).stdout(std::process::Stdio::null()).spawn().unwrap();
    let has_it = "SELECT count(*) FROM pg_locks WHERE mode = 'RowExclusiveLock' AND granted
        AND relation = 'app.\"Orders\"'::regclass";
    while bench.ask(has_it) != ["1"] {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let error = bench.restore(&set, "swap", json!({"lock_timeout": "200ms"})).await.unwrap_err();
    bench.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ~ 'pg_sleep\\(600\\)' AND pid <> pg_backend_pid()");
    holder.wait().unwrap();
    assert_eq!((error.code.as_str(), error.class), ("RB0508", ErrorClass::Transient));
    assert!(error.told().contains("holds RowExclusiveLock"), "{}", error.told());
    assert_eq!((bench.orders(), bench.left()), (after, Vec::new()));
    bench.restore(&set, "swap", json!({"lock_timeout": "200ms"})).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_go_on_while_the_rows_are_exchanged() {
    let (bench, set) = after_the_accident().await;
    // To make a check again that a row breaks, readers would have to wait.
    bench.sql(r#"ALTER TABLE app."Orders" DROP CONSTRAINT "not the third""#);
    let mut reader = bench.cluster.command("psql");
    reader.args(["--no-psqlrc", "--dbname=shop", "--command"]);
    let read = r#"BEGIN; SELECT count(*) FROM app."Orders"; SELECT pg_sleep(600)"#;
    let mut reader = reader.arg(read).stdout(std::process::Stdio::null()).spawn().unwrap();
    let has_it = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessShareLock' AND granted
        AND relation = 'app.\"Orders\"'::regclass";
    while bench.ask(has_it) != ["1"] {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    bench.restore(&set, "swap", json!({"lock_timeout": "1s"})).await.unwrap();
    bench.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ~ 'pg_sleep\\(600\\)' AND pid <> pg_backend_pid()");
    reader.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_damaged_object_leaves_the_table_as_it_was() {
    let (bench, set) = after_the_accident().await;
    let (after, definitions) = (bench.orders(), bench.definitions());
    let object = bench.object(&set, "Orders");
    let whole = std::fs::read(&object).unwrap();
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::remove_file(&object).unwrap();
    for (code, content) in [("RB0614", None), ("RB0613", Some(damaged))] {
        if let Some(content) = &content {
            std::fs::write(&object, content).unwrap();
        }
        let error = bench.restore(&set, "swap", json!({})).await.unwrap_err();
        assert_eq!(error.code, code, "{}", error.told());
        assert_eq!((bench.orders(), bench.left()), (after.clone(), Vec::new()));
        assert_eq!(bench.definitions(), definitions);
    }
    std::fs::write(&object, whole).unwrap();
    bench.restore(&set, "swap", json!({})).await.unwrap();
}

/// A host that reaches the server through a wire.
fn through(bench: &Bench, wire: &Wire) -> std::sync::Arc<engine::memory_host::MemoryHost> {
    let url = bench.cluster.url("shop");
    bench.host_at(
        &url.replace(&format!(":{}/", bench.cluster.port()), &format!(":{}/", wire.port())),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_lost_in_the_middle_of_the_exchange_leaves_everything_as_it_was() {
    let (bench, set) = after_the_accident().await;
    let after = bench.orders();
    let wire = Wire::to(bench.cluster.port()).unwrap();
    let host = through(&bench, &wire);
    let (with, ctx) = (orders(&set, "swap", json!({})), context(&host, "swap"));
    for word in ["LOCK TABLE ONLY", "INSERT INTO \"app\".\"Orders\"", "REFRESH MATERIALIZED"] {
        wire.cut_at(word, Cut::After);
        let error = run("pg.restore_table", &with, &ctx).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Transient, "{word}: {}", error.told());
        wire.mend();
        assert_eq!(observe("pg.restore_table", &with, &ctx).await, Observation::NotDone, "{word}");
        assert_eq!(bench.orders(), after, "{word}");
    }
    run("pg.restore_table", &with, &ctx).await.unwrap();
    assert_eq!(bench.left(), [format!("Orders__rb_{RUN}")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_lost_at_the_commit_is_looked_into() {
    for (cut, committed) in [(Cut::Before, false), (Cut::After, true)] {
        let (bench, set) = after_the_accident().await;
        let after = bench.orders();
        let wire = Wire::to(bench.cluster.port()).unwrap();
        let host = through(&bench, &wire);
        // Rows that are copied into the staging schema end with COMMIT, too.
        let staging = json!({"staging": "rb_beside"});
        let look = orders(&set, "staging", staging.clone());
        run("pg.restore_table", &look, &context(&bench.host, "look")).await.unwrap();
        let (with, ctx) = (orders(&set, "swap", staging), context(&host, "swap"));
        wire.cut_at("COMMIT\0", cut);
        let error = run("pg.restore_table", &with, &ctx).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Ambiguous, "{}", error.told());
        wire.mend();
        let seen = observe("pg.restore_table", &with, &ctx).await;
        if committed {
            let Observation::Done(output) = seen else { panic!("{seen:?}") };
            assert_eq!(output["changed"], 2);
            assert_ne!(bench.orders(), after);
            let back = json!({"connection": "prod", "table": "app.Orders", "run": RUN});
            let host = through(&bench, &wire);
            let ctx = context(&host, "back");
            wire.cut_at("COMMIT\0", cut);
            let error = run("pg.swap_back", &back, &ctx).await.unwrap_err();
            assert_eq!(error.class, ErrorClass::Ambiguous, "{}", error.told());
            wire.mend();
            let Observation::Done(_) = observe("pg.swap_back", &back, &ctx).await else { panic!() };
        } else {
            assert_eq!(seen, Observation::NotDone);
        }
        assert_eq!(bench.orders(), after);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_exchange_leaves_nothing() {
    let (bench, set) = after_the_accident().await;
    let after = bench.orders();
    // The exchange waits for a lock when it is cancelled.
    let mut holder = bench.cluster.command("psql");
    holder.args(["--no-psqlrc", "--dbname=shop", "--command"]);
    let hold = r#"BEGIN; LOCK TABLE app."Orders" IN ROW EXCLUSIVE MODE; SELECT pg_sleep(600)"#;
    let mut holder = holder.arg(hold).stdout(std::process::Stdio::null()).spawn().unwrap();
    let cancel = CancellationToken::new();
    let ctx = bench.host.context("swap", 1, cancel.clone());
    let with = orders(&set, "swap", json!({"lock_timeout": "10m"}));
    let waiting = tokio::spawn(async move { run("pg.restore_table", &with, &ctx).await });
    let waits = "SELECT count(*) FROM pg_locks WHERE mode = 'ExclusiveLock' AND NOT granted
        AND relation = 'app.\"Orders\"'::regclass";
    while bench.ask(waits) != ["1"] {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    cancel.cancel();
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!(error.class, ErrorClass::Cancelled);
    bench.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ~ 'pg_sleep\\(600\\)' AND pid <> pg_backend_pid()");
    holder.wait().unwrap();
    assert_eq!((bench.orders(), bench.left()), (after, Vec::new()));
}
