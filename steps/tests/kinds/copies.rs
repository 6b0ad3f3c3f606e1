//! `store.copy` between two real folders, cut off, repeated, and with damage on either side.

use std::fs;
use std::path::PathBuf;

use engine::step::Observation;
use model::node::Node;
use model::set::SetId;
use model::set::layout::{MANIFEST, set_folder};
use model::step_error::{ErrorClass, StepError};
use serde_json::{Value, json};

use crate::common::{attempt, run};
use crate::sets::{CONTENT, Lab, OBJECT, lab, manifest};

const TAKEN: &str = "2026-11-20T02:00:00Z";

impl Lab {
    async fn copy(&self, keys: Value) -> Result<Value, StepError> {
        self.copy_in(1, keys).await
    }

    async fn copy_in(&self, number: u32, keys: Value) -> Result<Value, StepError> {
        let mut with = json!({"from": "backups", "to": "archive"});
        with.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        run("store.copy", with, &attempt(&self.host, number)).await
    }

    async fn look(&self) -> Observation<Value> {
        let step = steps::REGISTRY.step("store.copy").unwrap();
        let with = Node::from_json(&json!({"from": "backups", "to": "archive"}));
        step.observe(&with, &attempt(&self.host, 1)).await.unwrap()
    }

    fn copied(&self, set: &SetId) -> PathBuf {
        self.archive.path().join(set_folder("lms", set))
    }

    /// Every file of the set in both stores is the same, and there is no other.
    fn are_equal(&self, set: &SetId) {
        let names = [OBJECT, MANIFEST, "proofs/20261120T030000Z-run.json"];
        for name in names {
            let read = |folder: PathBuf| fs::read(folder.join(name)).unwrap();
            assert_eq!(read(self.path(set)), read(self.copied(set)), "{name}");
        }
        let count = walk(&self.copied(set));
        assert_eq!(count, names.len());
    }
}

/// The files below a folder.
fn walk(folder: &std::path::Path) -> usize {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { walk(&path) } else { 1 }).sum()
}

#[tokio::test]
async fn the_newest_proven_set_is_copied_with_its_proofs_and_without_its_pin() {
    let lab = lab();
    lab.set(1, "2026-11-19T02:00:00Z", None, Some(true));
    let proven = lab.set(2, TAKEN, None, Some(true));
    let _unproven = lab.set(3, "2026-11-20T02:30:00Z", None, None);
    fs::write(lab.path(&proven).join("pinned.txt"), "audit").unwrap();
    let output = lab.copy(json!({})).await.unwrap();
    assert_eq!(output["set"], json!(proven));
    assert_eq!((&output["copied"], &output["objects"]), (&json!(1), &json!(1)));
    assert_eq!((&output["proofs"], &output["existed"]), (&json!(1), &json!(false)));
    lab.are_equal(&proven);
    let with = json!({"store": "archive"});
    let listed = run("store.list", with, &attempt(&lab.host, 1)).await.unwrap();
    assert_eq!((&listed["count"], &listed["newest_proven"]), (&json!(1), &json!(proven)));
}

#[tokio::test]
async fn a_second_copy_finds_the_set_and_later_proofs_follow() {
    let lab = lab();
    let set = lab.set(1, TAKEN, None, Some(true));
    lab.copy(json!({})).await.unwrap();
    let again = lab.copy(json!({"backup": set})).await.unwrap();
    assert_eq!((&again["existed"], &again["copied"]), (&json!(true), &json!(0)));
    let newer = "proofs/20261121T030000Z-run.json";
    fs::copy(lab.path(&set).join("proofs/20261120T030000Z-run.json"), lab.path(&set).join(newer))
        .unwrap();
    assert_eq!(lab.look().await, Observation::NotDone);
    let output = lab.copy(json!({"backup": set})).await.unwrap();
    assert_eq!((&output["existed"], &output["proofs"]), (&json!(false), &json!(2)));
    assert!(matches!(lab.look().await, Observation::Done(_)));
}

#[tokio::test]
async fn an_attempt_that_was_cut_off_is_taken_up_with_the_same_set() {
    let lab = lab();
    let set = lab.set(1, TAKEN, None, Some(true));
    assert_eq!(lab.look().await, Observation::NotDone);
    let attempt = attempt(&lab.host, 1);
    attempt.record("copy", json!({"set": set, "database": "lms"})).await.unwrap();
    fs::create_dir_all(lab.copied(&set).join("data")).unwrap();
    fs::write(lab.copied(&set).join(OBJECT), CONTENT).unwrap();
    fs::write(lab.copied(&set).join("data/.part-1-1"), "half").unwrap();
    assert_eq!(lab.look().await, Observation::NotDone);
    lab.set(2, "2026-11-20T02:30:00Z", None, Some(true));
    let output = lab.copy_in(2, json!({})).await.unwrap();
    assert_eq!((&output["set"], &output["copied"]), (&json!(set), &json!(0)));
    lab.are_equal(&set);
    let Observation::Done(seen) = lab.look().await else { panic!("the copy is whole") };
    assert_eq!((&seen["set"], &seen["manifest_sha256"]), (&json!(set), &output["manifest_sha256"]));
}

#[tokio::test]
async fn a_damaged_object_is_not_copied_and_no_set_appears() {
    let lab = lab();
    let set = lab.set(1, TAKEN, None, Some(true));
    let mut damaged = CONTENT;
    damaged[500] = 1;
    fs::write(lab.path(&set).join(OBJECT), damaged).unwrap();
    let error = lab.copy(json!({})).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Permanent);
    shown::case("RB0681", error.told());
    assert!(!lab.copied(&set).join(MANIFEST).exists());
    assert!(!lab.copied(&set).join(OBJECT).exists());
    fs::remove_file(lab.path(&set).join(OBJECT)).unwrap();
    let error = lab.copy(json!({})).await.unwrap_err();
    assert_eq!((error.code.as_str(), error.class), ("RB0602", ErrorClass::Permanent));
}

#[tokio::test]
async fn what_is_in_the_way_is_never_overwritten() {
    let lab = lab();
    let set = lab.set(1, TAKEN, None, Some(true));
    fs::create_dir_all(lab.copied(&set).join("data")).unwrap();
    fs::write(lab.copied(&set).join(OBJECT), "mine").unwrap();
    let error = lab.copy(json!({})).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::NeedsOperator);
    shown::case("RB0682", error.told());
    assert_eq!(fs::read(lab.copied(&set).join(OBJECT)).unwrap(), b"mine");

    let other = manifest(&set, Some("other"), TAKEN).to_json();
    fs::write(lab.copied(&set).join(MANIFEST), &other).unwrap();
    let error = lab.copy(json!({})).await.unwrap_err();
    assert_eq!((error.code.as_str(), error.class), ("RB0682", ErrorClass::Permanent));
    assert_eq!(fs::read(lab.copied(&set).join(MANIFEST)).unwrap(), other);
}

#[tokio::test]
async fn a_copy_that_lost_an_object_is_no_copy() {
    let lab = lab();
    let set = lab.set(1, TAKEN, None, Some(true));
    lab.copy(json!({})).await.unwrap();
    fs::remove_file(lab.copied(&set).join(OBJECT)).unwrap();
    let error = lab.copy(json!({})).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::NeedsOperator);
    shown::case("RB0683", error.told());
}

#[tokio::test]
async fn nothing_proven_is_nothing_to_copy() {
    let lab = lab();
    let unproven = lab.set(1, TAKEN, None, None);
    let error = lab.copy(json!({})).await.unwrap_err();
    assert_eq!((error.code.as_str(), error.class), ("RB0611", ErrorClass::NeedsOperator));
    let output = lab.copy(json!({"database": "lms", "backup": unproven})).await.unwrap();
    assert_eq!((&output["set"], &output["proofs"]), (&json!(unproven), &json!(0)));
}
