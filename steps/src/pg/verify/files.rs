//! The objects of a set: levels `stored` and `readable`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use futures_util::future::try_join_all;
use model::set::layout::{MANIFEST, PINNED, PROOFS};
use model::set::manifest::{File, FileKind, Format, Manifest, Part, TableData};
use model::set::{Difference, DifferenceKind};
use model::step_error::StepError;

use super::proof::file_difference;
use crate::pg::copy::{Checked, Fault, OpenSet, read_rows, read_text, read_through};
use crate::pg::meter::Meter;
use crate::store::StoreError;

/// The objects of one set.
pub(super) struct Files<'a> {
    /// The set.
    pub(super) from: &'a OpenSet<'a>,
    /// Objects read at once.
    pub(super) jobs: usize,
    /// Progress.
    pub(super) meter: &'a Meter,
}

impl Files<'_> {
    /// Compares the folder with the manifest, and every object with its size and SHA-256.
    pub(super) async fn stored(&self) -> Result<Vec<Difference>, StepError> {
        let mut differences = contradictions(&self.from.set.manifest);
        let listed = match self.from.store.list(&self.from.set.folder).await {
            Err(error) if error.is_lasting() => {
                differences.push(unlisted(&self.from.set.folder, &error));
                Vec::new()
            }
            listed => listed?,
        };
        let prefix = format!("{}/", self.from.set.folder);
        let expected: BTreeSet<&str> =
            self.from.set.manifest.files.iter().map(|file| file.path.as_str()).collect();
        for object in &listed {
            let Some(path) = object.path.strip_prefix(&prefix) else { continue };
            let is_ours =
                path == MANIFEST || path == PINNED || path.starts_with(&format!("{PROOFS}/"));
            if !is_ours && !expected.contains(path) {
                let message = format!("file `{path}` is in the set and not in its manifest");
                let kind = DifferenceKind::Unexpected;
                differences.push(file_difference(path, kind, None, None, message));
            }
        }
        let files: Vec<&File> = self.from.set.manifest.files.iter().collect();
        let checked = self
            .each(files, |file| async move { about_the_set(read_through(self.from, file).await) });
        differences.extend(checked.await?);
        Ok(differences)
    }

    /// Decompresses every object of rows and compares their number and content hash.
    pub(super) async fn readable(&self) -> Result<Vec<Difference>, StepError> {
        let manifest = &self.from.set.manifest;
        let parts: BTreeMap<&str, &Part> = manifest
            .contents
            .tables
            .iter()
            .flat_map(|table| &table.parts)
            .map(|part| (part.file.as_str(), part))
            .collect();
        if manifest.format == Format::Plain {
            let text = manifest.files.iter().filter(|file| file.kind == FileKind::Dump).collect();
            let read = self.each(text, |file| async move {
                let read = read_text(self.from, file).await;
                Ok(about_the_set(read)?.map(drop))
            });
            return read.await;
        }
        let data = manifest.files.iter().filter(|file| file.kind == FileKind::Data).collect();
        let parts = &parts;
        self.each(data, |file| async move {
            let read = read_rows(self.from, file).await;
            let hash = match about_the_set(read)? {
                Ok(hash) => hash,
                Err(fault) => return Ok(Err(fault)),
            };
            let fits = parts.get(file.path.as_str()).is_none_or(|part| {
                (part.rows, part.hash.as_str()) == (hash.rows(), hash.hex().as_str())
            });
            let why = "its rows are not those that the manifest names".to_owned();
            Ok(if fits { Ok(()) } else { Err(Fault::Damaged(why)) })
        })
        .await
    }

    /// Looks at the files, several at once; gives what is wrong with them.
    async fn each<'a, F>(
        &self,
        files: Vec<&'a File>,
        look: impl Fn(&'a File) -> F,
    ) -> Result<Vec<Difference>, StepError>
    where
        F: Future<Output = Result<Result<(), Fault>, StepError>>,
    {
        let queue = Mutex::new(files.into_iter());
        let next = || queue.lock().ok().and_then(|mut files| files.next());
        let worker = || async {
            let mut differences = Vec::new();
            while let Some(file) = next() {
                if let Err(fault) = look(file).await? {
                    differences.push(fault.difference(file));
                }
                self.meter.add(&format!("check `{}`", file.path), file.bytes);
            }
            Ok::<_, StepError>(differences)
        };
        let found = try_join_all((0..self.jobs).map(|_| worker())).await?;
        Ok(found.into_iter().flatten().collect())
    }
}

/// An object that the store has and cannot give is a fault of the set, and the proof says so; a
/// store that fails for the moment proves nothing.
fn about_the_set<T>(read: Checked<T>) -> Result<Result<T, Fault>, StepError> {
    match read {
        Err(error) if error.is_lasting() => Ok(Err(Fault::Unreadable(error.to_string()))),
        read => Ok(read?),
    }
}

fn unlisted(folder: &str, error: &StoreError) -> Difference {
    let message = format!("the folder of the set cannot be listed: {error}");
    file_difference(folder, DifferenceKind::Changed, None, None, message)
}

/// What a manifest says in two places must agree: an edited one rarely does.
fn contradictions(manifest: &Manifest) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut wrong = |message: String| {
        let kind = DifferenceKind::Changed;
        differences.push(file_difference(MANIFEST, kind, None, None, message));
    };
    let dumps = manifest.files.iter().filter(|file| file.kind == FileKind::Dump).count();
    if (dumps == 0) != manifest.format.is_objects() {
        wrong(format!("the manifest says format `{}`, and has {dumps} dumps", manifest.format));
    }
    if !manifest.format.is_objects() {
        return differences;
    }
    let mut named: BTreeSet<&str> = BTreeSet::new();
    for table in manifest.contents.tables.iter().filter(|it| it.data != TableData::None) {
        let name = table.table_name();
        let sum: u64 = table.parts.iter().map(|part| part.rows).sum();
        if table.rows != Some(sum) {
            let rows = table.rows.map_or("no number of".to_owned(), |rows| rows.to_string());
            wrong(format!("the manifest gives table `{name}` {rows} rows, its parts {sum}"));
        }
        for part in &table.parts {
            let has_file = manifest.files.iter().any(|file| file.path == part.file);
            if !has_file || !named.insert(&part.file) {
                wrong(format!("the manifest has not one file `{}` of table `{name}`", part.file));
            }
        }
    }
    for file in manifest.files.iter().filter(|file| file.kind == FileKind::Data) {
        if !named.contains(file.path.as_str()) {
            wrong(format!("file `{}` belongs to no table of the manifest", file.path));
        }
    }
    differences
}
