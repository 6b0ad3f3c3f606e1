//! What the tests of several step families share.

use std::path::Path;
use std::sync::Arc;

use engine::context::StepContext;
use engine::memory_host::MemoryHost;
use engine::settings::{S3Settings, StoreSettings};
use model::node::Node;
use model::proof::Level;
use model::step_error::StepError;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// The moment at which the hosts' clocks stand.
pub(crate) const NOW: &str = "2026-11-20T03:00:00Z";

/// A host with the store `backups` in `folder`.
pub(crate) fn host_with_store(folder: &Path) -> Arc<MemoryHost> {
    let store = StoreSettings {
        name: "backups".to_owned(),
        url: format!("file://{}", folder.display()),
        min_proof: Level::Identical,
        encrypt: None,
        s3: S3Settings::default(),
    };
    let now = NOW.parse().expect("the moment is well-formed");
    Arc::new(MemoryHost::new(now, folder.to_owned()).with_store(store))
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
