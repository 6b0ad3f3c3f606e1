//! Sizes and durations as a person reads them.

use std::time::Duration;

use indicatif::HumanBytes;

/// `1.21 GiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    HumanBytes(bytes).to_string()
}

/// `3d 4h`, `12m 30s`, `0.4s`: the two largest units, and tenths below ten seconds.
pub(crate) fn duration(seconds: f64) -> String {
    if seconds < 10.0 {
        return format!("{seconds:.1}s");
    }
    whole(Duration::try_from_secs_f64(seconds.round()).unwrap_or_default())
}

/// `9s`, `1m 4s`, `2h 3m`, `1d 4h`: the two largest units, whole: calm where it changes every second.
pub(crate) fn whole(time: Duration) -> String {
    let seconds = time.as_secs();
    let pair = |large: u64, small: u64, names: [&str; 2]| match (
        seconds / large,
        (seconds % large) / small,
    ) {
        (count, 0) => format!("{count}{}", names[0]),
        (count, rest) => format!("{count}{} {rest}{}", names[0], names[1]),
    };
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => pair(60, 1, ["m", "s"]),
        3_600..86_400 => pair(3_600, 60, ["h", "m"]),
        _ => pair(86_400, 3_600, ["d", "h"]),
    }
}

/// `512 MiB`, `1.2 GiB`: short, where it changes every second.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut unit = 0;
    let mut tenths = u128::from(bytes) * 10 / 1024;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    if tenths < 100 {
        format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
    } else {
        format!("{} {}", tenths / 10, UNITS[unit])
    }
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

    #[test]
    fn times_are_whole() {
        let shown =
            [0, 59, 60, 64, 3_600, 7_380, 86_400, 100_800].map(|s| whole(Duration::from_secs(s)));
        assert_eq!(shown, ["0s", "59s", "1m", "1m 4s", "1h", "2h 3m", "1d", "1d 4h"]);
        assert_eq!(whole(Duration::from_millis(1_999)), "1s");
    }

    #[test]
    fn sizes_have_three_digits_at_most() {
        let shown =
            [0, 1023, 1024, 1_300_000, 83 << 20, 1023 << 20, 1024 << 20, u64::MAX].map(size);
        assert_eq!(
            shown,
            ["0 B", "1023 B", "1.0 KiB", "1.2 MiB", "83 MiB", "1023 MiB", "1.0 GiB", "16383 PiB"]
        );
    }
}
