//! The home of time: the machine's clock, and one that only moves when it is waited for.
#![expect(clippy::disallowed_methods, reason = "this is the home of time")]

use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// Time as a run sees it.
pub trait Clock: Send + Sync {
    /// The wall clock.
    fn now(&self) -> Timestamp;
    /// Milliseconds since the machine started, suspended time included.
    fn mono_ms(&self) -> u64;
    /// Milliseconds since the machine started, suspended time left out.
    fn awake_ms(&self) -> u64 {
        self.mono_ms()
    }
    /// Ends when the clock has reached `at`.
    fn wait_until(&self, at: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealClock;

/// The longest single sleep, so that a clock that was set is noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);

impl Clock for RealClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn mono_ms(&self) -> u64 {
        millis(ClockId::Boottime)
    }

    fn awake_ms(&self) -> u64 {
        millis(ClockId::Monotonic)
    }

    fn wait_until(&self, at: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            while let Ok(rest @ 1..) = at.duration_since(self.now()).as_millis().try_into() {
                tokio::time::sleep(Duration::from_millis(rest).min(LONGEST_SLEEP)).await;
            }
        })
    }
}

fn millis(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    seconds * 1000 + u64::try_from(time.tv_nsec).unwrap_or_default() / 1_000_000
}

/// A clock that stands still and jumps to whatever is waited for: plans and tests run on it.
#[derive(Debug)]
pub struct LogicalClock(Mutex<Timestamp>);

impl LogicalClock {
    /// A clock that stands at `start`.
    pub fn new(start: Timestamp) -> Self {
        Self(Mutex::new(start))
    }
}

impl Clock for LogicalClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mono_ms(&self) -> u64 {
        u64::try_from(self.now().as_millisecond()).unwrap_or_default()
    }

    fn wait_until(&self, at: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now = at.max(*now);
        Box::pin(std::future::ready(()))
    }
}

/// Ends after `duration` of the machine's time: limits of attempts, polling.
pub async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}
