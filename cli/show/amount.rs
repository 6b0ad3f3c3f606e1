//! Sizes and durations as a person reads them.

use indicatif::HumanBytes;

/// `1.21 GiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    HumanBytes(bytes).to_string()
}

/// `3d 4h`, `12m 30s`, `0.4s`: the two largest units.
pub(crate) fn duration(seconds: f64) -> String {
    if seconds < 10.0 {
        return format!("{seconds:.1}s");
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at least ten, and no age is larger"
    )]
    let mut rest = seconds.round() as u64;
    let mut parts = Vec::new();
    for (unit, length) in [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)] {
        if rest >= length {
            parts.push(format!("{}{unit}", rest / length));
            rest %= length;
        }
    }
    parts.truncate(2);
    parts.join(" ")
}

/// `1 step`, `3 steps`.
pub(crate) fn count(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_show_their_two_largest_units() {
        let shown = [0.44, 12.0, 3_661.0, 90_061.0].map(duration);
        assert_eq!(shown, ["0.4s", "12s", "1h 1m", "1d 1h"]);
    }
}
