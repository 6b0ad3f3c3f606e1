//! Durations and sizes as the language writes them: `90s`, `15m`, `2h`, `64MiB`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why text is not a duration or a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct InvalidUnit {
    text: String,
    expected: &'static str,
}

/// A span of time: whole numbers with units `ms`, `s`, `m`, `h`, `d`, largest first (`1h30m`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(Duration);

/// A number of bytes: a whole number with `B`, `KiB`, `MiB`, `GiB`, `TiB`, or `kB`, `MB`, `GB`, `TB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(u64);

const SPAN: &str = "a duration such as `90s`, `15m` or `1h30m`";
const SIZE: &str = "a size such as `64MiB` or `10GB`";
const SPAN_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const SIZE_UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

impl Span {
    /// The span as a standard duration.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl ByteSize {
    /// The size in bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl From<u64> for ByteSize {
    fn from(bytes: u64) -> Self {
        Self(bytes)
    }
}

/// Takes a number and its unit from the front of `text`.
fn quantity(text: &str) -> Option<(u64, &str, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number = text[..digits].parse().ok()?;
    let rest = &text[digits..];
    let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
    Some((number, &rest[..unit], &rest[unit..]))
}

fn span_millis(text: &str) -> Option<u64> {
    let (mut rest, mut total, mut largest) = (text, 0_u64, u64::MAX);
    while !rest.is_empty() {
        let (number, unit, after) = quantity(rest)?;
        let (_, millis) = SPAN_UNITS.iter().find(|(name, _)| *name == unit)?;
        if *millis >= largest {
            return None;
        }
        largest = *millis;
        total = total.checked_add(number.checked_mul(*millis)?)?;
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

impl FromStr for Span {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        let invalid = || InvalidUnit { text: text.to_owned(), expected: SPAN };
        span_millis(text).map(|millis| Self(Duration::from_millis(millis))).ok_or_else(invalid)
    }
}

impl FromStr for ByteSize {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        let bytes = quantity(text).and_then(|(number, unit, after)| {
            let (_, factor) = SIZE_UNITS.iter().find(|(name, _)| *name == unit)?;
            after.is_empty().then(|| number.checked_mul(*factor)).flatten()
        });
        bytes.map(Self).ok_or_else(|| InvalidUnit { text: text.to_owned(), expected: SIZE })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, millis) in SPAN_UNITS {
            let number = rest / millis;
            rest %= millis;
            if number > 0 {
                write!(f, "{number}{unit}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = SIZE_UNITS[..5]
            .iter()
            .rev()
            .find(|(_, factor)| self.0 != 0 && self.0.is_multiple_of(*factor));
        let (unit, factor) = binary.unwrap_or(&SIZE_UNITS[0]);
        write!(f, "{}{unit}", self.0 / factor)
    }
}

macro_rules! as_text {
    ($type:ty, $name:literal, $pattern:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "pattern": $pattern})
            }
        }
    };
}

as_text!(Span, "Duration", "^([0-9]+(ms|s|m|h|d))+$");
as_text!(ByteSize, "Size", "^[0-9]+(B|KiB|MiB|GiB|TiB|kB|MB|GB|TB)$");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_and_print_the_same_text() {
        for text in ["90s", "1h30m", "2d", "250ms", "0s"] {
            let span: Span = text.parse().unwrap();
            let again: Span = span.to_string().parse().unwrap();
            assert_eq!(span, again, "{text}");
        }
        assert_eq!("90s".parse::<Span>().unwrap().to_string(), "1m30s");
    }

    #[test]
    fn text_without_a_unit_is_no_span() {
        for text in ["", "90", "s", "1m1h", "1m1m", "-1s", "1.5h", "99999999999999999999d"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_know_binary_and_decimal_units() {
        assert_eq!("64MiB".parse::<ByteSize>().unwrap().bytes(), 64 << 20);
        assert_eq!("10GB".parse::<ByteSize>().unwrap().bytes(), 10_000_000_000);
        assert_eq!(ByteSize::from(64 << 20).to_string(), "64MiB");
        assert!("64".parse::<ByteSize>().is_err());
        assert!("64MiB1".parse::<ByteSize>().is_err());
    }
}
