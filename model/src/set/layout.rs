//! Where a set's objects lie in a store: `sets/<database>/<set id>/...`.
//!
//! Names of databases, schemas and tables are written so that they are safe on every file
//! system and in every object store, and so that two different names never meet, also where
//! file names ignore case.

use std::fmt::Write;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::id::{SetId, utc_stamp};
use crate::ids::RunId;

/// The folder of all sets in a store.
pub const SETS: &str = "sets";
/// The commit point of a set, written last.
pub const MANIFEST: &str = "manifest.json";
/// `pg_dump -Fc` of the definitions (pre-data and post-data).
pub const SCHEMA: &str = "schema.dump";
/// `pg_dump -Fc` of the large objects.
pub const BLOBS: &str = "blobs.dump";
/// `pg_dump --format=custom` of everything.
pub const CUSTOM: &str = "database.dump";
/// The folder of `pg_dump --format=directory`.
pub const DIRECTORY: &str = "database";
/// `pg_dump --format=plain`; what compressed it adds its suffix.
pub const PLAIN: &str = "database.sql";
/// `pg_dumpall --globals-only`.
pub const GLOBALS: &str = "globals.sql";
/// How to restore the set with standard commands only.
pub const RESTORE: &str = "RESTORE.txt";
/// Its presence keeps a set from being pruned; its text may say why.
pub const PINNED: &str = "pinned.txt";
/// The folder of a set's proofs.
pub const PROOFS: &str = "proofs";

/// Longest encoded name that is written out in full.
const LONGEST: usize = 100;
/// What stays readable of a longer one, before `~` and 16 digits of its SHA-256.
const KEPT: usize = 80;

/// The folder of a database's sets, relative to the store: `sets/lms`.
pub fn database_folder(database: &str) -> String {
    format!("{SETS}/{}", encode(database))
}

/// The folder of one set, relative to the store: `sets/lms/20261120T020000Z-...`.
pub fn set_folder(database: &str, set: &SetId) -> String {
    format!("{}/{set}", database_folder(database))
}

/// The name of one part of a table's data, relative to the set:
/// `data/public.orders.0001.copy.zst`.
pub fn object_name(schema: &str, table: &str, part: u32) -> String {
    format!("data/{}.{}.{part:04}.copy.zst", encode(schema), encode(table))
}

/// The name of a proof, relative to the set: `proofs/20261120T021500Z-<run>.json`.
pub fn proof_name(started: Timestamp, run: &RunId) -> String {
    format!("{PROOFS}/{}-{}.json", utc_stamp(started), run.to_string().to_ascii_lowercase())
}

/// `name` as one part of a path: `[a-z0-9_-]` stay, every other byte of its UTF-8 becomes `%XX`
/// (so upper case does, too). A result of more than 100 characters keeps its first 80 and goes
/// on with `~` and the first 16 hexadecimal digits of the name's SHA-256.
pub fn encode(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    let mut kept = 0;
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' => encoded.push(char::from(byte)),
            other => write!(encoded, "%{other:02X}").expect("writing to a String succeeds"),
        }
        if encoded.len() <= KEPT {
            kept = encoded.len();
        }
    }
    if encoded.len() > LONGEST {
        encoded.truncate(kept);
        encoded.push('~');
        for byte in &Sha256::digest(name)[..8] {
            write!(encoded, "{byte:02x}").expect("writing to a String succeeds");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_frozen() {
        let set: SetId = "20261120T020000Z-7k3m9q2x5w8r1t4v".parse().unwrap();
        assert_eq!(set_folder("lms", &set), "sets/lms/20261120T020000Z-7k3m9q2x5w8r1t4v");
        assert_eq!(object_name("public", "orders", 1), "data/public.orders.0001.copy.zst");
        assert_eq!(
            object_name("a.b", "Größe/x", 12345),
            "data/a%2Eb.%47r%C3%B6%C3%9Fe%2Fx.12345.copy.zst"
        );
        let run = "01JD2Q0M3K5V7X9ZB1D3F5H7J9".parse().unwrap();
        let at = "2026-11-20T02:15:00Z".parse().unwrap();
        assert_eq!(proof_name(at, &run), "proofs/20261120T021500Z-01jd2q0m3k5v7x9zb1d3f5h7j9.json");
    }

    #[test]
    fn dots_and_slashes_cannot_leave_the_folder() {
        assert_eq!(encode(".."), "%2E%2E");
        assert_eq!(encode("../etc"), "%2E%2E%2Fetc");
        assert_ne!(object_name("a.b", "c", 1), object_name("a", "b.c", 1));
    }

    #[test]
    fn the_longest_names_fit_a_file_system() {
        let name = object_name(&"Ü".repeat(31), &"表".repeat(21), u32::MAX);
        assert!(name.len() < 255, "{} bytes", name.len());
        assert_ne!(
            encode(&format!("{}a", "Ü".repeat(31))),
            encode(&format!("{}b", "Ü".repeat(31)))
        );
    }

    proptest! {
        #[test]
        fn two_names_never_meet_even_without_case(a in "\\PC{0,20}", b in "\\PC{0,20}") {
            let same = encode(&a).eq_ignore_ascii_case(&encode(&b));
            prop_assert_eq!(same, a == b);
        }
    }
}
