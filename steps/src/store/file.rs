//! `file://`: objects are files, written under a temporary name and moved into place.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use jiff::Timestamp;
use rustix::fs::{self, AtFlags, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use tokio::sync::RwLock;
use url::Url;

use super::error::StoreError;
use super::folder::{Entry, Folder};
use super::path::{parts, split};
use super::{ObjectInfo, ObjectReader, ObjectWriter, Removed, Store, StoreFuture};

/// How the names of unfinished objects start; no object's name may.
const PART: &str = ".part-";
/// Bytes read at once.
const CHUNK: usize = 256 * 1024;
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

static NEXT_PART: AtomicU64 = AtomicU64::new(0);

/// A store in a folder.
#[derive(Clone)]
pub struct FileStore {
    path: PathBuf,
    root: Arc<Folder>,
    gate: Gate,
}

/// Held by every operation until it has ended, also when nobody waits for it any more: a folder
/// is removed only when nothing is still being written.
type Gate = Arc<RwLock<()>>;

impl FileStore {
    /// Opens the folder of `file:///path`; makes it (0700) when only itself is missing.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        let parsed = Url::parse(url).ok().filter(|_| url.starts_with("file:///"));
        let path = parsed.and_then(|parsed| parsed.to_file_path().ok());
        let path = path.filter(|path| path.file_name().is_some());
        let path = path.ok_or_else(|| StoreError::Url { url: url.to_owned() })?;
        let root = Folder::root(&path)
            .map_err(|error| StoreError::of(&path.display().to_string(), error))?;
        Ok(Self { path, root: Arc::new(root), gate: Gate::default() })
    }

    /// The folder.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    fn blocking<T: Send + 'static>(
        &self,
        path: &str,
        act: impl FnOnce(&Folder, &str) -> Result<T, StoreError> + Send + 'static,
    ) -> StoreFuture<'static, T> {
        let (root, gate, path) = (Arc::clone(&self.root), self.gate.clone(), path.to_owned());
        Box::pin(async move { blocking(gate, move || act(&root, &path)).await })
    }
}

async fn blocking<T: Send + 'static>(gate: Gate, act: impl FnOnce() -> T + Send + 'static) -> T {
    let entered = gate.read_owned().await;
    let done = tokio::task::spawn_blocking(move || {
        let done = act();
        drop(entered);
        done
    });
    done.await.expect("file operations do not panic")
}

/// Nothing, instead of an error, where there is nothing.
fn if_there<T>(path: &str, result: io::Result<T>) -> Result<Option<T>, StoreError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::of(path, error)),
    }
}

fn info(folder: &Folder, name: &str, path: String) -> io::Result<Option<ObjectInfo>> {
    let stat = fs::statat(&folder.0, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if fs::FileType::from_raw_mode(stat.st_mode) != fs::FileType::RegularFile {
        return Ok(None);
    }
    let bytes = u64::try_from(stat.st_size).unwrap_or_default();
    let modified = Timestamp::from_second(stat.st_mtime).unwrap_or_default();
    Ok(Some(ObjectInfo { path, bytes, modified }))
}

fn list_into(folder: &Folder, path: &str, found: &mut Vec<ObjectInfo>) -> io::Result<()> {
    for (name, kind) in folder.entries()? {
        let path = format!("{path}/{name}");
        match kind {
            Entry::Folder => list_into(&folder.enter(&name)?, &path, found)?,
            Entry::File if !name.starts_with('.') => found.extend(info(folder, &name, path)?),
            Entry::File | Entry::Other => {}
        }
    }
    Ok(())
}

/// Removes parts that no living writer holds: a writer keeps a lock on its part.
fn sweep_folder(folder: &Folder) -> io::Result<u64> {
    let mut swept = 0;
    for (name, kind) in folder.entries()? {
        match kind {
            Entry::Folder => swept += sweep_folder(&folder.enter(&name)?)?,
            Entry::File if name.starts_with(PART) => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let Ok(part) = fs::openat(&folder.0, name.as_str(), flags, Mode::empty()) else {
                    continue;
                };
                if fs::flock(&part, FlockOperation::NonBlockingLockExclusive).is_ok() {
                    fs::unlinkat(&folder.0, name.as_str(), AtFlags::empty())?;
                    swept += 1;
                }
            }
            Entry::File | Entry::Other => {}
        }
    }
    Ok(swept)
}

impl Store for FileStore {
    fn put_new<'a>(&'a self, path: &'a str) -> StoreFuture<'a, Box<dyn ObjectWriter>> {
        let gate = self.gate.clone();
        self.blocking(path, |root, path| {
            let (folders, name) = split(path)?;
            let part = Unfinished::create(root, &folders, name, path)?;
            Ok(Box::new(FileWriter { part: Some(part), gate }) as Box<dyn ObjectWriter>)
        })
    }

    fn open<'a>(&'a self, path: &'a str) -> StoreFuture<'a, Box<dyn ObjectReader>> {
        let gate = self.gate.clone();
        self.blocking(path, |root, path| {
            let (folders, name) = split(path)?;
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let opened = root.walk(&folders).and_then(|folder| {
                Ok(File::from(fs::openat(&folder.0, name, flags, Mode::empty())?))
            });
            let file = opened.map_err(|error| StoreError::of(path, error))?;
            let reader = FileReader { file: Some(file), gate, path: path.to_owned() };
            Ok(Box::new(reader) as Box<dyn ObjectReader>)
        })
    }

    fn list<'a>(&'a self, folder: &'a str) -> StoreFuture<'a, Vec<ObjectInfo>> {
        self.blocking(folder, |root, path| {
            let mut found = Vec::new();
            if let Some(folder) = if_there(path, root.walk(&parts(path)?))? {
                list_into(&folder, path, &mut found)
                    .map_err(|error| StoreError::of(path, error))?;
            }
            Ok(found)
        })
    }

    fn folders<'a>(&'a self, folder: &'a str) -> StoreFuture<'a, Vec<String>> {
        self.blocking(folder, |root, path| {
            let Some(folder) = if_there(path, root.walk(&parts(path)?))? else {
                return Ok(Vec::new());
            };
            let entries = folder.entries().map_err(|error| StoreError::of(path, error))?;
            let folders = entries.into_iter().filter(|(_, kind)| *kind == Entry::Folder);
            Ok(folders.map(|(name, _)| name).filter(|name| !name.starts_with('.')).collect())
        })
    }

    fn stat<'a>(&'a self, path: &'a str) -> StoreFuture<'a, Option<ObjectInfo>> {
        self.blocking(path, |root, path| {
            let (folders, name) = split(path)?;
            let found = root.walk(&folders).and_then(|folder| info(&folder, name, path.to_owned()));
            Ok(if_there(path, found)?.flatten())
        })
    }

    fn remove<'a>(&'a self, path: &'a str) -> StoreFuture<'a, Removed> {
        self.blocking(path, |root, path| {
            let (folders, name) = split(path)?;
            let removed = root.walk(&folders).and_then(|folder| {
                fs::unlinkat(&folder.0, name, AtFlags::empty())?;
                Ok(fs::fsync(&folder.0)?)
            });
            if_there(path, removed).map(|_| Removed::default())
        })
    }

    fn remove_folder<'a>(&'a self, folder: &'a str) -> StoreFuture<'a, Removed> {
        let (root, gate, path) = (Arc::clone(&self.root), self.gate.clone(), folder.to_owned());
        Box::pin(async move {
            let alone = gate.write_owned().await;
            let removed = tokio::task::spawn_blocking(move || {
                let removed = remove_folder(&root, &path);
                drop(alone);
                removed
            });
            let removed = removed.await.expect("file operations do not panic");
            removed.map(|()| Removed::default())
        })
    }

    fn held<'a>(&'a self, _path: &'a str) -> StoreFuture<'a, bool> {
        Box::pin(async { Ok(false) })
    }

    fn sweep<'a>(&'a self, folder: &'a str) -> StoreFuture<'a, u64> {
        self.blocking(folder, |root, path| {
            let swept = root.walk(&parts(path)?).and_then(|folder| sweep_folder(&folder));
            Ok(if_there(path, swept)?.unwrap_or(0))
        })
    }

    fn free_space(&self) -> StoreFuture<'_, Option<u64>> {
        let (root, gate) = (Arc::clone(&self.root), self.gate.clone());
        Box::pin(async move {
            let space = blocking(gate, move || fs::fstatvfs(&root.0)).await;
            Ok(space.ok().map(|space| space.f_bavail.saturating_mul(space.f_frsize)))
        })
    }

    fn look(&self) -> StoreFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn describe(&self) -> String {
        format!("file://{}", self.path.display())
    }
}

fn remove_folder(root: &Folder, path: &str) -> Result<(), StoreError> {
    let (folders, name) = split(path)?;
    let removed = root.walk(&folders).and_then(|parent| {
        parent.enter(name)?.clear()?;
        fs::unlinkat(&parent.0, name, AtFlags::REMOVEDIR)?;
        Ok(fs::fsync(&parent.0)?)
    });
    if_there(path, removed).map(drop)
}

/// A file under its temporary name, locked so that nobody sweeps it.
struct Unfinished {
    folder: Folder,
    file: File,
    part: String,
    name: String,
    path: String,
    moved: bool,
}

impl Unfinished {
    fn create(root: &Folder, folders: &[&str], name: &str, path: &str) -> Result<Self, StoreError> {
        let failed = |error| StoreError::of(path, error);
        let folder = root.make(folders).map_err(failed)?;
        if fs::statat(&folder.0, name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            return Err(StoreError::Exists { path: path.to_owned() });
        }
        loop {
            let number = NEXT_PART.fetch_add(1, Ordering::Relaxed);
            let part = format!("{PART}{}-{number}", std::process::id());
            let opened = match create_part(&folder, &part) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                opened => opened.map_err(failed)?,
            };
            if let Some(file) = opened {
                let (name, path) = (name.to_owned(), path.to_owned());
                return Ok(Self { folder, file: File::from(file), part, name, path, moved: false });
            }
        }
    }

    /// Everything reaches the disk before the name does, and the name before this returns.
    fn commit(mut self) -> Result<(), StoreError> {
        let done = fs::fsync(&self.file)
            .and_then(|()| rename_new(&self.folder, &self.part, &self.name))
            .map_err(|error| StoreError::of(&self.path, error.into()));
        done?;
        self.moved = true;
        fs::fsync(&self.folder.0).map_err(|error| StoreError::of(&self.path, error.into()))
    }
}

/// Nothing when a sweeper was faster than the lock.
fn create_part(folder: &Folder, part: &str) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = fs::openat(&folder.0, part, flags, FILE_MODE)?;
    fs::flock(&file, FlockOperation::LockExclusive)?;
    Ok((fs::fstat(&file)?.st_nlink > 0).then_some(file))
}

fn rename_new(folder: &Folder, from: &str, to: &str) -> Result<(), Errno> {
    match fs::renameat_with(&folder.0, from, &folder.0, to, RenameFlags::NOREPLACE) {
        // Some file systems cannot rename that way; a hard link refuses an existing name, too.
        Err(Errno::INVAL | Errno::NOSYS) => {
            fs::linkat(&folder.0, from, &folder.0, to, AtFlags::empty())?;
            fs::unlinkat(&folder.0, from, AtFlags::empty())
        }
        renamed => renamed,
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.moved {
            fs::unlinkat(&self.folder.0, self.part.as_str(), AtFlags::empty()).ok();
        }
    }
}

struct FileWriter {
    part: Option<Unfinished>,
    gate: Gate,
}

impl ObjectWriter for FileWriter {
    fn write(&mut self, chunk: Bytes) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let mut part = self.part.take().expect("a writer that failed is not used again");
            let (part, written) = blocking(self.gate.clone(), move || {
                let written = part.file.write_all(&chunk);
                (part, written)
            })
            .await;
            let path = part.path.clone();
            self.part = Some(part);
            written.map_err(|error| StoreError::of(&path, error))
        })
    }

    fn commit(mut self: Box<Self>) -> StoreFuture<'static, ()> {
        let part = self.part.take().expect("a writer that failed is not used again");
        let gate = self.gate.clone();
        Box::pin(async move { blocking(gate, move || part.commit()).await })
    }
}

struct FileReader {
    file: Option<File>,
    gate: Gate,
    path: String,
}

impl ObjectReader for FileReader {
    fn read(&mut self) -> StoreFuture<'_, Option<Bytes>> {
        Box::pin(async move {
            let mut file = self.file.take().expect("a reader that was given up is not used again");
            let (file, read) = blocking(self.gate.clone(), move || {
                let mut chunk = vec![0; CHUNK];
                let read = file.read(&mut chunk).map(|length| {
                    chunk.truncate(length);
                    chunk
                });
                (file, read)
            })
            .await;
            self.file = Some(file);
            let chunk = read.map_err(|error| StoreError::of(&self.path, error))?;
            Ok((!chunk.is_empty()).then(|| Bytes::from(chunk)))
        })
    }
}
