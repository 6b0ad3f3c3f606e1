//! A shop whose orders go wrong, a set from before, and contexts for steps.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::context::StepContext;
use engine::memory_host::MemoryHost;
use engine::settings::{ConnectionSettings, S3Settings, StoreSettings};
use engine::step::Observation;
use lab::cluster::{Cluster, ClusterOptions};
use model::node::Node;
use model::proof::Level;
use model::step_error::StepError;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// The name of every run of these tests.
pub(crate) const RUN: &str = "00000000000000000000000000";

/// The orders with what hangs on them.
pub(crate) const SHOP: &str = include_str!("shop.sql");

/// Three rows lost, two changed, two new.
pub(crate) const ACCIDENT: &str = r#"
    DELETE FROM app."Orders" WHERE id IN (38, 39, 40);
    UPDATE app."Orders" SET amount = 0, note = 'oops' WHERE id IN (7, 8);
    INSERT INTO app."Orders" (customer, amount, place) VALUES (2, 100, 100), (3, 101, 101);
    REFRESH MATERIALIZED VIEW app.totals; REFRESH MATERIALIZED VIEW app.best;
    TRUNCATE app.fired"#;

/// What a test works on.
pub(crate) struct Bench {
    pub(crate) cluster: Cluster,
    pub(crate) host: Arc<MemoryHost>,
    pub(crate) folder: TempDir,
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
        let host = Arc::new(host(&cluster.url("shop"), &cluster, folder.path()));
        Self { cluster, host, folder }
    }

    /// A host of its own: it has no facts, and reaches the database by `url`.
    pub(crate) fn host_at(&self, url: &str) -> Arc<MemoryHost> {
        Arc::new(host(url, &self.cluster, self.folder.path()))
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    pub(crate) async fn dump(&self, step: &str, more: Value) -> String {
        let mut with = json!({"connection": "prod", "store": "backups", "jobs": 2});
        add(&mut with, more);
        let output = run("pg.dump", &with, &context(&self.host, step)).await.unwrap();
        output["set"].as_str().unwrap().to_owned()
    }

    /// Restores `app.Orders` from a set.
    pub(crate) async fn restore(
        &self,
        set: &str,
        mode: &str,
        keys: Value,
    ) -> Result<Value, StepError> {
        run("pg.restore_table", &orders(set, mode, keys), &context(&self.host, mode)).await
    }

    /// Brings the former rows of `app.Orders` back.
    pub(crate) async fn swap_back(&self, more: Value) -> Result<Value, StepError> {
        let mut with = json!({"connection": "prod", "table": "app.Orders", "run": RUN});
        add(&mut with, more);
        run("pg.swap_back", &with, &context(&self.host, "back")).await
    }

    pub(crate) fn sql(&self, sql: &str) {
        self.cluster.execute("shop", sql).unwrap();
    }

    pub(crate) fn ask(&self, sql: &str) -> Vec<String> {
        self.cluster.query("shop", sql).unwrap()
    }

    /// The rows of a table as `COPY` writes them, sorted.
    pub(crate) fn rows(&self, table: &str) -> Vec<String> {
        self.ask(&format!("SELECT t::text FROM ONLY {table} t ORDER BY 1"))
    }

    pub(crate) fn orders(&self) -> Vec<String> {
        self.rows(r#"app."Orders""#)
    }

    /// The only object that holds the rows of a table of a set.
    pub(crate) fn object(&self, set: &str, table: &str) -> PathBuf {
        let folder = self.store().join("sets/shop").join(set);
        let manifest = std::fs::read(folder.join("manifest.json")).unwrap();
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        let tables = manifest["contents"]["tables"].as_array().unwrap();
        let table = tables.iter().find(|it| it["name"] == table).unwrap();
        folder.join(table["parts"][0]["file"].as_str().unwrap())
    }

    /// Staging schemas and tables of former rows.
    pub(crate) fn left(&self) -> Vec<String> {
        self.ask(
            "SELECT nspname FROM pg_namespace WHERE nspname ~ '^rb_' UNION ALL
             SELECT relname FROM pg_class WHERE relname ~ '__rb_|^rb_' AND relkind = 'r' ORDER BY 1",
        )
    }

    /// What `pg_dump` prints of the definitions, without the tables of former rows.
    pub(crate) fn definitions(&self) -> String {
        let mut dump = self.cluster.command("pg_dump");
        dump.args(["--schema-only", "--exclude-table=*.*__rb_*", "--dbname=shop"]);
        let output = dump.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let settled = text.lines().filter(|line| !line.contains("restrict "));
        settled.collect::<Vec<_>>().join("\n")
    }
}

fn host(url: &str, cluster: &Cluster, folder: &Path) -> MemoryHost {
    let connection = |name: &str, url: String| ConnectionSettings {
        name: name.to_owned(),
        url: Some(url.into()),
        protected: name != "scratch",
        ..ConnectionSettings::default()
    };
    let store = StoreSettings {
        name: "backups".to_owned(),
        url: format!("file://{}/store", folder.display()),
        min_proof: Level::Identical,
        encrypt: None,
        s3: S3Settings::default(),
    };
    let now = "2026-11-20T02:00:00Z".parse().unwrap();
    MemoryHost::new(now, folder.join("scratch"))
        .with_connection(connection("prod", url.to_owned()))
        .with_connection(connection("scratch", cluster.url("postgres")))
        .with_store(store)
}

/// `with` of a restore of `app.Orders`.
pub(crate) fn orders(set: &str, mode: &str, keys: Value) -> Value {
    let mut with = json!({"connection": "prod", "store": "backups", "backup": set,
        "table": "app.Orders", "mode": mode, "jobs": 2});
    add(&mut with, keys);
    with
}

/// Adds keys; one that is null is taken away.
pub(crate) fn add(with: &mut Value, more: Value) {
    let Value::Object(more) = more else { return };
    for (key, value) in more {
        if value.is_null() {
            with.as_object_mut().unwrap().remove(&key);
        } else {
            with[key] = value;
        }
    }
}

pub(crate) fn context(host: &Arc<MemoryHost>, step: &str) -> StepContext {
    host.context(step, 1, CancellationToken::new())
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
