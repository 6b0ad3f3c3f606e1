//! What is particular to `file://`: what lies on the disk, and what may not lead out of it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use bytes::Bytes;
use engine::settings::{S3Settings, StoreSettings};
use model::plan::{LockMode, ObjectLock};
use model::proof::Level;
use model::step_error::{ErrorClass, StepError};
use steps::store::{FileStore, Store, StoreError, open, put_bytes, read_bytes};

use super::contract;

fn store(folder: &Path) -> FileStore {
    FileStore::open(&format!("file://{}", folder.display())).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn an_object_appears_whole_and_private() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("new");
    let store = store(&root);
    let mut writer = store.put_new("sets/a/one").await.unwrap();
    writer.write(Bytes::from_static(b"first ")).await.unwrap();
    assert_eq!(store.stat("sets/a/one").await.unwrap(), None);
    assert_eq!(store.list("sets").await.unwrap(), vec![]);
    writer.write(Bytes::from_static(b"second")).await.unwrap();
    writer.commit().await.unwrap();
    assert_eq!(read_bytes(&store, "sets/a/one", 100).await.unwrap(), b"first second");
    assert_eq!(store.stat("sets/a/one").await.unwrap().unwrap().bytes, 12);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&root), 0o700);
    assert_eq!(mode(&root.join("sets/a")), 0o700);
    assert_eq!(mode(&root.join("sets/a/one")), 0o600);
    assert_eq!(names(&root.join("sets/a")), ["one"]);
}

#[tokio::test]
async fn an_object_is_never_overwritten_also_in_a_race() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let early = store.put_new("one").await.unwrap();
    put_bytes(&store, "one", "kept").await.unwrap();
    assert!(matches!(early.commit().await, Err(StoreError::Exists { .. })));
    assert!(matches!(put_bytes(&store, "one", "other").await, Err(StoreError::Exists { .. })));
    assert_eq!(read_bytes(&store, "one", 100).await.unwrap(), b"kept");
    assert_eq!(names(folder.path()), ["one"]);
}

#[tokio::test]
async fn a_writer_that_is_dropped_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let mut writer = store.put_new("one").await.unwrap();
    writer.write(Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(names(folder.path()).len(), 1);
    drop(writer);
    assert_eq!(names(folder.path()).len(), 0);
}

#[tokio::test]
async fn parts_of_a_killed_writer_are_no_objects_and_are_swept_but_not_those_of_a_living_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let living = store.put_new("sets/living").await.unwrap();
    fs::write(folder.path().join("sets/.part-1-0"), "left").unwrap();
    assert_eq!(store.list("sets").await.unwrap(), vec![]);
    assert_eq!(store.sweep("sets").await.unwrap(), 1);
    living.commit().await.unwrap();
    assert_eq!(names(&folder.path().join("sets")), ["living"]);
    assert_eq!(store.sweep("nothing").await.unwrap(), 0);
}

#[tokio::test]
async fn no_path_leads_out() {
    let folder = tempfile::tempdir().unwrap();
    let outside = folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "x").unwrap();
    let root = folder.path().join("store");
    let store = store(&root);
    symlink(&outside, root.join("link")).unwrap();
    symlink(outside.join("secret"), root.join("file")).unwrap();
    for path in
        ["../outside/secret", "/etc/passwd", "a//b", "", ".hidden", "a/./b", "link/secret", "file"]
    {
        let refused = read_bytes(&store, path, 100).await;
        assert!(matches!(refused, Err(StoreError::Refused { .. })), "{path}: {refused:?}");
        let refused = put_bytes(&store, path, "x").await;
        let is_refused =
            matches!(refused, Err(StoreError::Refused { .. } | StoreError::Exists { .. }));
        assert!(is_refused, "{path}: {refused:?}");
    }
    store.remove("file").await.unwrap();
    assert_eq!(names(&outside), ["secret"]);
}

#[tokio::test]
async fn it_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    contract::all(&store).await;
    assert!(store.free_space().await.unwrap().unwrap() > 0);
}

#[test]
fn what_a_folder_cannot_promise_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let lock = ObjectLock { mode: LockMode::Compliance, days: 30 };
    let settings = StoreSettings {
        name: "backups".to_owned(),
        url: format!("file://{}/store", folder.path().display()),
        min_proof: Level::Identical,
        encrypt: None,
        s3: S3Settings { object_lock: Some(lock), ..S3Settings::default() },
    };
    let error = StepError::from(open(&settings).map(drop).unwrap_err());
    let told = error.told().replace(&folder.path().display().to_string(), "/var/backups");
    shown::case("RB0695", told);
    assert!(!folder.path().join("store").exists());
}

#[test]
fn a_store_needs_a_folder_that_exists_above_it() {
    let folder = tempfile::tempdir().unwrap();
    let deep = format!("file://{}/a/b", folder.path().display());
    assert!(matches!(FileStore::open(&deep), Err(StoreError::Missing { .. })));
    for url in ["S3://bucket", "file://relative", "/var/backups", "file:", "file:///"] {
        let error = FileStore::open(url).map(drop).map_err(StepError::from).unwrap_err();
        assert_eq!((error.code.as_str(), error.class), ("RB0600", ErrorClass::Permanent), "{url}");
    }
}
