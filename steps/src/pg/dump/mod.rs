//! `pg.dump`: one backup set of one database.

mod data;
mod input;
mod instructions;
mod locks;
mod schema;
mod schema_file;
mod sealed;
mod snapshot;
mod whole;
mod write;

use engine::context::StepContext;
use engine::step::{Observation, Step};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::set::SetId;
use model::set::layout::{MANIFEST, database_folder, set_folder};
use model::step_error::StepError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::input::Input;
pub(super) use self::input::table_name;
use super::target::Target;
use crate::store::{self, Removed, Store, StoreError};

/// The name of the fact that announces a set.
const FACT: &str = "set";

/// The step.
pub struct Dump;

/// What a later step may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The id of the set, for `backup:` of other steps.
    pub set: String,
    /// The database that was dumped.
    pub database: String,
    /// Bytes of the set in the store.
    pub bytes: u64,
    /// The folder of the set in the store.
    pub folder: String,
    /// The dump in the store, for `store.get`: an object, or a folder with format `directory`.
    /// Absent with format `objects`.
    pub dump: Option<String>,
    /// Bytes of COPY text before compression; 0 with another format than `objects`.
    pub raw_bytes: u64,
    /// Tables whose rows are in the set.
    pub tables: u64,
    /// Rows in the set, as SQL counted them.
    pub rows: u64,
    /// Objects of the set in the store.
    pub objects: u64,
    /// Everything that was committed before this moment is in the set (RFC 3339).
    pub recovery_point: String,
    /// The write position of the server at the snapshot; absent where the role may not read it.
    pub lsn: Option<String>,
    /// SHA-256 of the manifest, which names the SHA-256 of every object.
    pub manifest_sha256: String,
    /// What the set does not cover, and why.
    pub excluded: Vec<String>,
    /// How long it took, in milliseconds; 0 when the set was found by an observation.
    pub duration_ms: u64,
}

/// What is recorded before the first byte of a set is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Announced {
    /// The set.
    id: SetId,
    /// The database.
    database: String,
    /// The attempt that writes it.
    attempt: u32,
}

impl Announced {
    fn folder(&self) -> String {
        set_folder(&self.database, &self.id)
    }

    /// Every set that this step announced, oldest first.
    fn all(ctx: &StepContext) -> Vec<Self> {
        let facts = ctx.facts().into_iter().filter(|fact| fact.name == FACT);
        facts.filter_map(|fact| serde_json::from_value(fact.data).ok()).collect()
    }
}

impl Step for Dump {
    const KIND: &'static str = "pg.dump";
    const SUMMARY: &'static str = "writes a backup set of a database into a store";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        input.problems()
    }

    fn footprint(input: &Input) -> Footprint {
        let footprint = Footprint::new(Effect::Reversible, Repeat::Observable)
            .reads(format!("the database of `{}`", input.connection))
            .writes(format!("a new set in store `{}`", input.store))
            .reads_connection(&input.connection)
            .store(&input.store)
            .pg_tool("pg_dump", &input.connection)
            .pg_tool("pg_dumpall", &input.connection)
            .lock("ACCESS SHARE on every table until the rows are copied");
        match &input.schema_file {
            Some(path) => footprint.writes(format!("file `{path}`")),
            None => footprint,
        }
    }

    fn example() -> Output {
        Output {
            set: "20261120T020000Z-7k3m9q2x5w8r1t4v".to_owned(),
            database: "lms".to_owned(),
            bytes: 52_428_800,
            folder: "sets/lms/20261120T020000Z-7k3m9q2x5w8r1t4v".to_owned(),
            dump: Some("sets/lms/20261120T020000Z-7k3m9q2x5w8r1t4v/database.sql.zst".to_owned()),
            raw_bytes: 262_144_000,
            tables: 41,
            rows: 1_204_511,
            objects: 45,
            recovery_point: "2026-11-20T02:00:00Z".to_owned(),
            lsn: Some("2/9A0000C8".to_owned()),
            manifest_sha256: "0".repeat(64),
            excluded: Vec::new(),
            duration_ms: 42_000,
        }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        let Some(announced) = Announced::all(ctx).pop() else { return Ok(Observation::NotDone) };
        let store = store::open_named(ctx, &input.store).await?;
        match store::load(store.as_ref(), &announced.database, &announced.id).await {
            Ok(set) => Ok(Observation::Done(write::output(&set.manifest, &set.written, 0))),
            Err(StoreError::Missing { .. }) => Ok(Observation::NotDone),
            Err(error) => Err(error.into()),
        }
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let target = Target::resolve(&ctx.connection(&input.connection).await?)?;
        let store = store::open_named(ctx, &input.store).await?;
        clear_earlier(ctx, store.as_ref(), &target.dbname).await?;
        let announced = announce(ctx, &target).await?;
        let folder = announced.folder();
        let written = tokio::select! {
            biased;
            () = ctx.cancel().cancelled() => Err(StepError::cancelled()),
            written = write::write_set(input, ctx, &target, &store, &announced) => written,
        };
        if written.is_err() {
            clear(ctx, store.as_ref(), &folder).await;
        }
        written
    }
}

async fn announce(ctx: &StepContext, target: &Target) -> Result<Announced, StepError> {
    let id = ctx.id();
    let set = SetId::derive(ctx.now(), &id.run, &id.step, id.attempt);
    let announced = Announced { id: set, database: target.dbname.clone(), attempt: id.attempt };
    ctx.record(FACT, &announced).await?;
    Ok(announced)
}

/// Removes what attempts of this step that were killed left behind.
async fn clear_earlier(
    ctx: &StepContext,
    store: &dyn Store,
    database: &str,
) -> Result<(), StepError> {
    let swept = store.sweep(&database_folder(database)).await?;
    if swept > 0 {
        ctx.log(format!("{swept} unfinished objects of writers that were killed were removed"));
    }
    for announced in Announced::all(ctx) {
        let folder = announced.folder();
        if store.stat(&format!("{folder}/{MANIFEST}")).await?.is_none() {
            store.remove_folder(&folder).await?;
        }
    }
    Ok(())
}

/// What is left is no set without its manifest; the failure that led here is what is reported.
async fn clear(ctx: &StepContext, store: &dyn Store, folder: &str) {
    match store.remove_folder(folder).await {
        Ok(Removed { retained: 0 }) => {}
        Ok(Removed { retained }) => ctx.log(format!(
            "{retained} objects of the unfinished set `{folder}` stay while a lock holds them"
        )),
        Err(error) => {
            ctx.log(format!("the unfinished set `{folder}` could not be removed: {error}"));
        }
    }
}
