//! Objects that `pg_restore` reads from a file: it cannot work in parallel from a pipe.

use std::path::{Path, PathBuf};

use engine::context::StepContext;
use model::set::manifest::{File, FileKind};
use model::step_error::StepError;
use tokio::io::AsyncWriteExt;

use crate::pg::copy::save;
use crate::store::{LoadedSet, Store};

/// The object of that kind in the step's scratch folder, checked; nothing when the set has none.
pub(in crate::pg) async fn stage(
    ctx: &StepContext,
    store: &dyn Store,
    set: &LoadedSet,
    kind: FileKind,
) -> Result<Option<Staged>, StepError> {
    let Some(file) = set.manifest.files.iter().find(|file| file.kind == kind) else {
        return Ok(None);
    };
    let folder = ctx.scratch_folder()?;
    let path = folder.join(name(file, set, ctx));
    let staged = Staged { path };
    staged.remove();
    save(store, &set.folder, file, &staged.path).await?;
    Ok(Some(staged))
}

fn name(file: &File, set: &LoadedSet, ctx: &StepContext) -> String {
    format!("{}.{}.{}", ctx.id().step, set.manifest.set, file.path)
}

/// A staged file; gone with the value.
pub(in crate::pg) struct Staged {
    path: PathBuf,
}

impl Staged {
    /// Where it lies.
    pub(in crate::pg) fn path(&self) -> &Path {
        &self.path
    }

    /// A text beside it, staged as it is.
    pub(super) async fn beside(&self, extension: &str, text: &str) -> Result<Self, StepError> {
        let staged = Self { path: self.path.with_extension(extension) };
        staged.remove();
        let mut options = tokio::fs::OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&staged.path);
        let written = async {
            let mut file = file.await?;
            file.write_all(text.as_bytes()).await?;
            file.flush().await
        };
        written.await.map_err(|error| {
            StepError::transient("RB0516", "a list for `pg_restore` could not be staged")
                .caused_by(&error)
        })?;
        Ok(staged)
    }

    fn remove(&self) {
        rustix::fs::unlink(&self.path).ok();
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        self.remove();
    }
}
