//! `pg.query`: runs one SQL statement.

use engine::context::StepContext;
use engine::step::{Observation, Step};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::step_error::StepError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::asked::{Asked, Rows, begin};
use super::commit;

/// Rows that are kept unless the plan says otherwise.
const MAX_ROWS: u32 = 100;

/// Runs one SQL statement.
///
/// ## What it does
/// It runs `sql` with `params` bound to `$1`, `$2` and so on, in a `READ ONLY` transaction. With
/// `read_only: false` the transaction may write; its id is journaled before the commit, so that
/// after a lost connection the server is asked whether it was committed (`pg_xact_status`).
///
/// Integers, floats, booleans and JSON keep their type in the output; everything else, `numeric`
/// too, is text. The time zone and the search path are the role's.
///
/// ## When to use it
/// To read a value that later steps need, or for a change that no other step kind makes. To check
/// a condition, use `pg.assert`. Put values into `params`, never into the text.
///
/// ## What it changes
/// Nothing, or with `read_only: false` what the statement changes: all of it, or nothing.
///
/// ## How it can fail
/// With the server's error; nothing was changed then. Statements that cannot run in a transaction
/// (`VACUUM`, `CREATE DATABASE`) are refused by the server. When the connection is lost during
/// the commit and the server cannot tell any more, the step is in doubt.
///
/// ## Example
/// ```yaml
/// - id: newest
///   uses: pg.query
///   with:
///     connection: prod
///     sql: select id, created_at from orders where state = $1 order by id desc limit 1
///     params: [paid]
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The name under `connections:`.
    connection: String,
    /// One SQL statement.
    sql: String,
    /// Values for `$1`, `$2` ...; a list for an array parameter, a mapping for JSON.
    #[serde(default)]
    params: Vec<Value>,
    /// Rows that are kept in the output; further ones are only counted.
    #[serde(default = "max_rows")]
    max_rows: u32,
    /// The statement may not write. Say `false` when it must.
    #[serde(default = "yes")]
    read_only: bool,
}

/// What the statement gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// The rows, each by column name; at most `max_rows`.
    rows: Vec<Map<String, Value>>,
    /// How many rows it returned, or changed when it returns none.
    row_count: u64,
    /// The first column of the first row.
    value: Option<Value>,
    /// There were more rows than `max_rows`.
    truncated: bool,
}

/// The step kind.
pub struct Query;

fn max_rows() -> u32 {
    MAX_ROWS
}

fn yes() -> bool {
    true
}

impl From<Rows> for Output {
    fn from(rows: Rows) -> Self {
        let Rows { kept, count, first, truncated } = rows;
        Self { rows: kept, row_count: count, value: first, truncated }
    }
}

impl Step for Query {
    const KIND: &'static str = "pg.query";
    const SUMMARY: &'static str = "runs one SQL statement";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        if input.sql.trim().is_empty() {
            return Err(vec![InputProblem::at("sql", "the statement is empty")]);
        }
        Ok(())
    }

    fn footprint(input: &Input) -> Footprint {
        let name = &input.connection;
        if input.read_only {
            return Footprint::new(Effect::Read, Repeat::Idempotent)
                .reads_connection(name)
                .reads(format!("what the query reads in database `{name}`"));
        }
        Footprint::new(Effect::Destructive, Repeat::Transactional)
            .writes_connection(name)
            .writes(format!("what the statement changes in database `{name}`"))
    }

    fn example() -> Output {
        let row = json!({"id": 42, "created_at": "2026-11-20 02:00:00+00"});
        let rows = row.as_object().into_iter().cloned().collect();
        Output { rows, row_count: 1, value: Some(json!(42)), truncated: false }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        if input.read_only {
            return Ok(Observation::NotDone);
        }
        commit::observe(ctx, &input.connection).await
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let asked = Asked { sql: &input.sql, params: &input.params, max_rows: input.max_rows };
        let session = begin(ctx, &input.connection, input.read_only).await?;
        let output = Output::from(asked.run(&session, ctx).await?);
        if input.read_only {
            session.close().await;
            return Ok(output);
        }
        commit::commit(ctx, session, output).await
    }
}
