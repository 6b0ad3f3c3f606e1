//! How fast a step goes, and when it will be done, from what it said of its progress.

use std::collections::VecDeque;
use std::time::Duration;

use engine::context::Progress;
use jiff::Timestamp;

use crate::show::amount::{size, whole};

/// The rate is that of the last so many milliseconds.
const WINDOW_MS: i128 = 15_000;

/// A rate over less than so many milliseconds is chance.
const SHORTEST_MS: i128 = 1_000;

/// Between two samples that are kept, in milliseconds.
const SPACING_MS: i128 = 250;

/// What one step said of its progress.
#[derive(Debug, Clone)]
pub(crate) struct Meter {
    newest: Progress,
    samples: VecDeque<(Timestamp, u64)>,
}

impl Meter {
    pub(crate) fn new(now: Timestamp, progress: Progress) -> Self {
        let samples = VecDeque::from([(now, progress.done)]);
        Self { newest: progress, samples }
    }

    /// Takes what the step says now; another count begins where it starts over.
    pub(crate) fn update(&mut self, now: Timestamp, progress: Progress) {
        if progress.bytes != self.newest.bytes || progress.done < self.newest.done {
            *self = Self::new(now, progress);
            return;
        }
        self.newest = progress;
        let newest = (now, self.newest.done);
        // The newest stands for itself until it is far enough from the one before it.
        let before = self.samples.len().checked_sub(2).map(|before| self.samples[before].0);
        if before.is_some_and(|before| millis(before, now) < SPACING_MS) {
            self.samples.pop_back();
        }
        self.samples.push_back(newest);
        while self.samples.len() > 2 && millis(self.samples[1].0, now) > WINDOW_MS {
            self.samples.pop_front();
        }
    }

    /// What was said last.
    pub(crate) fn newest(&self) -> &Progress {
        &self.newest
    }

    /// Bytes or things a second, when there is enough to tell.
    pub(crate) fn rate(&self, now: Timestamp) -> Option<u64> {
        let (first, before) = *self.samples.front()?;
        let elapsed = millis(first, now);
        let done = i128::from(self.newest.done - before);
        (elapsed >= SHORTEST_MS && done > 0)
            .then(|| u64::try_from(done * 1000 / elapsed).unwrap_or(u64::MAX))
    }

    /// How long the rest takes at that rate.
    pub(crate) fn eta(&self, now: Timestamp) -> Option<Duration> {
        let rest = self.newest.total?.checked_sub(self.newest.done)?;
        let rate = self.rate(now).filter(|rate| *rate > 0)?;
        Some(Duration::from_secs(rest.div_ceil(rate)))
    }

    /// What is done of what there is, the rate of bytes, the time left: each as far as known.
    pub(crate) fn told(&self, now: Timestamp) -> [String; 3] {
        let rate = self.rate(now).filter(|_| self.newest.bytes);
        let rate = rate.map(|rate| format!("{}/s", size(rate))).unwrap_or_default();
        let eta = self.eta(now).map(|eta| format!("eta {}", whole(eta))).unwrap_or_default();
        [self.amounts(), rate, eta]
    }

    fn amounts(&self) -> String {
        let amount =
            |number: u64| if self.newest.bytes { size(number) } else { number.to_string() };
        match (self.newest.done, self.total()) {
            (done, Some(total)) => format!("{} of {}", amount(done), amount(total)),
            (0, None) => String::new(),
            (done, None) => amount(done),
        }
    }

    /// `42%`, when all there is to do is known.
    pub(crate) fn percent(&self) -> Option<String> {
        let done = u128::from(self.newest.done) * 100;
        self.total().map(|total| format!("{}%", done / u128::from(total)))
    }

    fn total(&self) -> Option<u64> {
        self.newest.total.filter(|total| *total > 0)
    }
}

fn millis(from: Timestamp, to: Timestamp) -> i128 {
    to.duration_since(from).as_millis()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    fn bytes(done: u64) -> Progress {
        Progress { activity: String::new(), done, total: Some(10_000), bytes: true }
    }

    #[test]
    fn the_rate_follows_what_happened_lately() {
        let mut meter = Meter::new(at(0), bytes(0));
        assert_eq!((meter.rate(at(500)), meter.eta(at(500))), (None, None));
        for second in 1..=10 {
            meter.update(at(second * 1000), bytes(second.unsigned_abs() * 100));
        }
        assert_eq!(meter.rate(at(10_000)), Some(100));
        assert_eq!(meter.eta(at(10_000)), Some(Duration::from_secs(90)));
        // Nothing more is heard: the rate falls, and the end moves away.
        assert_eq!(meter.rate(at(20_000)), Some(50));
        assert_eq!(meter.eta(at(20_000)), Some(Duration::from_mins(3)));
        // What was slow long ago does not count.
        for second in 21..=60 {
            meter.update(at(second * 1000), bytes(1000 + (second.unsigned_abs() - 20) * 200));
        }
        assert_eq!(meter.rate(at(60_000)), Some(200));
    }

    #[test]
    fn many_reports_a_second_keep_the_window() {
        let mut meter = Meter::new(at(0), bytes(0));
        for ms in 1..=5_000_i64 {
            meter.update(at(ms), bytes(ms.unsigned_abs()));
        }
        assert_eq!(meter.rate(at(5_000)), Some(1000));
        assert!(meter.samples.len() < 50, "{}", meter.samples.len());
    }

    #[test]
    fn a_count_that_starts_over_forgets_the_one_before() {
        let mut meter = Meter::new(at(0), bytes(5_000));
        meter.update(at(2_000), bytes(9_000));
        assert_eq!(meter.rate(at(2_000)), Some(2000));
        meter.update(at(3_000), bytes(10));
        assert_eq!(meter.rate(at(3_500)), None);
    }
}
