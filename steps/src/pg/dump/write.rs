//! One set, from the snapshot to the manifest.

use std::sync::Arc;

use engine::clock::{Clock, RealClock};
use engine::context::StepContext;
use jiff::Timestamp;
use model::plan::Encrypt;
use model::set::layout::{DIRECTORY, MANIFEST, RESTORE, set_folder};
use model::set::manifest::{
    Contents, Created, Encryption, Exclusion, File, FileKind, Format, Manifest, Program, Table,
    TableData, TableName, VERSION,
};
use model::set::{Category, row_hash};
use model::step_error::StepError;

use super::data::{self, Work};
use super::instructions::instructions;
use super::schema::Writer;
use super::snapshot::Snapshot;
use super::whole::Whole;
use super::{Announced, Input, Output};
use crate::pg::catalogue::{capture, read_large_objects, server};
use crate::pg::classify::not_applied;
use crate::pg::connection::Session;
use crate::pg::copy::Place;
use crate::pg::jobs;
use crate::pg::meter::Meter;
use crate::pg::pieces::pieces;
use crate::pg::programs::ClientProgram;
use crate::pg::target::Target;
use crate::seal::Seal;
use crate::store::{Store, Written, put_bytes};

/// From this server on, a range of blocks is read without reading the rest of the table.
const READS_BY_BLOCKS: u32 = 14_00_00;

/// What the exporting session read beside the rows.
struct Read {
    contents: Contents,
    server: model::set::manifest::Server,
    files: Vec<File>,
    programs: Vec<Program>,
}

/// Writes the set; the manifest comes last.
pub(super) async fn write_set(
    input: &Input,
    ctx: &StepContext,
    target: &Target,
    store: &Arc<dyn Store>,
    announced: &Announced,
) -> Result<Output, StepError> {
    let started = RealClock.mono_ms();
    let folder = announced.folder();
    let pg_dump = ClientProgram::find(ctx, target, "pg_dump").await?;
    let pg_dumpall = ClientProgram::find(ctx, target, "pg_dumpall").await?;
    let mut snapshot =
        Snapshot::take(ctx, target, &input.scope(), input.lock_timeout.duration()).await?;
    pg_dump.check_not_older(snapshot.server_version)?;
    pg_dumpall.check_not_older(snapshot.server_version)?;
    let left_out = leave_out(&mut snapshot, &input.excluded())?;

    let encrypt = ctx.store(&input.store).await?.encrypt;
    let seal = encrypt.as_ref().map(Seal::new).transpose()?;
    let place = Place { ctx: ctx.clone(), store: Arc::clone(store), folder: folder.clone(), seal };
    let writer = Writer { target, place: &place };
    let sessions = sessions(ctx, target, &snapshot, jobs::count(input.jobs)).await?;
    let work = work(input, &place, &snapshot);
    let meter = work.meter.clone();
    let reading = read(input, &snapshot, &writer, &pg_dump, &meter);
    let (read, rows) = tokio::try_join!(
        meter.while_running("definitions", reading),
        data::copy(Arc::new(work), sessions)
    )?;
    let Read { contents, server, mut files, mut programs } = read;
    let (tables, objects) = rows;
    files.extend(objects);
    meter.activity("globals");
    let mut contents = Contents { tables, ..contents };
    contents.exclusions.extend(left_out);
    match writer.globals(&pg_dumpall).await? {
        Ok((file, program)) => {
            files.push(file);
            programs.push(program);
        }
        Err(exclusion) => contents.exclusions.push(exclusion),
    }
    let id = ctx.id();
    let mut manifest = Manifest {
        version: VERSION,
        set: announced.id.clone(),
        database: announced.database.clone(),
        label: input.label.clone(),
        format: input.format,
        encryption: encrypt.map(encryption),
        created: Created { run: id.run, step: id.step.clone(), attempt: id.attempt },
        server,
        runbook: env!("CARGO_PKG_VERSION").to_owned(),
        programs,
        row_hash: row_hash::ALGORITHM.to_owned(),
        contents,
        files,
    };
    manifest.server.snapshot_time = snapshot.time;
    let written = commit(store.as_ref(), &folder, &mut manifest).await?;
    Ok(output(&manifest, &written, RealClock.mono_ms() - started))
}

/// The recipients, for the manifest.
fn encryption(encrypt: Encrypt) -> Encryption {
    if encrypt.age.is_empty() { Encryption::Gpg(encrypt.gpg) } else { Encryption::Age(encrypt.age) }
}

/// Every session that copies shares the snapshot and holds the locks before any row is read.
async fn sessions(
    ctx: &StepContext,
    target: &Target,
    snapshot: &Snapshot,
    count: usize,
) -> Result<Vec<Session>, StepError> {
    let mut sessions = Vec::with_capacity(count);
    for _ in 0..count {
        sessions.push(snapshot.join(ctx, target).await?);
    }
    Ok(sessions)
}

fn work(input: &Input, place: &Place, snapshot: &Snapshot) -> Work {
    let splits = snapshot.server_version >= READS_BY_BLOCKS;
    let part_size = splits.then(|| input.part_size.bytes());
    let is_objects = input.format.is_objects();
    let total = snapshot.tables.iter().map(|sized| sized.bytes).sum();
    Work {
        place: place.clone(),
        tables: snapshot.tables.clone(),
        tasks: data::tasks(pieces(&snapshot.tables, part_size)),
        level: is_objects.then(|| input.compression.unwrap_or(1)),
        meter: Meter::new(&place.ctx, is_objects.then_some(total)),
    }
}

/// Reads all but the rows, on the exporting session and by `pg_dump`.
async fn read(
    input: &Input,
    snapshot: &Snapshot,
    writer: &Writer<'_>,
    pg_dump: &ClientProgram,
    meter: &Meter,
) -> Result<Read, StepError> {
    let scope = input.scope();
    let definitions = async {
        let session = &snapshot.exporter;
        let server = server(session, &writer.target.endpoint()).await.map_err(not_applied)?;
        let mut contents = capture(session, &scope).await.map_err(not_applied)?;
        if contents.large_objects.count > 0 {
            read_large_objects(session, &mut contents).await.map_err(not_applied)?;
        }
        Ok((server, contents))
    };
    if !input.format.is_objects() {
        let (server, contents) = definitions.await?;
        let whole = Whole { input, writer, snapshot, contents: &contents, pg_dump, meter };
        let (files, programs) = whole.write().await?;
        return Ok(Read { contents, server, files, programs });
    }
    let schema = writer.schema(pg_dump, snapshot, &scope);
    let ((server, contents), (file, program)) = tokio::try_join!(definitions, schema)?;
    let (mut files, mut programs) = (vec![file], vec![program]);
    if contents.large_objects.count > 0 {
        let (file, program) = writer.blobs(pg_dump, snapshot).await?;
        files.push(file);
        programs.push(program);
    }
    Ok(Read { contents, server, files, programs })
}

/// Marks the tables whose rows the plan leaves out. One that does not exist is an error: a
/// misspelt name would leave nothing out and nobody would know.
fn leave_out(snapshot: &mut Snapshot, names: &[TableName]) -> Result<Vec<Exclusion>, StepError> {
    let mut exclusions = Vec::new();
    for name in names {
        let found = snapshot.tables.iter_mut().find(|sized| sized.table.table_name() == *name);
        let Some(sized) = found else {
            let message = format!("`exclude_tables` names `{name}`, which holds no rows here");
            return Err(StepError::permanent("RB0521", message)
                .hint("write `schema.table` as PostgreSQL stores the names"));
        };
        sized.table.data = TableData::None;
        exclusions.push(Exclusion {
            category: Category::TableContent,
            object: name.to_string(),
            reason: "the plan leaves it out (`exclude_tables`)".to_owned(),
        });
    }
    Ok(exclusions)
}

/// Writes the instructions, then the manifest, which makes the set.
async fn commit(
    store: &dyn Store,
    folder: &str,
    manifest: &mut Manifest,
) -> Result<Written, StepError> {
    manifest.contents.sort();
    let text = instructions(manifest);
    let written = put_bytes(store, &format!("{folder}/{RESTORE}"), text).await?;
    manifest.files.push(File {
        path: RESTORE.to_owned(),
        kind: FileKind::Instructions,
        bytes: written.bytes,
        sha256: written.sha256,
        plain: None,
    });
    manifest.files.sort();
    let path = format!("{folder}/{MANIFEST}");
    Ok(put_bytes(store, &path, manifest.to_json()).await?)
}

/// The dump of a set that is one object or one folder, in the store.
fn dump_path(manifest: &Manifest) -> Option<String> {
    let dump = manifest.files.iter().find(|file| file.kind == FileKind::Dump)?;
    let name = match manifest.format {
        Format::Directory => DIRECTORY,
        _ => dump.path.as_str(),
    };
    Some(format!("{}/{name}", set_folder(&manifest.database, &manifest.set)))
}

/// A standby holds what it has replayed, whatever its clock says.
fn recovery_point(server: &model::set::manifest::Server) -> Timestamp {
    let replayed = server.replayed_to.filter(|_| server.in_recovery);
    replayed.map_or(server.snapshot_time, |replayed| replayed.min(server.snapshot_time))
}

/// What the step answers, from the manifest alone.
pub(super) fn output(manifest: &Manifest, written: &Written, duration_ms: u64) -> Output {
    let tables = &manifest.contents.tables;
    let with_rows = || tables.iter().filter(|table| table.data != TableData::None);
    let parts = tables.iter().flat_map(|table| &table.parts);
    let excluded = manifest.contents.exclusions.iter();
    Output {
        set: manifest.set.to_string(),
        database: manifest.database.clone(),
        bytes: manifest.files.iter().map(|file| file.bytes).sum::<u64>() + written.bytes,
        folder: set_folder(&manifest.database, &manifest.set),
        dump: dump_path(manifest),
        raw_bytes: parts.map(|part| part.copy_bytes).sum(),
        tables: with_rows().count() as u64,
        rows: with_rows().filter_map(|table: &Table| table.rows).sum(),
        objects: manifest.files.len() as u64 + 1,
        recovery_point: recovery_point(&manifest.server).to_string(),
        lsn: manifest.server.lsn.clone(),
        manifest_sha256: written.sha256.clone(),
        excluded: excluded.map(ToString::to_string).collect(),
        duration_ms,
    }
}
