//! What is particular to `s3://`.

use std::time::Duration;

use engine::settings::S3Settings;
use model::plan::{LockMode, ObjectLock};
use model::step_error::{ErrorClass, StepError};
use steps::aws::Keys;
use steps::aws::s3::S3Store;
use steps::store::{Store, StoreError, put_bytes, read_bytes};

use super::SERVER;
use crate::contract::{self, pattern};

/// Settings that lead to `url`.
pub(crate) fn at(url: &str) -> S3Settings {
    S3Settings {
        region: Some("us-east-1".to_owned()),
        endpoint_url: Some(url.to_owned()),
        ..S3Settings::default()
    }
}

pub(crate) fn open(url: &str, settings: &S3Settings) -> S3Store {
    let keys = Keys { id: "lab".to_owned(), secret: "lab".to_owned().into() };
    S3Store::open_with(url, settings, Some(keys)).unwrap()
}

/// A store in a bucket of its own.
fn store(bucket: &str) -> S3Store {
    SERVER.create_bucket(bucket).unwrap();
    open(&format!("s3://{bucket}/team/backups"), &at(&SERVER.url()))
}

fn locked(bucket: &str, mode: LockMode) -> S3Store {
    SERVER.create_locking_bucket(bucket).unwrap();
    let object_lock = Some(ObjectLock { mode, days: 30 });
    open(&format!("s3://{bucket}"), &S3Settings { object_lock, ..at(&SERVER.url()) })
}

/// What the server itself says of an object.
fn head(path: &str) -> String {
    SERVER.request("HEAD", path, &["x-amz-checksum-mode: ENABLED"], "").unwrap().head
}

/// Whether the server knows of uploads that did not end.
async fn has_uploads(bucket: &str) -> bool {
    // The writer's end does not wait for the server.
    for _ in 0..100 {
        let answer = SERVER.request("GET", &format!("/{bucket}?uploads"), &[], "").unwrap();
        if !answer.body.contains("<UploadId>") {
            return false;
        }
        engine::clock::pause(Duration::from_millis(50)).await;
    }
    true
}

#[tokio::test]
async fn it_keeps_the_contract() {
    let store = store("contract");
    contract::all(&store).await;
    assert_eq!(store.free_space().await.unwrap(), None);
    assert_eq!(store.describe(), "s3://contract/team/backups");
    assert!(!has_uploads("contract").await, "no part of what was given up is left");
}

#[tokio::test]
async fn it_keeps_the_contract_in_compatibility_mode_and_at_the_root_of_a_bucket() {
    SERVER.create_bucket("compatible").unwrap();
    let settings = S3Settings { compatible: true, ..at(&SERVER.url()) };
    contract::all(&open("s3://compatible", &settings)).await;
    assert!(!head("/compatible/sizes/large").contains("x-amz-checksum-sha256"));
}

#[tokio::test]
async fn it_keeps_the_contract_in_a_bucket_with_versions_and_removes_all_of_them() {
    SERVER.create_locking_bucket("versions").unwrap();
    let store = open("s3://versions/x", &at(&SERVER.url()));
    contract::all(&store).await;
    let versions = SERVER.request("GET", "/versions?versions&prefix=x/sets/a/", &[], "").unwrap();
    assert!(!versions.body.contains("<VersionId>"), "{}", versions.body);
}

#[tokio::test]
async fn objects_are_kept_as_the_store_says_and_with_a_checksum_of_the_server() {
    SERVER.create_bucket("keeping").unwrap();
    let settings = S3Settings {
        storage_class: Some("STANDARD_IA".to_owned()),
        kms_key: Some("backup-key".to_owned()),
        ..at(&SERVER.url())
    };
    let store = open("s3://keeping", &settings);
    put_bytes(&store, "small", "hello").await.unwrap();
    put_bytes(&store, "large", pattern(9 << 20)).await.unwrap();
    for name in ["small", "large"] {
        let head = head(&format!("/keeping/{name}")).to_lowercase();
        assert!(head.contains("x-amz-storage-class: standard_ia"), "{head}");
        assert!(head.contains("x-amz-server-side-encryption: aws:kms"), "{head}");
        assert!(head.contains("x-amz-meta-runbook-writer: "), "{head}");
    }
    let small = head("/keeping/small");
    assert!(small.contains("LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="), "{small}");
}

#[tokio::test]
async fn what_a_lock_holds_stays_and_is_no_error() {
    let store = locked("locked", LockMode::Governance);
    put_bytes(&store, "sets/one", "x").await.unwrap();
    assert!(head("/locked/sets/one").to_lowercase().contains("x-amz-object-lock-mode: governance"));
    assert!(store.held("sets/one").await.unwrap());
    assert_eq!(store.remove("sets/one").await.unwrap().retained, 1);
    assert_eq!(store.remove_folder("sets").await.unwrap().retained, 1);
    assert_eq!(read_bytes(&store, "sets/one", 10).await.unwrap(), b"x");
    // Without the lock, the same bucket lets go.
    let free = open("s3://locked", &at(&SERVER.url()));
    put_bytes(&free, "free/one", "x").await.unwrap();
    assert_eq!(free.remove_folder("free").await.unwrap().retained, 0);
    assert_eq!(free.list("free").await.unwrap(), vec![]);
}

#[tokio::test]
async fn an_upload_that_nobody_ends_is_swept() {
    let store = store("swept");
    let path = "/swept/team/backups/sets/one?uploads";
    let started = SERVER.request("POST", path, &[], "").unwrap();
    assert!(started.body.contains("UploadId"), "{}", started.body);
    assert_eq!(store.sweep("other").await.unwrap(), 0);
    SERVER.age_uploads("swept", Duration::from_hours(48));
    assert_eq!(store.sweep("sets").await.unwrap(), 1);
    assert_eq!(store.sweep("sets").await.unwrap(), 0);
    assert!(!has_uploads("swept").await);
}

#[tokio::test]
async fn many_objects_are_listed_page_by_page() {
    let store = store("pages");
    for number in 0..1001 {
        let path = format!("/pages/team/backups/sets/{number:04}/o");
        assert_eq!(SERVER.request("PUT", &path, &[], "x").unwrap().status, 200);
    }
    assert_eq!(store.list("sets").await.unwrap().len(), 1001);
    assert_eq!(store.folders("sets").await.unwrap().len(), 1001);
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_told_as_such() {
    let store = open("s3://no-such-bucket/x", &at(&SERVER.url()));
    for error in [
        store.look().await.unwrap_err(),
        store.list("sets").await.unwrap_err(),
        put_bytes(&store, "sets/one", "x").await.unwrap_err(),
        put_bytes(&store, "sets/one", pattern(9 << 20)).await.unwrap_err(),
    ] {
        let error = StepError::from(error);
        assert_eq!((error.code.as_str(), error.class), ("RB0691", ErrorClass::NeedsOperator));
    }
}

#[test]
fn a_url_that_is_none_is_refused() {
    for url in ["s3://", "s3://UPPER/x", "s3://bucket//x", "https://bucket"] {
        let opened = S3Store::open(url, &S3Settings::default());
        assert!(matches!(opened.map(drop), Err(StoreError::Url { .. })), "{url}");
    }
}
