//! Where the objects of a new set go: into the store's folder, encrypted when the store says so.

use std::sync::Arc;

use bytes::Bytes;
use engine::context::StepContext;
use model::set::manifest::{File, FileKind, Plain};
use model::step_error::StepError;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::WAITING;
use crate::seal::Seal;
use crate::store::{ObjectWriter, Store, StoreError, Written, hex};

/// The folder of a set that is written.
#[derive(Clone)]
pub(in crate::pg) struct Place {
    /// The step.
    pub(in crate::pg) ctx: StepContext,
    /// The store.
    pub(in crate::pg) store: Arc<dyn Store>,
    /// The set's folder.
    pub(in crate::pg) folder: String,
    /// For whom its objects are encrypted.
    pub(in crate::pg) seal: Option<Seal>,
}

/// An object that was written and not yet committed.
pub(super) struct Stored {
    writer: Box<dyn ObjectWriter>,
    /// Its bytes in the store, when they are not those that came.
    sealed: Option<Written>,
}

impl Place {
    /// The name of an object in the set.
    fn name(&self, path: &str) -> String {
        let suffix = self.seal.as_ref().map_or("", Seal::suffix);
        format!("{path}{suffix}")
    }

    /// The path of an object in the store.
    pub(in crate::pg) fn full(&self, path: &str) -> String {
        format!("{}/{}", self.folder, self.name(path))
    }

    /// Writes what comes.
    pub(super) async fn store(
        &self,
        path: &str,
        chunks: mpsc::Receiver<Bytes>,
    ) -> Result<Stored, StepError> {
        let mut writer = self.store.put_new(&self.full(path)).await?;
        let Some(seal) = &self.seal else {
            write(&mut writer, chunks).await?;
            return Ok(Stored { writer, sealed: None });
        };
        let (out, sealed) = mpsc::channel(WAITING);
        let sealing = seal.encrypt(&self.ctx, chunks, out);
        let (written, encrypted) = tokio::join!(write(&mut writer, sealed), sealing);
        // A store that is full ends the encryption, too: of the two the store knows why.
        let sealed = Some(written?);
        encrypted?;
        Ok(Stored { writer, sealed })
    }

    /// Makes an object appear; `came` is what was written before encryption.
    pub(super) async fn commit(
        &self,
        path: &str,
        kind: FileKind,
        stored: Stored,
        came: Written,
    ) -> Result<File, StepError> {
        stored.writer.commit().await?;
        let path = self.name(path);
        Ok(match stored.sealed {
            None => File { path, kind, bytes: came.bytes, sha256: came.sha256, plain: None },
            Some(Written { bytes, sha256 }) => {
                let plain = Plain { bytes: came.bytes, sha256: came.sha256 };
                File { path, kind, bytes, sha256, plain: Some(plain) }
            }
        })
    }
}

async fn write(
    writer: &mut Box<dyn ObjectWriter>,
    mut chunks: mpsc::Receiver<Bytes>,
) -> Result<Written, StoreError> {
    let (mut digest, mut bytes) = (Sha256::new(), 0);
    while let Some(chunk) = chunks.recv().await {
        digest.update(&chunk);
        bytes += chunk.len() as u64;
        writer.write(chunk).await?;
    }
    Ok(Written { bytes, sha256: hex(digest.finalize()) })
}
