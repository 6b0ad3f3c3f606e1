//! A file of `pg_wal` into the archive.

use std::fs::File;
use std::io::{self, Seek};
use std::path::Path;

use engine::files;
use model::step_error::StepError;
use model::wal::{WalName, cluster_folder, object_path};

use super::header::{self, HEADER, not_that};
use super::object;
use crate::store::{Store, StoreError, Written};

/// What became of a file that was pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The object.
    pub path: String,
    /// What is in it.
    pub content: Written,
    /// It was there already, with this very content.
    pub existed: bool,
}

/// Archives a file by its name. Whose it is stands in a segment itself; for the other files it is
/// `cluster`, or the cluster in whose folder the file lies. The same content twice is a success,
/// another content under the same name is refused.
pub async fn push(
    store: &dyn Store,
    cluster: Option<u64>,
    path: &Path,
) -> Result<Pushed, StepError> {
    let unread = |error: io::Error| {
        StepError::transient("RB0597", format!("`{}` cannot be read", path.display()))
            .caused_by(&error)
    };
    let name = name_of(path)?;
    let mut file = files::open_existing(path).map_err(unread)?;
    let (content, first) = object::measure(&mut file, HEADER).map_err(unread)?;
    let cluster = identify(&name, cluster, path, &first, content.bytes)?;
    let to = object_path(cluster, &name);
    if let Some(pushed) = there_already(store, &to, &content).await? {
        return Ok(pushed);
    }
    file.rewind().map_err(unread)?;
    sweep(store, cluster, &name).await?;
    match write(store, &to, file, &content).await? {
        Ok(()) => Ok(Pushed { path: to, content, existed: false }),
        Err(Unwritten::Taken) => {
            let pushed = there_already(store, &to, &content).await?;
            pushed.ok_or_else(|| StoreError::Missing { path: to }.into())
        }
        Err(Unwritten::Read(error)) => Err(unread(error)),
        Err(Unwritten::Changed) => Err(not_that(&name, "it changed while it was read")),
    }
}

fn name_of(path: &Path) -> Result<WalName, StepError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.parse().map_err(|error: model::wal::InvalidName| {
        StepError::permanent("RB0592", error.to_string())
            .hint("write `archive_command = 'runbook archive push \"%p\" ...'`")
    })
}

/// Whose file it is.
fn identify(
    name: &WalName,
    said: Option<u64>,
    path: &Path,
    first: &[u8],
    length: u64,
) -> Result<u64, StepError> {
    let found = match name {
        WalName::Segment(segment) | WalName::Partial(segment) => {
            let header =
                header::read(first, segment, length).map_err(|why| not_that(name, &why))?;
            Some(header.system_identifier)
        }
        WalName::Label(..) | WalName::History(_) => header::system_identifier_in(path),
    };
    match (said, found) {
        (Some(said), Some(found)) if said != found => {
            Err(not_that(name, &format!("it is of cluster {found}, `--cluster` says {said}")))
        }
        (Some(cluster), _) | (None, Some(cluster)) => Ok(cluster),
        (None, None) => Err(not_that(name, "nothing tells of which cluster it is")
            .hint("say it: `--cluster SYSTEM_IDENTIFIER`; `pg_controldata` prints it")),
    }
}

/// Success when this very content is there, nothing when there is none.
async fn there_already(
    store: &dyn Store,
    path: &str,
    content: &Written,
) -> Result<Option<Pushed>, StepError> {
    let Some(opened) = object::open(store, path).await? else { return Ok(None) };
    if opened.says == *content {
        let (path, content) = (path.to_owned(), content.clone());
        return Ok(Some(Pushed { path, content, existed: true }));
    }
    let message = format!(
        "the archive holds another file as `{path}`: its SHA-256 is `{}`, that of the file to archive \
         `{}`; nothing was changed",
        opened.says.sha256, content.sha256
    );
    Err(StepError::needs_operator("RB0594", message).hint(
        "two servers archive under one identity: give the one that was restored or promoted another \
         store, or `archive_mode = off`",
    ))
}

/// Why an object was not written.
enum Unwritten {
    /// Somebody else wrote it meanwhile.
    Taken,
    /// The file does not read.
    Read(io::Error),
    /// The file is not what was measured.
    Changed,
}

async fn write(
    store: &dyn Store,
    to: &str,
    mut file: File,
    content: &Written,
) -> Result<Result<(), Unwritten>, StepError> {
    let mut writer = match store.put_new(to).await {
        Err(StoreError::Exists { .. }) => return Ok(Err(Unwritten::Taken)),
        writer => writer?,
    };
    match object::write(&mut writer, &mut file, content).await? {
        Err(error) => return Ok(Err(Unwritten::Read(error))),
        Ok(read) if read != *content => return Ok(Err(Unwritten::Changed)),
        Ok(_) => {}
    }
    match writer.commit().await {
        Err(StoreError::Exists { .. }) => Ok(Err(Unwritten::Taken)),
        committed => Ok(Ok(committed?)),
    }
}

/// Removes what pushes that were killed left; now and then, for it reads the whole folder.
async fn sweep(store: &dyn Store, cluster: u64, name: &WalName) -> Result<(), StepError> {
    if matches!(name, WalName::Label(..) | WalName::History(_)) {
        store.sweep(&cluster_folder(cluster)).await?;
    }
    Ok(())
}
