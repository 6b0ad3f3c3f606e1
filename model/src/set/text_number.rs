//! Numbers that may pass 2^53 travel as JSON strings, because many JSON readers keep a double.

use serde::{Deserialize, Deserializer, Serializer, de};

/// Writes the number as a string.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
pub(super) fn serialize<S: Serializer>(number: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}

/// Reads the number from a string.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| de::Error::custom(format!("`{text}` is not a 64-bit integer")))
}

/// The same for a number that may be absent.
pub(super) mod optional {
    use serde::{Deserialize, Deserializer, Serializer, de};

    /// Writes the number as a string, or null.
    #[expect(clippy::ref_option, reason = "the signature serde asks for")]
    pub(in crate::set) fn serialize<S: Serializer>(
        number: &Option<i64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match number {
            Some(number) => super::serialize(number, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// Reads the number from a string, or null.
    pub(in crate::set) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<i64>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| {
            text.parse().map_err(|_| de::Error::custom(format!("`{text}` is not a 64-bit integer")))
        })
        .transpose()
    }
}
