//! The home of files: private folders, durable writes, append-only files that notice another
//! writer, all 0600 in 0700.
#![expect(clippy::disallowed_methods, reason = "this is the home of files")]

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::EngineError;

/// Creates a folder (0700) and those above it; the folder may exist.
pub fn create_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Reads a whole file.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    std::fs::read(path)
}

/// Reads a whole file as text.
pub fn read_text(path: &Path) -> io::Result<String> {
    std::fs::read_to_string(path)
}

/// The last bytes of a file, at most `most` of them.
pub fn tail(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a file as text, of at most `limit` bytes. The path is relative to `folder` and does not
/// leave it, nor do the symbolic links on it.
pub fn read_text_inside(folder: &Path, path: &str, limit: u64) -> io::Result<String> {
    let refused = |message: &str| io::Error::new(ErrorKind::InvalidInput, message.to_owned());
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let file = std::fs::canonicalize(folder.join(path))?;
    if !file.starts_with(std::fs::canonicalize(folder)?) {
        return Err(refused("a symbolic link leads out of the folder"));
    }
    let facts = facts(&file)?;
    if !facts.is_file() {
        return Err(refused("it is not a file"));
    }
    if facts.len() > limit {
        return Err(refused("it is too large"));
    }
    read_text(&file)
}

/// The names in a folder, sorted; none when the folder does not exist.
pub fn list(path: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let name = |entry: io::Result<std::fs::DirEntry>| Ok(entry?.file_name().into_string().ok());
    let names: io::Result<Vec<Option<String>>> = entries.map(name).collect();
    let mut names: Vec<String> = names?.into_iter().flatten().collect();
    names.sort_unstable();
    Ok(names)
}

/// Owner, mode and size of a file or folder.
pub fn facts(path: &Path) -> io::Result<std::fs::Metadata> {
    std::fs::metadata(path)
}

/// Refuses a file that everybody may write to: whoever changes it decides what a run does.
pub fn refuse_world_writable(path: &Path) -> Result<(), EngineError> {
    let open = facts(path).is_ok_and(|facts| facts.mode() & 0o002 != 0);
    if !open {
        return Ok(());
    }
    let path = path.display();
    let message = format!("everybody may write to `{path}`, so anybody decides what it does");
    Err(EngineError::refused("RB0819", message).hint(format!("chmod o-w {path}")))
}

/// Makes a file or folder the account's own.
pub fn hand_over(path: &Path, uid: u32, gid: u32) -> io::Result<()> {
    std::os::unix::fs::chown(path, Some(uid), Some(gid))
}

/// Closes a folder to others (0700).
pub fn close_folder(path: &Path) -> io::Result<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
}

/// Bytes that an account other than root can still write to the file system of `path`.
pub fn free_space(path: &Path) -> io::Result<u64> {
    let space = rustix::fs::statvfs(path)?;
    Ok(space.f_bavail.saturating_mul(space.f_frsize))
}

/// Makes a file that was written beside its place take it, durably; what was there goes.
pub fn move_into_place(from: &Path, to: &Path) -> io::Result<()> {
    File::open(from)?.sync_all()?;
    std::fs::rename(from, to)?;
    sync_folder(parent(to))
}

/// Bytes of the files in a folder and below, and their number; what vanishes meanwhile counts not.
pub fn size_below(path: &Path) -> (u64, u64) {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.fold((0, 0), |(bytes, files), entry| match entry.metadata() {
        Ok(facts) if facts.is_dir() => {
            let (more, count) = size_below(&entry.path());
            (bytes + more, files + count)
        }
        Ok(facts) => (bytes + facts.len(), files + 1),
        Err(_) => (bytes, files),
    })
}

/// Removes a file that may be gone already.
pub fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes a folder with all it holds; it may be gone already.
pub fn remove_folder(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Writes a file (0600) so that after a crash it is whole or absent: written beside its place,
/// synced, renamed, its folder synced.
pub fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_durably_for(path, bytes, None)
}

/// The same for a file that belongs to another account, by its user and group.
pub fn write_durably_for(path: &Path, bytes: &[u8], owner: Option<(u32, u32)>) -> io::Result<()> {
    let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
    let mut beside = name.to_owned();
    beside.push(".part");
    let beside = path.with_file_name(beside);
    let mut file = private().write(true).create(true).truncate(true).open(&beside)?;
    if let Some((uid, gid)) = owner {
        std::os::unix::fs::fchown(&file, Some(uid), Some(gid))?;
    }
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    sync_folder(parent(path))
}

/// Writes a file that a person named, in place: a device or a link stays what it is.
pub fn write_in_place(path: &Path, bytes: &[u8]) -> io::Result<()> {
    std::fs::write(path, bytes)
}

/// Makes the names in a folder durable.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Opens a file (0600) for reading and writing, created when absent.
pub fn open_private(path: &Path) -> io::Result<File> {
    private().read(true).write(true).create(true).truncate(false).open(path)
}

/// Opens a file for reading.
pub fn open_existing(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Creates a file (0600) that must not exist.
pub fn create_private(path: &Path) -> io::Result<File> {
    private().write(true).create_new(true).open(path)
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A file that only grows, by whole lines that are durable when [`Appender::append`] returns.
/// After any error it is closed for good: a failed fsync may have lost what was written, and a
/// second one would not tell.
pub struct Appender {
    path: PathBuf,
    file: File,
    length: u64,
    broken: bool,
}

impl Appender {
    /// Opens a file, created when absent; its name is durable.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = open_private(path)?;
        let length = file.seek(SeekFrom::End(0))?;
        sync_folder(parent(path))?;
        Ok(Self { path: path.to_owned(), file, length, broken: false })
    }

    /// All bytes of the file.
    pub fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(0))?;
        self.file.read_to_end(&mut bytes)?;
        self.length = bytes.len() as u64;
        Ok(bytes)
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds bytes with one write and makes them durable.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("an earlier write failed"));
        }
        self.broken = true;
        let now = self.file.metadata()?;
        if now.len() != self.length || now.nlink() == 0 {
            return Err(io::Error::other("another process changed the file"));
        }
        self.file.seek(SeekFrom::Start(self.length))?;
        self.file.write_all(bytes)?;
        self.file.sync_data()?;
        self.length += bytes.len() as u64;
        self.broken = false;
        Ok(())
    }

    /// Cuts the file to `length` bytes, durably.
    pub fn cut(&mut self, length: u64) -> io::Result<()> {
        self.broken = true;
        self.file.set_len(length)?;
        self.file.sync_all()?;
        self.length = length;
        self.broken = false;
        Ok(())
    }

    /// Bytes in the file.
    pub fn length(&self) -> u64 {
        self.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn files_and_folders_are_private() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        create_folder(&inner).unwrap();
        write_durably(&inner.join("file"), b"x").unwrap();
        Appender::open(&inner.join("log")).unwrap();
        assert_eq!((mode(&inner), mode(&inner.join("file"))), (0o700, 0o600));
        assert_eq!(mode(&inner.join("log")), 0o600);
        assert_eq!(list(&inner).unwrap(), ["file", "log"]);
    }

    #[test]
    fn a_second_writer_is_noticed_and_ends_the_appender() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut appender = Appender::open(&path).unwrap();
        appender.append(b"one\n").unwrap();
        std::fs::write(&path, b"one\ntwo\n").unwrap();
        let error = appender.append(b"three\n").unwrap_err();
        assert_eq!(error.to_string(), "another process changed the file");
        std::fs::write(&path, b"one\n").unwrap();
        assert_eq!(appender.append(b"three\n").unwrap_err().to_string(), "an earlier write failed");
        assert_eq!(read(&path).unwrap(), b"one\n");
    }

    #[test]
    fn a_full_device_ends_the_appender() {
        let mut appender = Appender {
            path: PathBuf::from("/dev/full"),
            file: OpenOptions::new().write(true).open("/dev/full").unwrap(),
            length: 0,
            broken: false,
        };
        assert_eq!(appender.append(b"x\n").unwrap_err().raw_os_error(), Some(28));
        assert_eq!(appender.append(b"x\n").unwrap_err().to_string(), "an earlier write failed");
    }
}
