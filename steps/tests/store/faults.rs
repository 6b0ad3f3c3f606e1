//! Answers of S3 that are lost, late or bad, by a relay before the server.

use engine::settings::S3Settings;
use lab::relay::{Fault, Relay, Seen};
use model::plan::{LockMode, ObjectLock};
use model::step_error::{ErrorClass, StepError};
use steps::aws::s3::S3Store;
use steps::store::{Store, StoreError, put_bytes, read_bytes};

use super::SERVER;
use super::s3::{at, open};
use crate::contract::pattern;

const LARGE: usize = 9 << 20;

fn relayed(bucket: &str) -> (Relay, S3Store) {
    SERVER.create_bucket(bucket).unwrap();
    relayed_with(bucket, |settings| settings)
}

fn relayed_with(bucket: &str, change: impl FnOnce(S3Settings) -> S3Settings) -> (Relay, S3Store) {
    let relay = Relay::start(&SERVER.url()).unwrap();
    let store = open(&format!("s3://{bucket}"), &change(at(&relay.url())));
    (relay, store)
}

fn answer(status: u16, code: &str) -> Fault {
    Fault::Answer(status, format!("<Error><Code>{code}</Code><Message>no</Message></Error>"))
}

fn count(relay: &Relay, method: &str, part: &str) -> usize {
    let meets = |seen: &&Seen| seen.method == method && seen.path.contains(part);
    relay.seen().iter().filter(meets).count()
}

#[tokio::test]
async fn a_put_whose_answer_is_lost_is_done_once() {
    let (relay, store) = relayed("lost-put");
    relay.plan("PUT", "/one", 1, Fault::LoseAnswer);
    put_bytes(&store, "sets/one", "x").await.unwrap();
    assert_eq!(count(&relay, "PUT", "/one"), 2, "the SDK tried again and met its own object");
    assert_eq!(store.list("sets").await.unwrap().len(), 1);
    let other = put_bytes(&store, "sets/one", "x").await;
    assert!(matches!(other, Err(StoreError::Exists { .. })), "{other:?}");
}

#[tokio::test]
async fn a_completion_whose_answer_is_lost_is_done_once() {
    let (relay, store) = relayed("lost-completion");
    relay.plan("POST", "uploadId=", 1, Fault::LoseAnswer);
    put_bytes(&store, "sets/one", pattern(LARGE)).await.unwrap();
    assert_eq!(count(&relay, "POST", "uploadId="), 2);
    assert_eq!(store.list("sets").await.unwrap().len(), 1);
    assert_eq!(store.stat("sets/one").await.unwrap().unwrap().bytes, LARGE as u64);
}

#[tokio::test]
async fn a_completion_that_finds_its_upload_gone_looks_whose_object_is_there() {
    let (relay, store) = relayed("gone-upload");
    relay.plan("POST", "uploadId=", 1, Fault::LoseAnswer);
    relay.plan("POST", "uploadId=", 1, answer(404, "NoSuchUpload"));
    put_bytes(&store, "sets/one", pattern(LARGE)).await.unwrap();
    relay.plan("POST", "uploadId=", 1, answer(404, "NoSuchUpload"));
    let error = StepError::from(put_bytes(&store, "sets/two", pattern(LARGE)).await.unwrap_err());
    assert_eq!((error.code.as_str(), error.class), ("RB0607", ErrorClass::Transient));
    assert_eq!(store.list("sets").await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_answer_that_stays_away_is_told_as_such() {
    let (relay, store) = relayed("silence");
    relay.plan("PUT", "/one", 9, answer(500, "InternalError"));
    let error = StepError::from(put_bytes(&store, "sets/one", "x").await.unwrap_err());
    assert_eq!((error.code.as_str(), error.class), ("RB0693", ErrorClass::Ambiguous));
    assert_eq!(
        count(&relay, "HEAD", "/one"),
        2,
        "it looked before it wrote, and before it said so"
    );
    assert_eq!(store.list("sets").await.unwrap(), vec![]);
}

#[tokio::test]
async fn a_slow_down_is_waited_out() {
    let (relay, store) = relayed("slow-down");
    for (method, part) in [("PUT", "/one"), ("PUT", "partNumber=1"), ("GET", "/one")] {
        relay.plan(method, part, 2, answer(503, "SlowDown"));
    }
    put_bytes(&store, "sets/one", "x").await.unwrap();
    put_bytes(&store, "sets/two", pattern(LARGE)).await.unwrap();
    assert_eq!(read_bytes(&store, "sets/one", 10).await.unwrap(), b"x");
    assert_eq!(count(&relay, "PUT", "partNumber=1"), 3);
    assert_eq!(count(&relay, "GET", "/one"), 3);
}

#[tokio::test]
async fn a_conflict_is_tried_again_so_often_and_no_more() {
    let (relay, store) = relayed("conflict");
    relay.plan("PUT", "/one", 2, answer(409, "ConditionalRequestConflict"));
    put_bytes(&store, "sets/one", "x").await.unwrap();
    relay.plan("PUT", "/two", 99, answer(409, "ConditionalRequestConflict"));
    let error = StepError::from(put_bytes(&store, "sets/two", "x").await.unwrap_err());
    assert_eq!((error.code.as_str(), error.class), ("RB0607", ErrorClass::Transient));
    assert_eq!(count(&relay, "PUT", "/two"), 5);
}

#[tokio::test]
async fn credentials_that_have_expired_are_for_a_person() {
    let (relay, store) = relayed("expired");
    for method in ["GET", "PUT"] {
        relay.plan(method, "/", 99, answer(400, "ExpiredToken"));
    }
    for error in [
        store.list("sets").await.unwrap_err(),
        put_bytes(&store, "sets/one", "x").await.unwrap_err(),
        read_bytes(&store, "sets/one", 10).await.unwrap_err(),
    ] {
        let error = StepError::from(error);
        assert_eq!((error.code.as_str(), error.class), ("RB0690", ErrorClass::NeedsOperator));
    }
}

#[tokio::test]
async fn a_part_that_fails_for_good_leaves_no_upload() {
    let (relay, store) = relayed("bad-part");
    relay.plan("PUT", "partNumber=2", 99, answer(403, "AccessDenied"));
    let mut writer = store.put_new("sets/one").await.unwrap();
    writer.write(pattern(LARGE)).await.unwrap();
    let error = writer.commit().await.unwrap_err();
    assert!(matches!(error, StoreError::Denied { .. }), "{error:?}");
    assert_eq!(count(&relay, "DELETE", "uploadId="), 1);
    let uploads = SERVER.request("GET", "/bad-part?uploads", &[], "").unwrap();
    assert!(!uploads.body.contains("<UploadId>"), "{}", uploads.body);
}

#[tokio::test]
async fn an_object_that_is_replaced_while_it_is_read_is_not_mixed() {
    let (_, store) = relayed("replaced");
    // More than is fetched ahead.
    let size = 48 << 20;
    put_bytes(&store, "one", pattern(size)).await.unwrap();
    let mut reader = store.open("one").await.unwrap();
    reader.read().await.unwrap();
    let written = SERVER.request("PUT", "/replaced/one", &[], &"x".repeat(size)).unwrap();
    assert_eq!(written.status, 200);
    let end = loop {
        match reader.read().await {
            Ok(Some(chunk)) => assert!(!chunk.starts_with(b"xxxx"), "bytes of the other object"),
            end => break end,
        }
    };
    let error = StepError::from(end.unwrap_err());
    assert!(error.told().contains("replaced while it was read"), "{}", error.told());
}

#[tokio::test]
async fn each_request_says_what_it_must() {
    let lock = ObjectLock { mode: LockMode::Compliance, days: 1 };
    SERVER.create_locking_bucket("says").unwrap();
    let (relay, store) = relayed_with("says", |settings| S3Settings {
        object_lock: Some(lock),
        compatible: true,
        ..settings
    });
    relay.plan("PUT", "/one", 1, answer(400, "InvalidRequest"));
    put_bytes(&store, "one", "hello").await.unwrap_err();
    put_bytes(&store, "two", pattern(LARGE)).await.unwrap();
    let seen = relay.seen();
    let find = |method: &str, part: &str| {
        let found = seen.iter().find(|one| one.method == method && one.path.contains(part));
        found.unwrap_or_else(|| panic!("no {method} {part}")).headers.clone()
    };
    let (put, start) = (find("PUT", "/one"), find("POST", "/two?uploads"));
    for headers in [&put, &start] {
        assert_eq!(headers["x-amz-object-lock-mode"], "COMPLIANCE");
        assert!(headers.contains_key("x-amz-object-lock-retain-until-date"));
        assert_eq!(headers["x-amz-meta-runbook-writer"].len(), 32);
    }
    assert_eq!(put["if-none-match"], "*");
    assert_eq!(find("POST", "uploadId=")["if-none-match"], "*");
    // A lock asks for checksums, compatible or not.
    assert_eq!(put["x-amz-checksum-sha256"], "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=");
    assert!(find("PUT", "partNumber=2").contains_key("x-amz-checksum-sha256"));
}
