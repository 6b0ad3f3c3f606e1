//! A file that is read, changed on its way, and written whole or not at all.

use bytes::Bytes;
use engine::context::{Progress, StepContext};
use model::step_error::StepError;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::local::{drain, open, target};
use crate::store::{ObjectReader, ObjectWriter, Store, StoreError, Written, hex};

/// The name of the fact that announces a file, recorded before the file gets its name.
const FACT: &str = "file";

/// Chunks that wait between two stages.
const WAITING: usize = 4;

/// What was read and what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sealed {
    /// The path of the written file.
    pub(super) path: String,
    /// What was read.
    pub(super) read: Written,
    /// What was written.
    pub(super) written: Written,
}

/// What is journaled of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Announced {
    path: String,
    read_bytes: u64,
    read_sha256: String,
    bytes: u64,
    sha256: String,
}

/// The file that this step wrote, when it is there with the bytes that were announced.
pub(super) async fn seen(to: &str, ctx: &StepContext) -> Result<Option<Sealed>, StepError> {
    let fact = ctx.fact(FACT).map(serde_json::from_value::<Announced>);
    let Some(Ok(announced)) = fact else { return Ok(None) };
    let (local, name) = target(to)?;
    if announced.path != to || local.stat(&name).await?.is_none() {
        return Ok(None);
    }
    let found = drain(local.open(&name).await?, None, "read the file", ctx).await?;
    let written = Written { bytes: announced.bytes, sha256: announced.sha256 };
    let read = Written { bytes: announced.read_bytes, sha256: announced.read_sha256 };
    Ok((found == written).then_some(Sealed { path: announced.path, read, written }))
}

/// Reads `from`, lets `change` work on it, and writes `to`; `check` has the last word.
pub(super) async fn write(
    (from, to): (&str, &str),
    ctx: &StepContext,
    change: impl AsyncFnOnce(mpsc::Receiver<Bytes>, mpsc::Sender<Bytes>) -> Result<(), StepError>,
    check: impl FnOnce(&Sealed) -> Result<(), StepError>,
) -> Result<Sealed, StepError> {
    let (local, name) = target(to)?;
    if local.stat(&name).await?.is_some() {
        return Err(StoreError::Exists { path: to.to_owned() }.into());
    }
    let reader = open(from)?;
    let mut writer = local.put_new(&name).await?;
    let (text, input) = mpsc::channel(WAITING);
    let (output, changed) = mpsc::channel(WAITING);
    let (read, written, done) =
        tokio::join!(feed(reader, text, ctx), store(&mut writer, changed), change(input, output));
    // A disk that is full ends the others, too: of them the disk knows why.
    let (read, written) = (read?, written?);
    done?;
    let sealed = Sealed { path: to.to_owned(), read, written };
    check(&sealed)?;
    let announced = Announced {
        path: sealed.path.clone(),
        read_bytes: sealed.read.bytes,
        read_sha256: sealed.read.sha256.clone(),
        bytes: sealed.written.bytes,
        sha256: sealed.written.sha256.clone(),
    };
    ctx.record(FACT, announced).await?;
    writer.commit().await?;
    Ok(sealed)
}

async fn feed(
    mut reader: Box<dyn ObjectReader>,
    text: mpsc::Sender<Bytes>,
    ctx: &StepContext,
) -> Result<Written, StepError> {
    let (mut bytes, mut digest) = (0, Sha256::new());
    while let Some(chunk) = reader.read().await? {
        if ctx.cancel().is_cancelled() {
            return Err(StepError::cancelled());
        }
        bytes += chunk.len() as u64;
        digest.update(&chunk);
        if text.send(chunk).await.is_err() {
            break;
        }
        let activity = "read the file".to_owned();
        ctx.progress(Progress { activity, done: bytes, total: None, bytes: true });
    }
    Ok(Written { bytes, sha256: hex(digest.finalize()) })
}

async fn store(
    writer: &mut Box<dyn ObjectWriter>,
    mut chunks: mpsc::Receiver<Bytes>,
) -> Result<Written, StoreError> {
    let (mut bytes, mut digest) = (0, Sha256::new());
    while let Some(chunk) = chunks.recv().await {
        bytes += chunk.len() as u64;
        digest.update(&chunk);
        writer.write(chunk).await?;
    }
    Ok(Written { bytes, sha256: hex(digest.finalize()) })
}
