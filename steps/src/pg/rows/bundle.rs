//! The folder of a bundle: written file by file, `rows.json` last; read with every sum checked.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use engine::context::StepContext;
use engine::files;
use futures_util::{SinkExt, StreamExt, pin_mut};
use model::rows::{Bundle, FILE, Kind, Part, Role};
use model::set::manifest::Created;
use model::step_error::StepError;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::asking;
use crate::pg::connection::Session;
use crate::pg::copy::newlines;
use crate::store::hex;

/// Bytes read at once.
const CHUNK: usize = 256 * 1024;

/// A folder that is being filled. Unless it is finished, what was written goes with the value.
pub(super) struct Folder {
    path: PathBuf,
    created: Created,
    finished: bool,
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        for name in files::list(&self.path).unwrap_or_default().iter().filter(|name| is_part(name))
        {
            files::remove(&self.path.join(name)).ok();
        }
        // A folder that holds something else stays.
        rustix::fs::rmdir(&self.path).ok();
    }
}

fn refused(message: String) -> StepError {
    StepError::permanent("RB0544", message)
}

fn io_failed(what: &str, path: &Path, error: &io::Error) -> StepError {
    StepError::needs_operator("RB0544", format!("{what} `{}`", path.display()))
        .caused_by(error)
        .hint("check the folder, its owner and its disk, then run the step again")
}

fn created(ctx: &StepContext) -> Created {
    let id = ctx.id();
    Created { run: id.run, step: id.step.clone(), attempt: id.attempt }
}

/// Whether this step of this run wrote the bundle.
fn is_ours(bundle: &Bundle, ctx: &StepContext) -> bool {
    bundle.created.run == ctx.id().run && bundle.created.step == ctx.id().step
}

/// The bundle in `path`, when this step of this run wrote it and every file is as it was written.
pub(super) async fn finished(path: &str, ctx: &StepContext) -> Result<Option<Bundle>, StepError> {
    let Some(bundle) = look(Path::new(path))? else { return Ok(None) };
    if !is_ours(&bundle, ctx) {
        return Ok(None);
    }
    for part in bundle.tables.iter().flat_map(|table| &table.parts) {
        if check(path, part).await.is_err() {
            return Ok(None);
        }
    }
    Ok(Some(bundle))
}

/// Reads `rows.json`; nothing when there is none.
fn look(folder: &Path) -> Result<Option<Bundle>, StepError> {
    let path = folder.join(FILE);
    match files::read(&path) {
        Ok(bytes) => Bundle::from_json(&bytes).map(Some).map_err(|error| {
            refused(format!("`{}` is no bundle that can be read", folder.display()))
                .caused_by(&error)
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_failed("cannot read", &path, &error)),
    }
}

/// Opens a bundle of that kind.
pub(super) fn open(folder: &str, kind: Kind) -> Result<Bundle, StepError> {
    let Some(bundle) = look(Path::new(folder))? else {
        return Err(refused(format!("there is no bundle of rows in `{folder}`"))
            .hint("name the folder that `pg.extract_rows` or the undo of a restore wrote"));
    };
    if bundle.kind != kind {
        let (is, wanted) = match kind {
            Kind::Rows => ("the undo of a restore", "give it as `undo`"),
            Kind::Undo => ("rows to bring back", "give it as `from`"),
        };
        return Err(refused(format!("the bundle in `{folder}` holds {is}")).hint(wanted));
    }
    Ok(bundle)
}

/// Reads a file of the bundle and compares it with what `rows.json` says.
async fn check(folder: &str, part: &Part) -> Result<(), StepError> {
    let mut reader = PartReader::open(folder, part)?;
    while reader.next().await?.is_some() {}
    Ok(())
}

/// A file that is read to its end, where its sum is compared.
struct PartReader<'a> {
    part: &'a Part,
    path: PathBuf,
    file: tokio::fs::File,
    digest: Sha256,
    bytes: u64,
}

impl<'a> PartReader<'a> {
    fn open(folder: &str, part: &'a Part) -> Result<Self, StepError> {
        let path = Path::new(folder).join(&part.path);
        let file = files::open_existing(&path);
        let file = file.map_err(|error| io_failed("cannot read", &path, &error))?;
        let file = tokio::fs::File::from_std(file);
        Ok(Self { part, path, file, digest: Sha256::new(), bytes: 0 })
    }

    async fn next(&mut self) -> Result<Option<Bytes>, StepError> {
        let mut chunk = vec![0; CHUNK];
        let read = self.file.read(&mut chunk).await;
        let length = read.map_err(|error| io_failed("cannot read", &self.path, &error))?;
        chunk.truncate(length);
        if length > 0 {
            self.bytes += length as u64;
            self.digest.update(&chunk);
            return Ok(Some(Bytes::from(chunk)));
        }
        let sum = hex(std::mem::take(&mut self.digest).finalize());
        if self.bytes != self.part.bytes || sum != self.part.sha256 {
            let message = format!(
                "`{}` is not what its bundle says: the file was changed",
                self.path.display()
            );
            return Err(refused(message).hint("extract the rows again"));
        }
        Ok(None)
    }
}

/// Sends a file of the bundle through `statement`, a COPY FROM STDIN.
pub(super) async fn send(
    session: &Session,
    folder: &str,
    part: &Part,
    statement: &str,
) -> Result<(), StepError> {
    let what = format!("read `{}` into the server", part.path);
    let failed = |error| not_taken(&what, &error);
    let mut reader = PartReader::open(folder, part)?;
    let sink = session.copy_in(statement).await.map_err(failed)?;
    pin_mut!(sink);
    while let Some(chunk) = reader.next().await? {
        sink.feed(chunk).await.map_err(failed)?;
    }
    let rows = sink.finish().await.map_err(failed)?;
    if rows == part.rows {
        return Ok(());
    }
    Err(refused(format!("`{}` holds {rows} rows, its bundle says {}", part.path, part.rows)))
}

/// A value that a column does not take; the server would tell it.
fn not_taken(what: &str, error: &tokio_postgres::Error) -> StepError {
    let state = error.code().map(tokio_postgres::error::SqlState::code).unwrap_or_default();
    if !state.starts_with("22") {
        return asking::failed(what, error);
    }
    let message = format!("{what}: a column does not take a value any more (SQLSTATE {state})");
    StepError::permanent("RB0545", message)
        .hint("the type of a column was changed; see both definitions")
}

/// The SHA-256 of what COPY TO STDOUT statements give, one after the other.
pub(super) async fn sum(session: &Session, what: &str, sql: &str) -> Result<String, StepError> {
    let failed = |error| asking::failed(what, &error);
    let rows = session.copy_out(sql).await.map_err(failed)?;
    pin_mut!(rows);
    let mut digest = Sha256::new();
    while let Some(row) = rows.next().await {
        digest.update(row.map_err(failed)?);
    }
    Ok(hex(digest.finalize()))
}

impl Folder {
    /// Makes the folder, private. One that this step of this run left is emptied; any other that
    /// holds something is refused.
    pub(super) fn create(path: &str, ctx: &StepContext) -> Result<Self, StepError> {
        let folder = Path::new(path);
        let failed = |error: &io::Error| io_failed("cannot make the folder", folder, error);
        match look(folder)? {
            Some(bundle) if !is_ours(&bundle, ctx) => {
                let run = bundle.created.run;
                return Err(refused(format!("`{path}` holds the bundle of run {run}"))
                    .hint("name another folder; a bundle is never overwritten"));
            }
            Some(_) => files::remove(&folder.join(FILE)).map_err(|error| failed(&error))?,
            None => {}
        }
        for name in files::list(folder).map_err(|error| failed(&error))? {
            if !is_part(&name) {
                return Err(refused(format!("`{path}` holds `{name}`, which is of no bundle"))
                    .hint("name a folder of its own, which is made"));
            }
            files::remove(&folder.join(name)).map_err(|error| failed(&error))?;
        }
        files::create_folder(folder).map_err(|error| failed(&error))?;
        let mode = files::facts(folder).map_err(|error| failed(&error))?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(refused(format!("others may look into `{path}` (mode {mode:03o})"))
                .hint("rows hold personal data: `chmod 700`, or name a folder that is not there"));
        }
        Ok(Self { path: folder.to_owned(), created: created(ctx), finished: false })
    }

    /// Puts an earlier bundle of this step of this run aside, so that it is there whatever
    /// happens: the attempt that wrote it may have taken effect, against all signs.
    pub(super) fn set_aside(path: &str, ctx: &StepContext) -> Result<(), StepError> {
        let Some(bundle) = look(Path::new(path))? else { return Ok(()) };
        if !is_ours(&bundle, ctx) {
            return Ok(());
        }
        let aside = format!("{path}.attempt-{}", bundle.created.attempt);
        ctx.log(format!("the undo of attempt {} is kept in `{aside}`", bundle.created.attempt));
        rustix::fs::rename(path, &aside)
            .map_err(|error| io_failed("cannot rename", Path::new(path), &error.into()))
    }

    /// Writes what COPY TO STDOUT statements give as one file.
    pub(super) async fn write(
        &self,
        session: &Session,
        number: usize,
        role: Role,
        statements: &[String],
    ) -> Result<Part, StepError> {
        let name = format!("{:04}.{}.copy", number + 1, role.word());
        let path = self.path.join(&name);
        let failed = |error: &io::Error| io_failed("cannot write", &path, error);
        let file = files::create_private(&path).map_err(|error| failed(&error))?;
        let mut file = tokio::fs::File::from_std(file);
        let (mut digest, mut bytes, mut rows) = (Sha256::new(), 0, 0);
        for statement in statements {
            let what = format!("copy rows into `{name}`");
            let lost = |error| asking::failed(&what, &error);
            let copied = session.copy_out(statement.as_str()).await.map_err(lost)?;
            pin_mut!(copied);
            while let Some(row) = copied.next().await {
                let row = row.map_err(lost)?;
                digest.update(&row);
                bytes += row.len() as u64;
                // A line break inside a value is written as `\n`.
                rows += newlines(&row);
                file.write_all(&row).await.map_err(|error| failed(&error))?;
            }
        }
        file.sync_all().await.map_err(|error| failed(&error))?;
        Ok(Part { role, path: name, rows, bytes, sha256: hex(digest.finalize()) })
    }

    /// Writes `rows.json`: from then on the folder is a bundle.
    pub(super) fn finish(mut self, bundle: &Bundle) -> Result<(), StepError> {
        let written = files::sync_folder(&self.path)
            .and_then(|()| files::write_durably(&self.path.join(FILE), &bundle.to_json()))
            .and_then(|()| match self.path.parent() {
                Some(parent) => files::sync_folder(parent),
                None => Ok(()),
            });
        written.map_err(|error| io_failed("cannot write", &self.path.join(FILE), &error))?;
        self.finished = true;
        Ok(())
    }

    /// Which attempt fills it.
    pub(super) fn created(&self) -> Created {
        self.created.clone()
    }
}

/// Whether a file of a folder is one that a bundle has.
fn is_part(name: &str) -> bool {
    let roles = [Role::Rows, Role::Parents, Role::Inserted, Role::Before, Role::After];
    let numbered = name.as_bytes().get(..4).is_some_and(|it| it.iter().all(u8::is_ascii_digit));
    let role = name.get(4..).unwrap_or_default();
    numbered && roles.iter().any(|word| role == format!(".{}.copy", word.word()))
        || name == format!("{FILE}.part")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_a_bundle_are_ever_removed() {
        assert!(is_part("0001.rows.copy") && is_part("0012.after.copy"));
        for name in ["1.rows.copy", "0001.rows", "0001.other.copy", "notes.txt", "rows.json", "ä"]
        {
            assert!(!is_part(name), "{name}");
        }
    }
}
