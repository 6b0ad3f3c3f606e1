//! The content hash of a table: the same whatever the order of its rows and however the rows
//! were split over connections, different when any row is changed, lost, added or repeated.

use std::fmt;

use sha2::{Digest, Sha256};

/// The name of the algorithm in a manifest: the sum modulo 2^256 of the SHA-256 of each row of
/// COPY text, without its newline, read as a big-endian number. A sum and not an exclusive or,
/// because there two equal rows would cancel.
pub const ALGORITHM: &str = "sha256-sum-1";

/// The content hash of some rows of a table, and how many there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowHash {
    /// Least significant first.
    limbs: [u64; 4],
    rows: u64,
}

impl RowHash {
    /// No rows yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one row of COPY text, without its newline.
    pub fn add_row(&mut self, row: &[u8]) {
        let digest: [u8; 32] = Sha256::digest(row).into();
        self.add(&limbs_of(&digest));
        self.rows += 1;
    }

    /// Adds whole rows of COPY text, each ended by its newline (a newline inside a value is
    /// escaped there, <https://www.postgresql.org/docs/current/sql-copy.html>).
    pub fn add_copy_text(&mut self, text: &[u8]) {
        for row in text.split_inclusive(|&byte| byte == b'\n') {
            self.add_row(row.strip_suffix(b"\n").unwrap_or(row));
        }
    }

    /// Adds rows that were hashed elsewhere.
    pub fn merge(&mut self, other: &Self) {
        self.add(&other.limbs);
        self.rows += other.rows;
    }

    /// How many rows were added.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// 64 lower-case hexadecimal digits.
    pub fn hex(&self) -> String {
        self.to_string()
    }

    fn add(&mut self, other: &[u64; 4]) {
        let mut carry = false;
        for (limb, addend) in self.limbs.iter_mut().zip(other) {
            let (sum, first) = limb.overflowing_add(*addend);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            *limb = sum;
            carry = first || second;
        }
    }
}

fn limbs_of(digest: &[u8; 32]) -> [u64; 4] {
    let limb = |index: usize| {
        let start = 32 - 8 * (index + 1);
        let bytes = digest[start..start + 8].try_into().expect("a slice of eight bytes");
        u64::from_be_bytes(bytes)
    };
    [limb(0), limb(1), limb(2), limb(3)]
}

impl fmt::Display for RowHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [low, second, third, high] = self.limbs;
        write!(f, "{high:016x}{third:016x}{second:016x}{low:016x}")
    }
}

impl FromIterator<RowHash> for RowHash {
    fn from_iter<I: IntoIterator<Item = RowHash>>(parts: I) -> Self {
        parts.into_iter().fold(Self::new(), |mut sum, part| {
            sum.merge(&part);
            sum
        })
    }
}

/// Why text is not a content hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a content hash: it is 64 lower-case hexadecimal digits")]
pub struct InvalidHash(String);

/// Checks that `text` is a content hash or a SHA-256 as manifests write them.
pub fn check_hex(text: &str) -> Result<(), InvalidHash> {
    let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let is_right = text.len() == 64 && text.bytes().all(is_digit);
    if is_right { Ok(()) } else { Err(InvalidHash(text.to_owned())) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hash_of<'a>(rows: impl IntoIterator<Item = &'a Vec<u8>>) -> RowHash {
        rows.into_iter().fold(RowHash::new(), |mut hash, row| {
            hash.add_row(row);
            hash
        })
    }

    fn rows() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let row = proptest::collection::vec(any::<u8>().prop_filter("row", |b| *b != b'\n'), 0..9);
        proptest::collection::vec(row, 0..40)
    }

    #[test]
    fn the_algorithm_is_frozen() {
        assert_eq!(RowHash::new().hex(), "0".repeat(64));
        let mut one = RowHash::new();
        one.add_row(b"1\tAnna");
        let mut two = one;
        two.add_row(b"2\t\\N");
        assert_eq!(one.hex(), "89f857088af7e8bebf68102611effee2070a1a91043db981b5677e882c440719");
        assert_eq!(two.hex(), "43937e223c723bf61259e1d5a6b5a10dc586f7899f8dd2e891b7a09b0c522715");
        assert_eq!(two.rows(), 2);
    }

    #[test]
    fn carries_reach_the_highest_limb_and_wrap() {
        let mut hash = RowHash { limbs: [u64::MAX; 4], rows: 1 };
        hash.merge(&RowHash { limbs: [1, 0, 0, 0], rows: 1 });
        assert_eq!(hash, RowHash { limbs: [0; 4], rows: 2 });
    }

    #[test]
    fn only_64_lower_case_digits_are_a_hash() {
        assert_eq!(check_hex(&"0a".repeat(32)), Ok(()));
        for text in ["", "0A", &"0A".repeat(32), &"g0".repeat(32)] {
            assert_eq!(check_hex(text), Err(InvalidHash(text.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn the_order_does_not_matter(rows in rows(), seed in any::<u64>()) {
            let mut other = rows.clone();
            let length = other.len().max(1);
            for index in 0..other.len() {
                let swap = seed.wrapping_mul(index as u64 + 1) % length as u64;
                other.swap(index, usize::try_from(swap).unwrap());
            }
            prop_assert_eq!(hash_of(&rows), hash_of(&other));
        }

        #[test]
        fn the_split_does_not_matter(rows in rows(), cut in 0usize..40) {
            let (left, right) = rows.split_at(cut.min(rows.len()));
            let merged: RowHash = [hash_of(left), hash_of(right)].into_iter().collect();
            prop_assert_eq!(merged, hash_of(&rows));
            let text: Vec<u8> = rows.iter().flat_map(|r| [r.as_slice(), b"\n"].concat()).collect();
            let mut streamed = RowHash::new();
            streamed.add_copy_text(&text);
            prop_assert_eq!(streamed, hash_of(&rows));
        }

        #[test]
        fn a_repeated_row_does_not_cancel(rows in rows(), row in rows()) {
            let row = row.into_iter().next().unwrap_or_default();
            let mut more = hash_of(&rows);
            let mut seen = vec![more.hex()];
            for _ in 0..4 {
                more.add_row(&row);
                prop_assert!(!seen.contains(&more.hex()));
                seen.push(more.hex());
            }
        }

        #[test]
        fn a_changed_row_changes_the_hash(rows in rows(), byte in 0u8..255) {
            prop_assume!(!rows.is_empty());
            let mut other = rows.clone();
            other[0].push(byte);
            prop_assert_ne!(hash_of(&rows).hex(), hash_of(&other).hex());
        }
    }
}
