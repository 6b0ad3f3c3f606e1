//! `pg.manifest`: what a living database holds, and whether it is what a set holds.

use engine::context::StepContext;
use engine::step::{Observation, Step};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::{Footprint, Part};
use model::proof::Level;
use model::set::manifest::{Contents, Scope};
use model::set::{Comparison, Manifest, compare};
use model::step_error::StepError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::catalogue;
use super::classify::not_applied;
use super::connection::{Session, connect_pinned};
use super::target::Target;
use crate::store::{self, Backup, Choice};

/// Differences that the outputs show; the step's log has all of them.
const SHOWN: usize = 20;

/// Compares a database with the manifest of a set.
///
/// ## What it does
/// Reads a database as `pg.dump` does for a manifest, in one snapshot: every
/// definition, a row count and a content hash of every table, sequences, large objects. With
/// `store` it compares them with a backup set and names each difference.
///
/// ## When to use it
/// To show that a restored, copied or promoted database is what a set holds, or
/// how far a living one has moved on since. To prove a set without a database to compare, use
/// `pg.verify_backup`.
///
/// ## What it changes
/// Nothing. It reads every row, and holds a snapshot meanwhile.
///
/// ## How it can fail
/// The server cannot be reached; the role may not read a table; no set fits;
/// the database differs from the set and `allow_differences` is not given.
///
/// ## Example
/// ```yaml
/// - id: compare
///   uses: pg.manifest
///   with: {connection: restored, store: backups, source: lms, backup: latest}
/// ```
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The connection whose database is read.
    pub connection: String,
    /// The store whose set it is compared with; without it nothing is compared.
    #[serde(default)]
    pub store: Option<String>,
    /// The database the set was made of. Default: the name of the one that is read.
    #[serde(default)]
    pub source: Option<String>,
    /// A set id, `latest`, or `{before: <time>}`. Whether the set is proven does not matter.
    #[serde(default)]
    pub backup: Backup,
    /// `complete` compares definitions, row counts and sequences; `identical` the contents too.
    #[serde(default = "default_level")]
    pub level: Level,
    /// Differences are reported and do not fail the step.
    #[serde(default)]
    pub allow_differences: bool,
}

fn default_level() -> Level {
    Level::Identical
}

/// What the database holds and how it compares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The database that was read.
    pub database: String,
    /// Tables whose rows were read.
    pub tables: u64,
    /// Rows in them.
    pub rows: u64,
    /// Sequences.
    pub sequences: u64,
    /// Large objects.
    pub large_objects: u64,
    /// Definitions.
    pub definitions: u64,
    /// The moment that was read (RFC 3339).
    pub recovery_point: String,
    /// The set it was compared with.
    pub set: Option<String>,
    /// How many differences there are; absent when nothing was compared.
    pub differences: Option<u64>,
    /// The first of them, in words.
    pub difference_messages: Vec<String>,
    /// What was looked at: `proved 41 of 43 tables, ...`; absent when nothing was compared.
    pub checked: Option<String>,
    /// What was left out, and why.
    pub excluded: Vec<String>,
}

/// The step.
pub struct Compare;

impl Step for Compare {
    const KIND: &'static str = "pg.manifest";
    const SUMMARY: &'static str = "reads what a database holds and compares it with a backup set";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let levels = [Level::Complete, Level::Identical];
        let mut problems = Vec::new();
        if !levels.contains(&input.level) {
            let message = "a living database is compared at `complete` or `identical`";
            problems.push(InputProblem::at("level", message));
        }
        if input.store.is_none() && input.backup != Backup::Latest {
            problems.push(InputProblem::at("backup", "a set is in a store: name it in `store`"));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        let footprint = Footprint::new(Effect::Read, Repeat::Idempotent)
            .reads(format!("every row of the database of `{}`", input.connection))
            .reads_connection(&input.connection);
        match &input.store {
            Some(store) => {
                let footprint = footprint.plays(Part::Verify).store(store);
                footprint.reads(format!("a set's manifest in store `{store}`"))
            }
            None => footprint,
        }
    }

    fn example() -> Output {
        Output {
            database: "lms".to_owned(),
            tables: 41,
            rows: 1_204_511,
            sequences: 12,
            large_objects: 0,
            definitions: 618,
            recovery_point: "2026-11-20T02:00:00Z".to_owned(),
            set: Some("20261120T020000Z-7k3m9q2x5w8r1t4v".to_owned()),
            differences: Some(0),
            difference_messages: Vec::new(),
            checked: Some(
                "proved 41 of 41 tables, 1204511 rows, 12 sequences, 618 definitions".to_owned(),
            ),
            excluded: Vec::new(),
        }
    }

    async fn observe(_: &Input, _: &StepContext) -> Result<Observation<Output>, StepError> {
        Ok(Observation::NotDone)
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let target = Target::resolve(&ctx.connection(&input.connection).await?)?;
        let manifest = manifest(input, ctx, &target).await?;
        let session = connect_pinned(ctx, &target).await?;
        let read = tokio::select! {
            biased;
            () = ctx.cancel().cancelled() => Err(StepError::cancelled()),
            read = read(&session, manifest.as_ref(), input.level) => read.map_err(not_applied),
        };
        let (contents, recovery_point) = read?;
        session.close().await;
        let comparison =
            manifest.as_ref().map(|set| compare(&set.contents, &contents, input.level));
        for difference in comparison.iter().flat_map(|comparison| &comparison.differences) {
            ctx.log(&difference.message);
        }
        let output = output(&target, &contents, recovery_point, manifest.as_ref(), comparison);
        refuse_differences(input, &output)?;
        Ok(output)
    }
}

/// The manifest to compare with, when one is asked for.
async fn manifest(
    input: &Input,
    ctx: &StepContext,
    target: &Target,
) -> Result<Option<Manifest>, StepError> {
    let Some(name) = &input.store else { return Ok(None) };
    let store = store::open_named(ctx, name).await?;
    let database = Some(input.source.as_deref().unwrap_or(&target.dbname));
    let choice = Choice { database, backup: &input.backup, proven_at: None };
    Ok(Some(choice.make(store.as_ref(), ctx).await?.manifest))
}

/// Reads the database in one snapshot, rows in the manifest's order of columns.
async fn read(
    session: &Session,
    manifest: Option<&Manifest>,
    level: Level,
) -> Result<(Contents, String), StepError> {
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    session.execute_all("begin a snapshot", begin).await?;
    let moment = catalogue::server(session, &session.target().endpoint()).await?.snapshot_time;
    let scope = manifest.map_or(Scope::Full, |manifest| manifest.contents.scope.clone());
    let mut contents = catalogue::capture(session, &scope).await?;
    if let Some(manifest) = manifest {
        contents.order_columns_like(&manifest.contents);
    }
    let with_contents = level >= Level::Identical;
    if scope != Scope::Definitions {
        catalogue::measure(session, &mut contents, with_contents).await?;
    }
    if with_contents && scope == Scope::Full {
        catalogue::read_large_objects(session, &mut contents).await?;
    }
    session.execute_all("end a snapshot", "COMMIT").await?;
    Ok((contents, moment.to_string()))
}

fn output(
    target: &Target,
    contents: &Contents,
    recovery_point: String,
    manifest: Option<&Manifest>,
    comparison: Option<Comparison>,
) -> Output {
    let counted = || contents.tables.iter().filter_map(|table| table.rows);
    let differences = comparison.as_ref().map(|comparison| comparison.differences.len() as u64);
    let checked = comparison.as_ref().map(|comparison| comparison.checked.to_string());
    let messages = comparison.into_iter().flat_map(|comparison| comparison.differences);
    Output {
        database: target.dbname.clone(),
        tables: counted().count() as u64,
        rows: counted().sum(),
        sequences: contents.sequences.len() as u64,
        large_objects: contents.large_objects.count,
        definitions: contents.objects.len() as u64,
        recovery_point,
        set: manifest.map(|manifest| manifest.set.to_string()),
        differences,
        difference_messages: messages.take(SHOWN).map(|found| found.message).collect(),
        checked,
        excluded: contents.exclusions.iter().map(ToString::to_string).collect(),
    }
}

fn refuse_differences(input: &Input, output: &Output) -> Result<(), StepError> {
    let (Some(count @ 1..), Some(set)) = (output.differences, &output.set) else { return Ok(()) };
    if input.allow_differences {
        return Ok(());
    }
    let things = if count == 1 { "thing" } else { "things" };
    let message =
        format!("database `{}` differs from set `{set}` in {count} {things}", output.database);
    let mut error = StepError::permanent("RB0522", message)
        .hint("the step's log names every difference; `allow_differences: true` only reports them");
    error.causes.extend(output.difference_messages.iter().cloned());
    Err(error)
}
