//! One set on its way: its objects, then its manifest, then its proofs.

use engine::context::{Progress, StepContext};
use model::set::layout::{MANIFEST, PROOFS};
use model::set::manifest::File;
use model::step_error::StepError;
use sha2::{Digest, Sha256};

use crate::file::local::drain;
use crate::store::{LoadedSet, Store, StoreError, Written, hex, put_bytes, read_bytes};

/// No manifest or proof is larger, in bytes.
const LARGEST: u64 = 256 << 20;

/// A set, where it is and where it goes.
pub(super) struct Transfer<'a> {
    pub(super) ctx: &'a StepContext,
    pub(super) from: &'a dyn Store,
    pub(super) to: &'a dyn Store,
    pub(super) set: &'a LoadedSet,
}

/// What was done.
pub(super) struct Copied {
    /// Objects that were copied.
    pub(super) objects: u64,
    /// Proofs that the copy has.
    pub(super) proofs: u64,
    /// The set was there already, proofs and all.
    pub(super) existed: bool,
}

impl Transfer<'_> {
    pub(super) async fn run(&self) -> Result<Copied, StepError> {
        let manifest = self.manifest_in(self.from).await?.ok_or_else(|| self.missing(MANIFEST))?;
        let committed = self.committed(&manifest).await?;
        let objects = if committed { 0 } else { self.objects().await? };
        if !committed {
            put_bytes(self.to, &self.path(MANIFEST), manifest).await?;
        }
        let (proofs, new) = self.proofs().await?;
        Ok(Copied { objects, proofs, existed: committed && new == 0 })
    }

    /// How many proofs the copy has, when it is a whole set with all proofs of the original.
    pub(super) async fn proofs_of_copy(&self) -> Result<Option<u64>, StepError> {
        let manifest = self.manifest_in(self.from).await?.ok_or_else(|| self.missing(MANIFEST))?;
        if self.manifest_in(self.to).await? != Some(manifest) {
            return Ok(None);
        }
        let there = self.to.list(&self.path(PROOFS)).await?;
        let has = |path: &str| there.iter().any(|object| object.path == path);
        let all = self.from.list(&self.path(PROOFS)).await?;
        Ok(all.iter().all(|object| has(&object.path)).then_some(there.len() as u64))
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.set.folder)
    }

    fn missing(&self, name: &str) -> StepError {
        StoreError::Missing { path: self.path(name) }.into()
    }

    async fn manifest_in(&self, store: &dyn Store) -> Result<Option<Vec<u8>>, StepError> {
        match read_bytes(store, &self.path(MANIFEST), LARGEST).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(StoreError::Missing { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the set is in the other store: with this very manifest and every object.
    async fn committed(&self, manifest: &[u8]) -> Result<bool, StepError> {
        let Some(there) = self.manifest_in(self.to).await? else { return Ok(false) };
        if there != manifest {
            let message = format!("`{}` holds another set of this id", self.to.describe());
            return Err(StepError::permanent("RB0682", message)
                .hint("compare the two manifests; a set id is never used twice"));
        }
        for file in &self.set.manifest.files {
            let found = self.to.stat(&self.path(&file.path)).await?;
            if found.is_none_or(|object| object.bytes != file.bytes) {
                let place = self.to.describe();
                let message =
                    format!("the copy in `{place}` is damaged: `{}` is missing or cut", file.path);
                return Err(StepError::needs_operator("RB0683", message)
                    .hint("remove the folder of the damaged copy, then run again"));
            }
        }
        Ok(true)
    }

    /// Copies what is not there yet; gives how many objects that were.
    async fn objects(&self) -> Result<u64, StepError> {
        self.to.sweep(&self.set.folder).await?;
        let files = &self.set.manifest.files;
        let mut copied = 0;
        for (done, file) in files.iter().enumerate() {
            self.ctx.progress(Progress {
                activity: format!("object `{}`", file.path),
                done: done as u64,
                total: Some(files.len() as u64),
                bytes: false,
            });
            if self.to.stat(&self.path(&file.path)).await?.is_some() {
                self.adopt(file).await?;
            } else {
                self.copy(file).await?;
                copied += 1;
            }
        }
        Ok(copied)
    }

    /// Takes an object that an earlier attempt left, when it is the right one.
    async fn adopt(&self, file: &File) -> Result<(), StepError> {
        let activity = format!("compare `{}`", file.path);
        let found =
            drain(self.to.open(&self.path(&file.path)).await?, None, &activity, self.ctx).await?;
        if found == written(file) {
            return Ok(());
        }
        let message = format!(
            "`{}` in `{}` is not the set's object, and objects are never overwritten",
            self.path(&file.path),
            self.to.describe()
        );
        Err(StepError::needs_operator("RB0682", message)
            .hint("see who wrote it, remove it, then run again"))
    }

    async fn copy(&self, file: &File) -> Result<(), StepError> {
        let path = self.path(&file.path);
        let activity = format!("copy `{}`", file.path);
        if self.to.take_over(self.from, &path, &written(file)).await? {
            return Ok(());
        }
        let reader = self.from.open(&path).await?;
        let mut writer = self.to.put_new(&path).await?;
        let found = drain(reader, Some(&mut writer), &activity, self.ctx).await?;
        if found != written(file) {
            let expected = &file.sha256;
            let message = format!(
                "`{path}` in `{}` is damaged: expected SHA-256 `{expected}`, found `{}`",
                self.from.describe(),
                found.sha256
            );
            return Err(StepError::permanent("RB0681", message)
                .hint("the set cannot be trusted: copy another one"));
        }
        Ok(writer.commit().await?)
    }

    /// Copies the proofs that are not there yet; gives how many the copy has, and how many are
    /// new.
    async fn proofs(&self) -> Result<(u64, u64), StepError> {
        let mut new = 0;
        for object in self.from.list(&self.path(PROOFS)).await? {
            let bytes = read_bytes(self.from, &object.path, LARGEST).await?;
            if self.to.stat(&object.path).await?.is_none() {
                put_bytes(self.to, &object.path, bytes).await?;
                new += 1;
            } else if digest(&read_bytes(self.to, &object.path, LARGEST).await?) != digest(&bytes) {
                let place = self.to.describe();
                let message = format!("`{}` in `{place}` is another proof", object.path);
                return Err(StepError::needs_operator("RB0682", message)
                    .hint("see who wrote it, remove it, then run again"));
            }
        }
        Ok((self.to.list(&self.path(PROOFS)).await?.len() as u64, new))
    }
}

fn written(file: &File) -> Written {
    Written { bytes: file.bytes, sha256: file.sha256.clone() }
}

fn digest(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes))
}
