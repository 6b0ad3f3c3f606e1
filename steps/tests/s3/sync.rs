//! `s3.sync`: what lies under the second prefix afterwards.

use engine::step::Observation;
use model::step_error::ErrorClass;
use serde_json::{Value, json};

use crate::common::{SERVER, attempt, get, host, keys, observe, put, run, with_keys};

const KIND: &str = "s3.sync";

fn with(from: &str, to: &str, keys: &Value) -> Value {
    let mut with = json!({"from": from, "to": to});
    with.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    with
}

#[test]
fn what_is_missing_is_copied_and_nothing_is_removed_unless_it_is_said() {
    with_keys("sync::what_is_missing_is_copied_and_nothing_is_removed_unless_it_is_said", async {
        SERVER.create_bucket("live").unwrap();
        SERVER.create_bucket("mirror").unwrap();
        for name in ["a", "b", "c/d"] {
            put(&format!("/live/up/{name}"), &[], name);
        }
        put("/mirror/m/a", &[], "a");
        put("/mirror/m/old", &[], "old");
        let plain = with("s3://live/up/", "s3://mirror/m/", &json!({}));
        let host = host();
        let output = run(KIND, plain.clone(), &attempt(&host, 1)).await.unwrap();
        assert_eq!(
            output,
            json!({"objects": 3, "bytes": 5, "copied": 2, "deleted": 0, "hidden": 0, "extra": 1})
        );
        assert_eq!(keys("mirror"), ["m/a", "m/b", "m/c/d", "m/old"]);
        assert!(host.logged().contains("1 only at the target, and stay"), "{}", host.logged());
        assert!(matches!(observe(KIND, plain, &attempt(&host, 1)).await, Observation::Done(_)));

        let delete = |percent| {
            let keys = json!({"delete": true, "max_delete_percent": percent});
            with("s3://live/up/", "s3://mirror/m/", &keys)
        };
        let error = run(KIND, delete(20), &attempt(&self::host(), 1)).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::NeedsOperator);
        shown::case("RB0637", error.told());
        assert_eq!(keys("mirror").len(), 4, "nothing was done");
        let output = run(KIND, delete(25), &attempt(&self::host(), 1)).await.unwrap();
        assert_eq!((&output["deleted"], &output["hidden"]), (&json!(1), &json!(0)));
        assert_eq!(keys("mirror"), ["m/a", "m/b", "m/c/d"]);
    });
}

#[test]
fn what_differs_is_replaced_only_when_it_is_said() {
    with_keys("sync::what_differs_is_replaced_only_when_it_is_said", async {
        SERVER.create_bucket("newer").unwrap();
        SERVER.create_bucket("older").unwrap();
        put("/newer/a", &[], "new");
        put("/older/a", &[], "old");
        let plain = with("s3://newer/", "s3://older/", &json!({}));
        let error = run(KIND, plain, &attempt(&host(), 1)).await.unwrap_err();
        assert_eq!(error.code, "RB0696");
        assert_eq!(get("/older/a").body, "old");
        let replace = with("s3://newer/", "s3://older/", &json!({"overwrite": true}));
        run(KIND, replace, &attempt(&host(), 1)).await.unwrap();
        assert_eq!(get("/older/a").body, "new");
    });
}

#[test]
fn in_a_bucket_with_versions_what_is_removed_is_hidden() {
    with_keys("sync::in_a_bucket_with_versions_what_is_removed_is_hidden", async {
        SERVER.create_bucket("few").unwrap();
        SERVER.create_locking_bucket("kept").unwrap();
        put("/few/a", &[], "a");
        put("/kept/a", &[], "a");
        put("/kept/old", &[], "old");
        let keys_ = json!({"delete": true, "max_delete_percent": 50});
        let output =
            run(KIND, with("s3://few/", "s3://kept/", &keys_), &attempt(&host(), 1)).await.unwrap();
        assert_eq!((&output["deleted"], &output["hidden"]), (&json!(0), &json!(1)));
        assert_eq!(keys("kept"), ["a"]);
        let versions = get("/kept?versions").body;
        assert!(versions.contains("<Key>old</Key>"), "{versions}");
    });
}
