//! Where `pg.block_writes` refuses, or lets go again.

use std::sync::Arc;

use engine::memory_host::MemoryHost;
use lab::cluster::Cluster;
use model::step_error::{ErrorClass, StepError};
use serde_json::{Value, json};
use shown::case;

use crate::common::{app_url, as_app, attempt, host, primary, run};

async fn refused(host: &Arc<MemoryHost>, keys: Value) -> StepError {
    let mut with = json!({"connection": "primary", "method": "read_only", "grace": "1s"});
    with.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    run("pg.block_writes", with, &attempt(host, 1)).await.unwrap_err()
}

async fn untouched(primary: &Cluster) {
    let conf = primary.data_dir().join("postgresql.auto.conf");
    let conf = std::fs::read_to_string(conf).unwrap();
    assert!(!conf.contains("runbook") && !conf.contains("read_only"), "{conf}");
    let hba = std::fs::read_to_string(primary.data_dir().join("pg_hba.conf")).unwrap();
    assert!(!hba.contains("runbook"), "{hba}");
    as_app(primary, "INSERT INTO ledger (note) VALUES ('still')").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_it_would_not_hold_nothing_is_changed() {
    let primary = primary();
    let standby = primary.standby("west").unwrap();
    let host = host(&primary, &[("standby", &standby.url("lms"))]);
    let error = refused(&host, json!({"connection": "standby"})).await;
    assert_eq!((error.code.as_str(), error.class), ("RB0574", ErrorClass::NeedsOperator));
    let error = refused(&host, json!({"connection": "application"})).await;
    assert_eq!(error.message, "the role of `application` is no superuser");
    let sql = "ALTER ROLE app IN DATABASE lms SET default_transaction_read_only = off";
    primary.execute("lms", sql).unwrap();
    case("RB0574", refused(&host, json!({})).await.told());
    untouched(&primary).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_does_not_take_over_a_block() {
    let primary = primary();
    let host = host(&primary, &[]);
    let ctx = host.context("first", 1, tokio_util::sync::CancellationToken::new());
    let with = json!({"connection": "primary", "method": "read_only", "grace": "1s"});
    run("pg.block_writes", with, &ctx).await.unwrap();
    case("RB0575", refused(&host, json!({})).await.told());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_transaction_may_be_committed_at_any_time() {
    let primary = primary();
    let prepare = "BEGIN; INSERT INTO ledger (note) VALUES ('two-phase'); PREPARE TRANSACTION 'p1'";
    as_app(&primary, prepare).await.unwrap();
    let error = refused(&host(&primary, &[]), json!({})).await;
    assert_eq!(error.class, ErrorClass::Permanent);
    case("RB0576", error.told());
    untouched(&primary).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_cannot_write_proves_nothing() {
    let primary = primary();
    primary.execute("lms", "REVOKE TEMPORARY ON DATABASE lms FROM PUBLIC, app").unwrap();
    primary.execute("lms", "CREATE ROLE guest LOGIN PASSWORD 'guest'").unwrap();
    let url = app_url(&primary).replace("app:app", "guest:guest");
    let host = host(&primary, &[("guest", &url)]);
    case("RB0577", refused(&host, json!({"probe": "guest"})).await.told());
    // The application's own settings win over the server's: the write is not refused.
    let wins = format!("{}?options=-cdefault_transaction_read_only%3Doff", primary.url("lms"));
    let host = crate::common::host(&primary, &[("wins", &wins)]);
    let error = refused(&host, json!({"probe": "wins"})).await;
    assert_eq!((error.code.as_str(), error.class), ("RB0577", ErrorClass::Permanent));
    untouched(&primary).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_the_server_cannot_read_is_left_as_it_was() {
    let primary = primary();
    let path = primary.data_dir().join("pg_hba.conf");
    let broken = std::fs::read_to_string(&path).unwrap() + "host all all nowhere scram\n";
    std::fs::write(&path, &broken).unwrap();
    let host = host(&primary, &[]);
    let error = refused(&host, json!({"method": "pg_hba"})).await;
    let message = error.message.clone();
    case("RB0578", error.told().replace(&path.display().to_string(), "/srv/pg_hba.conf"));
    assert!(message.contains("line"), "{message}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), broken);
    std::fs::write(&path, broken.replace("host all all nowhere scram\n", "")).unwrap();
    untouched(&primary).await;
}
