//! A cloud, and a host that leads to its primary and its replica.

use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::context::StepContext;
use engine::memory_host::MemoryHost;
use engine::settings::ConnectionSettings;
use engine::step::Observation;
use jiff::Timestamp;
use lab::cloud::{
    Cloud, CloudOptions, PRIMARY, PRIMARY_REGION, Pace, REPLICA, REPLICA_REGION, World,
};
use lab::cluster::Cluster;
use model::node::Node;
use model::step_error::StepError;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

pub(crate) struct Bed {
    pub(crate) cloud: Cloud,
    pub(crate) host: Arc<MemoryHost>,
}

/// A connection by its URL.
pub(crate) fn connection(name: &str, url: &str) -> ConnectionSettings {
    let (name, url) = (name.to_owned(), Some(url.into()));
    ConnectionSettings { name, url, ..ConnectionSettings::default() }
}

/// A host with the connections `primary` and `standby`, through their endpoints.
fn host(cloud: &Cloud) -> Arc<MemoryHost> {
    let url = |region, id| {
        let url = cloud.world().database_url(region, id, "postgres").unwrap();
        format!("{url}{}connect_timeout=2", if url.contains('?') { "&" } else { "?" })
    };
    let host = MemoryHost::new(Timestamp::now(), std::env::temp_dir())
        .with_connection(connection("primary", &url(PRIMARY_REGION, PRIMARY)))
        .with_connection(connection("standby", &url(REPLICA_REGION, REPLICA)));
    Arc::new(host)
}

/// A context of the step `step`.
pub(crate) fn step(host: &Arc<MemoryHost>, step: &str) -> StepContext {
    host.context(step, 1, CancellationToken::new())
}

impl Bed {
    pub(crate) fn new() -> Self {
        Self::with(CloudOptions::new())
    }

    pub(crate) fn at_pace(pace: Pace) -> Self {
        Self::with(CloudOptions::new().pace(pace))
    }

    pub(crate) fn with(options: CloudOptions) -> Self {
        let prepare = |cluster: &Cluster| {
            let table = "CREATE TABLE ledger (n bigserial PRIMARY KEY, note text)";
            cluster.execute("postgres", table).map_err(std::io::Error::other)
        };
        let cloud = options.prepare(prepare).start().unwrap();
        let host = host(&cloud);
        Self { cloud, host }
    }

    /// Another host, which knows of no attempt.
    pub(crate) fn stranger(&self) -> Arc<MemoryHost> {
        host(&self.cloud)
    }

    pub(crate) fn world(&self) -> &World {
        self.cloud.world()
    }

    pub(crate) fn primary(&self) -> Arc<Cluster> {
        self.world().cluster(PRIMARY_REGION, PRIMARY).unwrap()
    }

    pub(crate) fn replica(&self) -> Arc<Cluster> {
        self.world().cluster(REPLICA_REGION, REPLICA).unwrap()
    }

    /// The URL of the primary through its endpoint.
    pub(crate) fn primary_url(&self) -> String {
        self.world().database_url(PRIMARY_REGION, PRIMARY, "postgres").unwrap()
    }

    pub(crate) fn ctx(&self, attempt: u32) -> StepContext {
        self.host.context("tested", attempt, CancellationToken::new())
    }

    pub(crate) fn write(&self) {
        let sql = "INSERT INTO ledger (note) SELECT 'x' FROM generate_series(1, 100)";
        self.primary().execute("postgres", sql).unwrap();
    }

    pub(crate) fn is_standby(&self) -> bool {
        let sql = "SELECT pg_is_in_recovery()";
        self.replica().query_one("postgres", sql).unwrap() == "t"
    }

    /// How often something took effect.
    pub(crate) fn effects(&self, action: &str) -> usize {
        self.world().effects_of(action).len()
    }

    /// `with` of a step, plus where AWS is.
    pub(crate) fn at(&self, region: &str, with: &Value) -> Value {
        let place = json!({"region": region, "endpoint_url": self.cloud.url()});
        let mut all = place;
        all.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
        all
    }

    /// `with` of a promotion of the replica.
    pub(crate) fn promotion(&self, keys: &Value) -> Value {
        let mut with = json!({
            "instance": REPLICA, "connection": "standby", "source": PRIMARY,
            "fence": {"outcome": "confirmed", "proof": "the old primary is shut in"},
            "max_bytes": "1MiB", "interval": "100ms", "timeout": "60s", "settle": "3s",
            "wait": "30s",
        });
        with.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        self.at(REPLICA_REGION, &with)
    }

    /// `with` of a fence of the primary.
    pub(crate) fn fence(&self, keys: &Value) -> Value {
        let mut with = json!({
            "connection": "primary", "standby": "standby", "method": "rds", "instance": PRIMARY,
            "security_groups": ["sg-isolated"], "quiet": "1s", "wait": "5s", "timeout": "20s",
        });
        with.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        self.at(PRIMARY_REGION, &with)
    }
}

/// Runs a step kind as the driver does.
pub(crate) async fn run(kind: &str, with: &Value, ctx: &StepContext) -> Result<Value, StepError> {
    steps::REGISTRY.step(kind).unwrap().run(&Node::from_json(with), ctx).await
}

pub(crate) async fn observe(
    kind: &str,
    with: &Value,
    ctx: &StepContext,
) -> Result<Observation<Value>, StepError> {
    steps::REGISTRY.step(kind).unwrap().observe(&Node::from_json(with), ctx).await
}

/// Waits until it holds; beside a running step.
pub(crate) async fn until(mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_mins(2), "it never came about");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A session of an application.
pub(crate) struct Client(pub(crate) tokio_postgres::Client);

impl Client {
    pub(crate) async fn connect(url: &str) -> Result<Self, tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        Ok(Self(client))
    }

    pub(crate) async fn writes(&self) -> bool {
        self.0.batch_execute("INSERT INTO ledger (note) VALUES ('app')").await.is_ok()
    }
}
