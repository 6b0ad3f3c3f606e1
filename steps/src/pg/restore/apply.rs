//! A set into an empty database: definitions, rows, sequences, large objects, the rest.

use engine::context::StepContext;
use model::set::manifest::{FileKind, Format, Scope};
use model::step_error::StepError;
use tokio::sync::mpsc;

use super::stage::{Staged, stage, stage_dump};
use super::{partial, partitions, statistics};
use crate::pg::connection::connect_pinned;
use crate::pg::copy::{CopyParts, Fault, OpenSet, send_text};
use crate::pg::meter::Meter;
use crate::pg::programs::{self, conninfo};
use crate::pg::settings;
use crate::pg::sql;
use crate::pg::target::Target;

/// How a set is restored.
#[derive(Debug, Clone, Copy)]
pub(in crate::pg) struct Options {
    /// Connections at once.
    pub(in crate::pg) jobs: usize,
    /// Without owners and privileges.
    pub(in crate::pg) no_owner: bool,
    /// Collects statistics, which who asks questions of the database needs.
    pub(in crate::pg) analyze: bool,
}

/// A restore into an empty database.
pub(in crate::pg) struct Restore<'a> {
    /// The step.
    pub(in crate::pg) ctx: &'a StepContext,
    /// The database.
    pub(in crate::pg) target: &'a Target,
    /// The set.
    pub(in crate::pg) from: &'a OpenSet<'a>,
    /// How.
    pub(in crate::pg) options: Options,
}

impl Restore<'_> {
    /// Does it.
    pub(in crate::pg) async fn run(&self) -> Result<(), StepError> {
        let total = self.from.set.manifest.files.iter().map(|file| file.bytes).sum();
        let meter = Meter::new(self.ctx, Some(total));
        match self.from.set.manifest.format {
            Format::Objects => self.objects(&meter).await?,
            Format::Custom | Format::Directory => self.archive(&meter).await?,
            Format::Plain => self.text(&meter).await?,
        }
        let session = connect_pinned(self.ctx, self.target).await?;
        partitions::validate(&session).await?;
        if self.options.analyze {
            meter.while_running("analyze", statistics::complete(&session)).await?;
        }
        session.close().await;
        // The last: they hold for every session from here on.
        self.settings().await
    }

    /// Definitions and rows as objects of their own.
    async fn objects(&self, meter: &Meter) -> Result<(), StepError> {
        let schema = stage(self.ctx, self.from, FileKind::Schema).await?;
        let schema = schema.ok_or_else(|| {
            StepError::permanent("RB0614", "the set has no definitions (`schema.dump`)")
        })?;
        let blobs = stage(self.ctx, self.from, FileKind::Blobs).await?;
        let definitions = self.pg_restore(&schema, &["--section=pre-data"]);
        meter.while_running("restore definitions", definitions).await?;
        self.rows(meter).await?;
        self.sequences().await?;
        if let Some(blobs) = &blobs {
            meter.while_running("restore large objects", self.pg_restore(blobs, &[])).await?;
        }
        meter.while_running("build indexes and constraints", self.post_data(&schema)).await
    }

    /// An archive or a folder of `pg_dump`.
    async fn archive(&self, meter: &Meter) -> Result<(), StepError> {
        let dump = stage_dump(self.ctx, self.from, meter).await?;
        // Privileges come with the definitions, one after the other: granted in parallel, a role may
        // have to grant on a table before it may use the schema.
        let definitions = self.pg_restore(&dump, &["--section=pre-data"]);
        meter.while_running("restore definitions", definitions).await?;
        let rest = self.in_parallel(&dump, &["--section=data", "--section=post-data"]);
        meter.while_running("restore", rest).await?;
        self.sequences().await
    }

    /// SQL text: `psql` runs it while it streams.
    async fn text(&self, meter: &Meter) -> Result<(), StepError> {
        if self.options.no_owner {
            let message = "a set of format `plain` cannot be restored with `no_owner`";
            return Err(StepError::permanent("RB0590", message)
                .hint("create the roles from the set's `globals.sql`, or restore another set"));
        }
        let dump = self.from.set.manifest.files.iter().find(|file| file.kind == FileKind::Dump);
        let dump = dump.ok_or_else(|| StepError::permanent("RB0614", "the set has no dump"))?;
        let (text, sent) = mpsc::channel(1);
        let args = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "--no-password", "--output=/dev/null"];
        let mut args = args.map(str::to_owned).to_vec();
        args.push(format!("--dbname={}", conninfo(self.target)));
        let (psql, sending) = (
            Box::pin(programs::feed(self.ctx, self.target, "psql", &args, sent)),
            send_text(self.from, dump, text),
        );
        let running = async {
            let (restored, read) = tokio::join!(psql, sending);
            // What `psql` says of a damaged text tells less than the damage does.
            match read? {
                Ok(()) | Err(Fault::NotTaken) => restored,
                Err(fault) => Err(fault.error(dump)),
            }
        };
        meter.while_running("restore", running).await?;
        self.sequences().await
    }

    /// Beside the rows of some tables, what needs the rows of the others is left out: their
    /// foreign keys and the contents of materialized views.
    async fn post_data(&self, schema: &Staged) -> Result<(), StepError> {
        self.in_parallel(schema, &["--section=post-data"]).await
    }

    /// Restores an archive over several connections.
    async fn in_parallel(&self, archive: &Staged, args: &[&str]) -> Result<(), StepError> {
        let jobs = format!("--jobs={}", self.options.jobs);
        let mut args = args.to_vec();
        args.push(&jobs);
        if !matches!(self.from.set.manifest.contents.scope, Scope::Tables(_)) {
            return self.pg_restore(archive, &args).await;
        }
        let list = partial::list(self.ctx, Some(self.target), archive.path()).await?;
        let list = format!("--use-list={}", list.path().display());
        args.push(&list);
        self.pg_restore(archive, &args).await?;
        let session = connect_pinned(self.ctx, self.target).await?;
        for statement in partial::foreign_keys(&self.from.set.manifest.contents.objects) {
            session.execute_all("add a foreign key", &statement).await?;
        }
        session.close().await;
        Ok(())
    }

    async fn pg_restore(&self, archive: &Staged, args: &[&str]) -> Result<(), StepError> {
        let mut all = vec![
            "--exit-on-error".to_owned(),
            "--no-password".to_owned(),
            format!("--dbname={}", conninfo(self.target)),
        ];
        if self.options.no_owner {
            all.extend(["--no-owner", "--no-privileges"].map(str::to_owned));
        }
        all.extend(args.iter().map(|&arg| arg.to_owned()));
        all.push(archive.path().to_string_lossy().into_owned());
        programs::run(self.ctx, self.target, "pg_restore", &all).await
    }

    async fn rows(&self, meter: &Meter) -> Result<(), StepError> {
        let tables = self.from.set.manifest.contents.tables.iter();
        let copy = CopyParts {
            ctx: self.ctx,
            target: self.target,
            from: self.from,
            jobs: self.options.jobs,
            meter,
            analyze: self.options.analyze,
        };
        copy.run(tables.map(|table| (table, table))).await
    }

    async fn sequences(&self) -> Result<(), StepError> {
        let session = connect_pinned(self.ctx, self.target).await?;
        for sequence in &self.from.set.manifest.contents.sequences {
            let name = sequence.sequence_name();
            let quoted = sql::literal(&sql::qualified(&sequence.schema, &sequence.name));
            let (value, is_called) = (sequence.last_value, sequence.is_called);
            let set = format!("SELECT setval({quoted}, {value}, {is_called})");
            session.execute_all(&format!("set sequence `{name}`"), &set).await?;
        }
        session.close().await;
        Ok(())
    }

    /// With `no_owner` there are no roles to set anything for.
    async fn settings(&self) -> Result<(), StepError> {
        let session = connect_pinned(self.ctx, self.target).await?;
        let database = sql::identifier(&self.target.dbname);
        for setting in settings::settings(&self.from.set.manifest.contents.objects) {
            if setting.role.is_some() && self.options.no_owner {
                continue;
            }
            let statement = setting.statement(&database);
            session.execute_all("set the database's settings", &statement).await?;
        }
        session.close().await;
        Ok(())
    }
}
