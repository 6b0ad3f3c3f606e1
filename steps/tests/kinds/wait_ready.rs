//! `pg.wait_ready` on a server that is stopped, started and made read-only.

use std::sync::Arc;

use engine::memory_host::MemoryHost;
use engine::settings::ConnectionSettings;
use lab::cluster::{Cluster, ClusterOptions};
use model::step_error::{ErrorClass, StepError};
use serde_json::{Value, json};

use crate::common::{NOW, attempt, run};

fn host(url: &str) -> Arc<MemoryHost> {
    let host = MemoryHost::new(NOW.parse().unwrap(), std::env::temp_dir());
    let name = "prod".to_owned();
    let settings =
        ConnectionSettings { name, url: Some(url.into()), ..ConnectionSettings::default() };
    Arc::new(host.with_connection(settings))
}

async fn wait(host: &Arc<MemoryHost>, keys: Value) -> Result<Value, StepError> {
    let mut with = json!({"connection": "prod", "interval": "20ms"});
    with.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    run("pg.wait_ready", with, &attempt(host, 1)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_starts_is_waited_for() {
    let cluster = Cluster::start(&ClusterOptions::new()).unwrap();
    let host = host(&cluster.url("postgres"));
    let ready = wait(&host, json!({"writable": true, "in_recovery": false})).await.unwrap();
    assert_eq!((&ready["looks"], &ready["writable"]), (&json!(1), &json!(true)));

    cluster.stop().unwrap();
    let waiting = wait(&host, json!({"timeout": "1m"}));
    let started = async {
        while host.last_progress().is_none() {
            tokio::task::yield_now().await;
        }
        tokio::task::block_in_place(|| cluster.start_again()).unwrap();
    };
    let (ready, ()) = tokio::join!(waiting, started);
    assert!(ready.unwrap()["looks"].as_u64().unwrap() > 1);
    let activity = host.last_progress().unwrap().activity;
    assert!(
        activity.starts_with(&format!("wait for 127.0.0.1:{}: ", cluster.port())),
        "{activity}"
    );
}

#[tokio::test]
async fn what_is_missing_is_said_when_time_runs_out() {
    let cluster = Cluster::start(&ClusterOptions::new()).unwrap();
    let host = host(&cluster.url("postgres"));
    let error = wait(&host, json!({"in_recovery": true, "timeout": "200ms"})).await.unwrap_err();
    assert_eq!((error.code.as_str(), error.class), ("RB0570", ErrorClass::Transient));
    assert!(error.message.ends_with("was not ready within 200ms: it is not in recovery"));
    shown::case("RB0570", error.told());

    cluster.execute("postgres", "alter system set default_transaction_read_only = on").unwrap();
    cluster.execute("postgres", "select pg_reload_conf()").unwrap();
    let read_only = "it accepts no writes: its transactions are read-only";
    let error = wait(&host, json!({"writable": true, "timeout": "2s"})).await.unwrap_err();
    assert!(error.message.ends_with(read_only), "{}", error.message);

    cluster.stop().unwrap();
    let error = wait(&host, json!({"timeout": "200ms"})).await.unwrap_err();
    assert_eq!(error.code, "RB0570");
    assert!(error.message.contains(&format!("127.0.0.1:{}", cluster.port())), "{}", error.message);
}

#[tokio::test]
async fn what_does_not_mend_itself_fails_at_once() {
    let cluster = Cluster::start(&ClusterOptions::new()).unwrap();
    let error = wait(&host(&cluster.url("no_such")), json!({})).await.unwrap_err();
    assert_eq!((error.code.as_str(), error.class), ("RB0503", ErrorClass::Permanent));
}
