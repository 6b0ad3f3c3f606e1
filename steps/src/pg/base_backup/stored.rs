//! The base backups in a store. There is no index: what lies in the folders is the truth.

use bytes::Bytes;
use model::base::{BASE, BaseFile, BaseManifest, MANIFEST, base_folder, cluster_folder};
use model::set::SetId;
use model::step_error::StepError;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use crate::store::{Store, StoreError, Written, hex, read_bytes};

/// No manifest is larger, in bytes.
const LARGEST: u64 = 16 << 20;

/// What the folders of base backups hold.
#[derive(Debug, Default)]
pub(in crate::pg) struct Bases {
    /// Those that are whole, newest first.
    pub(in crate::pg) whole: Vec<BaseManifest>,
    /// Folders that count for nothing, and why.
    pub(in crate::pg) broken: Vec<String>,
}

/// The base backups of one cluster, or of all.
pub(in crate::pg) async fn find(
    store: &dyn Store,
    cluster: Option<&str>,
) -> Result<Bases, StepError> {
    let clusters = match cluster {
        Some(cluster) => vec![cluster.to_owned()],
        None => store.folders(BASE).await?,
    };
    let mut found = Bases::default();
    for cluster in clusters {
        for name in store.folders(&cluster_folder(&cluster)).await? {
            let Ok(id) = name.parse::<SetId>() else { continue };
            match load(store, &cluster, &id).await {
                Ok((manifest, _)) => found.whole.push(manifest),
                Err(StoreError::Missing { .. }) => {
                    let folder = base_folder(&cluster, &id);
                    found.broken.push(format!("`{folder}` has no manifest: it is unfinished"));
                }
                Err(error) if error.is_lasting() => found.broken.push(error.to_string()),
                Err(error) => return Err(error.into()),
            }
        }
    }
    found.whole.sort_by(|a, b| (b.finished, &b.base).cmp(&(a.finished, &a.base)));
    Ok(found)
}

/// Reads the manifest of a base backup. [`StoreError::Missing`] when there is none: then there is
/// no backup. One that belongs elsewhere is refused.
pub(in crate::pg) async fn load(
    store: &dyn Store,
    cluster: &str,
    id: &SetId,
) -> Result<(BaseManifest, Written), StoreError> {
    let path = format!("{}/{MANIFEST}", base_folder(cluster, id));
    let bytes = read_bytes(store, &path, LARGEST).await?;
    let written = Written { bytes: bytes.len() as u64, sha256: hex(Sha256::digest(&bytes)) };
    let refused = |why| StoreError::Manifest { path: path.clone(), why };
    let manifest = BaseManifest::from_json(&bytes).map_err(|error| refused(error.to_string()))?;
    if manifest.base != *id || manifest.server.system_identifier != cluster {
        return Err(refused(format!("it is the manifest of base backup `{}`", manifest.base)));
    }
    Ok((manifest, written))
}

/// Sends the bytes of one of its objects and checks them; what is wrong is told at the end.
pub(in crate::pg) async fn parts(
    store: &dyn Store,
    manifest: &BaseManifest,
    path: &str,
    sink: mpsc::Sender<Bytes>,
) -> Result<(), StepError> {
    let wanted = manifest.files.iter().find(|file| file.path == path);
    let wanted = wanted.ok_or_else(|| damaged(manifest, path, "its manifest does not name it"))?;
    let mut reader = match store.open(&format!("{}/{path}", manifest.folder())).await {
        Err(StoreError::Missing { .. }) => return Err(damaged(manifest, path, "it is missing")),
        reader => reader?,
    };
    let (mut digest, mut bytes) = (Sha256::new(), 0);
    while let Some(chunk) = reader.read().await? {
        digest.update(&chunk);
        bytes += chunk.len() as u64;
        // Read to its end all the same, so that the verdict is about its SHA-256.
        sink.send(chunk).await.ok();
    }
    let sha256 = hex(digest.finalize());
    let found = BaseFile { path: path.to_owned(), bytes, sha256 };
    if found == *wanted {
        return Ok(());
    }
    let why = format!(
        "it has {bytes} bytes with SHA-256 `{}`, the manifest says {} with `{}`",
        found.sha256, wanted.bytes, wanted.sha256
    );
    Err(damaged(manifest, path, &why))
}

/// An object of a base backup is not what was written.
pub(in crate::pg) fn damaged(manifest: &BaseManifest, path: &str, why: &str) -> StepError {
    let message = format!("`{path}` of base backup `{}` is damaged: {why}", manifest.base);
    StepError::permanent("RB0629", message).hint("take an older base backup, and make a new one")
}
