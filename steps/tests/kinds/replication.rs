//! `pg.replication_lag` on a primary with a streaming standby.

use std::sync::Arc;

use engine::memory_host::MemoryHost;
use engine::settings::ConnectionSettings;
use lab::cluster::{Cluster, ClusterOptions};
use model::step_error::{ErrorClass, StepError};
use serde_json::{Value, json};
use shown::case;

use crate::common::{NOW, attempt, run};

fn connection(name: &str, cluster: &Cluster) -> ConnectionSettings {
    ConnectionSettings {
        name: name.to_owned(),
        url: Some(cluster.url("postgres").into()),
        ..ConnectionSettings::default()
    }
}

struct Pair {
    primary: Cluster,
    standby: Cluster,
    host: Arc<MemoryHost>,
}

impl Pair {
    fn new() -> Self {
        let primary = Cluster::start(&ClusterOptions::new()).unwrap();
        primary.execute("postgres", "CREATE TABLE ledger (n int)").unwrap();
        let standby = primary.standby("west").unwrap();
        let host = MemoryHost::new(NOW.parse().unwrap(), std::env::temp_dir())
            .with_connection(connection("prod", &primary))
            .with_connection(connection("standby", &standby));
        Self { primary, standby, host: Arc::new(host) }
    }

    async fn lag(&self, keys: Value) -> Result<Value, StepError> {
        let mut with = json!({"connection": "standby"});
        with.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        run("pg.replication_lag", with, &attempt(&self.host, 1)).await
    }

    fn write(&self) {
        self.primary
            .execute("postgres", "INSERT INTO ledger SELECT generate_series(1, 10000)")
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_keeps_up_passes_the_strictest_gate() {
    let pair = Pair::new();
    pair.write();
    let gate = json!({"primary": "prod", "max_bytes": "0B", "wait": "30s"});
    let output = pair.lag(gate).await.unwrap();
    assert_eq!((&output["bytes"], &output["seconds"]), (&json!(0), &json!(0.0)));
    assert_eq!((&output["streaming"], &output["primary_asked"]), (&json!(true), &json!(true)));
    // Nothing is written for a while: the last transaction grows old, the lag does not.
    std::thread::sleep(std::time::Duration::from_millis(1200));
    let idle = pair.lag(json!({"max_lag": "1s"})).await.unwrap();
    assert_eq!(idle["seconds"], json!(0.0));
    assert_eq!(idle["primary_asked"], json!(false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_does_not_replay_is_measured_and_stopped_at_the_gate() {
    let pair = Pair::new();
    pair.standby.caught_up_with(&pair.primary).unwrap();
    pair.standby.execute("postgres", "SELECT pg_wal_replay_pause()").unwrap();
    pair.write();
    let written = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::text";
    let written: u64 = pair.primary.query_one("postgres", written).unwrap().parse().unwrap();
    let replayed = "SELECT pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::text";
    let replayed: u64 = pair.standby.query_one("postgres", replayed).unwrap().parse().unwrap();
    let output = pair.lag(json!({"primary": "prod"})).await.unwrap();
    assert!(output["bytes"].as_u64().unwrap() >= written - replayed, "{output}");
    let refused = pair.lag(json!({"primary": "prod", "max_bytes": "0B", "wait": "1s"})).await;
    let refused = refused.unwrap_err();
    assert_eq!((refused.code.as_str(), refused.class), ("RB0526", ErrorClass::Permanent));
    assert!(refused.message.starts_with("the standby `standby` is too far behind after 1s: "));
    pair.standby.execute("postgres", "SELECT pg_wal_replay_resume()").unwrap();
    pair.lag(json!({"primary": "prod", "max_bytes": "0B", "wait": "30s"})).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_primary_is_told_from_one_that_is_idle() {
    let pair = Pair::new();
    pair.standby.caught_up_with(&pair.primary).unwrap();
    pair.primary.stop().unwrap();
    let refused = pair.lag(json!({"wait": "5s", "max_bytes": "0B"})).await.unwrap_err();
    case("RB0526", refused.told());
    let seen = pair.lag(json!({"streaming": false, "max_bytes": "0B"})).await.unwrap();
    assert_eq!((&seen["streaming"], &seen["bytes"]), (&json!(false), &json!(0)));
    let asked = pair.lag(json!({"primary": "prod", "streaming": false})).await.unwrap_err();
    assert_eq!((asked.code.as_str(), asked.class), ("RB0501", ErrorClass::Transient));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_no_standby_is_refused() {
    let pair = Pair::new();
    let with = json!({"connection": "prod"});
    let refused = run("pg.replication_lag", with, &attempt(&pair.host, 1)).await.unwrap_err();
    case("RB0525", refused.told());
    let other = Cluster::start(&ClusterOptions::new().own_identity()).unwrap();
    let host = MemoryHost::new(NOW.parse().unwrap(), std::env::temp_dir())
        .with_connection(connection("prod", &other))
        .with_connection(connection("standby", &pair.standby));
    let with = json!({"connection": "standby", "primary": "prod"});
    let refused = run("pg.replication_lag", with, &attempt(&Arc::new(host), 1)).await.unwrap_err();
    assert_eq!((refused.code.as_str(), refused.class), ("RB0525", ErrorClass::Permanent));
    assert!(refused.message.contains("belongs to cluster"), "{refused}");
    pair.standby.execute("postgres", "SELECT pg_promote()").unwrap();
    let promoted = pair.lag(json!({})).await.unwrap_err();
    assert!(promoted.message.ends_with("it is no standby"), "{promoted}");
}
