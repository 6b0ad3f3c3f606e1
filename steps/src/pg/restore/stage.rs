//! Objects that `pg_restore` reads from a file: it cannot work in parallel from a pipe.

use std::path::{Path, PathBuf};

use engine::context::StepContext;
use engine::files;
use model::set::layout::DIRECTORY;
use model::set::manifest::{File, FileKind};
use model::step_error::StepError;
use tokio::io::AsyncWriteExt;

use crate::pg::copy::{OpenSet, save};
use crate::pg::meter::Meter;
use crate::store::LoadedSet;

/// The object of that kind in the step's scratch folder, checked; nothing when the set has none.
pub(in crate::pg) async fn stage(
    ctx: &StepContext,
    from: &OpenSet<'_>,
    kind: FileKind,
) -> Result<Option<Staged>, StepError> {
    let set = from.set;
    let Some(file) = set.manifest.files.iter().find(|file| file.kind == kind) else {
        return Ok(None);
    };
    let folder = ctx.scratch_folder()?;
    let path = folder.join(name(file, set, ctx));
    let staged = Staged { path };
    staged.remove();
    save(from, file, &staged.path).await?;
    Ok(Some(staged))
}

fn name(file: &File, set: &LoadedSet, ctx: &StepContext) -> String {
    format!("{}.{}.{}", ctx.id().step, set.manifest.set, file.path)
}

/// The dump of the set, by `pg_dump` as one file or as a folder, in the step's scratch folder.
pub(in crate::pg) async fn stage_dump(
    ctx: &StepContext,
    from: &OpenSet<'_>,
    meter: &Meter,
) -> Result<Staged, StepError> {
    let set = from.set;
    let files = set.manifest.files.iter().filter(|file| file.kind == FileKind::Dump);
    let id = ctx.id();
    let path = ctx.scratch_folder()?.join(format!("{}.{}.dump", id.step, set.manifest.set));
    let staged = Staged { path };
    staged.remove();
    let mut found = false;
    for file in files {
        found = true;
        let to =
            match file.plain_path().strip_prefix(DIRECTORY).and_then(|name| name.strip_prefix('/'))
            {
                Some(name) if !name.contains('/') => {
                    files::create_folder(&staged.path).map_err(|error| not_staged(&error))?;
                    staged.path.join(name)
                }
                _ => staged.path.clone(),
            };
        save(from, file, &to).await?;
        meter.add(&format!("fetch `{}`", file.path), file.bytes);
    }
    if found { Ok(staged) } else { Err(StepError::permanent("RB0614", "the set has no dump")) }
}

fn not_staged(error: &std::io::Error) -> StepError {
    StepError::transient("RB0516", "the dump could not be staged").caused_by(error)
}

/// A staged file or folder; gone with the value.
pub(in crate::pg) struct Staged {
    path: PathBuf,
}

impl Staged {
    /// Where it lies.
    pub(in crate::pg) fn path(&self) -> &Path {
        &self.path
    }

    /// A text, staged as it is.
    pub(super) async fn text(path: PathBuf, text: &str) -> Result<Self, StepError> {
        let staged = Self { path };
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
        if rustix::fs::unlink(&self.path).is_err() {
            files::remove_folder(&self.path).ok();
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        self.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_a_folder_nothing_is_staged() {
        let list = PathBuf::from("/no/such/folder/list");
        let error = Staged::text(list, "").await.map(drop).unwrap_err();
        shown::case("RB0516", error.told());
    }
}
