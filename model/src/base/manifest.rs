//! `manifest.json` of a base backup: written last, so that its presence commits the backup. Every
//! field here is frozen for version 1.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::BASE;
use crate::set::SetId;
use crate::set::manifest::{Created, Program};
use crate::wal::{Lsn, Segment};

/// The version of the form that this program writes and reads.
pub const VERSION: u32 = 1;

/// What a base backup holds and where it came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaseManifest {
    /// [`VERSION`] when written.
    pub version: u32,
    /// The id; a manifest in another backup's folder is refused.
    pub base: SetId,
    /// Whether it stands alone.
    pub kind: BaseKind,
    /// The backup that an incremental one builds on.
    pub parent: Option<SetId>,
    /// A free word.
    pub label: Option<String>,
    /// Which attempt of which step wrote it.
    pub created: Created,
    /// The server that was copied.
    pub server: BaseServer,
    /// When the copy began, by the server's clock.
    pub started: Timestamp,
    /// When it had ended: any later moment can be reached from it.
    pub finished: Timestamp,
    /// The timeline.
    pub timeline: u32,
    /// Recovery reads WAL from here on.
    pub start_lsn: Lsn,
    /// Recovery is consistent from here on.
    pub stop_lsn: Lsn,
    /// Size of the data folder, in bytes: the room that a restore takes.
    pub data_bytes: u64,
    /// The version of `runbook` that wrote it.
    pub runbook: String,
    /// Programs that took part, with their arguments. No secret is in an argument.
    pub programs: Vec<Program>,
    /// Every object except the manifest itself, by path.
    pub files: Vec<BaseFile>,
}

/// Whether a base backup stands alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BaseKind {
    /// It holds every file.
    Full,
    /// It holds what changed since its parent; `pg_combinebackup` puts both together.
    Incremental,
}

/// The server that was copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaseServer {
    /// The cluster's system identifier: the folder of its archived WAL.
    pub system_identifier: String,
    /// `server_version`.
    pub version: String,
    /// `server_version_num`.
    pub version_num: u32,
    /// Host and port, or the folder of a socket.
    pub endpoint: String,
    /// It was a standby.
    pub in_recovery: bool,
    /// Bytes of a WAL segment.
    pub segment_bytes: u64,
}

/// An object of a base backup.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaseFile {
    /// Its path in the backup's folder.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// SHA-256 of its bytes, lower-case hex.
    pub sha256: String,
}

/// Why a manifest is not read.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// Not JSON of this form.
    #[error("not the manifest of a base backup of version {VERSION}: {0}")]
    Form(#[from] serde_json::Error),
    /// Written by another program, most likely a newer one.
    #[error("the manifest of a base backup of version {0}, this program reads version {VERSION}")]
    Version(u32),
    /// Parts of it contradict each other.
    #[error("the manifest of a base backup that contradicts itself: {0}")]
    Contradiction(&'static str),
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// The folder of one cluster's base backups, relative to the store: `base/7571234567890123456`.
pub fn cluster_folder(system_identifier: &str) -> String {
    format!("{BASE}/{system_identifier}")
}

/// The folder of one base backup: `base/<system identifier>/<id>`.
pub fn base_folder(system_identifier: &str, base: &SetId) -> String {
    format!("{}/{base}", cluster_folder(system_identifier))
}

impl BaseManifest {
    /// Reads `manifest.json`.
    pub fn from_json(bytes: &[u8]) -> Result<Self, BaseError> {
        let Versioned { version } = serde_json::from_slice(bytes)?;
        if version != VERSION {
            return Err(BaseError::Version(version));
        }
        let manifest: Self = serde_json::from_slice(bytes)?;
        match manifest.contradiction() {
            Some(what) => Err(BaseError::Contradiction(what)),
            None => Ok(manifest),
        }
    }

    fn contradiction(&self) -> Option<&'static str> {
        let size = self.server.segment_bytes;
        let checks = [
            (
                self.parent.is_some() == (self.kind == BaseKind::Incremental),
                "an incremental backup has a parent, a full one has none",
            ),
            (self.start_lsn <= self.stop_lsn, "it ends before it begins"),
            (
                size.is_power_of_two() && (1 << 20..=1 << 30).contains(&size),
                "no segment has that size",
            ),
            (
                self.server.system_identifier.parse::<u64>().is_ok(),
                "the system identifier is no number",
            ),
            (
                self.files.iter().any(|file| file.path == super::DATA),
                "it does not name the data folder",
            ),
        ];
        checks.into_iter().find(|(holds, _)| !holds).map(|(_, what)| what)
    }

    /// The bytes of `manifest.json`.
    pub fn to_json(&self) -> Vec<u8> {
        let mut sorted = self.clone();
        sorted.files.sort();
        let mut bytes = serde_json::to_vec_pretty(&sorted).expect("a manifest has text keys only");
        bytes.push(b'\n');
        bytes
    }

    /// Its folder in the store.
    pub fn folder(&self) -> String {
        base_folder(&self.server.system_identifier, &self.base)
    }

    /// The last segment that it holds itself.
    pub fn last_segment(&self) -> Segment {
        let size = self.server.segment_bytes;
        // A position at the very beginning of a segment belongs to the one before.
        Segment::of(self.timeline, self.stop_lsn.0.saturating_sub(1) / size, size)
    }

    /// The size of its objects in the store.
    pub fn stored_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}
