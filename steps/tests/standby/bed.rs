//! A primary, its standby, and a host that knows both.

use std::sync::Arc;

use engine::context::StepContext;
use engine::memory_host::MemoryHost;
use engine::settings::ConnectionSettings;
use engine::step::Observation;
use lab::cluster::{Cluster, ClusterOptions};
use model::node::Node;
use model::step_error::StepError;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// The moment at which the host's clock stands.
const NOW: &str = "2026-11-20T03:00:00Z";

pub(crate) fn connection(name: &str, url: String) -> ConnectionSettings {
    ConnectionSettings {
        name: name.to_owned(),
        url: Some(url.into()),
        ..ConnectionSettings::default()
    }
}

pub(crate) struct Pair {
    pub(crate) primary: Cluster,
    pub(crate) standby: Cluster,
    pub(crate) host: Arc<MemoryHost>,
    pub(crate) scratch: TempDir,
}

impl Pair {
    pub(crate) fn new() -> Self {
        Self::with(&ClusterOptions::new())
    }

    pub(crate) fn with(options: &ClusterOptions) -> Self {
        let primary = Cluster::start(&options.clone().setting("autovacuum", "off")).unwrap();
        primary.execute("postgres", "CREATE TABLE ledger (n int)").unwrap();
        let standby = primary.standby("west").unwrap();
        let scratch = tempfile::tempdir().unwrap();
        let host = MemoryHost::new(NOW.parse().unwrap(), scratch.path().to_owned())
            .with_connection(connection("prod", primary.url("postgres")))
            .with_connection(connection("standby", standby.url("postgres")));
        Self { primary, standby, host: Arc::new(host), scratch }
    }

    /// Another host that reaches the standby by `port`.
    pub(crate) fn through(&mut self, port: u16) {
        let url = self.standby.url("postgres");
        let url = url.replace(&format!(":{}/", self.standby.port()), &format!(":{port}/"));
        let host = MemoryHost::new(NOW.parse().unwrap(), self.scratch.path().to_owned())
            .with_connection(connection("standby", url));
        self.host = Arc::new(host);
    }

    pub(crate) fn ctx(&self, attempt: u32) -> StepContext {
        self.host.context("tested", attempt, CancellationToken::new())
    }

    pub(crate) fn write(&self) {
        let sql = "INSERT INTO ledger SELECT generate_series(1, 1000)";
        self.primary.execute("postgres", sql).unwrap();
    }

    pub(crate) fn written(&self) -> String {
        self.primary.query_one("postgres", "SELECT pg_current_wal_insert_lsn()").unwrap()
    }

    /// Bytes from the position `from` to `to`, by the server's own arithmetic.
    pub(crate) fn bytes(&self, from: &str, to: &str) -> u64 {
        let sql = format!("SELECT pg_wal_lsn_diff('{to}', '{from}')");
        self.standby.query_one("postgres", &sql).unwrap().parse().unwrap()
    }

    /// The standby hears nothing of its primary any more.
    pub(crate) fn disconnect(&self) {
        let sql = "ALTER SYSTEM SET primary_conninfo = ''; SELECT pg_reload_conf()";
        self.standby.execute("postgres", sql).unwrap();
        wait_until(|| {
            let sql = "SELECT count(*) FROM pg_stat_wal_receiver";
            self.standby.query_one("postgres", sql).unwrap() == "0"
        });
    }

    /// How often the standby's own log says that it was told to promote, and the timelines it
    /// chose.
    pub(crate) fn promotions(&self) -> (usize, Vec<String>) {
        let log = std::fs::read_to_string(self.standby.log()).unwrap();
        let told = log.lines().filter(|line| line.contains("received promote request")).count();
        let chosen = log.lines().filter_map(|line| line.split_once("selected new timeline ID: "));
        (told, chosen.map(|(_, id)| id.to_owned()).collect())
    }

    pub(crate) fn is_standby(&self) -> bool {
        self.standby.query_one("postgres", "SELECT pg_is_in_recovery()").unwrap() == "t"
    }
}

/// Keys added to `with`.
pub(crate) fn with(mut with: Value, keys: &Value) -> Value {
    with.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    with
}

pub(crate) fn promotion(keys: &Value) -> Value {
    let fence = json!({"outcome": "confirmed", "proof": "the old primary is stopped"});
    with(json!({"connection": "standby", "fence": fence}), keys)
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

pub(crate) fn wait_until(mut holds: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !holds() {
        assert!(begun.elapsed() < std::time::Duration::from_mins(1), "it never came about");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
