//! The backup sets in a store. There is no index: what lies in the folders is the truth.

use std::fmt;

use jiff::Timestamp;
use model::proof::{Level, Proof};
use model::retention::{SetFacts, is_proven, proven_level};
use model::set::layout::{MANIFEST, PINNED, PROOFS, SETS, database_folder};
use model::set::manifest::Scope;
use model::set::{Manifest, SetId};
use model::step_error::StepError;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::{ObjectInfo, Removed, Store, StoreError, hex, read_bytes};

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
    /// Size of its objects without the proofs, in bytes: what is alike from one set to the next.
    pub own_bytes: u64,
    /// How far it is proven: the highest level that passed since the last proof that failed.
    pub level: Option<Level>,
    /// What retention needs to know.
    pub facts: SetFacts,
}

/// Something in the folders of sets that counts for nothing: a folder that is no set, or a proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Where it lies in the store.
    pub folder: String,
    /// The set's id.
    pub set: SetId,
    /// Why it counts for nothing.
    pub why: Why,
    /// When its newest object was committed; absent when it has none.
    pub touched: Option<Timestamp>,
    /// Size of all its objects, in bytes.
    pub bytes: u64,
}

/// Why something in the folders of sets counts for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It has no manifest: it is being written, or whoever wrote or removed it was cut off.
    Unfinished,
    /// It has proofs and no manifest: it was a set once, and lost its manifest.
    Damaged,
    /// Its manifest does not read.
    Unreadable(String),
    /// It is a proof and does not read. Its set is judged as if it were not there.
    Proof(String),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfinished => f.write_str("it has no manifest: unfinished, or being written"),
            Self::Damaged => {
                f.write_str("it has proofs and no manifest: a set that was whole is damaged")
            }
            Self::Unreadable(why) => f.write_str(why),
            Self::Proof(why) => {
                write!(f, "this proof counts for nothing, its set as if without it: {why}")
            }
        }
    }
}

/// What the folders of sets hold.
#[derive(Debug, Default)]
pub struct Found {
    /// Committed sets, newest first.
    pub sets: Vec<StoredSet>,
    /// What counts for nothing, by folder.
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
            let objects = store.list(&folder).await?;
            let seen = Seen { store, folder, set, objects };
            match seen.look(min_proof, &mut found.broken).await? {
                Ok(set) => found.sets.push(set),
                Err(why) => found.broken.push(seen.broken(why)),
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

/// One folder and what lies in it.
struct Seen<'a> {
    store: &'a dyn Store,
    folder: String,
    set: SetId,
    objects: Vec<ObjectInfo>,
}

impl Seen<'_> {
    /// A set, or what is wrong with it. Proofs that do not read are added to `broken`.
    async fn look(
        &self,
        min_proof: Level,
        broken: &mut Vec<Broken>,
    ) -> Result<Result<StoredSet, Why>, StoreError> {
        let path = format!("{}/{MANIFEST}", self.folder);
        if !self.objects.iter().any(|object| object.path == path) {
            return Ok(Err(self.without_manifest()));
        }
        let bytes = match read_bytes(self.store, &path, LARGEST).await {
            // It went while we looked.
            Err(StoreError::Missing { .. }) => return Ok(Err(Why::Unfinished)),
            Err(error) if error.is_lasting() => {
                return Ok(Err(Why::Unreadable(error.to_string())));
            }
            bytes => bytes?,
        };
        let manifest = match read_manifest(&bytes, &self.folder, &self.set) {
            Ok(manifest) => manifest,
            Err(why) => return Ok(Err(Why::Unreadable(why))),
        };
        let proofs = self.proofs(broken).await?;
        let sha256 = hex(Sha256::digest(&bytes));
        let level = proven_level(&proofs, &sha256);
        let proven = is_proven(&proofs, &sha256, min_proof);
        Ok(Ok(self.stored(&manifest, level, proven)))
    }

    /// Proofs are written beside a manifest only, and go before it.
    fn without_manifest(&self) -> Why {
        let prefix = self.proofs_prefix();
        let was_whole = self.objects.iter().any(|object| object.path.starts_with(&prefix));
        if was_whole { Why::Damaged } else { Why::Unfinished }
    }

    fn proofs_prefix(&self) -> String {
        format!("{}/{PROOFS}/", self.folder)
    }

    async fn proofs(&self, broken: &mut Vec<Broken>) -> Result<Vec<Proof>, StoreError> {
        let prefix = self.proofs_prefix();
        let mut proofs = Vec::new();
        for object in self.objects.iter().filter(|object| object.path.starts_with(&prefix)) {
            let read = match read_bytes(self.store, &object.path, LARGEST).await {
                Err(error) if error.is_lasting() => Err(error.to_string()),
                bytes => Proof::from_json(&bytes?).map_err(|error| error.to_string()),
            };
            match read {
                Ok(proof) => proofs.push(proof),
                Err(why) => broken.push(Broken {
                    folder: object.path.clone(),
                    set: self.set.clone(),
                    why: Why::Proof(why),
                    touched: Some(object.modified),
                    bytes: object.bytes,
                }),
            }
        }
        Ok(proofs)
    }

    fn bytes(&self) -> u64 {
        self.objects.iter().map(|object| object.bytes).sum()
    }

    fn broken(&self, why: Why) -> Broken {
        let touched = self.objects.iter().map(|object| object.modified).max();
        let (folder, set) = (self.folder.clone(), self.set.clone());
        Broken { folder, set, why, touched, bytes: self.bytes() }
    }

    fn stored(&self, manifest: &Manifest, level: Option<Level>, proven: bool) -> StoredSet {
        let pinned = format!("{}/{PINNED}", self.folder);
        let prefix = self.proofs_prefix();
        let own = self.objects.iter().filter(|object| !object.path.starts_with(&prefix));
        StoredSet {
            folder: self.folder.clone(),
            database: manifest.database.clone(),
            bytes: self.bytes(),
            own_bytes: own.map(|object| object.bytes).sum(),
            level,
            facts: SetFacts {
                set: manifest.set.clone(),
                label: manifest.label.clone(),
                scope: manifest.contents.scope.clone(),
                taken: manifest.server.snapshot_time,
                proven,
                pinned: self.objects.iter().any(|object| object.path == pinned),
            },
        }
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

impl StoredSet {
    /// It holds the whole database, or, where `tables` are asked for, some of its tables.
    pub fn covers(&self, tables: bool) -> bool {
        match self.facts.scope {
            Scope::Full => true,
            Scope::Tables(_) => tables,
            Scope::Definitions => false,
        }
    }

    /// What it covers, in words.
    pub fn scope_in_words(&self) -> String {
        match &self.facts.scope {
            Scope::Full => "full".to_owned(),
            Scope::Definitions => "definitions".to_owned(),
            Scope::Tables(tables) => {
                tables.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            }
        }
    }
}

/// Removes a set. Its proofs go first, the oldest before newer ones, then durably its manifest: a
/// crash leaves a whole set that is proven no further than before, or what is never taken for a
/// backup. What a lock of the store still holds keeps all that would go after it.
pub async fn remove(store: &dyn Store, folder: &str) -> Result<Removed, StoreError> {
    for proof in store.list(&format!("{folder}/{PROOFS}")).await? {
        let removed = store.remove(&proof.path).await?;
        if removed.retained > 0 {
            return Ok(removed);
        }
    }
    let manifest = store.remove(&format!("{folder}/{MANIFEST}")).await?;
    if manifest.retained > 0 {
        return Ok(manifest);
    }
    store.remove_folder(folder).await
}
