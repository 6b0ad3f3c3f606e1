//! The backup sets in a store. There is no index: what lies in the folders is the truth.

use std::fmt;

use jiff::Timestamp;
use model::proof::{Level, Proof};
use model::retention::{SetFacts, is_proven};
use model::set::layout::{MANIFEST, PINNED, PROOFS, SETS, database_folder};
use model::set::manifest::Scope;
use model::set::{Manifest, SetId};
use model::step_error::StepError;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::{ObjectInfo, Store, StoreError, hex, read_bytes};

/// No manifest or proof is larger, in bytes.
const LARGEST: u64 = 256 << 20;

/// A committed set: its manifest is there and reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSet {
    /// Its folder in the store.
    pub folder: String,
    /// Its database.
    pub database: String,
    /// Size of all its objects, in bytes.
    pub bytes: u64,
    /// The level of its newest proof that passed.
    pub level: Option<Level>,
    /// What retention needs to know.
    pub facts: SetFacts,
}

/// A folder of a set that is no set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Its folder in the store.
    pub folder: String,
    /// The set's id.
    pub set: SetId,
    /// Why it counts for nothing.
    pub why: Why,
    /// When its newest object was committed; absent when it has none.
    pub touched: Option<Timestamp>,
}

/// Why a folder of a set counts for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It has no manifest: it is being written, or whoever wrote or removed it was cut off.
    Unfinished,
    /// Its manifest or one of its proofs does not read.
    Unreadable(String),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfinished => f.write_str("it has no manifest: unfinished, or being written"),
            Self::Unreadable(why) => f.write_str(why),
        }
    }
}

/// What the folders of sets hold.
#[derive(Debug, Default)]
pub struct Found {
    /// Committed sets, newest first.
    pub sets: Vec<StoredSet>,
    /// What is no set, by folder.
    pub broken: Vec<Broken>,
}

/// The sets of one database, or of all.
pub async fn find(
    store: &dyn Store,
    database: Option<&str>,
    min_proof: Level,
    cancel: &CancellationToken,
) -> Result<Found, StepError> {
    let mut found = Found::default();
    for folder in database_folders(store, database).await? {
        for name in store.folders(&folder).await? {
            if cancel.is_cancelled() {
                return Err(StepError::cancelled());
            }
            let Ok(set) = name.parse::<SetId>() else { continue };
            let folder = format!("{folder}/{set}");
            match look(store, &folder, &set, min_proof).await? {
                Ok(set) => found.sets.push(set),
                Err(broken) => found.broken.push(broken),
            }
        }
    }
    found.sets.sort_by(|a, b| (b.facts.taken, &b.facts.set).cmp(&(a.facts.taken, &a.facts.set)));
    Ok(found)
}

async fn database_folders(
    store: &dyn Store,
    database: Option<&str>,
) -> Result<Vec<String>, StoreError> {
    if let Some(database) = database {
        return Ok(vec![database_folder(database)]);
    }
    let names = store.folders(SETS).await?;
    Ok(names.into_iter().map(|name| format!("{SETS}/{name}")).collect())
}

/// One folder: a set, or what is wrong with it.
async fn look(
    store: &dyn Store,
    folder: &str,
    set: &SetId,
    min_proof: Level,
) -> Result<Result<StoredSet, Broken>, StoreError> {
    let objects = store.list(folder).await?;
    let broken = |why| {
        let touched = objects.iter().map(|object| object.modified).max();
        Ok(Err(Broken { folder: folder.to_owned(), set: set.clone(), why, touched }))
    };
    let path = format!("{folder}/{MANIFEST}");
    if !objects.iter().any(|object| object.path == path) {
        return broken(Why::Unfinished);
    }
    let bytes = match read_bytes(store, &path, LARGEST).await {
        // It went while we looked.
        Err(StoreError::Missing { .. }) => return broken(Why::Unfinished),
        bytes => bytes?,
    };
    let read = read_manifest(&bytes, folder, set);
    let proofs = read_proofs(store, folder, &objects).await?;
    match read.and_then(|manifest| Ok((manifest, proofs?))) {
        Ok((manifest, proofs)) => {
            let sha256 = hex(Sha256::digest(&bytes));
            let proofs = Proofs { all: &proofs, manifest_sha256: &sha256, min_proof };
            Ok(Ok(stored(folder, &manifest, &objects, &proofs)))
        }
        Err(why) => broken(Why::Unreadable(why)),
    }
}

fn read_manifest(bytes: &[u8], folder: &str, set: &SetId) -> Result<Manifest, String> {
    let manifest = Manifest::from_json(bytes).map_err(|error| error.to_string())?;
    if manifest.set != *set {
        return Err(format!("its manifest is of set `{}`", manifest.set));
    }
    if !folder.starts_with(&format!("{}/", database_folder(&manifest.database))) {
        return Err(format!("its manifest is of database `{}`", manifest.database));
    }
    Ok(manifest)
}

async fn read_proofs(
    store: &dyn Store,
    folder: &str,
    objects: &[ObjectInfo],
) -> Result<Result<Vec<Proof>, String>, StoreError> {
    let prefix = format!("{folder}/{PROOFS}/");
    let mut proofs = Vec::new();
    for object in objects.iter().filter(|object| object.path.starts_with(&prefix)) {
        let bytes = read_bytes(store, &object.path, LARGEST).await?;
        match Proof::from_json(&bytes) {
            Ok(proof) => proofs.push(proof),
            Err(error) => return Ok(Err(format!("`{}`: {error}", object.path))),
        }
    }
    Ok(Ok(proofs))
}

struct Proofs<'a> {
    all: &'a [Proof],
    manifest_sha256: &'a str,
    min_proof: Level,
}

impl Proofs<'_> {
    fn newest_level(&self) -> Option<Level> {
        let of_this = self.all.iter().filter(|it| it.manifest_sha256 == self.manifest_sha256);
        let newest = of_this.filter(|proof| proof.passed).max_by_key(|proof| proof.finished);
        newest.and_then(|proof| proof.reached)
    }
}

fn stored(
    folder: &str,
    manifest: &Manifest,
    objects: &[ObjectInfo],
    proofs: &Proofs<'_>,
) -> StoredSet {
    let pinned = format!("{folder}/{PINNED}");
    StoredSet {
        folder: folder.to_owned(),
        database: manifest.database.clone(),
        bytes: objects.iter().map(|object| object.bytes).sum(),
        level: proofs.newest_level(),
        facts: SetFacts {
            set: manifest.set.clone(),
            label: manifest.label.clone(),
            scope: manifest.contents.scope.clone(),
            taken: manifest.server.snapshot_time,
            proven: is_proven(proofs.all, proofs.manifest_sha256, proofs.min_proof),
            pinned: objects.iter().any(|object| object.path == pinned),
        },
    }
}

impl StoredSet {
    /// What it covers, in words.
    pub fn scope_in_words(&self) -> String {
        match &self.facts.scope {
            Scope::Full => "full".to_owned(),
            Scope::Tables(tables) => {
                tables.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            }
        }
    }
}

/// Removes a set. Its manifest goes first and durably, so that what is left after a crash is
/// never taken for a backup.
pub async fn remove(store: &dyn Store, folder: &str) -> Result<(), StoreError> {
    store.remove(&format!("{folder}/{MANIFEST}")).await?;
    store.remove_folder(folder).await
}
