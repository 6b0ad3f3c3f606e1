//! `store.check` on stores that are good, stale, small, unproven, damaged and empty.

use std::fs;

use model::set::layout::{MANIFEST, set_folder};
use model::step_error::{ErrorClass, StepError};
use serde_json::{Value, json};

use crate::common::{attempt, run};
use crate::sets::{Lab, OBJECT, lab};

impl Lab {
    async fn check(&self, keys: Value) -> Result<Value, StepError> {
        let mut with = json!({"store": "backups"});
        with.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        run("store.check", with, &attempt(&self.host, 1)).await
    }

    /// Checks that do not hold, by name.
    async fn failing(&self, mut keys: Value) -> Vec<String> {
        keys["report_only"] = json!(true);
        let output = self.check(keys).await.unwrap();
        let checks = output["checks"].as_array().unwrap();
        let failing: Vec<String> = checks
            .iter()
            .filter(|check| check["holds"] == json!(false))
            .map(|check| check["check"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(output["passed"], json!(failing.is_empty()));
        failing
    }
}

/// Every check.
fn all() -> Value {
    json!({"max_age": "25h", "max_drift": 20, "min_free": "1B", "min_proven": 2,
           "max_unproven": 0, "max_damaged": 0})
}

/// Three nights, the last one an hour ago.
fn good() -> Lab {
    let lab = lab();
    for (number, day) in [(1, 18), (2, 19), (3, 20)] {
        lab.set(number, &format!("2026-11-{day}T02:00:00Z"), Some("daily"), Some(true));
    }
    lab
}

#[tokio::test]
async fn a_good_store_passes_every_check() {
    let lab = good();
    let output = lab.check(all()).await.unwrap();
    assert_eq!(output["passed"], json!(true));
    assert_eq!(output["checks"].as_array().unwrap().len(), 6);
    assert_eq!((&output["sets"], &output["proven"]), (&json!(3), &json!(3)));
    assert_eq!((&output["age"], &output["drift"]), (&json!("1h"), &json!(0)));
    assert_eq!(output["newest"], output["newest_proven"]);
    assert!(lab.host.logged().contains("max_age holds: the newest proven set is 1h old"));
}

#[tokio::test]
async fn an_empty_store_is_never_healthy() {
    let lab = lab();
    let failing = lab.failing(all()).await;
    assert_eq!(failing, ["max_age", "max_drift", "min_proven", "max_unproven"]);
}

#[tokio::test]
async fn failing_nights_do_not_look_like_good_ones() {
    let lab = good();
    for check in ["max_age", "max_unproven"] {
        assert_eq!(lab.failing(json!({check: all()[check]})).await, Vec::<String>::new());
    }
    let lab = self::lab();
    lab.set(1, "2026-11-18T02:00:00Z", None, Some(true));
    lab.set(2, "2026-11-19T02:00:00Z", None, Some(false));
    lab.set(3, "2026-11-20T02:00:00Z", None, None);
    let error = lab.check(all()).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Permanent);
    shown::case("RB0680", error.told());
    assert_eq!(lab.failing(all()).await, ["max_age", "min_proven", "max_unproven"]);
    assert_eq!(lab.failing(json!({"max_unproven": 2})).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_set_of_half_the_size_is_noticed() {
    let lab = good();
    let small = lab.set(4, "2026-11-20T02:30:00Z", Some("daily"), Some(true));
    fs::write(lab.path(&small).join(OBJECT), [0; 10]).unwrap();
    let output = lab.check(json!({"max_drift": 90})).await.unwrap();
    let drift = output["drift"].as_i64().unwrap();
    assert!((-60..-20).contains(&drift), "{drift}");
    assert_eq!(lab.failing(json!({"max_drift": 20})).await, ["max_drift"]);
    let first = self::lab();
    first.set(1, "2026-11-20T02:00:00Z", None, Some(true));
    assert_eq!(first.failing(json!({"max_drift": 0})).await, Vec::<String>::new());
}

#[tokio::test]
async fn space_and_damage_are_noticed() {
    let lab = good();
    assert_eq!(lab.failing(json!({"min_free": "4000000TiB"})).await, ["min_free"]);
    let damaged = lab.set(4, "2026-11-10T02:00:00Z", None, Some(true));
    fs::remove_file(lab.path(&damaged).join(MANIFEST)).unwrap();
    lab.unfinished(5, "2026-11-20T02:59:00Z");
    assert_eq!(lab.failing(json!({"max_damaged": 0})).await, ["max_damaged"]);
    assert_eq!(lab.failing(json!({"max_damaged": 1})).await, Vec::<String>::new());
}

#[tokio::test]
async fn only_the_sets_that_are_meant_count() {
    let lab = good();
    let of = async |keys: Value| lab.check(keys).await.unwrap()["sets"].clone();
    assert_eq!(of(json!({"label": "daily", "min_proven": 0})).await, json!(3));
    assert_eq!(of(json!({"label": "weekly", "min_proven": 0})).await, json!(0));
    assert_eq!(of(json!({"database": "crm", "min_proven": 0})).await, json!(0));
}

#[tokio::test]
async fn a_check_of_nothing_is_refused() {
    let step = steps::REGISTRY.step("store.check").unwrap();
    assert!(step.check(&model::node::Node::from_json(&json!({"store": "backups"}))).is_err());
}

#[tokio::test]
async fn the_newest_proven_set_is_looked_for_in_other_stores() {
    let lab = lab();
    let set = lab.set(1, "2026-11-19T02:00:00Z", None, Some(true));
    let asked = json!({"copies": {"stores": ["archive"]}});
    assert_eq!(lab.failing(asked.clone()).await, ["copies"]);
    let with = json!({"from": "backups", "to": "archive"});
    run("store.copy", with, &attempt(&lab.host, 1)).await.unwrap();
    let output = lab.check(asked.clone()).await.unwrap();
    let whole: Vec<&Value> =
        output["copies"].as_array().unwrap().iter().map(|copy| &copy["whole"]).collect();
    assert_eq!(whole, [&json!(true), &json!(true)]);
    // Two folders are one region.
    let regions = json!({"copies": {"stores": ["archive"], "min_regions": 2}});
    assert_eq!(lab.failing(regions).await, ["copies"]);
    // A newer set that is not proven is not asked for; a proven one is.
    lab.set(2, "2026-11-20T02:00:00Z", None, None);
    assert_eq!(lab.failing(asked.clone()).await, [""; 0]);
    let object = lab.archive.path().join(set_folder("lms", &set)).join(OBJECT);
    fs::write(&object, "cut").unwrap();
    assert_eq!(lab.failing(asked.clone()).await, ["copies"]);
    lab.set(3, "2026-11-20T02:30:00Z", None, Some(true));
    let error = lab.check(asked).await.unwrap_err();
    assert!(error.told().contains("the set is not there"), "{}", error.told());
}
