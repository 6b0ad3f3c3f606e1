//! One set's manifest, read and checked against the folder it lies in.

use model::set::layout::{MANIFEST, database_folder, set_folder};
use model::set::{Manifest, SetId};
use sha2::{Digest, Sha256};

use super::{Store, StoreError, Written, hex, read_bytes};

/// No manifest is larger, in bytes.
const LARGEST: u64 = 256 << 20;

/// A set whose manifest was read.
#[derive(Debug, Clone)]
pub struct LoadedSet {
    /// Its folder in the store.
    pub folder: String,
    /// Its manifest.
    pub manifest: Manifest,
    /// Size and SHA-256 of the manifest's bytes.
    pub written: Written,
}

/// Reads the set of that id. [`StoreError::Missing`] when there is no manifest: then there is no
/// set. A manifest that belongs elsewhere is refused.
pub async fn load(store: &dyn Store, database: &str, set: &SetId) -> Result<LoadedSet, StoreError> {
    let folder = set_folder(database, set);
    let path = format!("{folder}/{MANIFEST}");
    let bytes = read_bytes(store, &path, LARGEST).await?;
    let written = Written { bytes: bytes.len() as u64, sha256: hex(Sha256::digest(&bytes)) };
    let refused = |why| StoreError::Manifest { path: path.clone(), why };
    let manifest = Manifest::from_json(&bytes).map_err(|error| refused(error.to_string()))?;
    if manifest.set != *set {
        return Err(refused(format!("it is the manifest of set `{}`", manifest.set)));
    }
    if database_folder(&manifest.database) != database_folder(database) {
        return Err(refused(format!("it is the manifest of database `{}`", manifest.database)));
    }
    Ok(LoadedSet { folder, manifest, written })
}
