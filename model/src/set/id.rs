//! The identifier of a backup set.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ids::{RunId, StepId};

/// Crockford's base32 in lower case: no `i`, `l`, `o`, `u`.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Characters that [`SetId::derive`] writes after the stamp: 80 bits.
const DERIVED: usize = 16;

/// The id of a backup set: `<utc stamp>-<8 to 26 lower-case letters and digits>`, for example
/// `20261120T020000Z-7k3m9q2x5w8r1t4v`. Safe as a folder name; sorts by time.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
pub struct SetId(String);

/// Why text is not the id of a set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the id of a backup set: it looks like `20261120T020000Z-7k3m9q2x5w8r1t4v`")]
pub struct InvalidSetId(String);

impl SetId {
    /// The id of the set that this attempt of this step writes. The same attempt always gives the
    /// same id, so that it can be recorded before the first byte and found again after a crash.
    pub fn derive(stamp: Timestamp, run: &RunId, step: &StepId, attempt: u32) -> Self {
        let digest = Sha256::digest(format!("set-id-1\n{run}\n{step}\n{attempt}\n"));
        let mut id = format!("{}-", utc_stamp(stamp));
        id.extend(base32(&digest).take(DERIVED));
        Self(id)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The moment in the id, to the second.
    pub fn stamp(&self) -> Timestamp {
        stamp_of(&self.0).expect("a set id was checked when it was made")
    }
}

/// `20261120T020000Z`, the stamp that names sets and proofs.
pub fn utc_stamp(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn base32(bytes: &[u8]) -> impl Iterator<Item = char> + '_ {
    let bit = |index: usize| usize::from(bytes[index / 8] >> (7 - index % 8) & 1);
    (0..bytes.len() * 8 / 5).map(move |group| {
        let value = (0..5).fold(0, |value, offset| value << 1 | bit(group * 5 + offset));
        char::from(ALPHABET[value])
    })
}

fn stamp_of(text: &str) -> Option<Timestamp> {
    let stamp = text.get(..16)?;
    let at = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", stamp).ok()?;
    let at = at.to_zoned(TimeZone::UTC).ok()?.timestamp();
    (utc_stamp(at) == stamp).then_some(at)
}

fn is_set_id(text: &str) -> bool {
    let suffix = text.get(16..).and_then(|rest| rest.strip_prefix('-'));
    let suffix_is_right = suffix.is_some_and(|suffix| {
        (8..=26).contains(&suffix.len())
            && suffix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    });
    suffix_is_right && stamp_of(text).is_some()
}

impl TryFrom<String> for SetId {
    type Error = InvalidSetId;

    fn try_from(text: String) -> Result<Self, InvalidSetId> {
        if is_set_id(&text) { Ok(Self(text)) } else { Err(InvalidSetId(text)) }
    }
}

impl FromStr for SetId {
    type Err = InvalidSetId;

    fn from_str(text: &str) -> Result<Self, InvalidSetId> {
        Self::try_from(text.to_owned())
    }
}

impl From<SetId> for String {
    fn from(id: SetId) -> Self {
        id.0
    }
}

impl fmt::Display for SetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derived(attempt: u32) -> SetId {
        let run = "01JD2Q0M3K5V7X9ZB1D3F5H7J9".parse().unwrap();
        let step = "dump".parse().unwrap();
        SetId::derive("2026-11-20T02:00:00.75Z".parse().unwrap(), &run, &step, attempt)
    }

    #[test]
    fn an_attempt_always_gives_the_same_id() {
        assert_eq!(derived(1).as_str(), "20261120T020000Z-knktpsst595xbr24");
        assert_eq!(derived(1), derived(1));
        assert_ne!(derived(1), derived(2));
    }

    #[test]
    fn a_derived_id_reads_back_with_its_moment() {
        let id = derived(1);
        assert_eq!(id.to_string().parse::<SetId>().unwrap(), id);
        assert_eq!(id.stamp(), "2026-11-20T02:00:00Z".parse().unwrap());
    }

    #[test]
    fn what_is_not_safe_in_a_path_is_no_id() {
        for text in [
            "",
            "20261120T020000Z",
            "20261120T020000Z-",
            "20261120T020000Z-short",
            "20261120T020000Z-ABCDEFGH",
            "20261120T020000Z-../../etc",
            "20261320T020000Z-abcdefgh",
            "2026112ÖT02000Z-abcdefgh",
            "20261120T020000Z-abcdefghabcdefghabcdefghabc",
        ] {
            assert_eq!(text.parse::<SetId>(), Err(InvalidSetId(text.to_owned())));
        }
    }
}
