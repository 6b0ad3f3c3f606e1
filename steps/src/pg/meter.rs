//! Progress in bytes that many tasks share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use engine::context::{Progress, StepContext};

/// Bytes between two reports.
const STRIDE: u64 = 4 << 20;

/// Counts bytes and reports them now and then. Clones count together.
#[derive(Clone)]
pub(super) struct Meter {
    ctx: StepContext,
    done: Arc<AtomicU64>,
    total: Option<u64>,
}

impl Meter {
    /// A meter at zero; `total` is what is expected, as far as known.
    pub(super) fn new(ctx: &StepContext, total: Option<u64>) -> Self {
        Self { ctx: ctx.clone(), done: Arc::default(), total }
    }

    /// Counts bytes of what is done now, in words.
    pub(super) fn add(&self, activity: &str, bytes: u64) {
        let before = self.done.fetch_add(bytes, Ordering::Relaxed);
        let after = before + bytes;
        if before / STRIDE != after / STRIDE {
            let total = self.total.map(|total| total.max(after));
            self.ctx.progress(Progress {
                activity: activity.to_owned(),
                done: after,
                total,
                bytes: true,
            });
        }
    }

    /// Says what is done now.
    pub(super) fn activity(&self, activity: &str) {
        let done = self.done.load(Ordering::Relaxed);
        let total = self.total.map(|total| total.max(done));
        self.ctx.progress(Progress { activity: activity.to_owned(), done, total, bytes: true });
    }
}
