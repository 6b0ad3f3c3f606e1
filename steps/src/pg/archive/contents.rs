//! What an archive holds. There is no index: what lies in its folders is the truth.

use std::collections::BTreeSet;

use jiff::Timestamp;
use model::step_error::StepError;
use model::wal::{History, Segment, WAL, WalName, cluster_folder, object_path};

use super::object;
use crate::store::Store;

/// No `.history` file is larger, in bytes.
const LARGEST: usize = 1 << 20;

/// What an archive holds of one cluster.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    /// The segments.
    pub segments: BTreeSet<Segment>,
    /// Timelines whose `.history` is there.
    pub histories: BTreeSet<u32>,
    /// Size of all objects, in bytes.
    pub bytes: u64,
    /// When the newest object was committed.
    pub newest: Option<Timestamp>,
}

/// The clusters of which a store has WAL, by system identifier.
pub async fn clusters(store: &dyn Store) -> Result<Vec<u64>, StepError> {
    let names = store.folders(WAL).await?;
    Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
}

/// What a store has of a cluster's WAL.
pub async fn contents(store: &dyn Store, cluster: u64) -> Result<Contents, StepError> {
    let mut found = Contents::default();
    for object in store.list(&cluster_folder(cluster)).await? {
        let name = object.path.rsplit('/').next().and_then(|name| name.strip_suffix(".zst"));
        match name.and_then(|name| name.parse::<WalName>().ok()) {
            Some(WalName::Segment(segment)) => {
                found.segments.insert(segment);
            }
            Some(WalName::History(timeline)) => {
                found.histories.insert(timeline);
            }
            Some(WalName::Partial(_) | WalName::Label(..)) => {}
            None => continue,
        }
        found.bytes += object.bytes;
        found.newest = found.newest.max(Some(object.modified));
    }
    Ok(found)
}

/// How a timeline came to be; one without a `.history` comes from none.
pub async fn history(store: &dyn Store, cluster: u64, timeline: u32) -> Result<History, StepError> {
    let path = object_path(cluster, &WalName::History(timeline));
    let Some(opened) = object::open(store, &path).await? else {
        return Ok(History::first(timeline));
    };
    let mut text = Vec::new();
    let mut gather = |bytes: &[u8]| {
        text.extend_from_slice(bytes);
        if text.len() > LARGEST { Err(std::io::ErrorKind::FileTooLarge.into()) } else { Ok(()) }
    };
    let copied = opened.copy(&path, &mut gather).await?;
    copied.map_err(|error| object::damaged(&path, &error.to_string()))?;
    History::parse(timeline, &String::from_utf8_lossy(&text))
        .map_err(|error| object::damaged(&path, &error.to_string()))
}

impl Contents {
    /// The timelines there are, newest first.
    pub fn timelines(&self) -> Vec<u32> {
        let of_segments = self.segments.iter().map(|segment| segment.timeline);
        let all: BTreeSet<u32> = of_segments.chain(self.histories.iter().copied()).collect();
        all.into_iter().rev().collect()
    }
}
