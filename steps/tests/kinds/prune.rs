//! `store.list` and `store.prune` on sets in a real folder.

use std::fs;
use std::path::Path;

use crate::common::{NOW, attempt, run};
use crate::sets::{Lab, id, lab, manifest, proof};
use engine::step::Observation;
use jiff::Timestamp;
use model::node::Node;
use model::proof::Level;
use model::set::SetId;
use model::set::id::utc_stamp;
use model::set::layout::{MANIFEST, PINNED, set_folder};
use model::step_error::ErrorClass;
use serde_json::{Value, json};
use steps::store::{Backup, Choice};

impl Lab {
    async fn prune(&self, keys: Value) -> Result<Value, model::step_error::StepError> {
        let mut with = json!({"store": "backups", "database": "lms"});
        with.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        run("store.prune", with, &attempt(&self.host, 1)).await
    }
}

fn texts(sets: &[SetId]) -> Vec<String> {
    let mut texts: Vec<_> = sets.iter().map(ToString::to_string).collect();
    texts.sort();
    texts
}

#[tokio::test]
async fn sets_that_no_rule_keeps_go_with_all_their_objects() {
    let lab = lab();
    let a = lab.set(1, "2026-11-20T02:00:00Z", Some("daily"), Some(true));
    let b = lab.set(2, "2026-11-19T02:00:00Z", Some("daily"), Some(true));
    let c = lab.set(3, "2026-11-18T02:00:00Z", Some("daily"), Some(true));
    let other = lab.set(4, "2026-11-01T02:00:00Z", Some("pre-restore"), Some(true));
    let none = lab.set(5, "2026-11-01T02:00:00Z", None, Some(true));
    let output = lab.prune(json!({"label": "daily", "keep": {"daily": 1}})).await.unwrap();
    assert_eq!(output["deleted"], json!([c]));
    assert_eq!(output["kept"], json!(2));
    assert!(output["freed"].as_u64().unwrap() > 1000);
    assert_eq!(lab.left(), texts(&[a, b, other, none]));
    assert!(lab.host.logged().contains(&format!("delete {c}: no rule keeps it\n")));
}

#[tokio::test]
async fn after_any_number_of_failing_nights_the_last_proven_sets_are_there() {
    let lab = lab();
    let mut good = Vec::new();
    for (night, proven) in [(1, true), (2, true), (3, false), (4, false), (5, false)] {
        let taken = format!("2026-11-{:02}T02:00:00Z", 10 + night);
        let set = lab.set(night, &taken, None, Some(proven));
        if proven {
            good.push(set);
        }
        lab.prune(json!({"keep": {"last": 1}})).await.unwrap();
        let left = lab.left();
        assert!(texts(&good).iter().all(|set| left.contains(set)), "night {night}: {left:?}");
    }
    assert_eq!(lab.left().len(), 5);
}

#[tokio::test]
async fn a_proof_of_another_manifest_proves_nothing() {
    let lab = lab();
    let set = lab.set(1, "2026-11-20T02:00:00Z", None, Some(true));
    let other = manifest(&set, Some("changed"), "2026-11-20T02:00:00Z");
    fs::write(lab.path(&set).join(MANIFEST), other.to_json()).unwrap();
    let listed = run("store.list", json!({"store": "backups"}), &attempt(&lab.host, 1)).await;
    let listed = listed.unwrap();
    assert_eq!(listed["sets"][0]["proven"], json!(false));
    assert_eq!(listed["newest_proven"], Value::Null);
}

/// Each proven set has a chance, no other has one, and the seed tells which it is.
#[tokio::test]
async fn a_set_is_drawn_by_a_seed_that_is_told() {
    let lab = lab();
    let newest = lab.set(1, "2026-11-20T02:00:00Z", Some("daily"), Some(true));
    let middle = lab.set(2, "2026-11-19T02:00:00Z", Some("daily"), Some(true));
    let oldest = lab.set(3, "2026-11-18T02:00:00Z", Some("daily"), Some(true));
    lab.set(4, "2026-11-17T02:00:00Z", Some("daily"), Some(false));
    lab.set(5, "2026-11-16T02:00:00Z", Some("weekly"), Some(true));
    let with = json!({"store": "backups", "label": "daily", "choose": "random"});
    let all = [&oldest, &middle, &newest].map(|set| json!(set));
    let mut seen = Vec::new();
    for _ in 0..200 {
        let drawn = run("store.list", with.clone(), &attempt(&lab.host, 1)).await.unwrap();
        let number = usize::try_from(drawn["seed"].as_u64().unwrap() % 3).unwrap();
        assert_eq!(drawn["chosen"], all[number]);
        seen.push(number);
    }
    assert!((0..3).all(|number| seen.contains(&number)), "{seen:?}");

    let with = json!({"store": "backups", "label": "none", "choose": "random"});
    let error = run("store.list", with, &attempt(&lab.host, 1)).await.unwrap_err();
    assert_eq!((error.code.as_str(), error.class), ("RB0611", ErrorClass::NeedsOperator));
    let with = json!({"store": "backups", "label": "daily"});
    let listed = run("store.list", with, &attempt(&lab.host, 1)).await.unwrap();
    assert_eq!((&listed["chosen"], &listed["seed"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn pinned_and_unreadable_sets_stay() {
    let lab = lab();
    let _newest = lab.set(1, "2026-11-20T02:00:00Z", None, Some(true));
    let _floor = lab.set(2, "2026-11-19T02:00:00Z", None, Some(true));
    let pinned = lab.set(3, "2026-11-18T02:00:00Z", None, Some(true));
    fs::write(lab.path(&pinned).join(PINNED), "audit 2026").unwrap();
    let damaged = lab.set(4, "2026-11-17T02:00:00Z", None, Some(true));
    fs::write(lab.path(&damaged).join(MANIFEST), "{").unwrap();
    let strange = lab.set(5, "2026-11-16T02:00:00Z", None, Some(true));
    let foreign = manifest(&id(9, "2026-11-16T02:00:00Z"), None, "2026-11-16T02:00:00Z");
    fs::write(lab.path(&strange).join(MANIFEST), foreign.to_json()).unwrap();
    let output = lab.prune(json!({"keep": {"last": 1}})).await.unwrap();
    assert_eq!(output["deleted"], json!([]));
    assert_eq!(lab.left().len(), 5);
    let listed = run("store.list", json!({"store": "backups"}), &attempt(&lab.host, 1)).await;
    let listed = listed.unwrap();
    assert_eq!(listed["count"], json!(3));
    assert_eq!(listed["broken"][1]["set"], json!(damaged));
    assert_eq!(
        listed["broken"][0]["reason"],
        json!("its manifest is of set `20261116T020000Z-00000009`")
    );
}

/// Proofs are written beside a manifest only: where they are it was, so it is no leftover.
#[tokio::test]
async fn a_set_that_lost_its_manifest_stays_and_is_warned_of() {
    let lab = lab();
    lab.set(1, "2026-11-20T02:00:00Z", None, Some(true));
    let damaged = lab.set(2, "2026-10-01T02:00:00Z", None, Some(true));
    fs::remove_file(lab.path(&damaged).join(MANIFEST)).unwrap();
    let leftover = lab.unfinished(3, "2026-10-01T02:00:00Z");
    for path in [
        lab.path(&damaged).join("data/public.a.0001.copy.zst"),
        lab.path(&damaged).join("proofs/20261120T030000Z-run.json"),
        lab.path(&leftover).join("schema.dump"),
    ] {
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(filetime("2026-10-01T02:05:00Z")).unwrap();
    }
    let output = lab.prune(json!({"keep": {"last": 1}})).await.unwrap();
    assert_eq!(output["leftovers"], json!([leftover]));
    assert_eq!(output["freed"], json!(4), "the bytes of the leftover");
    assert_eq!(lab.left(), texts(&[id(1, "2026-11-20T02:00:00Z"), damaged.clone()]));
    let why = "it has proofs and no manifest: a set that was whole is damaged";
    assert!(lab.host.logged().contains(&format!("warning: keep {damaged}: {why}\n")));
    let listed = run("store.list", json!({"store": "backups"}), &attempt(&lab.host, 1)).await;
    assert_eq!(listed.unwrap()["broken"][0]["reason"], json!(why));
}

#[tokio::test]
async fn a_proof_that_does_not_read_counts_as_none() {
    let lab = lab();
    let proven = lab.set(1, "2026-11-20T02:00:00Z", None, Some(true));
    let unproven = lab.set(2, "2026-11-20T02:30:00Z", None, None);
    for set in [&proven, &unproven] {
        fs::write(lab.path(set).join("proofs/20261120T040000Z-run.json"), "{").unwrap();
    }
    let listed = run("store.list", json!({"store": "backups"}), &attempt(&lab.host, 1)).await;
    let listed = listed.unwrap();
    assert_eq!(listed["count"], json!(2));
    assert_eq!((&listed["newest"], &listed["newest_proven"]), (&json!(unproven), &json!(proven)));
    assert_eq!(listed["sets"][1]["level"], json!("identical"));
    assert_eq!(listed["broken"].as_array().unwrap().len(), 2);
    let path = format!("{}/proofs/20261120T040000Z-run.json", set_folder("lms", &proven));
    assert_eq!(listed["broken"][0]["folder"], json!(path));
    let reason = listed["broken"][0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("this proof counts for nothing"), "{reason}");
    let output = lab.prune(json!({"keep": {"last": 1}})).await.unwrap();
    assert_eq!((&output["kept"], &output["leftovers"]), (&json!(2), &json!([])));
    assert!(lab.host.logged().contains(&format!("warning: `{path}`: {reason}\n")));
    let latest = Choice {
        database: Some("lms"),
        backup: &Backup::Latest,
        proven_at: Some(Level::Identical),
    };
    let store = steps::store::open_named(&attempt(&lab.host, 1), "backups").await.unwrap();
    let taken = latest.make(store.as_ref(), &attempt(&lab.host, 1)).await.unwrap();
    assert_eq!(taken.manifest.set, proven);
}

#[tokio::test]
async fn the_level_agrees_with_whether_it_is_proven() {
    let lab = lab();
    let set = lab.set(1, "2026-11-20T02:00:00Z", None, Some(true));
    let bytes = fs::read(lab.path(&set).join(MANIFEST)).unwrap();
    let prove = |at: &str, asked, passed, reached| {
        let mut proof = proof(&set, &bytes, asked, passed);
        (proof.finished, proof.reached) = (at.parse().unwrap(), reached);
        let name = format!("proofs/{}-run.json", utc_stamp(proof.finished));
        fs::write(lab.path(&set).join(name), proof.to_json()).unwrap();
    };
    let shown = async || {
        let with = json!({"store": "backups"});
        let listed = run("store.list", with, &attempt(&lab.host, 1)).await.unwrap();
        (listed["sets"][0]["proven"].clone(), listed["sets"][0]["level"].clone())
    };
    prove("2026-11-20T04:00:00Z", Level::Stored, true, Some(Level::Stored));
    assert_eq!(shown().await, (json!(true), json!("identical")));
    prove("2026-11-20T05:00:00Z", Level::Identical, false, Some(Level::Restorable));
    assert_eq!(shown().await, (json!(false), Value::Null));
    prove("2026-11-20T06:00:00Z", Level::Stored, true, Some(Level::Stored));
    assert_eq!(shown().await, (json!(false), json!("stored")));
}

#[tokio::test]
async fn more_than_the_guard_allows_is_not_removed() {
    let lab = lab();
    for night in 1..=5 {
        lab.set(night, &format!("2026-11-{:02}T02:00:00Z", 10 + night), None, Some(true));
    }
    let error = lab.prune(json!({"keep": {"last": 1}, "max_delete": 2})).await.unwrap_err();
    shown::case("RB0661", error.told());
    assert_eq!((error.code.as_str(), error.class), ("RB0661", ErrorClass::Permanent));
    assert_eq!(error.message, "3 sets would go, `max_delete` is 2: nothing was removed");
    assert_eq!(lab.left().len(), 5);
    let output = lab.prune(json!({"keep": {"last": 1}, "max_delete": 3})).await.unwrap();
    assert_eq!(output["kept"], json!(2));
    assert_eq!(lab.left().len(), 2);
}

#[tokio::test]
async fn a_dry_run_says_what_would_go_and_removes_nothing() {
    let lab = lab();
    for night in 1..=4 {
        lab.set(night, &format!("2026-11-{:02}T02:00:00Z", 10 + night), None, Some(true));
    }
    let output = lab.prune(json!({"keep": {"last": 1}, "dry_run": true})).await.unwrap();
    assert_eq!(output["deleted"].as_array().unwrap().len(), 2);
    assert_eq!(output["dry_run"], json!(true));
    assert_eq!(lab.left().len(), 4);
}

#[tokio::test]
async fn leftovers_go_when_they_are_old_and_stay_while_something_is_written() {
    let lab = lab();
    lab.set(1, "2026-11-20T02:00:00Z", None, Some(true));
    let young = lab.unfinished(2, "2026-11-20T02:30:00Z");
    let old = lab.unfinished(3, "2026-11-01T02:00:00Z");
    let long_ago = filetime("2026-11-01T02:05:00Z");
    let file = fs::File::options().write(true).open(lab.path(&old).join("schema.dump")).unwrap();
    file.set_modified(long_ago).unwrap();
    let now = filetime(NOW);
    let file = fs::File::options().write(true).open(lab.path(&young).join("schema.dump")).unwrap();
    file.set_modified(now).unwrap();
    let output = lab.prune(json!({"keep": {"last": 1}})).await.unwrap();
    assert_eq!(output["leftovers"], json!([old]));
    assert_eq!(lab.left().len(), 2);
}

fn filetime(at: &str) -> std::time::SystemTime {
    at.parse::<Timestamp>().unwrap().into()
}

/// A prune that is cut off between a manifest and the rest: what is left is no set, the
/// observation says it is not done, and the next attempt removes the rest.
#[tokio::test]
async fn a_prune_that_was_cut_off_is_finished_by_the_next_attempt() {
    let lab = lab();
    for night in 1..=4 {
        lab.set(night, &format!("2026-11-{:02}T02:00:00Z", 10 + night), None, Some(true));
    }
    let with = json!({"store": "backups", "database": "lms", "keep": {"last": 1}});
    let step = steps::REGISTRY.step("store.prune").unwrap();
    let node = Node::from_json(&with);
    let first = attempt(&lab.host, 1);
    assert_eq!(step.observe(&node, &first).await, Ok(Observation::NotDone));

    let doomed = id(1, "2026-11-11T02:00:00Z");
    let blocked = lab.path(&doomed);
    block(&blocked, true);
    let failed = run("store.prune", with.clone(), &first).await;
    block(&blocked, false);
    if let Err(error) = failed {
        assert_eq!(error.code, "RB0605");
    } else {
        // The superuser is not stopped by the mode of a folder: put back what is half a set.
        fs::create_dir_all(&blocked).unwrap();
        fs::write(blocked.join("schema.dump"), "half").unwrap();
    }
    fs::remove_file(blocked.join(MANIFEST)).ok();
    assert_eq!(step.observe(&node, &first).await, Ok(Observation::NotDone));

    let second = attempt(&lab.host, 2);
    run("store.prune", with, &second).await.unwrap();
    assert!(matches!(step.observe(&node, &second).await, Ok(Observation::Done(_))));
    assert_eq!(lab.left(), texts(&[id(3, "2026-11-13T02:00:00Z"), id(4, "2026-11-14T02:00:00Z")]));
}

fn block(folder: &Path, blocked: bool) {
    use std::os::unix::fs::PermissionsExt;
    let mode = if blocked { 0o500 } else { 0o700 };
    fs::set_permissions(folder, fs::Permissions::from_mode(mode)).ok();
}

#[tokio::test]
async fn a_list_tells_age_size_and_proof() {
    let lab = lab();
    let set = lab.set(1, "2026-11-20T02:00:00Z", Some("daily"), Some(true));
    lab.set(2, "2026-11-20T02:30:00Z", Some("daily"), Some(false));
    lab.set(3, "2026-11-20T02:45:00Z", None, None);
    let with = json!({"store": "backups", "database": "lms", "label": "daily"});
    let listed = run("store.list", with, &attempt(&lab.host, 1)).await.unwrap();
    assert_eq!(listed["count"], json!(2));
    assert_eq!(listed["newest"], json!(id(2, "2026-11-20T02:30:00Z")));
    assert_eq!(listed["newest_proven"], json!(set));
    assert_eq!(listed["sets"][1]["age"], json!("1h"));
    assert_eq!(listed["sets"][1]["level"], json!("identical"));
    assert_eq!(listed["sets"][0]["proven"], json!(false));
}

#[tokio::test]
async fn an_empty_store_has_no_sets_and_an_object_list_has_paths() {
    let lab = lab();
    let listed = run("store.list", json!({"store": "backups"}), &attempt(&lab.host, 1)).await;
    assert_eq!(listed.unwrap()["count"], json!(0));
    fs::create_dir_all(lab.folder.path().join("exports")).unwrap();
    fs::write(lab.folder.path().join("exports/a.csv"), "12345").unwrap();
    let with = json!({"store": "backups", "folder": "exports"});
    let listed = run("store.list", with, &attempt(&lab.host, 1)).await.unwrap();
    assert_eq!(listed["objects"][0]["path"], json!("exports/a.csv"));
    assert_eq!((listed["count"].clone(), listed["bytes"].clone()), (json!(1), json!(5)));
}
