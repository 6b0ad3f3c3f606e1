//! Files of this machine as streams: read to their end, and written whole or not at all.

use std::path::Path;

use bytes::Bytes;
use engine::context::{Progress, StepContext};
use engine::files;
use model::catalog::InputProblem;
use model::step_error::StepError;
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;
use url::Url;

use crate::store::{FileStore, ObjectReader, ObjectWriter, StoreError, StoreFuture, Written, hex};

/// Bytes read at once.
const CHUNK: usize = 256 * 1024;

/// A file that is read.
struct LocalReader {
    file: tokio::fs::File,
    path: String,
}

impl ObjectReader for LocalReader {
    fn read(&mut self) -> StoreFuture<'_, Option<Bytes>> {
        Box::pin(async move {
            let mut chunk = vec![0; CHUNK];
            let read = self.file.read(&mut chunk).await;
            let length = read.map_err(|source| {
                let path = self.path.clone();
                StoreError::Io { path, source }
            })?;
            chunk.truncate(length);
            Ok((length > 0).then(|| Bytes::from(chunk)))
        })
    }
}

/// Opens a file for reading.
pub(crate) fn open(path: &str) -> Result<Box<dyn ObjectReader>, StepError> {
    let failed = |error: &std::io::Error| {
        StepError::permanent("RB0650", format!("the file `{path}` cannot be read")).caused_by(error)
    };
    let file = files::open_existing(Path::new(path)).map_err(|error| failed(&error))?;
    if file.metadata().is_ok_and(|facts| facts.is_dir()) {
        return Err(StepError::permanent("RB0650", format!("`{path}` is a folder")));
    }
    Ok(Box::new(LocalReader { file: tokio::fs::File::from_std(file), path: path.to_owned() }))
}

/// The folder of a file that will be written, and its name there.
pub(crate) fn target(path: &str) -> Result<(FileStore, String), StepError> {
    let refused = || StepError::permanent("RB0651", format!("`{path}` is not the path of a file"));
    let path = Path::new(path);
    let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(refused)?;
    let folder = path.parent().and_then(|parent| Url::from_file_path(parent).ok());
    Ok((FileStore::open(folder.ok_or_else(refused)?.as_str())?, name.to_owned()))
}

/// Reads to the end, into `writer` when there is one, and gives size and SHA-256.
pub(crate) async fn drain(
    mut reader: Box<dyn ObjectReader>,
    mut writer: Option<&mut Box<dyn ObjectWriter>>,
    activity: &str,
    ctx: &StepContext,
) -> Result<Written, StepError> {
    let (mut bytes, mut digest) = (0, Sha256::new());
    while let Some(chunk) = reader.read().await? {
        if ctx.cancel().is_cancelled() {
            return Err(StepError::cancelled());
        }
        bytes += chunk.len() as u64;
        digest.update(&chunk);
        if let Some(writer) = &mut writer {
            writer.write(chunk).await?;
        }
        let activity = activity.to_owned();
        ctx.progress(Progress { activity, done: bytes, total: None, bytes: true });
    }
    Ok(Written { bytes, sha256: hex(digest.finalize()) })
}

/// The problem of a path that means another file in another folder.
pub(crate) fn path_problem(key: &str, path: &str) -> Option<InputProblem> {
    (!path.starts_with('/')).then(|| {
        InputProblem::at(key, format!("`{path}` is not an absolute path"))
            .help("write the whole path, from `/`")
    })
}

/// The problem of a text that is no SHA-256.
pub(crate) fn sha256_problem(sha256: Option<&String>) -> Option<InputProblem> {
    let sha256 = sha256?;
    let right = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
    (!right).then(|| InputProblem::at("sha256", "a SHA-256 has 64 hexadecimal digits"))
}

/// Refuses bytes that are not the expected ones.
pub(crate) fn compare(
    what: &str,
    expected: Option<&String>,
    found: &Written,
) -> Result<(), StepError> {
    match expected {
        Some(expected) if !expected.eq_ignore_ascii_case(&found.sha256) => {
            let message = format!(
                "{what} has not the expected checksum: expected `{expected}`, found `{}`",
                found.sha256
            );
            Err(StepError::permanent("RB0652", message))
        }
        _ => Ok(()),
    }
}
