//! `pg.restore_table`: rows of tables come back from a set.

mod constraints;
pub(super) mod difference;
pub(super) mod exchange;
mod fits;
pub(super) mod input;
pub(super) mod kept;
pub(super) mod live;
mod room;
mod staging;
mod text_rows;
mod work;

use engine::clock::{Clock, RealClock};
use engine::context::StepContext;
use engine::step::{Observation, Step};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::set::manifest::TableName;
use model::step_error::StepError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::difference::Counts;
use self::input::list_words;
pub use self::input::{Input, Mode};
use self::kept::Kept;
use self::work::Work;
use super::commit;
use super::connection::connect_named;

/// The fact that holds the output of a step that is done but for its last act.
const FACT: &str = "table";

/// The step.
pub struct RestoreTable;

/// What a later step may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The set the rows are of; empty after `discard`.
    pub set: String,
    /// How far the restore went.
    pub mode: Mode,
    /// Each table, and how it differed from the set.
    pub tables: Vec<Outcome>,
    /// Rows that only the tables have: those that `swap` removes.
    pub only_here: u64,
    /// Rows that only the set has.
    pub only_there: u64,
    /// Rows of the same primary key with other values.
    pub changed: u64,
    /// The differences in words, for a prompt.
    pub summary: String,
    /// The schema that holds the rows of the set; only after mode `staging`.
    pub staging: Option<String>,
    /// Materialized views that were refreshed.
    pub refreshed: Vec<String>,
    /// Bytes of the set that were read; 0 when its rows lay in the staging schema already.
    pub bytes_read: u64,
    /// Bytes of the server's disk that the restore takes at most.
    pub disk_bytes: u64,
    /// Bytes that were free there; absent where that cannot be known.
    pub free_bytes: Option<u64>,
    /// The rows are those of this moment (RFC 3339); empty after `discard`.
    pub recovery_point: String,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

/// One table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// The table.
    pub table: String,
    /// Its rows and those of the set.
    pub counts: Counts,
    /// The primary key tells which row is which; else the content does.
    pub by_key: bool,
    /// Where the rows of the set lie; only after mode `staging`.
    pub staged: Option<String>,
    /// The table that keeps the former rows; only after `swap` and `merge`.
    pub kept: Option<String>,
}

impl Output {
    /// What is known when nothing was done yet.
    fn of(mode: Mode) -> Self {
        Self {
            set: String::new(),
            mode,
            tables: Vec::new(),
            only_here: 0,
            only_there: 0,
            changed: 0,
            summary: String::new(),
            staging: None,
            refreshed: Vec::new(),
            bytes_read: 0,
            disk_bytes: 0,
            free_bytes: None,
            recovery_point: String::new(),
            duration_ms: 0,
        }
    }
}

impl Step for RestoreTable {
    const KIND: &'static str = "pg.restore_table";
    const SUMMARY: &'static str = "brings the rows of tables back from a backup set";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        input.problems()
    }

    fn footprint(input: &Input) -> Footprint {
        if input.mode == Mode::Discard {
            return discards(input);
        }
        let names = list_words(&input.names());
        let effect = if input.exchanges() { Effect::Destructive } else { Effect::Reversible };
        let footprint = Footprint::new(effect, Repeat::Observable)
            .reads(format!("the rows of {names} in a set in store `{}`", input.store))
            .writes_connection(&input.connection)
            .opens_store(&input.store)
            .lock(format!("ACCESS SHARE on {names} while rows are compared"));
        let schema = input.staging.as_deref().unwrap_or("rb_staging_...");
        if !input.exchanges() {
            return footprint
                .writes(format!("staging schema `{schema}` on `{}`", input.connection));
        }
        let footprint = footprint
            .writes(format!("rows of {names} in the database of `{}`", input.connection))
            .writes(format!("the former rows of {names} as `<name>__rb_<run>`"))
            .lock(format!(
                "EXCLUSIVE on {names} from the exchange to the commit: writers wait, readers do not \
                 (they do when a check that is NOT VALID has to be made again)"
            ));
        if !input.refresh {
            return footprint;
        }
        footprint
            .lock("ACCESS EXCLUSIVE on materialized views that read them, from their refresh on")
    }

    fn example() -> Output {
        let counts =
            Counts { rows_here: 41, rows_there: 44, only_here: 1, only_there: 4, changed: 2 };
        let table = "billing.payments".to_owned();
        Output {
            set: "20261120T020000Z-7k3m9q2x5w8r1t4v".to_owned(),
            mode: Mode::Swap,
            summary: format!("{table}: {}", counts.words()),
            tables: vec![Outcome {
                table: table.clone(),
                counts,
                by_key: true,
                staged: None,
                kept: Some(format!("{table}__rb_01jd2q0m3k5v7x9zb1d3f5h7j9")),
            }],
            only_here: counts.only_here,
            only_there: counts.only_there,
            changed: counts.changed,
            staging: Some("rb_staging_01jd2q0m3k5v7x9zb1d3f5h7j9".to_owned()),
            refreshed: Vec::new(),
            bytes_read: 524_288,
            disk_bytes: 3_145_728,
            free_bytes: None,
            recovery_point: "2026-11-20T02:00:00Z".to_owned(),
            duration_ms: 4_200,
        }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        let last = ctx.fact(FACT).map(serde_json::from_value::<Output>);
        let Some(Ok(output)) = last else { return Ok(Observation::NotDone) };
        if input.mode == Mode::Discard {
            return work::is_discarded(input, ctx, output).await;
        }
        if let Some(schema) = &output.staging {
            let session = connect_named(ctx, &input.connection).await?;
            let run = ctx.id().run.to_string();
            let is_whole = staging::is_whole(&session, schema, &run).await?;
            session.close().await;
            let done = || Observation::Done(output.clone());
            return Ok(if is_whole { done() } else { Observation::NotDone });
        }
        match commit::observe(ctx, &input.connection).await? {
            // The server does not know the transaction any more: what it wrote tells.
            Observation::Unknown => by_mark(input, ctx, output).await,
            seen => Ok(seen),
        }
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let started = RealClock.mono_ms();
        if input.mode == Mode::Discard {
            return work::discard(input, ctx).await;
        }
        let work = Work::begin(input, ctx).await?;
        let took = move || RealClock.mono_ms() - started;
        work.run(&took).await
    }
}

/// A copy of what the set holds goes.
fn discards(input: &Input) -> Footprint {
    let schema = input.staging.as_deref().unwrap_or_default();
    Footprint::new(Effect::Reversible, Repeat::Observable)
        .writes(format!("drops staging schema `{schema}` on `{}`", input.connection))
        .writes_connection(&input.connection)
}

/// The former rows are kept with the mark of this step: it was committed. Without them it may have
/// been, and released since.
async fn by_mark(
    input: &Input,
    ctx: &StepContext,
    output: Output,
) -> Result<Observation<Output>, StepError> {
    let session = connect_named(ctx, &input.connection).await?;
    let names: Vec<TableName> = input.names();
    let run = ctx.id().run.to_string();
    let mut all = true;
    for name in &names {
        let kept = Kept::find(&session, name, &run).await?;
        all &= kept.is_some_and(|kept| kept.mark.step == ctx.id().step.as_str());
    }
    session.close().await;
    Ok(if all { Observation::Done(output) } else { Observation::Unknown })
}
