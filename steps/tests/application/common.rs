//! What the tests of this binary share.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::context::StepContext;
use engine::memory_host::MemoryHost;
use engine::settings::ConnectionSettings;
use engine::step::Observation;
use lab::cluster::{Cluster, ClusterOptions};
use model::node::Node;
use model::step_error::StepError;
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// A server with the database `lms`, and a folder.
pub(crate) struct Lab {
    pub(crate) cluster: Cluster,
    pub(crate) host: Arc<MemoryHost>,
    folder: TempDir,
}

/// A host whose connection `lms` leads to `url`.
pub(crate) fn host(url: &str, protected: bool) -> Arc<MemoryHost> {
    let connection = ConnectionSettings {
        name: "lms".to_owned(),
        url: Some(url.into()),
        protected,
        ..ConnectionSettings::default()
    };
    let now = "2026-11-20T03:00:00Z".parse().unwrap();
    Arc::new(MemoryHost::new(now, std::env::temp_dir()).with_connection(connection))
}

/// A context for an attempt of the step `tested`.
pub(crate) fn attempt(host: &Arc<MemoryHost>, number: u32) -> StepContext {
    host.context("tested", number, CancellationToken::new())
}

/// Runs a step kind as the driver does.
pub(crate) async fn run(kind: &str, with: &Value, ctx: &StepContext) -> Result<Value, StepError> {
    steps::REGISTRY.step(kind).unwrap().run(&Node::from_json(with), ctx).await
}

/// Looks for what an attempt did; what is in progress is waited for.
pub(crate) async fn observe(kind: &str, with: &Value, ctx: &StepContext) -> Observation<Value> {
    let step = steps::REGISTRY.step(kind).unwrap();
    loop {
        let seen = step.observe(&Node::from_json(with), ctx).await.unwrap();
        if seen != Observation::InProgress {
            return seen;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

/// Why an input is refused before the run.
pub(crate) fn refusal(kind: &str, with: &Value) -> String {
    let step = steps::REGISTRY.step(kind).unwrap();
    format!("{:?}", step.check(&Node::from_json(with)).unwrap_err())
}

impl Lab {
    /// A server whose database `lms` holds `sql`; the connection `lms` is `protected` or not.
    pub(crate) fn with(sql: &str, protected: bool) -> Self {
        let cluster = Cluster::start(&ClusterOptions::new()).unwrap();
        cluster.create_database("lms").unwrap();
        cluster.execute("lms", sql).unwrap();
        let host = host(&cluster.url("lms"), protected);
        Self { cluster, host, folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn attempt(&self, number: u32) -> StepContext {
        attempt(&self.host, number)
    }

    pub(crate) fn one(&self, sql: &str) -> String {
        self.cluster.query_one("lms", sql).unwrap()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file.
    pub(crate) fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// The address of `lms` by another port.
    pub(crate) fn url_by(&self, port: u16) -> String {
        let (server, port) = (self.cluster.port().to_string(), port.to_string());
        self.cluster.url("lms").replace(&server, &port)
    }
}
