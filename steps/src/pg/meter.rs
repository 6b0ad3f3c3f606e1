//! Progress in bytes that many tasks share.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use engine::context::{Progress, StepContext};
use engine::files;
use futures_util::pin_mut;
use model::step_error::StepError;

/// Bytes between two reports.
const STRIDE: u64 = 4 << 20;

/// Between two signs of life of something that counts no bytes.
const TICK: Duration = Duration::from_secs(20);

/// Between two looks at files that grow.
const LOOK: Duration = Duration::from_secs(2);

/// The files in a folder, not those in folders below.
fn size_of_files(folder: &Path) -> u64 {
    let names = files::list(folder).unwrap_or_default();
    names.iter().filter_map(|name| files::facts(&folder.join(name)).ok()).map(|it| it.len()).sum()
}

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

    /// Says every now and then that something without bytes of its own is still being done: an
    /// index that is built for an hour is no stall.
    pub(super) async fn while_running<T>(
        &self,
        activity: &str,
        work: impl Future<Output = Result<T, StepError>>,
    ) -> Result<T, StepError> {
        pin_mut!(work);
        loop {
            self.activity(activity);
            tokio::select! {
                done = &mut work => return done,
                slept = self.ctx.sleep(TICK) => slept?,
            }
        }
    }

    /// Counts the bytes of the files in a folder while something writes them.
    pub(super) async fn while_growing<T>(
        &self,
        activity: &str,
        folder: &Path,
        work: impl Future<Output = Result<T, StepError>>,
    ) -> Result<T, StepError> {
        pin_mut!(work);
        let mut counted = 0;
        loop {
            tokio::select! {
                done = &mut work => return done,
                slept = self.ctx.sleep(LOOK) => slept?,
            }
            let bytes = size_of_files(folder);
            self.add(activity, bytes.saturating_sub(counted));
            self.activity(activity);
            counted = counted.max(bytes);
        }
    }

    /// Says what is done now.
    pub(super) fn activity(&self, activity: &str) {
        let done = self.done.load(Ordering::Relaxed);
        let total = self.total.map(|total| total.max(done));
        self.ctx.progress(Progress { activity: activity.to_owned(), done, total, bytes: true });
    }
}
