//! Backup stores: write-once objects by path, in a folder (`file://`) or on S3 (`s3://`).

pub mod check;
pub mod choose;
pub mod copy;
mod error;
mod file;
mod folder;
pub mod get;
pub mod list;
mod load;
pub(crate) mod path;
pub mod prune;
pub mod put;
pub mod sets;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use engine::context::StepContext;
use engine::settings::StoreSettings;
use jiff::Timestamp;
use model::s3_url::SCHEME;
use model::step_error::StepError;
use sha2::{Digest, Sha256};

pub use model::hex::hex;

pub use self::choose::{Backup, Choice};
pub use self::error::StoreError;
pub use self::file::FileStore;
pub use self::load::{LoadedSet, load};
use crate::aws::s3::S3Store;

/// A boxed future of a store.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// What a store says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its path, from the store's root, parts joined by `/`.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// When it was committed.
    pub modified: Timestamp,
}

/// What removing did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    /// Objects that a lock of the store holds: they are still there, and that is no error.
    pub retained: u64,
}

/// Write-once objects by path. An object is there whole or not at all; it is never overwritten.
pub trait Store: Send + Sync {
    /// Starts a new object. It appears under its path at [`ObjectWriter::commit`]; a writer that
    /// is dropped leaves nothing.
    fn put_new<'a>(&'a self, path: &'a str) -> StoreFuture<'a, Box<dyn ObjectWriter>>;
    /// Opens an object for reading from its start.
    fn open<'a>(&'a self, path: &'a str) -> StoreFuture<'a, Box<dyn ObjectReader>>;
    /// Every object under a folder, in the order of their paths; none when there is no folder.
    fn list<'a>(&'a self, folder: &'a str) -> StoreFuture<'a, Vec<ObjectInfo>>;
    /// The names of the folders in a folder, in order.
    fn folders<'a>(&'a self, folder: &'a str) -> StoreFuture<'a, Vec<String>>;
    /// What is at that path.
    fn stat<'a>(&'a self, path: &'a str) -> StoreFuture<'a, Option<ObjectInfo>>;
    /// Removes an object, every version of it; nothing happens when it is not there.
    fn remove<'a>(&'a self, path: &'a str) -> StoreFuture<'a, Removed>;
    /// Removes a folder with all it holds; nothing happens when it is not there.
    fn remove_folder<'a>(&'a self, folder: &'a str) -> StoreFuture<'a, Removed>;
    /// Whether a lock of the store holds what is at that path.
    fn held<'a>(&'a self, path: &'a str) -> StoreFuture<'a, bool>;
    /// Removes what writers that were killed left under a folder; gives the number of parts.
    fn sweep<'a>(&'a self, folder: &'a str) -> StoreFuture<'a, u64>;
    /// Bytes that can still be written, where the store can tell.
    fn free_space(&self) -> StoreFuture<'_, Option<u64>>;
    /// Whether the store answers, and lets us read it. Nothing is changed.
    fn look(&self) -> StoreFuture<'_, ()>;
    /// Takes an object over from another store, at the same path, without its bytes passing
    /// through here; whether that was possible. What is there then has this size and SHA-256.
    fn take_over<'a>(
        &'a self,
        _from: &'a dyn Store,
        _path: &'a str,
        _expected: &'a Written,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async { Ok(false) })
    }
    /// The store itself, when it lies on S3.
    fn on_s3(&self) -> Option<&S3Store> {
        None
    }
    /// The store as a person knows it: `file:///var/backups/lms`.
    fn describe(&self) -> String;
}

/// An object on its way into the store.
pub trait ObjectWriter: Send {
    /// Adds bytes.
    fn write(&mut self, chunk: Bytes) -> StoreFuture<'_, ()>;
    /// Makes the object durable and visible; fails when its path is taken.
    fn commit(self: Box<Self>) -> StoreFuture<'static, ()>;
}

/// An object on its way out of the store.
pub trait ObjectReader: Send {
    /// The next bytes; nothing at the end.
    fn read(&mut self) -> StoreFuture<'_, Option<Bytes>>;
}

/// The named store of the runbook.
pub async fn open_named(ctx: &StepContext, name: &str) -> Result<Arc<dyn Store>, StepError> {
    Ok(open(&ctx.store(name).await?)?)
}

/// A store by its settings. A folder is made (0700) when only itself is missing; S3 is asked
/// nothing yet.
pub fn open(settings: &StoreSettings) -> Result<Arc<dyn Store>, StoreError> {
    let (url, s3) = (&settings.url, &settings.s3);
    if url.starts_with(SCHEME) {
        return Ok(Arc::new(S3Store::open(url, s3)?));
    }
    // Regions and endpoints may come from `aws`, which speaks of other stores; a promise that a
    // folder cannot keep may not.
    let promises = [
        ("object_lock", s3.object_lock.is_some()),
        ("kms_key", s3.kms_key.is_some()),
        ("storage_class", s3.storage_class.is_some()),
    ];
    if let Some((key, _)) = promises.iter().find(|(_, promised)| *promised) {
        return Err(StoreError::OnlyS3 { url: url.clone(), key });
    }
    Ok(Arc::new(FileStore::open(url)?))
}

/// The size and SHA-256 of an object as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256, lower-case hex.
    pub sha256: String,
}

/// Writes a small object whole.
pub async fn put_bytes(
    store: &dyn Store,
    path: &str,
    bytes: impl Into<Bytes>,
) -> Result<Written, StoreError> {
    let bytes = bytes.into();
    let written = Written { bytes: bytes.len() as u64, sha256: hex(Sha256::digest(&bytes)) };
    let mut writer = store.put_new(path).await?;
    writer.write(bytes).await?;
    writer.commit().await?;
    Ok(written)
}

/// Reads an object of at most `limit` bytes whole.
pub async fn read_bytes(store: &dyn Store, path: &str, limit: u64) -> Result<Vec<u8>, StoreError> {
    let mut reader = store.open(path).await?;
    let mut bytes = Vec::new();
    while let Some(chunk) = reader.read().await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() as u64 > limit {
            return Err(StoreError::TooLarge { path: path.to_owned(), limit });
        }
    }
    Ok(bytes)
}
