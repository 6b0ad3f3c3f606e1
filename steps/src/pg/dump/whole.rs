//! The whole database by `pg_dump` in one of its own formats, for exchange with other tools.
//! <https://www.postgresql.org/docs/current/app-pgdump.html>

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use engine::files;
use model::set::layout::{CUSTOM, DIRECTORY, PLAIN};
use model::set::manifest::{Contents, File, FileKind, Format, Program, Scope, Table, TableName};
use model::step_error::StepError;
use tokio::sync::mpsc;

use super::input::{Input, TextCompression};
use super::schema::{Writer, connecting};
use super::schema_file::SchemaText;
use super::snapshot::Snapshot;
use crate::file::local;
use crate::pg::catalogue::list_tables;
use crate::pg::copy::{Packing, pack_stream};
use crate::pg::jobs;
use crate::pg::meter::Meter;
use crate::pg::programs::{self, ClientProgram};
use crate::pg::restore::partial;
use crate::pg::sql;

/// What is written, and by what.
pub(super) struct Whole<'a> {
    /// The step's input.
    pub(super) input: &'a Input,
    /// Where everything goes.
    pub(super) writer: &'a Writer<'a>,
    /// The moment.
    pub(super) snapshot: &'a Snapshot,
    /// What the database holds.
    pub(super) contents: &'a Contents,
    /// `pg_dump`.
    pub(super) pg_dump: &'a ClientProgram,
    /// Progress.
    pub(super) meter: &'a Meter,
}

impl Whole<'_> {
    /// Writes the dump; gives its objects and the programs that took part.
    pub(super) async fn write(&self) -> Result<(Vec<File>, Vec<Program>), StepError> {
        let common = self.common().await?;
        let made = match self.input.format {
            Format::Objects => unreachable!("rows are objects of their own"),
            Format::Custom => self.custom(common).await,
            Format::Directory => self.directory(common).await,
            Format::Plain => self.plain(common).await,
        };
        match made {
            Err(error) => Err(self.snapshot.explain(error).await),
            made => made,
        }
    }

    /// The arguments that every format has: the moment, and what is left out of it.
    async fn common(&self) -> Result<Vec<String>, StepError> {
        let mut args = connecting(self.snapshot);
        match self.input.scope() {
            Scope::Definitions => args.push("--schema-only".to_owned()),
            Scope::Tables(_) => {
                args.push("--no-blobs".to_owned());
                args.extend(self.others().await?);
            }
            Scope::Full => args.extend(self.input.excluded().iter().map(without_rows)),
        }
        Ok(args)
    }

    /// Every table that holds rows nobody asked for. Its definition stays: the others may need it.
    async fn others(&self) -> Result<Vec<String>, StepError> {
        let (all, _) = list_tables(&self.snapshot.exporter, &Scope::Full).await?;
        let excluded = self.input.excluded();
        let wanted: BTreeSet<TableName> =
            self.contents.tables.iter().map(Table::table_name).collect();
        let names = all.iter().map(|sized| sized.table.table_name());
        let others = names.filter(|name| !wanted.contains(name) || excluded.contains(name));
        Ok(others.map(|name| without_rows(&name)).collect())
    }

    async fn custom(&self, common: Vec<String>) -> Result<(Vec<File>, Vec<Program>), StepError> {
        let mut args = common;
        args.push("--format=custom".to_owned());
        args.extend(self.input.compression.map(|level| format!("--compress={level}")));
        let name = (CUSTOM, FileKind::Dump);
        let file = pack_stream(self.writer.place, name, Packing::None, async |printed| {
            self.run_into(&args, &printed, None).await
        });
        let file = file.await?;
        Ok((vec![file], vec![self.program(args)]))
    }

    /// `pg_dump` writes a folder to a file system only: it lies in the step's scratch folder until
    /// it is stored.
    async fn directory(&self, common: Vec<String>) -> Result<(Vec<File>, Vec<Program>), StepError> {
        let staged = StagedFolder::new(
            self.writer.place.ctx.scratch_folder()?.join(self.scratch_name("dump")),
        );
        let mut args = common;
        args.push("--format=directory".to_owned());
        args.extend(self.input.compression.map(|level| format!("--compress={level}")));
        args.push(format!("--jobs={}", jobs::count(self.input.jobs)));
        let mut all = args.clone();
        all.push(format!("--file={}", staged.0.display()));
        let running = programs::run(&self.writer.place.ctx, self.writer.target, "pg_dump", &all);
        self.meter.while_growing("dump", &staged.0, running).await?;
        let mut stored = Vec::new();
        for name in staged.names()? {
            let from = staged.0.join(&name);
            let path = format!("{DIRECTORY}/{name}");
            stored.push(self.store_file(&from, &path).await?);
        }
        Ok((stored, vec![self.program(args)]))
    }

    async fn store_file(&self, from: &Path, path: &str) -> Result<File, StepError> {
        let name = (path, FileKind::Dump);
        pack_stream(self.writer.place, name, Packing::None, async |chunks| {
            let mut reader = local::open(&from.to_string_lossy())?;
            while let Some(chunk) = reader.read().await? {
                self.meter.add("store the dump", chunk.len() as u64);
                if chunks.send(chunk).await.is_err() {
                    break;
                }
            }
            Ok(())
        })
        .await
    }

    async fn plain(&self, common: Vec<String>) -> Result<(Vec<File>, Vec<Program>), StepError> {
        let (path, packing) = self.packing();
        let mut programs = Vec::new();
        let mut schema = SchemaText::default();
        let name = (path.as_str(), FileKind::Dump);
        let file = pack_stream(self.writer.place, name, packing, async |text| {
            programs = match self.input.scope() {
                Scope::Tables(_) => self.some_tables(common, &text).await?,
                Scope::Full | Scope::Definitions => {
                    let args = with(common, &["--format=plain"]);
                    let gathered = self.input.schema_file.is_some().then_some(&mut schema);
                    self.run_into(&args, &text, gathered).await?;
                    vec![self.program(args)]
                }
            };
            Ok(())
        });
        let file = file.await?;
        if let Some(path) = &self.input.schema_file {
            schema.write(path)?;
        }
        Ok((vec![file], programs))
    }

    /// Beside the rows of some tables, what needs the rows of the others cannot be made. Text cannot
    /// be restored in part, so that it is left out here: by `pg_restore`, from a small archive.
    async fn some_tables(
        &self,
        common: Vec<String>,
        text: &mpsc::Sender<Bytes>,
    ) -> Result<Vec<Program>, StepError> {
        let ctx = &self.writer.place.ctx;
        let sections = ["--format=plain", "--section=pre-data", "--section=data"];
        let args = with(common.clone(), &sections);
        self.run_into(&args, text, None).await?;
        let staged = StagedFolder::new(ctx.scratch_folder()?.join(self.scratch_name("post-data")));
        let post = with(common, &["--format=directory", "--section=post-data"]);
        let mut all = post.clone();
        all.push(format!("--file={}", staged.0.display()));
        programs::run(ctx, self.writer.target, "pg_dump", &all).await?;
        let list = partial::list(ctx, Some(self.writer.target), &staged.0).await?;
        let restore = vec![
            "--file=-".to_owned(),
            format!("--use-list={}", list.path().display()),
            staged.0.display().to_string(),
        ];
        programs::send_output(ctx, self.writer.target, "pg_restore", &restore, text).await?;
        let keys = partial::foreign_keys(&self.contents.objects);
        let keys = keys.into_iter().fold(String::new(), |text, key| text + &key + ";\n");
        text.send(keys.into()).await.ok();
        Ok(vec![self.program(args), self.program(post)])
    }

    fn packing(&self) -> (String, Packing) {
        let level = self.input.compression;
        let gzip = || level.and_then(|level| u32::try_from(level).ok()).unwrap_or(6);
        match self.input.compress_with {
            TextCompression::Zstd => (format!("{PLAIN}.zst"), Packing::Zstd(level.unwrap_or(1))),
            TextCompression::Gzip => (format!("{PLAIN}.gz"), Packing::Gzip(gzip())),
            TextCompression::None => (PLAIN.to_owned(), Packing::None),
        }
    }

    /// Runs `pg_dump` and sends on what it prints, counted.
    async fn run_into(
        &self,
        args: &[String],
        sink: &mpsc::Sender<Bytes>,
        mut gathered: Option<&mut SchemaText>,
    ) -> Result<(), StepError> {
        let (printed, mut chunks) = mpsc::channel(1);
        let (ctx, target) = (&self.writer.place.ctx, self.writer.target);
        let running = async move {
            programs::send_output(ctx, target, self.pg_dump.name, args, &printed).await
        };
        let counting = async move {
            while let Some(chunk) = chunks.recv().await {
                self.meter.add("dump", Bytes::len(&chunk) as u64);
                if let Some(text) = &mut gathered {
                    text.add(&chunk);
                }
                if sink.send(chunk).await.is_err() {
                    return;
                }
            }
        };
        tokio::join!(running, counting).0
    }

    fn scratch_name(&self, what: &str) -> String {
        let id = self.writer.place.ctx.id();
        format!("{}.{}.{what}", id.step, id.attempt)
    }

    fn program(&self, arguments: Vec<String>) -> Program {
        let (name, version) = (self.pg_dump.name.to_owned(), self.pg_dump.version.clone());
        Program { name, version, arguments }
    }
}

fn with(mut args: Vec<String>, more: &[&str]) -> Vec<String> {
    args.extend(more.iter().map(|&arg| arg.to_owned()));
    args
}

/// A pattern of `pg_dump` that fits that table only: between double quotes nothing is special but
/// they themselves. <https://www.postgresql.org/docs/current/app-psql.html#APP-PSQL-PATTERNS>
fn without_rows(name: &TableName) -> String {
    format!("--exclude-table-data={}", sql::qualified(&name.schema, &name.name))
}

/// A folder that a program makes; gone with the value.
struct StagedFolder(PathBuf);

impl StagedFolder {
    fn new(path: PathBuf) -> Self {
        files::remove_folder(&path).ok();
        Self(path)
    }

    fn names(&self) -> Result<Vec<String>, StepError> {
        let mut names = files::list(&self.0).map_err(|error| {
            StepError::transient("RB0516", "the folder that `pg_dump` wrote cannot be listed")
                .caused_by(&error)
        })?;
        names.sort();
        Ok(names)
    }
}

impl Drop for StagedFolder {
    fn drop(&mut self) {
        files::remove_folder(&self.0).ok();
    }
}
