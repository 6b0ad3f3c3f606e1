//! One attempt of `pg.restore_table`, from the choice of the set to the commit.

use engine::context::StepContext;
use engine::step::Observation;
use model::set::Manifest;
use model::set::manifest::{File, Format, Sequence, Table, TableName};
use model::step_error::{ErrorClass, StepError};

use super::difference::{Counts, Pair};
use super::exchange::{Exchange, Way, may_rest};
use super::input::{Input, Mode};
use super::kept::{Kept, Mark, fingerprint, keep, kept_name, write_mark};
use super::live::{Live, unsupported};
use super::room::{self, Need};
use super::staging::{self, Load, Wanted, staged_name};
use super::{FACT, Outcome, Output, fits};
use crate::pg::catalogue;
use crate::pg::classify;
use crate::pg::commit::commit;
use crate::pg::connection::{Session, connect_named, connect_pinned};
use crate::pg::copy::OpenSet;
use crate::pg::jobs;
use crate::pg::meter::Meter;
use crate::pg::target::Target;
use crate::store::{self, Backup, Choice, LoadedSet, Store};

/// What an attempt works with.
pub(super) struct Work<'a> {
    input: &'a Input,
    ctx: &'a StepContext,
    target: Target,
    store: std::sync::Arc<dyn Store>,
    set: LoadedSet,
    names: Vec<TableName>,
    schema: String,
}

/// What was found before anything is done.
struct Assessed {
    wanted: Vec<Wanted>,
    need: Need,
    free: Option<u64>,
}

/// The time since the attempt began, in milliseconds.
type Took<'a> = &'a (dyn Fn() -> u64 + Send + Sync);

impl<'a> Work<'a> {
    /// Chooses the set.
    pub(super) async fn begin(input: &'a Input, ctx: &'a StepContext) -> Result<Self, StepError> {
        let target = Target::resolve(&ctx.connection(&input.connection).await?)?;
        let session = connect_pinned(ctx, &target).await?;
        check_identity(input, &session).await?;
        session.close().await;
        let store = store::open_named(ctx, &input.store).await?;
        let names = input.names();
        let set = choose(input, ctx, store.as_ref(), &target, &names).await?;
        let schema = input.staging.clone().unwrap_or_else(|| staging::own_name(ctx));
        Ok(Self { input, ctx, target, store, set, names, schema })
    }

    /// Does it. What it made aside is removed when it fails.
    pub(super) async fn run(&self, took: Took<'_>) -> Result<Output, StepError> {
        let (input, ctx) = (self.input, self.ctx);
        let from = OpenSet::open(ctx, &input.store, self.store.as_ref(), &self.set).await?;
        let session = connect_pinned(ctx, &self.target).await?;
        let assessed = self.assess(&session).await?;
        let bytes = self.bytes(&assessed.wanted);
        let meter = Meter::new(ctx, Some(bytes));
        let jobs = jobs::count(input.jobs);
        let (target, schema) = (&self.target, self.schema.as_str());
        let load = Load { ctx, target, from: &from, meter: &meter, jobs, schema };
        let filled = tokio::select! {
            biased;
            () = ctx.cancel().cancelled() => Err(StepError::cancelled()),
            filled = load.ready(&session, &assessed.wanted) => filled.map_err(classify::not_applied),
        };
        let is_taken_up = match filled {
            Ok(is_taken_up) => is_taken_up,
            Err(error) => {
                // One that is not ours is not ours to remove.
                if error.code != "RB0539" || error.class != ErrorClass::Permanent {
                    self.discard(session).await;
                }
                return Err(error);
            }
        };
        let mut output = self.output(&assessed, if is_taken_up { 0 } else { bytes });
        let done = match input.mode {
            Mode::Staging => self.show(&session, &assessed, &mut output, took).await,
            Mode::Swap | Mode::Merge | Mode::Discard => {
                self.exchange((&session, &meter), &assessed, &mut output, took).await
            }
        };
        if let Err(error) = done {
            if !is_taken_up {
                self.discard(session).await;
            }
            return Err(error);
        }
        if input.mode == Mode::Staging {
            session.close().await;
            return Ok(output);
        }
        let committed = commit(ctx, session, output).await;
        if let Err(error) = &committed
            && error.class != ErrorClass::Ambiguous
            && !is_taken_up
        {
            staging::discard(ctx, &self.target, &self.schema).await;
        }
        committed
    }

    async fn discard(&self, session: Session) {
        // Its locks are gone when it is: it is told to stop, then dropped.
        drop(session);
        staging::discard(self.ctx, &self.target, &self.schema).await;
    }

    /// Everything that can be refused before anything is done.
    async fn assess(&self, session: &Session) -> Result<Assessed, StepError> {
        let (mut wanted, mut lives) = (Vec::new(), Vec::new());
        for name in &self.names {
            let live = Live::read(session, name).await?;
            if self.input.mode == Mode::Merge && live.key.is_empty() {
                return Err(unsupported(name, "`merge` needs a primary key, and it has none"));
            }
            let table = fits::table_for(&self.set.manifest, &live)?;
            lives.push(live.clone());
            let staged = TableName::new(&self.schema, staged_name(name, &self.names));
            wanted.push(Wanted { live, table, staged });
        }
        if self.input.exchanges() {
            may_rest(session, &lives).await?;
            self.refuse_kept(session).await?;
        }
        let exchanged = self.input.exchanges();
        let needs = wanted.iter().map(|one| Need::of(&one.live, &one.table, exchanged));
        let need = needs.reduce(Need::plus).expect("at least one table is named");
        let free = room::free(session, &lives[0]).await?;
        self.ctx.log(format!("the restore {}", need.words()));
        room::refuse(need, free)?;
        Ok(Assessed { wanted, need, free })
    }

    /// One run keeps one table of former rows.
    async fn refuse_kept(&self, session: &Session) -> Result<(), StepError> {
        for name in &self.names {
            if let Some(kept) = Kept::find(session, name, &self.run_id()).await? {
                let message = format!("`{}` keeps rows of an earlier exchange already", kept.name);
                return Err(StepError::permanent("RB0537", message).hint(
                    "release it first: `pg.swap_back` with `release: true`; nothing was changed",
                ));
            }
        }
        Ok(())
    }

    fn run_id(&self) -> String {
        self.ctx.id().run.to_string()
    }

    /// The bytes of the set that are read.
    fn bytes(&self, wanted: &[Wanted]) -> u64 {
        let files = &self.set.manifest.files;
        let is_read = |file: &&File| {
            let mut parts = wanted.iter().flat_map(|one| &one.table.parts);
            self.set.manifest.format != Format::Objects || parts.any(|it| it.file == file.path)
        };
        files.iter().filter(is_read).map(|file| file.bytes).sum()
    }

    fn output(&self, assessed: &Assessed, bytes_read: u64) -> Output {
        Output {
            set: self.set.manifest.set.to_string(),
            bytes_read,
            disk_bytes: assessed.need.total(),
            free_bytes: assessed.free,
            recovery_point: self.set.manifest.server.snapshot_time.to_string(),
            ..Output::of(self.input.mode)
        }
    }

    /// Compares in one snapshot and leaves the schema.
    async fn show(
        &self,
        session: &Session,
        assessed: &Assessed,
        output: &mut Output,
        took: Took<'_>,
    ) -> Result<(), StepError> {
        let lives = assessed.wanted.iter().map(|one| one.live.clone()).collect();
        let pairs = pairs(assessed, lives);
        let shown = async {
            let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE";
            session.execute_all("begin a snapshot", begin).await?;
            self.compare(session, pairs, output).await?;
            session.execute_all("end a snapshot", "ROLLBACK").await
        };
        self.unless_cancelled(shown).await?;
        for (outcome, one) in output.tables.iter_mut().zip(&assessed.wanted) {
            outcome.staged = Some(one.staged.to_string());
        }
        output.staging = Some(self.schema.clone());
        output.duration_ms = took();
        self.ctx.record(FACT, &*output).await
    }

    /// Finds the differences and says what they are.
    async fn compare(
        &self,
        session: &Session,
        pairs: Vec<Pair>,
        output: &mut Output,
    ) -> Result<Vec<(Pair, Counts)>, StepError> {
        let mut compared = Vec::with_capacity(pairs.len());
        for pair in pairs {
            let counts = pair.find(session).await?;
            let line = format!("{}: {}", pair.live.name, counts.words());
            self.ctx.log(&line);
            for example in pair.examples(session).await? {
                self.ctx.log(example);
            }
            output.summary = [std::mem::take(&mut output.summary), line]
                .into_iter()
                .filter(|text| !text.is_empty())
                .collect::<Vec<_>>()
                .join("; ");
            output.tables.push(Outcome {
                table: pair.live.name.to_string(),
                counts,
                by_key: !pair.live.key.is_empty(),
                staged: None,
                kept: None,
            });
            compared.push((pair, counts));
        }
        let all = compared.iter().fold(Counts::default(), |sum, (_, counts)| sum.plus(*counts));
        (output.only_here, output.only_there, output.changed) =
            (all.only_here, all.only_there, all.changed);
        Ok(compared)
    }

    /// Everything but the commit. An error means that nothing was applied.
    async fn exchange(
        &self,
        (session, meter): (&Session, &Meter),
        assessed: &Assessed,
        output: &mut Output,
        took: Took<'_>,
    ) -> Result<(), StepError> {
        let exchange = Exchange {
            ctx: self.ctx,
            target: &self.target,
            meter,
            lock_timeout: self.input.lock_timeout.duration(),
            refresh: self.input.refresh,
        };
        let applied = self.apply(session, &exchange, assessed, output);
        self.unless_cancelled(applied).await?;
        output.duration_ms = took();
        self.ctx.record(FACT, &*output).await
    }

    async fn apply(
        &self,
        session: &Session,
        exchange: &Exchange<'_>,
        assessed: &Assessed,
        output: &mut Output,
    ) -> Result<(), StepError> {
        let lives = exchange.begin(session, &self.names).await?;
        let manifest = &self.set.manifest;
        let mut tables: Vec<Table> = Vec::new();
        for live in &lives {
            // Once more: under the lock nobody changes it any more.
            tables.push(fits::table_for(manifest, live)?);
        }
        let compared = self.compare(session, pairs(assessed, lives), output).await?;
        for ((pair, counts), table) in compared.iter().zip(&tables) {
            staging::check_count(&pair.live.name, table.rows, counts.rows_there)?;
        }
        self.refuse_more(output.only_here)?;
        let mut kept = Vec::new();
        for (pair, counts) in &compared {
            let name = kept_name(&pair.live.name, &self.run_id());
            let rows = keep(session, &pair.live, &name).await?;
            staging::check_count(&pair.live.name, Some(counts.rows_here), rows)?;
            kept.push(name);
        }
        let way = if self.input.mode == Mode::Merge { Way::Additions } else { Way::Whole };
        exchange.apply(session, &compared, way).await?;
        for ((pair, _), name) in compared.iter().zip(&kept) {
            write_mark(session, name, &self.mark(session, &pair.live).await?).await?;
        }
        for (outcome, name) in output.tables.iter_mut().zip(&kept) {
            outcome.kept = Some(name.to_string());
        }
        staging::drop_schema(session, &self.schema).await?;
        output.refreshed =
            exchange.settle(session, &compared, &sequences_of(manifest, &self.names)).await?;
        Ok(())
    }

    async fn mark(&self, session: &Session, live: &Live) -> Result<Mark, StepError> {
        Ok(Mark {
            runbook: self.run_id(),
            step: self.ctx.id().step.to_string(),
            table: live.name.to_string(),
            set: self.set.manifest.set.to_string(),
            after: fingerprint(session, live).await?,
        })
    }

    fn refuse_more(&self, only_here: u64) -> Result<(), StepError> {
        match self.input.removes_at_most {
            Some(shown) if self.input.mode == Mode::Swap && only_here > shown => {
                let message = format!(
                    "{only_here} rows are only in the tables and would be removed, where at most \
                     {shown} may be"
                );
                Err(StepError::needs_operator("RB0535", message).hint(
                    "rows came in since they were counted: stop who writes, look at the numbers \
                     again and approve those, or use `merge`, which removes none; nothing was \
                     changed",
                ))
            }
            _ => Ok(()),
        }
    }

    async fn unless_cancelled(
        &self,
        work: impl Future<Output = Result<(), StepError>>,
    ) -> Result<(), StepError> {
        tokio::select! {
            biased;
            () = self.ctx.cancel().cancelled() => Err(StepError::cancelled()),
            done = work => done.map_err(classify::not_applied),
        }
    }
}

/// Removes the staging schema that this run left.
pub(super) async fn discard(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
    let target = Target::resolve(&ctx.connection(&input.connection).await?)?;
    let session = connect_pinned(ctx, &target).await?;
    let (schema, run) = (input.staging.as_deref().unwrap_or_default(), ctx.id().run.to_string());
    let output = Output::of(Mode::Discard);
    ctx.record(FACT, &output).await?;
    let dropped = staging::drop_own(ctx, &session, schema, &run).await;
    dropped.map_err(classify::not_applied)?;
    session.close().await;
    Ok(output)
}

/// The schema is gone that this step said it would remove.
pub(super) async fn is_discarded(
    input: &Input,
    ctx: &StepContext,
    output: Output,
) -> Result<Observation<Output>, StepError> {
    let session = connect_named(ctx, &input.connection).await?;
    let schema = input.staging.as_deref().unwrap_or_default();
    let found = staging::look(&session, schema).await?;
    session.close().await;
    Ok(if found.is_none() { Observation::Done(output) } else { Observation::NotDone })
}

/// The tables beside their staged rows.
fn pairs(assessed: &Assessed, lives: Vec<Live>) -> Vec<Pair> {
    let pair = |(index, (live, one)): (usize, (Live, &Wanted))| Pair {
        live,
        other: one.staged.clone(),
        index,
    };
    lives.into_iter().zip(&assessed.wanted).enumerate().map(pair).collect()
}

/// Where the set says the sequences of the tables stand.
fn sequences_of(manifest: &Manifest, names: &[TableName]) -> Vec<Sequence> {
    let is_theirs = |sequence: &&Sequence| {
        let owner = sequence.owned_by.as_ref();
        owner.is_some_and(|owner| names.contains(&TableName::new(&owner.schema, &owner.table)))
    };
    manifest.contents.sequences.iter().filter(is_theirs).cloned().collect()
}

async fn check_identity(input: &Input, session: &Session) -> Result<(), StepError> {
    let Some(wanted) = &input.system_identifier else { return Ok(()) };
    let server = catalogue::server(session, &session.target().endpoint()).await;
    let found = server.map_err(classify::not_applied)?.system_identifier;
    if found.as_ref() == Some(wanted) {
        return Ok(());
    }
    let found = found.map_or("one that the role may not read".to_owned(), |it| format!("`{it}`"));
    let message = format!(
        "the server of `{}` ({}) has system identifier {found}, not `{wanted}`",
        input.connection,
        session.target().endpoint()
    );
    Err(StepError::needs_operator("RB0531", message)
        .hint("look at where the connection leads, with `pg.identify`; nothing was done"))
}

/// The set, of the connection's own database unless the plan says otherwise.
async fn choose(
    input: &Input,
    ctx: &StepContext,
    store: &dyn Store,
    target: &Target,
    names: &[TableName],
) -> Result<LoadedSet, StepError> {
    let min_proof = Some(ctx.store(&input.store).await?.min_proof);
    let database = input.source.as_deref().unwrap_or(&target.dbname);
    let (backup, proven_at) = (&input.backup, min_proof);
    let choice = Choice { database: Some(database), backup, proven_at };
    let error = match choice.make_for(names, store, ctx).await {
        Err(error) if error.code == "RB0610" && matches!(backup, Backup::Id(_)) => error,
        chosen => return chosen,
    };
    let anywhere = Choice { database: None, backup, proven_at };
    let Ok(set) = anywhere.make_for(names, store, ctx).await else { return Err(error) };
    let (id, of) = (&set.manifest.set, &set.manifest.database);
    let message = format!("set `{id}` is of database `{of}`, and this is about `{database}`");
    Err(StepError::permanent("RB0530", message)
        .hint(format!("when that is meant say `source: {of}`; nothing was done")))
}
