//! A store that takes objects over from another one.

use std::sync::Arc;

use engine::settings::{S3Settings, StoreSettings};
use model::proof::Level;
use sha2::{Digest, Sha256};
use steps::aws::Keys;
use steps::aws::s3::S3Store;
use steps::store::{Store, StoreError, Written, hex, put_bytes, read_bytes};

use crate::common::{SERVER, get, head};

fn store(url: &str, settings: S3Settings) -> S3Store {
    let keys = Keys { id: "lab".to_owned(), secret: "lab".to_owned().into() };
    let settings = S3Settings {
        region: Some("us-east-1".to_owned()),
        endpoint_url: Some(SERVER.url()),
        ..settings
    };
    S3Store::open_with(url, &settings, Some(keys)).unwrap()
}

fn written(bytes: &[u8]) -> Written {
    Written { bytes: bytes.len() as u64, sha256: hex(Sha256::digest(bytes)) }
}

#[tokio::test]
async fn s3_itself_takes_an_object_over_and_it_is_kept_as_the_store_says() {
    SERVER.create_bucket("near").unwrap();
    SERVER.create_bucket("far").unwrap();
    let near = store("s3://near/x", S3Settings::default());
    let settings =
        S3Settings { storage_class: Some("STANDARD_IA".to_owned()), ..S3Settings::default() };
    let far = store("s3://far/y", settings);
    let large = b"0123456789abcdef".repeat((9 << 20) / 16);
    for (path, bytes) in [("sets/a b", b"small".to_vec()), ("sets/large", large)] {
        put_bytes(&near, path, bytes.clone()).await.unwrap();
        assert!(far.take_over(&near, path, &written(&bytes)).await.unwrap(), "{path}");
        assert!(read_bytes(&far, path, 1 << 30).await.unwrap() == bytes, "{path}");
    }
    let copy = head("/far/y/sets/large");
    assert!(copy.contains("x-amz-storage-class: standard_ia"), "{copy}");
    assert!(copy.contains("x-amz-meta-runbook-writer: "), "{copy}");
    assert_ne!(copy, head("/near/x/sets/large"), "the mark is that of the copy");
}

#[tokio::test]
async fn an_object_that_is_not_as_it_should_be_is_not_taken_over() {
    SERVER.create_bucket("damaged").unwrap();
    SERVER.create_bucket("clean").unwrap();
    let (damaged, clean) =
        (store("s3://damaged", S3Settings::default()), store("s3://clean", S3Settings::default()));
    put_bytes(&damaged, "sets/a", "as it is").await.unwrap();
    assert!(!clean.take_over(&damaged, "sets/a", &written(b"as it was")).await.unwrap());
    assert_eq!(clean.list("sets").await.unwrap(), vec![]);
    assert!(!clean.take_over(&damaged, "sets/none", &written(b"x")).await.unwrap());
    // What is there is not overwritten.
    put_bytes(&clean, "sets/a", "another").await.unwrap();
    let taken = clean.take_over(&damaged, "sets/a", &written(b"as it is")).await;
    assert!(matches!(taken, Err(StoreError::Exists { .. })), "{taken:?}");
    assert_eq!(get("/clean/sets/a").body, "another");
}

#[tokio::test]
async fn a_folder_takes_nothing_over_by_itself() {
    SERVER.create_bucket("bytes").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let settings = StoreSettings {
        min_proof: Level::Identical,
        ..StoreSettings::at(&format!("file://{}", folder.path().display()))
    };
    let here: Arc<dyn Store> = steps::store::open(&settings).unwrap();
    let there = store("s3://bytes", S3Settings::default());
    put_bytes(&there, "a", "x").await.unwrap();
    assert!(!here.take_over(&there, "a", &written(b"x")).await.unwrap());
    assert!(!there.take_over(&*here, "a", &written(b"x")).await.unwrap());
}
