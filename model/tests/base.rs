//! Base backups: the format that outlives a release, and chains of incremental backups.

use std::collections::BTreeSet;

use model::base::{BaseError, BaseManifest, BrokenChain, chain, closed};
use model::set::SetId;

const FULL: &str = include_str!("formats/base-1.json");
const INCREMENTAL: &str = include_str!("formats/base-1-incremental.json");
const MANUAL: &str = include_str!("../../docs/formats/base.md");

fn read(text: &str) -> BaseManifest {
    BaseManifest::from_json(text.as_bytes()).expect("the example is read")
}

fn id(text: &str) -> SetId {
    text.parse().expect("the id is well-formed")
}

/// A full backup, two that build on it one after the other, and one that stands alone.
fn backups() -> Vec<BaseManifest> {
    let (full, first) = (read(FULL), read(INCREMENTAL));
    let second = BaseManifest {
        base: id("20261120T200000Z-zzzzpsst595xbr24"),
        parent: Some(first.base.clone()),
        start_lsn: "2/B0000028".parse().expect("a position"),
        stop_lsn: "2/B0000158".parse().expect("a position"),
        ..first.clone()
    };
    let other = BaseManifest {
        base: id("20261121T020000Z-7k3m9q2x5w8r1t4v"),
        start_lsn: "2/C0000028".parse().expect("a position"),
        stop_lsn: "2/C0000158".parse().expect("a position"),
        ..full.clone()
    };
    vec![other, second, full, first]
}

#[test]
fn manifests_of_version_1_are_read_and_written_unchanged() {
    for text in [FULL, INCREMENTAL] {
        let written = String::from_utf8(read(text).to_json()).expect("a manifest is text");
        assert_eq!(written, text);
    }
}

#[test]
fn what_is_no_manifest_of_version_1_is_refused() {
    let refused = |text: &str| BaseManifest::from_json(text.as_bytes()).expect_err(text);
    assert!(matches!(refused(r#"{"version": 2, "anything": 1}"#), BaseError::Version(2)));
    for text in ["", "{}", "[]", r#"{"version": 1}"#] {
        assert!(matches!(refused(text), BaseError::Form(_)), "{text}");
    }
    for (from, to) in [
        ("\"parent\": null", "\"parent\": \"20261120T020000Z-7k3m9q2x5w8r1t4v\""),
        ("2/9A000150", "2/99000150"),
        ("16777216", "16777215"),
        ("\"7571234567890123456\"", "\"../etc\""),
        ("base.tar.zst", "other.tar.zst"),
    ] {
        let error = refused(&FULL.replacen(from, to, 1));
        assert!(matches!(error, BaseError::Contradiction(_)), "{to}: {error}");
    }
    let surplus = FULL.replacen("\"label\"", "\"surplus\": 1, \"label\"", 1);
    assert!(refused(&surplus).to_string().contains("unknown field `surplus`"));
}

#[test]
fn an_incremental_backup_needs_all_it_builds_on() {
    let all = backups();
    let ids = |id: &SetId| -> Vec<String> {
        let found = chain(&all, id).expect("the chain is whole");
        found.iter().map(|manifest| manifest.base.to_string()).collect()
    };
    let (second, full) = (&all[1], &all[2]);
    assert_eq!(ids(&full.base), [full.base.to_string()]);
    assert_eq!(
        ids(&second.base),
        [
            "20261120T020000Z-7k3m9q2x5w8r1t4v",
            "20261120T140000Z-knktpsst595xbr24",
            "20261120T200000Z-zzzzpsst595xbr24"
        ]
    );
}

#[test]
fn a_broken_chain_is_refused_by_name() {
    let all = backups();
    let (second, full, first) = (all[1].clone(), all[2].clone(), all[3].clone());
    let gone = [second.clone(), first.clone()];
    assert_eq!(
        chain(&gone, &second.base).expect_err("the full one is gone"),
        BrokenChain::ParentMissing { child: first.base.clone(), parent: full.base.clone() }
    );
    let unknown = id("20200101T000000Z-00000000");
    assert_eq!(chain(&all, &unknown), Err(BrokenChain::Unknown(unknown.clone())));
    let mut foreign = full.clone();
    foreign.server.system_identifier = "1".to_owned();
    let mut upgraded = full.clone();
    upgraded.server.version_num = 180_000;
    let newer = BaseManifest { start_lsn: first.start_lsn, stop_lsn: first.stop_lsn, ..full };
    for parent in [foreign, upgraded, newer] {
        let both = [first.clone(), parent];
        let broken = chain(&both, &first.base);
        assert!(matches!(broken, Err(BrokenChain::ParentForeign { .. })), "{broken:?}");
    }
}

#[test]
fn a_circle_is_no_chain() {
    let all = backups();
    let (first, second) = (all[3].clone(), all[1].clone());
    let round = BaseManifest { parent: Some(second.base.clone()), ..first };
    let both = [round, second.clone()];
    let found = chain(&both, &second.base);
    assert!(matches!(found, Err(BrokenChain::ParentForeign { .. })), "{found:?}");
}

#[test]
fn what_is_kept_keeps_what_it_builds_on() {
    let all = backups();
    let keep = BTreeSet::from([all[1].base.clone()]);
    let kept = closed(&all, &keep);
    let expected = BTreeSet::from([&all[1], &all[2], &all[3]].map(|it| it.base.clone()));
    assert_eq!(kept, expected);
    assert!(!kept.contains(&all[0].base));
    assert_eq!(closed(&all, &BTreeSet::new()), BTreeSet::new());
}

#[test]
fn the_manual_describes_every_field() {
    fn keys(value: &serde_json::Value, found: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(map) => {
                for (key, value) in map {
                    found.push(key.clone());
                    keys(value, found);
                }
            }
            serde_json::Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
            _ => {}
        }
    }
    let mut names = Vec::new();
    keys(&serde_json::from_str(INCREMENTAL).expect("the example is JSON"), &mut names);
    let missing: Vec<_> =
        names.iter().filter(|name| !MANUAL.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "not in docs/formats/base.md: {missing:?}");
}
