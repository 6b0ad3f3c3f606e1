//! A primary with an application's table and role, its standby, and hosts that lead to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use engine::context::StepContext;
use engine::memory_host::MemoryHost;
use engine::settings::ConnectionSettings;
use engine::step::Observation;
use lab::cluster::{Cluster, ClusterOptions};
use model::node::Node;
use model::step_error::StepError;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

const SAMPLE: &str = "CREATE ROLE app LOGIN PASSWORD 'app'; CREATE DATABASE lms OWNER app";

/// A connection by its URL.
pub(crate) fn connection(name: &str, url: &str) -> ConnectionSettings {
    let (name, url) = (name.to_owned(), Some(url.into()));
    ConnectionSettings { name, url, ..ConnectionSettings::default() }
}

/// The URL of the application's role.
pub(crate) fn app_url(cluster: &Cluster) -> String {
    format!("postgresql://app:app@127.0.0.1:{}/lms", cluster.port())
}

/// A host with the connections `primary` (a superuser), `application`, and those of `more`.
pub(crate) fn host(primary: &Cluster, more: &[(&str, &str)]) -> Arc<MemoryHost> {
    let now = "2026-11-20T02:00:00Z".parse().unwrap();
    let host = MemoryHost::new(now, std::env::temp_dir())
        .with_connection(connection("primary", &primary.url("lms")))
        .with_connection(connection("application", &app_url(primary)));
    let more = more.iter().map(|(name, url)| connection(name, url));
    Arc::new(more.fold(host, MemoryHost::with_connection))
}

/// A primary with the database `lms`, its role `app`, and the table `ledger`.
pub(crate) fn primary() -> Cluster {
    let primary = Cluster::start(&ClusterOptions::new().setting("max_prepared_transactions", "5"));
    let primary = primary.unwrap();
    for statement in SAMPLE.split("; ") {
        primary.execute("postgres", statement).unwrap();
    }
    let table = "SET ROLE app; CREATE TABLE ledger (n bigserial PRIMARY KEY, note text)";
    primary.execute("lms", "GRANT CREATE ON SCHEMA public TO app").unwrap();
    primary.execute("lms", table).unwrap();
    primary
}

/// A context for attempt `attempt` of the step `tested`.
pub(crate) fn attempt(host: &Arc<MemoryHost>, attempt: u32) -> StepContext {
    host.context("tested", attempt, CancellationToken::new())
}

/// Runs a step kind as the driver does.
pub(crate) async fn run(kind: &str, with: Value, ctx: &StepContext) -> Result<Value, StepError> {
    let step = steps::REGISTRY.step(kind).expect("the kind is registered");
    step.run(&Node::from_json(&with), ctx).await
}

/// Looks for the completion mark of a step, as a resume does.
pub(crate) async fn observe(kind: &str, with: Value, ctx: &StepContext) -> Observation<Value> {
    let step = steps::REGISTRY.step(kind).expect("the kind is registered");
    step.observe(&Node::from_json(&with), ctx).await.unwrap()
}

/// One statement as the application's role.
pub(crate) async fn as_app(cluster: &Cluster, sql: &str) -> Result<(), String> {
    let (client, connection) = tokio_postgres::connect(&app_url(cluster), tokio_postgres::NoTls)
        .await
        .map_err(|error| told(&error))?;
    let pump = tokio::spawn(connection);
    let done = client.batch_execute(sql).await.map_err(|error| told(&error));
    drop(client);
    pump.await.ok();
    done
}

fn told(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |said| said.message().to_owned())
}

/// A session of the application that holds a transaction open.
pub(crate) struct Open {
    pub(crate) client: tokio_postgres::Client,
}

impl Open {
    pub(crate) async fn with(cluster: &Cluster, sql: &str) -> Self {
        let url = format!("{}?application_name=shop", app_url(cluster));
        let (client, connection) =
            tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute(sql).await.unwrap();
        Self { client }
    }

    pub(crate) async fn lives(&self) -> bool {
        self.client.simple_query("SELECT 1").await.is_ok()
    }
}

/// The application, which writes row after row over new connections, all the time.
pub(crate) struct Writer {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(crate) fn start(cluster: &Cluster) -> Self {
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (told, count, url) = (Arc::clone(&stop), Arc::clone(&written), app_url(cluster));
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            while !told.load(Ordering::Relaxed) {
                let wrote = runtime.block_on(async {
                    let connected = tokio_postgres::connect(&url, tokio_postgres::NoTls).await;
                    let Ok((client, connection)) = connected else { return false };
                    let pump = tokio::spawn(connection);
                    let insert = "INSERT INTO ledger (note) VALUES ('written')";
                    let done = client.batch_execute(insert).await.is_ok();
                    drop(client);
                    pump.await.ok();
                    done
                });
                if wrote {
                    count.fetch_add(1, Ordering::Relaxed);
                }
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        });
        Self { stop, written, thread: Some(thread) }
    }

    /// Rows whose commit was acknowledged.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Waits until it has written more.
    pub(crate) fn wait(&self) {
        let before = self.written();
        while self.written() < before + 5 {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    pub(crate) fn stop(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        self.written()
    }
}
