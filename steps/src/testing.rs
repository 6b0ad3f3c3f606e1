//! Contexts for the unit tests of steps.

use std::sync::Arc;

use engine::context::StepContext;
use engine::memory_host::MemoryHost;
use tokio_util::sync::CancellationToken;

/// A host whose clock stands at 2026-11-20T02:00:00Z.
pub(crate) fn host() -> Arc<MemoryHost> {
    let now = "2026-11-20T02:00:00Z".parse().expect("the moment is well-formed");
    Arc::new(MemoryHost::new(now, std::path::PathBuf::from("/nonexistent")))
}

/// A context for one attempt of the step `tested`.
pub(crate) fn context_of(host: &Arc<MemoryHost>, attempt: u32) -> StepContext {
    host.context("tested", attempt, CancellationToken::new())
}

/// A context over a host of its own.
pub(crate) fn context() -> StepContext {
    context_of(&host(), 1)
}
