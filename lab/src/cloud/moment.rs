//! Times as AWS writes them.

use jiff::Timestamp;

/// The time now.
pub(super) fn now() -> Timestamp {
    Timestamp::now()
}

/// `2026-11-28T12:00:00.123Z`.
pub(super) fn told(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// Seconds since 1970 with their thousandths, as JSON protocols have them.
pub(super) fn seconds(at: Timestamp) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds fit for ages to come")]
    let milliseconds = at.as_millisecond() as f64;
    milliseconds / 1000.0
}
