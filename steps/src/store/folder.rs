//! Folders held open: every path is walked part by part without following a symbolic link, so
//! that no name can lead out of the store.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{self, AtFlags, Mode, OFlags};
use rustix::io::Errno;

const FOLDER_MODE: Mode = Mode::RWXU;
const OPEN_FOLDER: OFlags =
    OFlags::DIRECTORY.union(OFlags::RDONLY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// An open folder.
pub(super) struct Folder(pub(super) OwnedFd);

/// What an entry of a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// A folder.
    Folder,
    /// A regular file.
    File,
    /// Anything else: never an object.
    Other,
}

impl Folder {
    /// Opens the root of a store, which may be a link; makes it when only itself is missing.
    pub(super) fn root(path: &Path) -> io::Result<Self> {
        match fs::mkdir(path, FOLDER_MODE) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OPEN_FOLDER.difference(OFlags::NOFOLLOW);
        Ok(Self(fs::open(path, flags, Mode::empty())?))
    }

    /// Opens the folder of that name.
    pub(super) fn enter(&self, name: &str) -> io::Result<Self> {
        Ok(Self(fs::openat(&self.0, name, OPEN_FOLDER, Mode::empty())?))
    }

    /// Opens a folder some levels down.
    pub(super) fn walk(&self, parts: &[&str]) -> io::Result<Self> {
        let mut here = Self(self.0.try_clone()?);
        for part in parts {
            here = here.enter(part)?;
        }
        Ok(here)
    }

    /// Opens a folder some levels down and makes what is missing, durably.
    pub(super) fn make(&self, parts: &[&str]) -> io::Result<Self> {
        let mut here = Self(self.0.try_clone()?);
        for part in parts {
            match fs::mkdirat(&here.0, *part, FOLDER_MODE) {
                Ok(()) => fs::fsync(&here.0)?,
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            here = here.enter(part)?;
        }
        Ok(here)
    }

    /// The names in it and what they are, in order.
    pub(super) fn entries(&self) -> io::Result<Vec<(String, Entry)>> {
        let mut entries = Vec::new();
        for entry in fs::Dir::read_from(&self.0)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if name == "." || name == ".." {
                continue;
            }
            let stat = match fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                stat => stat?,
            };
            let kind = match fs::FileType::from_raw_mode(stat.st_mode) {
                fs::FileType::Directory => Entry::Folder,
                fs::FileType::RegularFile => Entry::File,
                _ => Entry::Other,
            };
            entries.push((name.to_owned(), kind));
        }
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(entries)
    }

    /// Removes all it holds. Files go before folders, so that a set loses its manifest first.
    pub(super) fn clear(&self) -> io::Result<()> {
        let entries = self.entries()?;
        for (name, _) in entries.iter().filter(|(_, kind)| *kind != Entry::Folder) {
            match fs::unlinkat(&self.0, name.as_str(), AtFlags::empty()) {
                // A writer that was given up removes its own part.
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        for (name, _) in entries.iter().filter(|(_, kind)| *kind == Entry::Folder) {
            self.enter(name)?.clear()?;
            fs::unlinkat(&self.0, name.as_str(), AtFlags::REMOVEDIR)?;
        }
        Ok(())
    }
}
