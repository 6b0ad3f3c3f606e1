//! A base backup: a copy of a whole cluster's data folder, from which WAL leads to a moment. Its
//! manifest and how backups build on one another; `docs/formats/base.md` describes them.

mod chain;
mod manifest;

pub use chain::{BrokenChain, chain, closed};
pub use manifest::{
    BaseError, BaseFile, BaseKind, BaseManifest, BaseServer, VERSION, base_folder, cluster_folder,
};

/// The folder of all base backups in a store.
pub const BASE: &str = "base";
/// The commit point of a base backup, written last.
pub const MANIFEST: &str = "manifest.json";
/// The data folder, by `tar`, compressed.
pub const DATA: &str = "base.tar.zst";
/// `backup_manifest` of `pg_basebackup`, compressed: what an incremental backup builds on.
pub const BACKUP_MANIFEST: &str = "backup_manifest.zst";
/// How to restore it with standard commands only.
pub const RESTORE: &str = "RESTORE.txt";
