//! `pg.restore_rows`: brings a bundle of rows into a database, or takes that back.

mod input;
mod undo_bundle;

use engine::context::StepContext;
use engine::step::{Observation, Step};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::rows::Kind;
use model::step_error::StepError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::input::Input;
use self::input::{OnConflict, Parents, Triggers};
use super::asking;
use super::bundle;
use super::counts::{self, Counts};
use super::judge::{OnDifference, Policy, judge};
use super::sequences;
use super::staged::State;
use super::target::{self, Meant, Opened};
use super::triggers;
use super::undo;
use super::write;
use crate::pg::commit;
use crate::pg::connection::Session;

/// What was done, or with `preview` what would be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// It was done: false of a preview.
    pub applied: bool,
    /// The tables.
    pub tables: Vec<Counts>,
    /// All tables together.
    pub all: Counts,
    /// The tables in one line: `public.orders: insert 3, same 1; public.customers: same 1`.
    pub summary: String,
    /// Sequences that were moved on: `public.orders_id_seq to 4711`.
    pub sequences: Vec<String>,
    /// The folder from which it can be undone.
    pub undo: Option<String>,
}

/// The step kind.
pub struct RestoreRows;

impl Step for RestoreRows {
    const KIND: &'static str = "pg.restore_rows";
    const SUMMARY: &'static str = "brings extracted rows into a database, or takes that back";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        input.problems()
    }

    fn footprint(input: &Input) -> Footprint {
        let Input { connection, .. } = input;
        let (folder, kind) = input.bundle();
        let does = match (kind, input.on_conflict) {
            (Kind::Undo, _) => {
                format!("takes back in database `{connection}` what `{folder}` says was changed")
            }
            (_, OnConflict::OverwriteIfUnchangedSince) => {
                format!("inserts and overwrites the rows of `{folder}` in database `{connection}`")
            }
            _ => format!("inserts the missing rows of `{folder}` into database `{connection}`"),
        };
        let locks = format!("share row exclusive on the tables of `{folder}` until the end");
        if input.preview {
            return Footprint::new(Effect::Read, Repeat::Idempotent)
                .reads_connection(connection)
                .reads(format!("{does}, and rolls it back"))
                .lock(locks);
        }
        let footprint = Footprint::new(Effect::Destructive, Repeat::Transactional)
            .reads(format!("the bundle of rows `{folder}`"))
            .writes_connection(connection)
            .writes(does)
            .lock(locks);
        match &input.undo_bundle {
            Some(undo) => {
                footprint.writes(format!("the undo `{undo}`, private, with personal data"))
            }
            None => footprint,
        }
    }

    fn example() -> Output {
        let orders = Counts { table: "public.orders".to_owned(), insert: 3, ..Counts::default() };
        Output {
            applied: true,
            all: Counts::all(std::slice::from_ref(&orders)),
            summary: orders.told(),
            tables: vec![orders],
            sequences: Vec::new(),
            undo: Some("/var/backups/rows/ann.undo".to_owned()),
        }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        if input.preview {
            return Ok(Observation::NotDone);
        }
        commit::observe(ctx, &input.connection).await
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let prepared = tokio::select! {
            biased;
            () = ctx.cancel().cancelled() => Err(StepError::cancelled()),
            prepared = prepare(input, ctx) => prepared,
        };
        let (session, output) = prepared?;
        if input.preview {
            asking::run(&session, "roll back", "ROLLBACK").await?;
            session.close().await;
            return Ok(output);
        }
        commit::commit(ctx, session, output).await
    }
}

/// Does everything but the commit.
async fn prepare(input: &Input, ctx: &StepContext) -> Result<(Session, Output), StepError> {
    let (folder, kind) = input.bundle();
    let bundle = bundle::open(folder, kind)?;
    let identifier = bundle.server.system_identifier.as_deref().filter(|_| kind == Kind::Undo);
    let meant = Meant {
        database: input.database.as_deref().unwrap_or(&bundle.database),
        system_identifier: input.system_identifier.as_deref().or(identifier),
    };
    let state = if kind == Kind::Undo { State::Same } else { State::Insert };
    let how = (input.lock_timeout.duration(), state);
    let opened = target::open(ctx, &input.connection, (folder, &bundle), meant, how).await?;
    let off = match input.triggers {
        Triggers::Disable => Some(triggers::switch_off(&opened.session, &opened.tables).await?),
        Triggers::Fire => None,
    };
    let sequences = match kind {
        Kind::Rows => bring(input, ctx, &opened).await?,
        Kind::Undo => {
            undo::undo(&opened, input.on_conflict == OnConflict::Skip).await?;
            Vec::new()
        }
    };
    if let Some(off) = off {
        off.switch_on(&opened.session).await?;
    }
    let tables = counts::count(&opened.session, &opened.tables).await?;
    let output = output(input, tables, sequences);
    for line in output.tables.iter().map(Counts::told).chain(output.sequences.iter().cloned()) {
        ctx.log(line);
    }
    Ok((opened.session, output))
}

/// Brings the rows in; gives the sequences that were moved.
async fn bring(
    input: &Input,
    ctx: &StepContext,
    opened: &Opened,
) -> Result<Vec<String>, StepError> {
    let conflict = match (input.on_conflict, &input.changed_column, input.since) {
        (OnConflict::OverwriteIfUnchangedSince, Some(column), Some(since)) => {
            OnDifference::Overwrite { column, since }
        }
        (OnConflict::Skip, ..) => OnDifference::Keep,
        _ => OnDifference::Fail,
    };
    judge(opened, &Policy { conflict, attach: input.parents == Parents::Attach }).await?;
    let undo = match input.undo_bundle.as_deref().filter(|_| !input.preview) {
        Some(path) => Some((path, undo_bundle::begin(path, ctx, opened).await?)),
        None => None,
    };
    write::write(opened).await?;
    write::verify(opened).await?;
    let Some((path, undo)) = undo else { return Ok(Vec::new()) };
    let sequences = sequences::move_on(&opened.session, &opened.tables).await?;
    undo.finish(opened).await?;
    ctx.record("undo_bundle", serde_json::json!({"path": path})).await?;
    Ok(sequences)
}

fn output(input: &Input, tables: Vec<Counts>, sequences: Vec<String>) -> Output {
    Output {
        applied: !input.preview,
        all: Counts::all(&tables),
        summary: tables.iter().map(Counts::told).collect::<Vec<_>>().join("; "),
        tables,
        sequences,
        undo: input.undo_bundle.clone().filter(|_| !input.preview),
    }
}
