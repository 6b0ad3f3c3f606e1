//! `pg.restore`: a set becomes a new database.

mod apply;
mod input;
pub(super) mod partial;
mod partitions;
pub(super) mod scratch;
mod stage;
mod statistics;

use engine::clock::{Clock, RealClock};
use engine::context::StepContext;
use engine::step::{Observation, Step};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::set::manifest::{Scope, TableData};
use model::step_error::{ErrorClass, StepError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) use self::apply::{Options, Restore};
pub use self::input::Input;
use self::scratch::Scratch;
pub(super) use self::stage::{Staged, stage, stage_dump};
use super::connection::{Session, connect};
use super::copy::OpenSet;
use super::target::Target;
use super::{classify, sql};
use crate::store::{self, Choice, LoadedSet};

/// The name of the fact that announces a database.
const FACT: &str = "database";

/// The step.
pub struct RestoreDatabase;

/// What a later step may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The set that was restored.
    pub set: String,
    /// The database that was made.
    pub database: String,
    /// Tables whose rows were restored.
    pub tables: u64,
    /// Rows that were restored.
    pub rows: u64,
    /// Bytes of the set that were read.
    pub bytes: u64,
    /// The state of the database is that of this moment (RFC 3339).
    pub recovery_point: String,
    /// What the set does not cover, and why.
    pub excluded: Vec<String>,
    /// How long it took, in milliseconds; 0 when it was found done by an observation.
    pub duration_ms: u64,
}

/// What is recorded once the database exists, before anything is put into it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Announced {
    /// The id of the set.
    set: String,
    /// The name of the database of the set.
    source: String,
    /// The object id of the new database: it stays when the name changes.
    oid: u32,
}

impl Step for RestoreDatabase {
    const KIND: &'static str = "pg.restore";
    const SUMMARY: &'static str = "restores a backup set into a new database";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        input.problems()
    }

    fn footprint(input: &Input) -> Footprint {
        Footprint::new(Effect::Reversible, Repeat::Observable)
            .reads(format!("a set in store `{}`", input.store))
            .writes(format!("new database `{}`", input.database))
            .writes_connection(&input.connection)
            .makes_database(&input.database)
            .opens_store(&input.store)
            .pg_tool("pg_restore", &input.connection)
    }

    fn example() -> Output {
        Output {
            set: "20261120T020000Z-7k3m9q2x5w8r1t4v".to_owned(),
            database: "lms_restored".to_owned(),
            tables: 41,
            rows: 1_204_511,
            bytes: 52_428_800,
            recovery_point: "2026-11-20T02:00:00Z".to_owned(),
            excluded: Vec::new(),
            duration_ms: 95_000,
        }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        let fact = ctx.fact(FACT).map(serde_json::from_value::<Announced>);
        let Some(Ok(announced)) = fact else { return Ok(Observation::NotDone) };
        let target = Target::resolve(&ctx.connection(&input.connection).await?)?;
        let session = connect(ctx, &target).await?;
        let found = session
            .query_opt("SELECT datname::text FROM pg_database WHERE oid = $1", &[&announced.oid])
            .await
            .map_err(|error| classify::statement("look for the database", &error))?;
        session.close().await;
        // It gets its name when it is whole: the last thing that is done.
        if found.is_none_or(|row| row.get::<_, String>(0) != input.database) {
            return Ok(Observation::NotDone);
        }
        let store = store::open_named(ctx, &input.store).await?;
        let id = announced.set.parse().map_err(|error: model::set::id::InvalidSetId| {
            StepError::permanent("RB0610", error.to_string())
        })?;
        let set = store::load(store.as_ref(), &announced.source, &id).await?;
        Ok(Observation::Done(output(input, &set, 0)))
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let started = RealClock.mono_ms();
        let target = Target::resolve(&ctx.connection(&input.connection).await?)?;
        let store = store::open_named(ctx, &input.store).await?;
        let min_proof = ctx.store(&input.store).await?.min_proof;
        let choice = Choice {
            database: input.source.as_deref(),
            backup: &input.backup,
            proven_at: Some(min_proof),
        };
        let set = choice.make(store.as_ref(), ctx).await?;
        refuse_partial(input, &set)?;
        let from = OpenSet::open(ctx, &input.store, store.as_ref(), &set).await?;
        let admin = connect(ctx, &target).await?;
        refuse_existing(&admin, &input.database).await?;
        let scratch = Scratch::create(ctx, &admin, &target, &set.manifest, scratch::Use::Restore)
            .await
            .map_err(classify::not_applied)?;
        let source = set.manifest.database.clone();
        let announced = Announced { set: set.manifest.set.to_string(), source, oid: scratch.oid() };
        ctx.record(FACT, announced).await?;
        let restore =
            Restore { ctx, target: scratch.target(), from: &from, options: input.options() };
        let restored = tokio::select! {
            biased;
            () = ctx.cancel().cancelled() => Err(StepError::cancelled()),
            restored = restore.run() => restored.map_err(classify::not_applied),
        };
        if let Err(error) = restored {
            scratch.drop_database(ctx).await;
            return Err(error);
        }
        if let Err(error) = scratch.rename(&admin, &input.database).await {
            // In doubt it may have its name already: the observation tells.
            if error.class != ErrorClass::Ambiguous {
                scratch.drop_database(ctx).await;
            }
            return Err(error);
        }
        admin.close().await;
        Ok(output(input, &set, RealClock.mono_ms() - started))
    }
}

/// A set of some tables must not pass for the database.
fn refuse_partial(input: &Input, set: &LoadedSet) -> Result<(), StepError> {
    let holds = match &set.manifest.contents.scope {
        Scope::Tables(_) if !input.partial => "some tables",
        Scope::Definitions if !input.partial => "definitions",
        _ => return Ok(()),
    };
    let message = format!("set `{}` holds {holds} only, not the whole database", set.manifest.set);
    Err(StepError::permanent("RB0615", message)
        .hint("name a set of the whole database (`runbook backups list`), or say `partial: true`"))
}

async fn refuse_existing(admin: &Session, database: &str) -> Result<(), StepError> {
    let found =
        admin.query_opt("SELECT FROM pg_database WHERE datname = $1", &[&database]).await.map_err(
            |error| classify::not_applied(classify::statement("look for the database", &error)),
        )?;
    if found.is_none() {
        return Ok(());
    }
    let message = format!("database {} exists on the target", sql::identifier(database));
    Err(StepError::permanent("RB0520", message)
        .hint("restore under another name; nothing is ever restored over a database"))
}

fn output(input: &Input, set: &LoadedSet, duration_ms: u64) -> Output {
    let contents = &set.manifest.contents;
    let tables = || contents.tables.iter().filter(|table| table.data != TableData::None);
    let excluded = contents.exclusions.iter();
    Output {
        set: set.manifest.set.to_string(),
        database: input.database.clone(),
        tables: tables().count() as u64,
        rows: tables().filter_map(|table| table.rows).sum(),
        bytes: set.manifest.files.iter().map(|file| file.bytes).sum(),
        recovery_point: set.manifest.server.snapshot_time.to_string(),
        excluded: excluded.map(ToString::to_string).collect(),
        duration_ms,
    }
}
