//! The levels of proof, one after the other, as far as they hold.

use engine::context::StepContext;
use model::proof::{self, Level};
use model::set::compare::compare;
use model::set::layout::{DIRECTORY, SCHEMA};
use model::set::manifest::{FileKind, Format, Program};
use model::set::{Difference, DifferenceKind};
use model::step_error::{ErrorClass, StepError};

use super::files::Files;
use super::measure::Measure;
use super::proof::{Finding, file_difference};
use super::{Input, usable};
use crate::pg::catalogue::server;
use crate::pg::classify;
use crate::pg::connection::connect;
use crate::pg::copy::OpenSet;
use crate::pg::jobs;
use crate::pg::meter::Meter;
use crate::pg::programs::{self, ClientProgram};
use crate::pg::restore::scratch::{Scratch, Use};
use crate::pg::restore::{Options, Restore, stage, stage_dump};
use crate::pg::target::Target;

/// A verification on its way up.
pub(super) struct Climb<'a> {
    ctx: &'a StepContext,
    input: &'a Input,
    from: &'a OpenSet<'a>,
    target: Option<Target>,
    scratch: Option<Scratch>,
    meter: Meter,
    finding: Finding,
}

impl<'a> Climb<'a> {
    /// At the foot.
    pub(super) fn new(
        ctx: &'a StepContext,
        input: &'a Input,
        from: &'a OpenSet<'a>,
        target: Option<Target>,
    ) -> Self {
        let meter = Meter::new(ctx, None);
        let finding = Finding::default();
        Self { ctx, input, from, target, scratch: None, meter, finding }
    }

    /// Climbs until the level is reached or something differs.
    pub(super) async fn up_to(&mut self, level: Level) -> Result<(), StepError> {
        let files = self.files().stored().await?;
        self.finding.checked.files = self.from.set.manifest.files.len() as u64;
        if !self.holds(Level::Stored, files) || level < Level::Readable {
            return Ok(());
        }
        // A restore reads every object, too.
        if level == Level::Readable {
            let differences = self.readable().await?;
            self.holds(Level::Readable, differences);
            return Ok(());
        }
        let differences = self.restore().await.map_err(classify::not_applied)?;
        if !self.holds(Level::Restorable, differences) || level < Level::Complete {
            return Ok(());
        }
        let differences = self.compare(level).await.map_err(classify::not_applied)?;
        if !self.holds(level.min(Level::Identical), differences) || level < Level::Usable {
            return Ok(());
        }
        let differences = self.usable().await.map_err(classify::not_applied)?;
        self.holds(Level::Usable, differences);
        Ok(())
    }

    fn holds(&mut self, level: Level, differences: Vec<Difference>) -> bool {
        let holds = differences.is_empty();
        if holds {
            self.finding.reached = Some(level);
            self.ctx.log(format!("{level:?} holds").to_lowercase());
        }
        self.finding.differences.extend(differences);
        holds
    }

    fn files(&self) -> Files<'_> {
        let (from, meter) = (self.from, &self.meter);
        Files { from, jobs: jobs::count(self.input.jobs), meter }
    }

    async fn readable(&self) -> Result<Vec<Difference>, StepError> {
        let mut differences = self.files().readable().await?;
        for kind in [FileKind::Schema, FileKind::Blobs] {
            differences.extend(self.table_of_contents(kind).await?);
        }
        if matches!(self.from.set.manifest.format, Format::Custom | Format::Directory) {
            differences.extend(self.whole_archive().await?);
        }
        Ok(differences)
    }

    /// Whether `pg_restore` reads the dump to its end.
    async fn whole_archive(&self) -> Result<Option<Difference>, StepError> {
        let staged = stage_dump(self.ctx, self.from, &self.meter).await?;
        let args = ["--file=/dev/null".to_owned(), staged.path().to_string_lossy().into_owned()];
        let reading = programs::output_offline(self.ctx, self.target.as_ref(), "pg_restore", &args);
        self.judge(self.meter.while_running("read the dump", reading).await)
    }

    /// A program that refuses the set says something about the set.
    fn judge<T>(&self, read: Result<T, StepError>) -> Result<Option<Difference>, StepError> {
        match read {
            Ok(_) => Ok(None),
            Err(error) if error.class == ErrorClass::Permanent => Ok(Some(self.refused(&error))),
            Err(error) => Err(error),
        }
    }

    /// Whether `pg_restore` understands an archive of the set.
    async fn table_of_contents(&self, kind: FileKind) -> Result<Option<Difference>, StepError> {
        let Some(staged) = stage(self.ctx, self.from, kind).await? else {
            return Ok(None);
        };
        let args = ["--list".to_owned(), staged.path().to_string_lossy().into_owned()];
        self.judge(
            programs::output_offline(self.ctx, self.target.as_ref(), "pg_restore", &args).await,
        )
    }

    async fn restore(&mut self) -> Result<Vec<Difference>, StepError> {
        let target = self.target.clone().expect("checked before: this level needs `scratch`");
        let admin = connect(self.ctx, &target).await?;
        let manifest = &self.from.set.manifest;
        let scratch = Scratch::create(self.ctx, &admin, &target, manifest, Use::Verify).await?;
        let server = server(&admin, &target.endpoint()).await?;
        admin.close().await;
        self.finding.scratch = Some(proof::Scratch {
            version: server.version,
            version_num: server.version_num,
            system_identifier: server.system_identifier,
            endpoint: server.endpoint,
            database: scratch.target().dbname.clone(),
        });
        let program = if manifest.format == Format::Plain { "psql" } else { "pg_restore" };
        let program = ClientProgram::find(self.ctx, &target, program).await?;
        let (name, version) = (program.name.to_owned(), program.version);
        self.finding.programs.push(Program { name, version, arguments: Vec::new() });
        let scratch = self.scratch.insert(scratch);
        let analyze = self.input.level >= Level::Usable;
        let options = Options { jobs: jobs::count(self.input.jobs), no_owner: false, analyze };
        let restore = Restore { ctx: self.ctx, target: scratch.target(), from: self.from, options };
        let restored = restore.run().await;
        Ok(self.judge(restored)?.into_iter().collect())
    }

    async fn compare(&mut self, level: Level) -> Result<Vec<Difference>, StepError> {
        let scratch = self.scratch.as_ref().expect("the set was restored");
        let measure = Measure {
            ctx: self.ctx,
            target: scratch.target(),
            expected: &self.from.set.manifest.contents,
            hashes: level >= Level::Identical,
            jobs: jobs::count(self.input.jobs),
            meter: &self.meter,
        };
        let found = measure.contents().await?;
        let comparison = compare(&self.from.set.manifest.contents, &found, level);
        let files = self.finding.checked.files;
        self.finding.checked = comparison.checked;
        self.finding.checked.files = files;
        self.ctx.log(self.finding.checked.to_string());
        Ok(comparison.differences)
    }

    async fn usable(&mut self) -> Result<Vec<Difference>, StepError> {
        let scratch = self.scratch.as_ref().expect("the set was restored");
        let (differences, exclusions) =
            usable::check(self.ctx, scratch.target(), self.input, &self.meter).await?;
        self.finding.exclusions.extend(exclusions);
        Ok(differences)
    }

    /// The scratch server took the set apart and refused something in it.
    fn refused(&self, error: &StepError) -> Difference {
        let said: Vec<&str> = [&error.message]
            .into_iter()
            .chain(error.causes.iter().take(3))
            .map(String::as_str)
            .collect();
        let message = format!("the set does not restore: {}", said.join(": "));
        let dump = self.from.set.manifest.files.iter().find(|file| file.kind == FileKind::Dump);
        let object = match self.from.set.manifest.format {
            Format::Directory => DIRECTORY,
            _ => dump.map_or(SCHEMA, |file| file.path.as_str()),
        };
        file_difference(object, DifferenceKind::Changed, None, None, message)
    }

    /// Drops the copy, whatever happened.
    pub(super) async fn clear(&mut self) {
        if let Some(scratch) = self.scratch.take() {
            scratch.drop_database(self.ctx).await;
        }
    }

    /// What was found.
    pub(super) fn into_finding(self) -> Finding {
        self.finding
    }
}
