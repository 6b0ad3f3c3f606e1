//! `s3.copy`: objects that S3 itself moves, compared with what the server then has.

use engine::step::Observation;
use model::step_error::ErrorClass;
use serde_json::{Value, json};

use crate::common::{
    SERVER, attempt, get, has_uploads, head, host, keys, observe, put, run, with_keys,
};

const KIND: &str = "s3.copy";

#[test]
fn a_prefix_is_copied_with_what_belongs_to_its_objects_and_taken_up_again() {
    with_keys(
        "copy::a_prefix_is_copied_with_what_belongs_to_its_objects_and_taken_up_again",
        async {
            SERVER.create_bucket("year-from").unwrap();
            SERVER.create_bucket("year-to").unwrap();
            put(
                "/year-from/year/a%20b",
                &["x-amz-meta-who: ann", "content-type: text/plain"],
                "one",
            );
            put(
                "/year-from/year/deep/c",
                &["x-amz-tagging: keep=year", "x-amz-storage-class: STANDARD_IA"],
                "two",
            );
            put("/year-from/year/empty", &[], "");
            put("/year-from/other", &[], "x");
            let with = json!({"from": "s3://year-from/year/", "to": "s3://year-to/2026/"});
            let host = host();
            assert_eq!(observe(KIND, with.clone(), &attempt(&host, 1)).await, Observation::NotDone);
            let output = run(KIND, with.clone(), &attempt(&host, 1)).await.unwrap();
            assert_eq!(
                output,
                json!({"from": "s3://year-from/year/", "to": "s3://year-to/2026/", "objects": 3, "bytes": 6, "copied": 3})
            );
            assert_eq!(keys("year-to"), ["2026/a b", "2026/deep/c", "2026/empty"]);
            assert_eq!(get("/year-to/2026/a%20b").body, "one");
            let first = head("/year-to/2026/a%20b");
            assert!(
                first.contains("x-amz-meta-who: ann") && first.contains("content-type: text/plain")
            );
            assert!(first.contains("x-amz-checksum-sha256: "), "{first}");
            assert!(head("/year-to/2026/deep/c").contains("x-amz-storage-class: standard_ia"));
            assert!(get("/year-to/2026/deep/c?tagging").body.contains("<Value>year</Value>"));

            let Observation::Done(seen) = observe(KIND, with.clone(), &attempt(&host, 1)).await
            else {
                panic!("all copies are there")
            };
            assert_eq!((&seen["objects"], &seen["copied"]), (&json!(3), &json!(0)));
            SERVER.request("DELETE", "/year-to/2026/empty", &[], "").unwrap();
            let seen = observe(KIND, with.clone(), &attempt(&host, 1)).await;
            assert_eq!(seen, Observation::NotDone);
            let again = run(KIND, with, &attempt(&host, 2)).await.unwrap();
            assert_eq!((&again["objects"], &again["copied"]), (&json!(3), &json!(1)));
        },
    );
}

#[test]
fn nothing_is_overwritten_unless_it_is_said() {
    with_keys("copy::nothing_is_overwritten_unless_it_is_said", async {
        SERVER.create_bucket("source").unwrap();
        SERVER.create_bucket("taken").unwrap();
        put("/source/a", &[], "new");
        put("/taken/a", &[], "old");
        let mut with = json!({"from": "s3://source/a", "to": "s3://taken/a"});
        let error = run(KIND, with.clone(), &attempt(&host(), 1)).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::NeedsOperator);
        shown::case("RB0696", error.told());
        assert_eq!(get("/taken/a").body, "old");
        with["overwrite"] = json!(true);
        run(KIND, with, &attempt(&host(), 1)).await.unwrap();
        assert_eq!(get("/taken/a").body, "new");
    });
}

#[test]
fn a_large_object_goes_in_parts_and_is_known_again() {
    with_keys("copy::a_large_object_goes_in_parts_and_is_known_again", async {
        SERVER.create_bucket("large").unwrap();
        let body = "0123456789abcdef".repeat((12 << 20) / 16);
        put("/large/in/a", &["x-amz-meta-who: ann", "x-amz-tagging: keep=year"], &body);
        let with = json!({
            "from": "s3://large/in/a", "to": "s3://large/out/a", "part_size": "5MiB",
            "storage_class": "GLACIER_IR",
        });
        let output = run(KIND, with.clone(), &attempt(&host(), 1)).await.unwrap();
        assert_eq!((&output["copied"], &output["bytes"]), (&json!(1), &json!(12 << 20)));
        let copy = head("/large/out/a");
        assert!(copy.contains("-3\""), "three parts: {copy}");
        assert!(copy.contains("x-amz-meta-who: ann"), "{copy}");
        assert!(copy.contains("x-amz-storage-class: glacier_ir"), "{copy}");
        assert!(get("/large/out/a?tagging").body.contains("<Value>year</Value>"));
        assert!(get("/large/out/a").body == body, "the bytes are those of the source");
        assert!(!has_uploads("large"));
        let again = run(KIND, with, &attempt(&host(), 1)).await.unwrap();
        assert_eq!(again["copied"], 0);
    });
}

#[test]
fn tags_metadata_class_and_key_are_those_that_are_said() {
    with_keys("copy::tags_metadata_class_and_key_are_those_that_are_said", async {
        SERVER.create_bucket("said").unwrap();
        put("/said/a", &["x-amz-meta-who: ann", "x-amz-tagging: keep=year"], "x");
        let with = json!({
            "from": "s3://said/a", "to": "s3://said/b", "storage_class": "ONEZONE_IA",
            "kms_key": "archive-key", "tags": {"keep": "ever"}, "metadata": {"why": "audit"},
        });
        run(KIND, with, &attempt(&host(), 1)).await.unwrap();
        let copy = head("/said/b");
        assert!(copy.contains("x-amz-storage-class: onezone_ia"), "{copy}");
        assert!(copy.contains("x-amz-server-side-encryption: aws:kms"), "{copy}");
        assert!(
            copy.contains("x-amz-meta-why: audit") && !copy.contains("x-amz-meta-who"),
            "{copy}"
        );
        assert!(get("/said/b?tagging").body.contains("<Value>ever</Value>"));
        // What has to be thawed first is not read.
        let with =
            json!({"from": "s3://said/a", "to": "s3://said/cold", "storage_class": "DEEP_ARCHIVE"});
        run(KIND, with, &attempt(&host(), 1)).await.unwrap();
        assert!(head("/said/cold").contains("x-amz-storage-class: deep_archive"));
        let with = json!({"from": "s3://said/cold", "to": "s3://said/c"});
        let error = run(KIND, with, &attempt(&host(), 1)).await.unwrap_err();
        assert_eq!(error.code, "RB0696");
        assert!(error.told().contains("restore-object"), "{}", error.told());
    });
}

#[test]
fn what_is_not_there_is_told() {
    with_keys("copy::what_is_not_there_is_told", async {
        SERVER.create_bucket("nothing").unwrap();
        for with in [
            json!({"from": "s3://nothing/a", "to": "s3://nothing/b"}),
            json!({"from": "s3://nothing/a/", "to": "s3://nothing/b/"}),
            json!({"from": "s3://nothing/a/", "to": "s3://no-such-bucket/b/"}),
        ] {
            let error = run(KIND, with, &attempt(&host(), 1)).await.unwrap_err();
            assert_eq!((error.code.as_str(), error.class), ("RB0665", ErrorClass::Permanent));
        }
    });
}

#[test]
fn a_plan_says_where_it_reads_and_writes_and_that_an_archive_is_one() {
    let step = steps::REGISTRY.step(KIND).unwrap();
    let with = json!({
        "from": "s3://a-bucket/x", "to": "s3://b-bucket/x", "from_region": "us-east-1",
        "region": "us-west-2", "storage_class": "DEEP_ARCHIVE",
    });
    let footprint = step.check(&model::node::Node::from_json(&with)).unwrap();
    let regions: Vec<Value> = footprint.aws.iter().map(|one| json!(one.region)).collect();
    assert_eq!(regions, ["us-east-1", "us-west-2"]);
    assert!(footprint.writes.iter().any(|text| text.contains("no restore within an RTO")));
}
