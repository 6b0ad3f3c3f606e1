//! A server that archives into a folder of its own, a store, and what runs steps on both.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::context::StepContext;
use engine::memory_host::MemoryHost;
use engine::settings::{ConnectionSettings, S3Settings, StoreSettings};
use jiff::Timestamp;
use lab::cluster::{Cluster, ClusterOptions};
use model::node::Node;
use model::proof::Level;
use model::step_error::StepError;
use serde_json::Value;
use steps::pg::archive::{self, Pushed};
use steps::store::{self, Store};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// A server that archives, with the store that its archive goes to.
pub(crate) struct Ground {
    pub(crate) cluster: Cluster,
    pub(crate) folder: TempDir,
    pub(crate) store: Arc<dyn Store>,
}

impl Ground {
    pub(crate) fn new() -> Self {
        let options = ClusterOptions::new().setting("archive_mode", "on");
        let cluster = Cluster::start(&options).unwrap();
        let spool = cluster.host_dir().join("spool");
        let spool = spool.display();
        let command =
            format!("mkdir -p {spool} && cp \"%p\" {spool}/%f.new && mv {spool}/%f.new {spool}/%f");
        cluster.archive_with(&command).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("scratch")).unwrap();
        let store = store::open(&settings(folder.path())).unwrap();
        Self { cluster, folder, store }
    }

    /// The files that the server has archived, in order.
    pub(crate) fn spooled(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.cluster.host_dir().join("spool")).unwrap();
        let whole = |path: &PathBuf| path.extension().is_none_or(|it| it != "new");
        let mut files: Vec<PathBuf> =
            entries.map(|entry| entry.unwrap().path()).filter(whole).collect();
        files.sort();
        files
    }

    pub(crate) fn identifier(&self) -> u64 {
        let sql = "SELECT system_identifier FROM pg_control_system()";
        self.cluster.query_one("postgres", sql).unwrap().parse().unwrap()
    }

    /// Pushes everything that the server has archived, as `runbook archive push` does.
    pub(crate) async fn push_all(&self) -> Vec<Pushed> {
        let mut pushed = Vec::new();
        for file in self.spooled() {
            let of = Some(self.identifier());
            pushed.push(archive::push(self.store.as_ref(), of, &file).await.unwrap());
        }
        pushed
    }

    /// The object of an archived file.
    pub(crate) fn object(&self, name: &str) -> PathBuf {
        let timeline = &name[..8];
        let of = self.identifier();
        self.folder.path().join(format!("store/wal/{of}/{timeline}/{name}.zst"))
    }

    pub(crate) fn host(&self) -> Arc<MemoryHost> {
        let connection = ConnectionSettings {
            name: "prod".to_owned(),
            url: Some(self.cluster.url("postgres").into()),
            ..ConnectionSettings::default()
        };
        let scratch = self.folder.path().join("scratch");
        let host = MemoryHost::new(now(), scratch).with_connection(connection);
        Arc::new(host.with_store(settings(self.folder.path())))
    }

    pub(crate) async fn run(&self, kind: &str, with: Value) -> Result<Value, StepError> {
        run(kind, with, &attempt(&self.host(), 1)).await
    }
}

/// The time now, to the second.
pub(crate) fn now() -> Timestamp {
    let output = std::process::Command::new("date").args(["-u", "+%FT%TZ"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

fn settings(folder: &Path) -> StoreSettings {
    StoreSettings {
        name: "backups".to_owned(),
        url: format!("file://{}/store", folder.display()),
        min_proof: Level::Identical,
        encrypt: None,
        s3: S3Settings::default(),
    }
}

pub(crate) fn attempt(host: &Arc<MemoryHost>, attempt: u32) -> StepContext {
    host.context("tested", attempt, CancellationToken::new())
}

pub(crate) async fn run(kind: &str, with: Value, ctx: &StepContext) -> Result<Value, StepError> {
    let step = steps::REGISTRY.step(kind).expect("the kind is registered");
    step.run(&Node::from_json(&with), ctx).await
}

/// Every file below a folder, by its path in it.
pub(crate) fn files(folder: &Path) -> Vec<String> {
    fn walk(root: &Path, folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, found);
            } else {
                found.push(path.strip_prefix(root).unwrap().display().to_string());
            }
        }
    }
    let mut found = Vec::new();
    walk(folder, folder, &mut found);
    found.sort();
    found
}

/// Changes one byte of a file.
pub(crate) fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0x40;
    std::fs::write(path, bytes).unwrap();
}
