//! A base backup into a data folder.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use engine::context::{Progress, StepContext};
use engine::files;
use engine::process::Program;
use model::base::{BaseManifest, DATA};
use model::step_error::StepError;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::instance::{Instance, refused};
use super::way::Way;
use crate::pg::{base_backup, programs};
use crate::store::Store;

/// Bytes that travel together.
const BATCH: usize = 256 * 1024;
/// Batches that wait between two stages.
const WAITING: usize = 4;
/// Room beside the data folder: for WAL and what the server writes.
const MARGIN: u64 = 64 << 20;

/// Refuses a disk on which the cluster does not fit.
pub(super) fn check_room(instance: &Instance, way: &Way) -> Result<(), StepError> {
    let sizes = way.chain.iter().map(|base| base.data_bytes);
    // A chain lies there unpacked beside what it is put together to.
    let whole = way.chain.iter().map(|base| base.data_bytes).max().unwrap_or_default();
    let needed = if way.chain.len() > 1 { sizes.sum::<u64>() + whole } else { whole } + MARGIN;
    let mut folder: &Path = &instance.folder;
    while files::facts(folder).is_err() {
        folder = folder.parent().unwrap_or(Path::new("/"));
    }
    let free = files::free_space(folder)
        .map_err(|error| refused(folder, &error.to_string(), "see the disk"))?;
    if free >= needed {
        return Ok(());
    }
    let message = format!(
        "the instance needs {needed} bytes, and `{}` has room for {free}",
        folder.display()
    );
    Err(StepError::needs_operator("RB0628", message)
        .hint("free space there, or name another folder as `data_directory`; nothing was done"))
}

/// Unpacks the base backup, and what it builds on, into the empty folder of the instance.
pub(super) async fn fill(
    instance: &Instance,
    ctx: &StepContext,
    store: &dyn Store,
    way: &Way,
) -> Result<(), StepError> {
    if let [base] = way.chain.as_slice() {
        return unpack(instance, ctx, store, base, &instance.folder).await;
    }
    let parts = instance.parts();
    files::remove_folder(&parts)
        .map_err(|error| refused(&parts, &error.to_string(), "remove it"))?;
    instance.make(&parts)?;
    let mut folders: Vec<PathBuf> = Vec::new();
    for base in &way.chain {
        let folder = parts.join(base.base.as_str());
        instance.make(&folder)?;
        unpack(instance, ctx, store, base, &folder).await?;
        folders.push(folder);
    }
    let combine = instance.program(ctx, "pg_combinebackup", way.major()).await?;
    let together = parts.join("together");
    let combine = combine.arg("--output").arg(&together).args(folders);
    programs::run_program(ctx, combine).await?;
    // The mark of the instance stays in its folder: what was put together comes beside it.
    let names = files::list(&together)
        .map_err(|error| refused(&together, &error.to_string(), "see the disk"))?;
    for name in names {
        files::move_into_place(&together.join(&name), &instance.file(&name))
            .map_err(|error| refused(&together, &error.to_string(), "see the disk"))?;
    }
    files::remove_folder(&parts).map_err(|error| refused(&parts, &error.to_string(), "remove it"))
}

async fn unpack(
    instance: &Instance,
    ctx: &StepContext,
    store: &dyn Store,
    base: &BaseManifest,
    folder: &Path,
) -> Result<(), StepError> {
    let (sink, stored) = mpsc::channel(WAITING);
    let (plain, unpacked) = mpsc::channel(WAITING);
    let (counted, counting) = mpsc::channel(WAITING);
    let decoding = spawn_blocking(move || decode(stored, &plain));
    let tar = Program::new("tar")
        .args(["--extract", "--file=-", "--no-same-owner", "--preserve-permissions", "--directory"])
        .arg(folder)
        .run_as(instance.account.as_ref());
    let activity = format!("unpack base backup {}", base.base);
    let count = count(ctx, &activity, base.data_bytes, unpacked, counted);
    let (read, (), fed) = tokio::join!(
        base_backup::parts(store, base, DATA, sink),
        count,
        programs::feed_program(ctx, tar, counting)
    );
    let decoded = decoding.await.expect("decompression does not panic");
    // What is wrong with the stored bytes is told before what that does to those who take them.
    read?;
    fed?;
    decoded.map_err(|error| base_backup::damaged(base, DATA, &error.to_string()))
}

/// Hands chunks on and shows how many.
async fn count(
    ctx: &StepContext,
    activity: &str,
    total: u64,
    mut from: mpsc::Receiver<Bytes>,
    to: mpsc::Sender<Bytes>,
) {
    let mut done = 0;
    while let Some(chunk) = from.recv().await {
        done += chunk.len() as u64;
        let (activity, total) = (activity.to_owned(), Some(total.max(done)));
        ctx.progress(Progress { activity, done, total, bytes: true });
        if to.send(chunk).await.is_err() {
            return;
        }
    }
}

/// Runs on a thread of its own.
fn decode(stored: mpsc::Receiver<Bytes>, plain: &mpsc::Sender<Bytes>) -> io::Result<()> {
    let mut source = Source { chunks: stored, current: Bytes::new() };
    let decoded = (|| {
        let mut decoder = zstd::Decoder::new(&mut source)?;
        loop {
            let mut chunk = vec![0; BATCH];
            let read = decoder.read(&mut chunk)?;
            chunk.truncate(read);
            if read == 0 || plain.blocking_send(chunk.into()).is_err() {
                return Ok(());
            }
        }
    })();
    // Taken to its end all the same, so that the verdict is about its SHA-256.
    while source.chunks.blocking_recv().is_some() {}
    decoded
}

/// Chunks as a reader.
struct Source {
    chunks: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.current.is_empty() {
            self.current = self.chunks.blocking_recv().unwrap_or_default();
        }
        let length = buffer.len().min(self.current.len());
        buffer[..length].copy_from_slice(&self.current.split_to(length));
        Ok(length)
    }
}
