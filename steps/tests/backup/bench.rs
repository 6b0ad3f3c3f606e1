//! A server with a sample database, a store, and contexts for steps.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::context::StepContext;
use engine::memory_host::MemoryHost;
use engine::registry::DynStep;
use engine::settings::{ConnectionSettings, S3Settings, StoreKeys, StoreSettings};
use lab::cluster::{Cluster, ClusterOptions};
use model::node::Node;
use model::plan::Encrypt;
use model::proof::Level;
use model::step_error::StepError;
use serde_json::{Value, json};
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

fn host(folder: &Path) -> MemoryHost {
    let now = "2026-11-20T02:00:00Z".parse().unwrap();
    MemoryHost::new(now, folder.join("scratch"))
}

impl Bench {
    /// A cluster with database `shop` made by `sql`.
    pub(crate) fn with(sql: &str) -> Self {
        Self::on(&ClusterOptions::new(), sql)
    }

    pub(crate) fn on(options: &ClusterOptions, sql: &str) -> Self {
        let cluster = options.start().unwrap();
        cluster.create_database("shop").unwrap();
        cluster.execute("shop", sql).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("scratch")).unwrap();
        let host = Arc::new(Self::new_host(&cluster, folder.path(), None));
        Self { cluster, host, folder }
    }

    /// The store encrypts from now on, and has these keys.
    pub(crate) fn seal(&mut self, encrypt: Option<Encrypt>, keys: Option<StoreKeys>) {
        let host = Self::new_host(&self.cluster, self.folder.path(), encrypt);
        self.host = Arc::new(match keys {
            Some(keys) => host.with_store_keys("backups", keys),
            None => host,
        });
    }

    fn new_host(cluster: &Cluster, folder: &Path, encrypt: Option<Encrypt>) -> MemoryHost {
        let store = StoreSettings {
            name: "backups".to_owned(),
            url: format!("file://{}/store", folder.display()),
            min_proof: Level::Identical,
            encrypt,
            s3: S3Settings::default(),
        };
        host(folder)
            .with_connection(connection("prod", &cluster.url("shop")))
            .with_connection(connection("scratch", &cluster.url("postgres")))
            .with_store(store)
    }

    /// A context that knows only this connection.
    pub(crate) fn context_with(&self, settings: ConnectionSettings) -> StepContext {
        let host = Arc::new(host(self.folder.path()).with_connection(settings));
        host.context("tested", 1, CancellationToken::new())
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    pub(crate) fn context(&self, step: &str) -> StepContext {
        self.host.context(step, 1, CancellationToken::new())
    }

    /// Dumps `shop` as step `step`; gives the id of the set.
    pub(crate) async fn dump(&self, step: &str) -> String {
        let with = json!({"connection": "prod", "store": "backups", "jobs": 2});
        let output = run("pg.dump", &with, &self.context(step)).await.unwrap();
        output["set"].as_str().unwrap().to_owned()
    }

    /// Verifies a set of `shop` as a step of its own.
    pub(crate) async fn verify(&self, set: &str, level: &str) -> Result<Value, StepError> {
        self.clear_proofs(set);
        let with = json!({"store": "backups", "database": "shop", "scratch": "scratch",
            "backup": set, "level": level, "jobs": 2});
        run("pg.verify_backup", &with, &self.context("verify")).await
    }

    /// The newest proof of a set.
    pub(crate) fn proof(&self, set: &str) -> Value {
        let proofs = std::fs::read_dir(self.set(set).join("proofs")).unwrap();
        let newest = proofs.map(|entry| entry.unwrap().path()).max().unwrap();
        serde_json::from_slice(&std::fs::read(newest).unwrap()).unwrap()
    }

    /// The hosts' clocks stand still, so that two proofs of one run would have one name.
    fn clear_proofs(&self, set: &str) {
        let proofs = self.set(set).join("proofs");
        if proofs.exists() {
            std::fs::remove_dir_all(proofs).unwrap();
        }
    }

    /// The folder of a set of `shop`.
    pub(crate) fn set(&self, set: &str) -> PathBuf {
        self.store().join("sets/shop").join(set)
    }

    /// The objects of a set, by path in it, in order; not the manifest, not the proofs.
    pub(crate) fn objects(&self, set: &str) -> Vec<String> {
        let manifest: Value =
            serde_json::from_slice(&std::fs::read(self.set(set).join("manifest.json")).unwrap())
                .unwrap();
        let files = manifest["files"].as_array().unwrap();
        files.iter().map(|file| file["path"].as_str().unwrap().to_owned()).collect()
    }

    /// Databases on the server besides those that every server and this bench has.
    pub(crate) fn other_databases(&self) -> Vec<String> {
        let sql = "SELECT datname FROM pg_database
            WHERE datname NOT IN ('postgres', 'template0', 'template1', 'shop') ORDER BY 1";
        self.cluster.query("postgres", sql).unwrap()
    }

    /// Runs a step by its kind, as the driver does.
    pub(crate) async fn run(&self, kind: &str, with: Value) -> Result<Value, StepError> {
        let id = kind.replace('.', "_");
        run(kind, &with, &self.context(&id)).await
    }
}

pub(crate) async fn run(kind: &str, with: &Value, ctx: &StepContext) -> Result<Value, StepError> {
    step(kind).run(&Node::from_json(with), ctx).await
}

pub(crate) fn step(kind: &str) -> &'static dyn DynStep {
    steps::REGISTRY.step(kind).unwrap()
}
