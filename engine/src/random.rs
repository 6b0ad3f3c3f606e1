//! The home of chance: run ids and jitter, drawn once and recorded.

use std::time::Duration;

use jiff::Timestamp;
use model::ids::RunId;
use ulid::Ulid;

fn bits() -> u64 {
    getrandom::u64().expect("the kernel has randomness")
}

/// A new run id that sorts by `now`.
pub fn run_id(now: Timestamp) -> RunId {
    let millis = u64::try_from(now.as_millisecond()).unwrap_or_default();
    RunId::from(Ulid::from_parts(millis, u128::from(bits()) << 64 | u128::from(bits())))
}

/// A number that nobody could foresee, for a draw that is recorded with it.
pub fn seed() -> u32 {
    getrandom::u32().expect("the kernel has randomness")
}

/// A mark that nobody else makes: 32 hexadecimal digits.
pub fn mark() -> String {
    format!("{:016x}{:016x}", bits(), bits())
}

/// `base`, lengthened or shortened by at most the share `jitter` of it.
pub fn jittered(base: Duration, jitter: f64) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "chance needs no more than 52 bits")]
    let share = (bits() >> 12) as f64 / (1_u64 << 52) as f64;
    spread(base, jitter, share)
}

fn spread(base: Duration, jitter: f64, share: f64) -> Duration {
    let factor = 1.0 + jitter.clamp(0.0, 1.0) * (2.0 * share - 1.0);
    Duration::try_from_secs_f64(base.as_secs_f64() * factor).unwrap_or(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_spreads_to_both_sides_of_the_base() {
        let base = Duration::from_secs(10);
        assert_eq!(spread(base, 0.2, 0.0), Duration::from_secs(8));
        assert_eq!(spread(base, 0.2, 0.5), base);
        assert_eq!(spread(base, 0.2, 1.0), Duration::from_secs(12));
        assert_eq!(spread(base, 0.0, 0.9), base);
        assert!((8.0..=12.0).contains(&jittered(base, 0.2).as_secs_f64()));
    }

    #[test]
    fn run_ids_sort_by_time_and_differ() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert!(run_id(at(1_000)) < run_id(at(1_001)));
        assert_ne!(run_id(at(1_000)), run_id(at(1_000)));
    }
}
