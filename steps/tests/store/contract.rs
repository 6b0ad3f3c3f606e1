//! What every store keeps to.

use bytes::Bytes;
use sha2::{Digest, Sha256};
use steps::store::{Store, StoreError, put_bytes, read_bytes};

/// More than two parts of an upload, and no whole number of them.
const LARGE: usize = 20 * 1024 * 1024 + 17;

/// The whole contract.
pub(crate) async fn all(store: &dyn Store) {
    appears_whole(store).await;
    is_never_overwritten(store).await;
    leaves_nothing(store).await;
    holds_any_size(store).await;
    lists_and_removes(store).await;
    refuses_paths(store).await;
}

async fn appears_whole(store: &dyn Store) {
    let mut writer = store.put_new("whole/a/one").await.unwrap();
    writer.write(Bytes::from_static(b"first ")).await.unwrap();
    assert_eq!(store.stat("whole/a/one").await.unwrap(), None);
    assert_eq!(store.list("whole").await.unwrap(), vec![]);
    writer.write(Bytes::from_static(b"second")).await.unwrap();
    writer.commit().await.unwrap();
    assert_eq!(read_bytes(store, "whole/a/one", 100).await.unwrap(), b"first second");
    let info = store.stat("whole/a/one").await.unwrap().unwrap();
    assert_eq!((info.path.as_str(), info.bytes), ("whole/a/one", 12));
    assert_eq!(store.list("whole").await.unwrap().len(), 1);
    let missing = read_bytes(store, "whole/a/two", 100).await;
    assert!(matches!(missing, Err(StoreError::Missing { .. })), "{missing:?}");
}

async fn is_never_overwritten(store: &dyn Store) {
    let early = store.put_new("once/one").await.unwrap();
    put_bytes(store, "once/one", "kept").await.unwrap();
    let late = early.commit().await;
    assert!(matches!(late, Err(StoreError::Exists { .. })), "{late:?}");
    let again = put_bytes(store, "once/one", "other").await;
    assert!(matches!(again, Err(StoreError::Exists { .. })), "{again:?}");
    let large = put_bytes(store, "once/one", pattern(LARGE)).await;
    assert!(matches!(large, Err(StoreError::Exists { .. })), "{large:?}");
    assert_eq!(read_bytes(store, "once/one", 100).await.unwrap(), b"kept");
    assert_eq!(store.list("once").await.unwrap().len(), 1);
}

async fn leaves_nothing(store: &dyn Store) {
    for size in [1, LARGE] {
        let mut writer = store.put_new("dropped/one").await.unwrap();
        writer.write(pattern(size)).await.unwrap();
        drop(writer);
    }
    assert_eq!(store.list("dropped").await.unwrap(), vec![]);
    put_bytes(store, "dropped/one", "x").await.unwrap();
}

async fn holds_any_size(store: &dyn Store) {
    for (name, size) in [("empty", 0), ("part", 8 << 20), ("large", LARGE)] {
        let (path, bytes) = (format!("sizes/{name}"), pattern(size));
        let mut writer = store.put_new(&path).await.unwrap();
        let mut rest = bytes.clone();
        while !rest.is_empty() {
            let chunk = rest.split_to(rest.len().min(300_001));
            writer.write(chunk).await.unwrap();
        }
        writer.commit().await.unwrap();
        assert_eq!(store.stat(&path).await.unwrap().unwrap().bytes, size as u64);
        let mut reader = store.open(&path).await.unwrap();
        let (mut hash, mut length) = (Sha256::new(), 0);
        while let Some(chunk) = reader.read().await.unwrap() {
            length += chunk.len();
            hash.update(&chunk);
        }
        assert_eq!((length, hash.finalize()), (size, Sha256::digest(&bytes)), "{name}");
    }
}

async fn lists_and_removes(store: &dyn Store) {
    for path in ["sets/b/two", "sets/a/one", "sets/a/deep/three", "sets/a.b/four"] {
        put_bytes(store, path, "x").await.unwrap();
    }
    assert_eq!(store.folders("sets").await.unwrap(), ["a", "a.b", "b"]);
    assert_eq!(store.folders("none").await.unwrap(), Vec::<String>::new());
    let listed = store.list("sets").await.unwrap();
    let paths: Vec<_> = listed.iter().map(|object| object.path.as_str()).collect();
    assert_eq!(paths, ["sets/a/deep/three", "sets/a/one", "sets/a.b/four", "sets/b/two"]);
    for _ in 0..2 {
        assert_eq!(store.remove_folder("sets/a").await.unwrap().retained, 0);
        assert_eq!(store.remove("sets/b/two").await.unwrap().retained, 0);
    }
    let left = store.list("sets").await.unwrap();
    assert_eq!(left.len(), 1, "a folder whose name begins alike stays: {left:?}");
    assert!(!store.held("sets/a.b/four").await.unwrap());
    put_bytes(store, "sets/b/two", "again").await.unwrap();
    assert_eq!(store.sweep("sets").await.unwrap(), 0);
    store.look().await.unwrap();
}

async fn refuses_paths(store: &dyn Store) {
    for path in ["../outside", "/etc/passwd", "a//b", "", ".hidden", "a/./b", "a/"] {
        let read = read_bytes(store, path, 100).await;
        assert!(matches!(read, Err(StoreError::Refused { .. })), "{path}: {read:?}");
        let put = put_bytes(store, path, "x").await;
        assert!(matches!(put, Err(StoreError::Refused { .. })), "{path}: {put:?}");
        let removed = store.remove_folder(path).await;
        assert!(matches!(removed, Err(StoreError::Refused { .. })), "{path}: {removed:?}");
    }
}

/// Bytes that differ from part to part.
pub(crate) fn pattern(length: usize) -> Bytes {
    let byte = |at: usize| u8::try_from((at ^ (at >> 8) ^ (at >> 16)) & 0xff).unwrap();
    (0..length).map(byte).collect()
}
