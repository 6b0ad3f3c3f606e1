//! Sets in real folders, written without the steps that are tested.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use engine::memory_host::MemoryHost;
use engine::settings::{S3Settings, StoreSettings};
use jiff::Timestamp;
use model::proof::{Level, Proof};
use model::set::id::utc_stamp;
use model::set::layout::{MANIFEST, set_folder};
use model::set::manifest::{
    Contents, Created, File, FileKind, Format, LargeObjects, Manifest, Scope, Server,
};
use model::set::{SetId, difference::Checked, row_hash};
use sha2::{Digest, Sha256};
use steps::store::hex;

use crate::common::NOW;

/// The one object of every set.
pub(crate) const OBJECT: &str = "data/public.a.0001.copy.zst";
/// What it holds.
pub(crate) const CONTENT: [u8; 1000] = [0; 1000];

/// Two stores, `backups` and `archive`.
pub(crate) struct Lab {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) archive: tempfile::TempDir,
    pub(crate) host: Arc<MemoryHost>,
}

pub(crate) fn lab() -> Lab {
    let (folder, archive) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = |name: &str, folder: &Path| StoreSettings {
        name: name.to_owned(),
        url: format!("file://{}", folder.display()),
        min_proof: Level::Identical,
        encrypt: None,
        s3: S3Settings::default(),
    };
    let host = MemoryHost::new(NOW.parse().unwrap(), folder.path().to_owned())
        .with_store(store("backups", folder.path()))
        .with_store(store("archive", archive.path()));
    Lab { folder, archive, host: Arc::new(host) }
}

pub(crate) fn id(number: u32, taken: &str) -> SetId {
    let taken: Timestamp = taken.parse().unwrap();
    format!("{}-{number:08}", utc_stamp(taken)).parse().unwrap()
}

pub(crate) fn manifest(set: &SetId, label: Option<&str>, taken: &str) -> Manifest {
    Manifest {
        version: model::set::manifest::VERSION,
        set: set.clone(),
        database: "lms".to_owned(),
        label: label.map(str::to_owned),
        format: Format::Objects,
        encryption: None,
        created: Created {
            run: ulid::Ulid::nil().into(),
            step: "dump".parse().unwrap(),
            attempt: 1,
        },
        server: Server {
            version: "15.14".to_owned(),
            version_num: 150_014,
            system_identifier: None,
            timeline: None,
            lsn: None,
            endpoint: "localhost:5432".to_owned(),
            role: "postgres".to_owned(),
            in_recovery: false,
            snapshot_time: taken.parse().unwrap(),
            replayed_to: None,
            encoding: "UTF8".to_owned(),
            locale_provider: "libc".to_owned(),
            collate: "C".to_owned(),
            ctype: "C".to_owned(),
            locale: None,
            collation_version: None,
        },
        runbook: "0.1.0".to_owned(),
        programs: Vec::new(),
        row_hash: row_hash::ALGORITHM.to_owned(),
        contents: Contents {
            scope: Scope::Full,
            tables: Vec::new(),
            sequences: Vec::new(),
            large_objects: LargeObjects { count: 0, hash: None },
            objects: Vec::new(),
            exclusions: Vec::new(),
        },
        files: vec![File {
            path: OBJECT.to_owned(),
            kind: FileKind::Data,
            bytes: CONTENT.len() as u64,
            sha256: hex(Sha256::digest(CONTENT)),
            plain: None,
        }],
    }
}

pub(crate) fn proof(set: &SetId, manifest: &[u8], asked: Level, passed: bool) -> Proof {
    Proof {
        version: model::proof::VERSION,
        set: set.clone(),
        database: "lms".to_owned(),
        manifest_sha256: hex(Sha256::digest(manifest)),
        asked,
        reached: passed.then_some(asked),
        passed,
        difference_count: u64::from(!passed),
        differences: Vec::new(),
        checked: Checked::default(),
        exclusions: Vec::new(),
        started: NOW.parse().unwrap(),
        finished: NOW.parse().unwrap(),
        duration_ms: 0,
        run: ulid::Ulid::nil().into(),
        step: "verify".parse().unwrap(),
        attempt: 1,
        scratch: None,
        runbook: "0.1.0".to_owned(),
        programs: Vec::new(),
    }
}

impl Lab {
    pub(crate) fn path(&self, set: &SetId) -> std::path::PathBuf {
        self.folder.path().join(set_folder("lms", set))
    }

    /// Writes a set with one object, its manifest, and its proof when `proven` says how it went.
    pub(crate) fn set(
        &self,
        number: u32,
        taken: &str,
        label: Option<&str>,
        proven: Option<bool>,
    ) -> SetId {
        let set = id(number, taken);
        let folder = self.path(&set);
        fs::create_dir_all(folder.join("data")).unwrap();
        fs::create_dir_all(folder.join("proofs")).unwrap();
        fs::write(folder.join(OBJECT), CONTENT).unwrap();
        let bytes = manifest(&set, label, taken).to_json();
        fs::write(folder.join(MANIFEST), &bytes).unwrap();
        if let Some(passed) = proven {
            let proof = proof(&set, &bytes, Level::Identical, passed);
            fs::write(folder.join("proofs/20261120T030000Z-run.json"), proof.to_json()).unwrap();
        }
        set
    }

    pub(crate) fn unfinished(&self, number: u32, taken: &str) -> SetId {
        let set = id(number, taken);
        fs::create_dir_all(self.path(&set)).unwrap();
        fs::write(self.path(&set).join("schema.dump"), "half").unwrap();
        set
    }

    pub(crate) fn left(&self) -> Vec<String> {
        let mut left: Vec<_> = fs::read_dir(self.folder.path().join("sets/lms"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        left
    }
}
