//! `s3.configure`: what a bucket tells afterwards, to somebody else.

use engine::step::Observation;
use model::step_error::ErrorClass;
use serde_json::{Value, json};

use crate::common::{SERVER, attempt, get, host, put, with_keys};
use crate::proxy::{observe, run};

const KIND: &str = "s3.configure";

fn all(bucket: &str) -> Value {
    json!({
        "bucket": bucket,
        "versioning": "enabled",
        "object_lock": {"days": 7},
        "encryption": {"kms_key": "alias/backups", "bucket_key": true},
        "public_access": {},
        "lifecycle": [
            {"id": "old", "prefix": "lms/", "transitions": [
                {"days": 30, "storage_class": "STANDARD_IA"},
                {"days": 90, "storage_class": "DEEP_ARCHIVE"},
            ]},
            {"id": "gone", "tags": {"keep": "month"}, "expire_after_days": 31,
             "noncurrent_expire_after_days": 7, "abort_uploads_after_days": 3},
        ],
    })
}

#[test]
fn a_bucket_is_made_as_it_is_asked_for_and_put_back() {
    with_keys("configure::a_bucket_is_made_as_it_is_asked_for_and_put_back", async {
        SERVER.create_locking_bucket("made").unwrap();
        let host = host();
        let ctx = attempt(&host, 1);
        assert_eq!(observe(KIND, all("made"), &ctx).await, Observation::NotDone);
        let output = run(KIND, all("made"), &ctx).await.unwrap();
        let changed: Vec<&Value> =
            output["changes"].as_array().unwrap().iter().map(|one| &one["setting"]).collect();
        assert_eq!(changed, ["lifecycle", "object_lock", "encryption", "public_access"]);
        assert_eq!(output["former"]["lifecycle"], json!([]));
        assert_eq!(output["former"]["versioning"], "enabled");
        assert!(host.logged().contains("lifecycle: [] -> ["), "{}", host.logged());
        assert!(host.logged().contains("versioning: is enabled already"));

        let lifecycle = get("/made?lifecycle").body;
        for text in [
            "<Prefix>lms/</Prefix>",
            "<StorageClass>DEEP_ARCHIVE<",
            "<Days>31<",
            "<DaysAfterInitiation>3<",
        ] {
            assert!(lifecycle.contains(text), "{text}: {lifecycle}");
        }
        assert!(get("/made?object-lock").body.contains("<Days>7<"));
        assert!(get("/made?encryption").body.contains("alias/backups"));
        assert!(get("/made?publicAccessBlock").body.contains("<BlockPublicPolicy>true<"));

        let Observation::Done(seen) = observe(KIND, all("made"), &ctx).await else {
            panic!("the bucket is as it was asked for")
        };
        assert_eq!(seen["former"], output["former"]);
        let again = run(KIND, all("made"), &attempt(&self::host(), 1)).await.unwrap();
        assert_eq!(again["changes"], json!([]), "what is as asked is not touched");

        let undo = json!({"bucket": "made", "restore": output["former"]});
        let undone = run(KIND, undo, &attempt(&self::host(), 1)).await.unwrap();
        assert_eq!(undone["current"], output["former"]);
        assert_eq!(get("/made?lifecycle").status, 404);
        assert!(!get("/made?object-lock").body.contains("<Days>"));
    });
}

#[test]
fn a_bucket_that_never_kept_versions_suspends_them_when_it_is_put_back() {
    with_keys(
        "configure::a_bucket_that_never_kept_versions_suspends_them_when_it_is_put_back",
        async {
            SERVER.create_bucket("plain").unwrap();
            let ctx = attempt(&host(), 1);
            let asked = json!({"bucket": "plain", "versioning": "enabled"});
            let output = run(KIND, asked, &ctx).await.unwrap();
            assert_eq!(output["former"]["versioning"], "never");
            assert!(get("/plain?versioning").body.contains("<Status>Enabled<"));
            let undo = json!({"bucket": "plain", "restore": output["former"]});
            let undone = run(KIND, undo, &attempt(&host(), 1)).await.unwrap();
            assert_eq!(undone["current"]["versioning"], "suspended");
            // One that never kept them is as good as suspended.
            SERVER.create_bucket("never").unwrap();
            let asked = json!({"bucket": "never", "versioning": "suspended"});
            let output = run(KIND, asked, &attempt(&host(), 1)).await.unwrap();
            assert_eq!(output["changes"], json!([]));
            assert!(!get("/never?versioning").body.contains("<Status>"));
        },
    );
}

#[test]
fn a_resume_keeps_what_was_there_before_the_first_attempt() {
    with_keys("configure::a_resume_keeps_what_was_there_before_the_first_attempt", async {
        SERVER.create_bucket("resumed").unwrap();
        let (host, asked) = (host(), json!({"bucket": "resumed", "versioning": "enabled"}));
        attempt(&host, 1).record("former", json!({"versioning": "never"})).await.unwrap();
        assert_eq!(observe(KIND, asked.clone(), &attempt(&host, 1)).await, Observation::NotDone);
        let body = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
        put("/resumed?versioning", &[], body);
        let seen = observe(KIND, asked, &attempt(&host, 1)).await;
        let Observation::Done(seen) = seen else { panic!("it is as asked") };
        assert_eq!(seen["former"]["versioning"], "never");
    });
}

#[test]
fn a_rule_that_could_not_be_put_back_is_left_alone() {
    with_keys("configure::a_rule_that_could_not_be_put_back_is_left_alone", async {
        SERVER.create_bucket("dated").unwrap();
        let body = "<LifecycleConfiguration><Rule><ID>party</ID><Status>Enabled</Status>\
                    <Filter><Prefix></Prefix></Filter>\
                    <Expiration><Date>2027-01-01T00:00:00Z</Date></Expiration></Rule>\
                    </LifecycleConfiguration>";
        put("/dated?lifecycle", &[], body);
        let asked = json!({"bucket": "dated", "lifecycle": []});
        let error = run(KIND, asked, &attempt(&host(), 1)).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::NeedsOperator);
        shown::case("RB0699", error.told());
        assert!(get("/dated?lifecycle").body.contains("<ID>party</ID>"));
    });
}

#[test]
fn a_bucket_that_is_not_there_is_told() {
    with_keys("configure::a_bucket_that_is_not_there_is_told", async {
        let asked = json!({"bucket": "no-such-bucket", "versioning": "enabled"});
        let error = run(KIND, asked, &attempt(&host(), 1)).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.class), ("RB0665", ErrorClass::Permanent));
    });
}
