//! The names of the files that a server archives.
//! <https://www.postgresql.org/docs/current/wal-internals.html>

use std::fmt;
use std::str::FromStr;

use super::lsn::Lsn;

/// A segment of the WAL by its name: the timeline, and the two halves of its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Segment {
    /// The timeline on which it was written.
    pub timeline: u32,
    /// The upper half of the position of its beginning.
    pub log: u32,
    /// Its number within that.
    pub seg: u32,
}

/// The name of a file that a server archives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WalName {
    /// `000000010000000000000003`.
    Segment(Segment),
    /// `000000010000000000000003.partial`: the last of a timeline that was left.
    Partial(Segment),
    /// `000000010000000000000003.00000028.backup`: where a base backup began.
    Label(Segment, u32),
    /// `00000002.history`: how a timeline came to be.
    History(u32),
}

/// Why text is not the name of a file that a server archives.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not the name of a file that a server archives, such as `000000010000000000000003`"
)]
pub struct InvalidName(String);

fn hex(text: &str) -> Option<u32> {
    let plain = text.len() == 8 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'));
    plain.then(|| u32::from_str_radix(text, 16).ok()).flatten()
}

impl Segment {
    /// The segment that holds a position.
    pub fn of(timeline: u32, number: u64, segment_bytes: u64) -> Self {
        let per_log = (1 << 32) / segment_bytes;
        let half = |number: u64| u32::try_from(number).expect("a segment's number fits its name");
        Self { timeline, log: half(number / per_log), seg: half(number % per_log) }
    }

    /// Its number, counted from the beginning of the WAL.
    pub fn number(&self, segment_bytes: u64) -> u64 {
        u64::from(self.log) * ((1 << 32) / segment_bytes) + u64::from(self.seg)
    }

    /// Where it begins.
    pub fn start(&self, segment_bytes: u64) -> Lsn {
        Lsn(self.number(segment_bytes) * segment_bytes)
    }

    /// Where the one after it begins.
    pub fn end(&self, segment_bytes: u64) -> Lsn {
        Lsn((self.number(segment_bytes) + 1) * segment_bytes)
    }

    fn parse(text: &str) -> Option<Self> {
        if text.len() != 24 || !text.is_ascii() {
            return None;
        }
        let (timeline, log, seg) = (hex(&text[..8])?, hex(&text[8..16])?, hex(&text[16..])?);
        (timeline > 0).then_some(Self { timeline, log, seg })
    }
}

impl WalName {
    /// The timeline in the name.
    pub fn timeline(&self) -> u32 {
        match self {
            Self::Segment(it) | Self::Partial(it) | Self::Label(it, _) => it.timeline,
            Self::History(timeline) => *timeline,
        }
    }
}

impl FromStr for WalName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let parsed = match text.split_once('.') {
            None => Segment::parse(text).map(Self::Segment),
            Some((timeline, "history")) => {
                hex(timeline).filter(|timeline| *timeline > 0).map(Self::History)
            }
            Some((segment, "partial")) => Segment::parse(segment).map(Self::Partial),
            Some((segment, rest)) => {
                let offset = rest.strip_suffix(".backup").and_then(hex);
                Segment::parse(segment).zip(offset).map(|(it, offset)| Self::Label(it, offset))
            }
        };
        parsed.ok_or_else(|| InvalidName(text.to_owned()))
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08X}{:08X}{:08X}", self.timeline, self.log, self.seg)
    }
}

impl fmt::Display for WalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segment(segment) => segment.fmt(f),
            Self::Partial(segment) => write!(f, "{segment}.partial"),
            Self::Label(segment, offset) => write!(f, "{segment}.{offset:08X}.backup"),
            Self::History(timeline) => write!(f, "{timeline:08X}.history"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_that_a_server_archives_reads_back() {
        for text in [
            "000000010000000000000003",
            "0000000A000001FF000000FF.partial",
            "000000010000000000000003.00000028.backup",
            "00000002.history",
        ] {
            assert_eq!(text.parse::<WalName>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "0",
            "00000001000000000000000g",
            "00000001000000000000000a",
            "000000000000000000000003",
            "000000010000000000000003.backup",
            "000000010000000000000003.partial.x",
            "../000000010000000000000003",
            "2.history",
            "RECOVERYXLOG",
        ] {
            assert!(text.parse::<WalName>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_number_counts_on_over_the_halves_of_a_name() {
        let mib = 1 << 20;
        let last = Segment { timeline: 1, log: 0, seg: 255 };
        assert_eq!(last.number(16 * mib), 255);
        assert_eq!(Segment::of(1, 256, 16 * mib), Segment { timeline: 1, log: 1, seg: 0 });
        assert_eq!(last.end(16 * mib).to_string(), "1/0");
        assert_eq!(Segment::of(3, 4, 1024 * mib), Segment { timeline: 3, log: 1, seg: 0 });
    }
}
