//! Formats that outlive a release: what an older program wrote is read by today's, and today's
//! writes the same bytes.

use model::proof::{Proof, ProofError};
use model::rows::{Bundle, BundleError};
use model::set::Category;
use model::set::manifest::{Manifest, ManifestError};

const MANIFESTS: [&str; 4] = [
    include_str!("formats/manifest-1.json"),
    include_str!("formats/manifest-1-tables.json"),
    include_str!("formats/manifest-1-plain.json"),
    include_str!("formats/manifest-1-sealed.json"),
];
const PROOF: &str = include_str!("formats/proof-1.json");
const MANUAL: &str = include_str!("../../docs/formats/set.md");
const BUNDLES: [&str; 2] =
    [include_str!("formats/rows-1.json"), include_str!("formats/rows-1-undo.json")];
const MANUAL_OF_ROWS: &str = include_str!("../../docs/formats/rows.md");

#[test]
fn manifests_of_version_1_are_read_and_written_unchanged() {
    for text in MANIFESTS {
        let manifest = Manifest::from_json(text.as_bytes()).expect("an example is read");
        let written = String::from_utf8(manifest.to_json()).expect("a manifest is text");
        assert_eq!(written, text);
    }
}

#[test]
fn proofs_of_version_1_are_read_and_written_unchanged() {
    let proof = Proof::from_json(PROOF.as_bytes()).expect("the example is read");
    let written = String::from_utf8(proof.to_json()).expect("a proof is text");
    assert_eq!(written, PROOF);
}

#[test]
fn another_version_is_named_as_such() {
    let newer = br#"{"version": 2, "anything": {}}"#;
    assert!(matches!(Manifest::from_json(newer), Err(ManifestError::Version(2))));
    assert!(matches!(Proof::from_json(newer), Err(ProofError::Version(2))));
    let none = MANIFESTS[0].replacen("\"version\": 1", "\"version\": 0", 1);
    assert!(matches!(Manifest::from_json(none.as_bytes()), Err(ManifestError::Version(0))));
}

#[test]
fn a_field_that_is_not_of_the_format_is_refused() {
    let manifest = MANIFESTS[0].replacen("\"database\"", "\"surplus\": 1, \"database\"", 1);
    let error = Manifest::from_json(manifest.as_bytes()).expect_err("a surplus field");
    assert!(error.to_string().contains("unknown field `surplus`"), "{error}");
    let proof = PROOF.replacen("\"database\"", "\"surplus\": 1, \"database\"", 1);
    let error = Proof::from_json(proof.as_bytes()).expect_err("a surplus field");
    assert!(error.to_string().contains("unknown field `surplus`"), "{error}");
}

#[test]
fn another_row_hash_is_refused() {
    let other = MANIFESTS[0].replace("sha256-sum-1", "sha256-sum-2");
    let error = Manifest::from_json(other.as_bytes()).expect_err("an unknown algorithm");
    assert_eq!(
        error.to_string(),
        "content hashes by `sha256-sum-2`, this program knows `sha256-sum-1`"
    );
}

#[test]
fn what_is_no_version_at_all_is_refused() {
    for text in ["", "{}", "[]", "{\"version\": 1}", "{\"version\": -1}", "PGDMP"] {
        assert!(matches!(Manifest::from_json(text.as_bytes()), Err(ManifestError::Form(_))));
        assert!(matches!(Proof::from_json(text.as_bytes()), Err(ProofError::Form(_))));
    }
}

/// Every name that the examples use, at any depth, except those that are data.
fn keys(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(map) => {
            for (key, value) in map {
                found.push(key.clone());
                if !["attributes", "definitions"].contains(&key.as_str()) {
                    keys(value, found);
                }
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
        _ => {}
    }
}

#[test]
fn the_manual_describes_every_field_and_every_category() {
    let mut names = Vec::new();
    for text in MANIFESTS.iter().chain(&[PROOF]) {
        keys(&serde_json::from_str(text).expect("an example is JSON"), &mut names);
    }
    for category in Category::ALL {
        let name = serde_json::to_value(category).expect("a category is text");
        names.push(name.as_str().expect("a category is text").to_owned());
    }
    let missing: Vec<_> =
        names.iter().filter(|name| !MANUAL.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "not in docs/formats/set.md: {missing:?}");
}

#[test]
fn bundles_of_rows_of_version_1_are_read_and_written_unchanged() {
    for text in BUNDLES {
        let bundle = Bundle::from_json(text.as_bytes()).expect("an example is read");
        let written = String::from_utf8(bundle.to_json()).expect("a bundle is text");
        assert_eq!(written, text);
    }
}

#[test]
fn a_bundle_of_rows_that_leads_elsewhere_is_refused() {
    let newer = br#"{"version": 2, "anything": {}}"#;
    assert!(matches!(Bundle::from_json(newer), Err(BundleError::Version(2))));
    for (from, to, said) in [
        ("\"set\"", "\"surplus\": 1, \"set\"", "unknown field `surplus`"),
        ("0001.rows.copy", "../rows.copy", "`../rows.copy` is not the name of a file"),
        ("0001.rows.copy", ".rows", "`.rows` is not the name of a file"),
        ("\"role\": \"rows\"", "\"role\": \"after\"", "a role of another kind of bundle"),
        ("\"name\": \"id\"", "\"name\": \"no\"", "the key of `public.orders` is not among"),
    ] {
        let text = BUNDLES[0].replacen(from, to, 1);
        let error = Bundle::from_json(text.as_bytes()).expect_err("another form").to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn the_manual_of_rows_describes_every_field_and_every_role() {
    let mut names = Vec::new();
    for text in BUNDLES {
        let value: serde_json::Value = serde_json::from_str(text).expect("an example is JSON");
        keys(&value, &mut names);
    }
    names.extend(["rows", "parents", "inserted", "before", "after", "undo"].map(str::to_owned));
    let of_set = ["version_num", "system_identifier", "endpoint", "snapshot_time"];
    let told = |name: &&String| MANUAL_OF_ROWS.contains(&format!("`{name}`"));
    let by_set =
        |name: &&String| MANUAL.contains(&format!("`{name}`")) && !of_set.contains(&name.as_str());
    let missing: Vec<_> = names.iter().filter(|name| !told(name) && !by_set(name)).collect();
    assert!(missing.is_empty(), "not in docs/formats/rows.md: {missing:?}");
}
