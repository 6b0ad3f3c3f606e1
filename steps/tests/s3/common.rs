//! A server, what lies in it, and credentials.

use std::future::Future;
use std::sync::{Arc, LazyLock};

use engine::context::StepContext;
use engine::memory_host::MemoryHost;
use engine::step::Observation;
use lab::moto::{Answer, Moto};
use model::node::Node;
use model::step_error::StepError;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

pub(crate) static SERVER: LazyLock<Moto> = LazyLock::new(|| Moto::start().unwrap());

/// The environment of whoever asks AWS. Credentials come from nowhere else.
const KEYS: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "lab"),
    ("AWS_SECRET_ACCESS_KEY", "lab"),
    ("AWS_CONFIG_FILE", "/dev/null"),
];

/// Runs a test in a process of its own, whose environment has credentials.
pub(crate) fn with_keys(test: &str, body: impl Future<Output = ()>) {
    lab::alone::alone(test, &KEYS, body);
}

pub(crate) fn host() -> Arc<MemoryHost> {
    Arc::new(MemoryHost::new("2026-11-20T02:00:00Z".parse().unwrap(), std::env::temp_dir()))
}

/// A context for attempt `attempt` of the step `tested`.
pub(crate) fn attempt(host: &Arc<MemoryHost>, attempt: u32) -> StepContext {
    host.context("tested", attempt, CancellationToken::new())
}

/// `with` and where the server is.
pub(crate) fn there(with: Value) -> Node {
    at(&SERVER.url(), with)
}

/// `with` and where a server is.
pub(crate) fn at(url: &str, mut with: Value) -> Node {
    with["endpoint_url"] = json!(url);
    with["region"] = json!("us-east-1");
    Node::from_json(&with)
}

/// Runs a step kind as the driver does.
pub(crate) async fn run(kind: &str, with: Value, ctx: &StepContext) -> Result<Value, StepError> {
    let step = steps::REGISTRY.step(kind).expect("the kind is registered");
    step.run(&there(with), ctx).await
}

/// Looks for the completion mark of a step, as a resume does.
pub(crate) async fn observe(kind: &str, with: Value, ctx: &StepContext) -> Observation<Value> {
    let step = steps::REGISTRY.step(kind).expect("the kind is registered");
    step.observe(&there(with), ctx).await.unwrap()
}

/// Writes an object past every library.
pub(crate) fn put(path: &str, headers: &[&str], body: &str) {
    let answer = SERVER.request("PUT", path, headers, body).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
}

pub(crate) fn get(path: &str) -> Answer {
    SERVER.request("GET", path, &[], "").unwrap()
}

pub(crate) fn head(path: &str) -> String {
    let answer = SERVER.request("HEAD", path, &["x-amz-checksum-mode: ENABLED"], "").unwrap();
    format!("{} {}", answer.status, answer.head.to_lowercase())
}

/// The keys of a bucket.
pub(crate) fn keys(bucket: &str) -> Vec<String> {
    let listed = get(&format!("/{bucket}?list-type=2")).body;
    let parts = listed.split("<Key>").skip(1);
    parts.filter_map(|part| Some(part.split_once("</Key>")?.0.to_owned())).collect()
}

/// Whether the server keeps parts of uploads that did not end.
pub(crate) fn has_uploads(bucket: &str) -> bool {
    get(&format!("/{bucket}?uploads")).body.contains("<UploadId>")
}
