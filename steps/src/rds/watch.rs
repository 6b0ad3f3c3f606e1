//! Looking at an instance until it is as it should be.

use std::time::Duration;

use engine::clock::{Clock, RealClock};
use engine::context::{Progress, StepContext};
use model::step_error::{ErrorClass, StepError};
use model::units::Span;

use super::instance::{Instance, missing};
use crate::aws::rds::Rds;

/// How long to look, and how often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) interval: Duration,
    pub(crate) limit: Duration,
}

impl Pace {
    pub(crate) fn new(interval: Span, limit: Span) -> Self {
        // A look that follows at once on the last one would only be throttled.
        let interval = interval.duration().max(Duration::from_millis(50));
        Self { interval, limit: limit.duration() }
    }
}

/// Shows that the step lives and what it waits for.
pub(crate) fn show(ctx: &StepContext, activity: impl Into<String>) {
    ctx.progress(Progress { activity: activity.into(), ..Progress::default() });
}

/// Between looks: shows how it is, and knows when the time is over.
pub(crate) struct Watch<'a> {
    ctx: &'a StepContext,
    pace: Pace,
    begun: u64,
    /// How it was at last.
    pub(crate) last: String,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(ctx: &'a StepContext, pace: Pace) -> Self {
        Self { ctx, pace, begun: RealClock.mono_ms(), last: String::new() }
    }

    /// Waits until the next look is due; false when the time is over. A look that failed for now
    /// is made again.
    pub(crate) async fn again(
        &mut self,
        seen: Result<String, StepError>,
    ) -> Result<bool, StepError> {
        let how = match seen {
            Ok(how) => how,
            Err(error) if error.class == ErrorClass::Transient => error.message,
            Err(error) => return Err(error),
        };
        if how != self.last {
            self.ctx.log(&how);
        }
        show(self.ctx, &how);
        self.last = how;
        let passed = Duration::from_millis(RealClock.mono_ms().saturating_sub(self.begun));
        if passed >= self.pace.limit {
            return Ok(false);
        }
        self.ctx.sleep(self.pace.interval.min(self.pace.limit.saturating_sub(passed))).await?;
        Ok(true)
    }
}

/// An instance that is there, and of no cluster.
pub(crate) async fn single(rds: &Rds, name: &str) -> Result<Instance, StepError> {
    let found = rds.instance(name).await?;
    let found = found.ok_or_else(|| missing("DB instance", name, rds.region()))?;
    found.check_single()?;
    Ok(found)
}

/// Waits until an instance takes changes.
pub(crate) async fn available(
    ctx: &StepContext,
    rds: &Rds,
    name: &str,
    pace: Pace,
) -> Result<Instance, StepError> {
    let mut watch = Watch::new(ctx, pace);
    loop {
        let found = single(rds, name).await;
        let seen = match &found {
            Ok(found) if found.is_available() => return Ok(found.clone()),
            Ok(found) if found.is_stuck() => {
                return Err(busy(found, "and does not leave it by itself"));
            }
            Ok(found) => Ok(format!("`{name}` is {}: wait until it is available", found.status)),
            Err(error) => Err(error.clone()),
        };
        if !watch.again(seen).await? {
            return Err(busy(&found?, &format!("after {}", Span::from(pace.limit))));
        }
    }
}

/// It cannot be changed now; in words, since when or why.
pub(crate) fn busy(found: &Instance, how: &str) -> StepError {
    let Instance { instance, region, status, .. } = found;
    let message = format!("`{instance}` in {region} is in the status `{status}`, {how}");
    StepError::permanent("RB0673", message)
        .hint("nothing was asked of it; let that come to its end (a backup may take long), or raise `wait`")
}
