//! A server with a sample database, a store, and contexts for steps.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::context::StepContext;
use engine::memory_host::MemoryHost;
use engine::registry::DynStep;
use engine::settings::{ConnectionSettings, StoreSettings};
use lab::cluster::{Cluster, ClusterOptions};
use model::node::{Entry, Node, NodeValue, Scalar, ScalarStyle};
use model::proof::Level;
use model::step_error::StepError;
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// What a test works on.
pub(crate) struct Bench {
    pub(crate) cluster: Cluster,
    pub(crate) host: Arc<MemoryHost>,
    pub(crate) folder: TempDir,
}

pub(crate) fn connection(name: &str, url: &str) -> ConnectionSettings {
    ConnectionSettings {
        name: name.to_owned(),
        url: Some(url.to_owned().into()),
        protected: name != "scratch",
        ..ConnectionSettings::default()
    }
}

impl Bench {
    /// A cluster with database `shop` made by `sql`.
    pub(crate) fn with(sql: &str) -> Self {
        Self::on(ClusterOptions::new(), sql)
    }

    pub(crate) fn on(options: ClusterOptions, sql: &str) -> Self {
        let cluster = options.start().unwrap();
        cluster.create_database("shop").unwrap();
        cluster.execute("shop", sql).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("scratch")).unwrap();
        let host = Self::host(&cluster, folder.path());
        Self { cluster, host, folder }
    }

    fn host(cluster: &Cluster, folder: &Path) -> Arc<MemoryHost> {
        let store = StoreSettings {
            name: "backups".to_owned(),
            url: format!("file://{}/store", folder.display()),
            min_proof: Level::Identical,
        };
        let now = "2026-11-20T02:00:00Z".parse().unwrap();
        let host = MemoryHost::new(now, folder.join("scratch"))
            .with_connection(connection("prod", &cluster.url("shop")))
            .with_connection(connection("scratch", &cluster.url("postgres")))
            .with_store(store);
        Arc::new(host)
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    pub(crate) fn context(&self, step: &str) -> StepContext {
        self.host.context(step, 1, CancellationToken::new())
    }

    /// Runs a step by its kind, as the driver does.
    pub(crate) async fn run(&self, kind: &str, with: Value) -> Result<Value, StepError> {
        let id = kind.replace('.', "_");
        run(kind, &with, &self.context(&id)).await
    }
}

pub(crate) async fn run(kind: &str, with: &Value, ctx: &StepContext) -> Result<Value, StepError> {
    step(kind).run(&node(with), ctx).await
}

pub(crate) fn step(kind: &str) -> &'static dyn DynStep {
    steps::REGISTRY.step(kind).unwrap()
}

/// A step's input as the driver hands it over.
pub(crate) fn node(value: &Value) -> Node {
    let scalar = |text: String, style| NodeValue::Scalar(Scalar { text, style });
    let value = match value {
        Value::Null => NodeValue::Null,
        Value::Bool(_) | Value::Number(_) => scalar(value.to_string(), ScalarStyle::Rendered),
        Value::String(text) => scalar(text.clone(), ScalarStyle::Quoted),
        Value::Array(items) => NodeValue::List(items.iter().map(node).collect()),
        Value::Object(map) => NodeValue::Map(
            map.iter()
                .map(|(key, value)| (key.clone(), Entry { key_span: 0..0, node: node(value) }))
                .collect(),
        ),
    };
    Node { value, span: 0..0 }
}
