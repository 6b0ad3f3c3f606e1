//! `pg.query`: runs an SQL statement, or a file of them.

use engine::context::{Progress, StepContext};
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
use super::connection::Session;
use super::script::Script;
use crate::file::local::path_problem;

/// Rows that are kept unless the plan says otherwise.
const MAX_ROWS: u32 = 100;

/// Runs one SQL statement, or a file of them.
///
/// ## What it does
/// It runs `sql` with `params` bound to `$1`, `$2` and so on, in a `READ ONLY` transaction. With
/// `read_only: false` the transaction may write; its id is journaled before the commit, so that
/// after a lost connection the server is asked whether it was committed (`pg_xact_status`).
///
/// With `file` the statements of a file run one after the other in one such transaction: all of
/// them are committed, or none. The file's SHA-256 is recorded before the first of them, so that
/// the evidence says what was run. The file is SQL alone, without commands of `psql`, without
/// `BEGIN` and `COMMIT`, and with the bodies of functions in quotes.
///
/// Integers, floats, booleans and JSON keep their type in the output; everything else, `numeric`
/// too, is text. The time zone and the search path are the role's.
///
/// ## When to use it
/// To read a value that later steps need, or for a change that no other step kind makes. To check
/// a condition, use `pg.assert`. Put values into `params`, never into the text. A `file` is for a
/// list that is kept elsewhere and played after every restore: who asked to be erased.
///
/// ## What it changes
/// Nothing, or with `read_only: false` what the statements change: all of it, or nothing.
///
/// ## How it can fail
/// With the server's error; nothing was changed then. Statements that cannot run in a transaction
/// (`VACUUM`, `CREATE DATABASE`) are refused by the server. When the connection is lost during
/// the commit and the server cannot tell any more, the step is in doubt. A file that is missing,
/// holds no statement or may be written to by everybody is refused before anything is sent.
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
    /// One SQL statement. Either this or `file`.
    sql: Option<String>,
    /// The absolute path of a file of SQL statements. Either this or `sql`.
    file: Option<String>,
    /// Values for `$1`, `$2` ...; a list for an array parameter, a mapping for JSON. A file with
    /// more than one statement takes none.
    #[serde(default)]
    params: Vec<Value>,
    /// Rows that are kept in the output; further ones are only counted.
    #[serde(default = "max_rows")]
    max_rows: u32,
    /// The statement may not write. Say `false` when it must.
    #[serde(default = "crate::defaults::yes")]
    read_only: bool,
    /// How far a statement that writes reaches, as its author knows it: `reversible`,
    /// `destructive` or `irreversible`. Without it `destructive`, which on a protected connection
    /// takes an approval before it.
    effect: Option<Effect>,
}

/// What the statement gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// The rows, each by column name; at most `max_rows`. Of a file those of its last statement.
    rows: Vec<Map<String, Value>>,
    /// How many rows it returned, or changed when it returns none; of a file all of them together.
    row_count: u64,
    /// The first column of the first row.
    value: Option<Value>,
    /// There were more rows than `max_rows`.
    truncated: bool,
    /// The SHA-256 of the file that was run.
    #[serde(default)]
    file_sha256: Option<String>,
}

/// What is recorded of a file before its first statement.
#[derive(Serialize)]
struct Announced<'a> {
    path: &'a str,
    sha256: &'a str,
    statements: usize,
}

/// The step kind.
pub struct Query;

fn max_rows() -> u32 {
    MAX_ROWS
}

impl From<Rows> for Output {
    fn from(rows: Rows) -> Self {
        let Rows { kept, count, first, truncated } = rows;
        Self { rows: kept, row_count: count, value: first, truncated, file_sha256: None }
    }
}

impl Input {
    fn asked<'a>(&'a self, sql: &'a str) -> Asked<'a> {
        Asked { sql, params: &self.params, max_rows: self.max_rows }
    }

    /// The file, read and cut; nothing was sent yet.
    fn script(&self) -> Result<Option<Script>, StepError> {
        let Some(path) = &self.file else { return Ok(None) };
        let script = Script::read(path)?;
        if script.statements.len() > 1 && !self.params.is_empty() {
            let message = format!("`{path}` has several statements, and `params` are given");
            return Err(StepError::permanent("RB0550", message));
        }
        Ok(Some(script))
    }

    async fn statements(
        &self,
        script: Option<Script>,
        session: &Session,
        ctx: &StepContext,
    ) -> Result<Output, StepError> {
        let Some(script) = script else {
            let sql = self.sql.as_deref().unwrap_or_default();
            return Ok(Output::from(self.asked(sql).run(session, ctx).await?));
        };
        let (mut last, mut count) = (Rows::default(), 0);
        let total = script.statements.len() as u64;
        for (index, piece) in script.statements.iter().enumerate() {
            let activity = format!("statement on line {}", piece.line);
            let done = index as u64;
            ctx.progress(Progress { activity, done, total: Some(total), bytes: false });
            let rows = self.asked(&piece.sql).run(session, ctx).await;
            last = rows.map_err(|error| script.at(index, error))?;
            count += last.count;
        }
        let rows = Rows { count, ..last };
        Ok(Output { file_sha256: Some(script.sha256), ..Output::from(rows) })
    }
}

async fn announce(script: &Script, ctx: &StepContext) -> Result<(), StepError> {
    let Script { path, sha256, statements } = script;
    let statements = statements.len();
    ctx.log(format!("`{path}`: {statements} statements, SHA-256 {sha256}"));
    ctx.record("file", Announced { path, sha256, statements }).await
}

impl Step for Query {
    const KIND: &'static str = "pg.query";
    const SUMMARY: &'static str = "runs an SQL statement, or a file of them";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let problem = match (&input.sql, &input.file) {
            (None, None) => Some(InputProblem::at("sql", "neither `sql` nor `file` is given")),
            (Some(_), Some(_)) => Some(InputProblem::at("file", "`sql` is given as well")),
            (Some(sql), None) if sql.trim().is_empty() => {
                Some(InputProblem::at("sql", "the statement is empty"))
            }
            // A parameter that may be left out, of a step that is then skipped.
            (None, Some(path)) if !path.is_empty() => path_problem("file", path),
            _ => None,
        };
        let problem = problem.or_else(|| {
            let message = match (input.read_only, input.effect?) {
                (true, _) => "a statement that may not write has no effect",
                (false, Effect::Read) => "a statement that may write does not only read",
                (false, _) => return None,
            };
            Some(InputProblem::at("effect", message).help("leave `effect` out"))
        });
        problem.map_or(Ok(()), |problem| Err(vec![problem]))
    }

    fn footprint(input: &Input) -> Footprint {
        let name = &input.connection;
        let footprint = if input.read_only {
            Footprint::new(Effect::Read, Repeat::Idempotent)
                .reads_connection(name)
                .reads(format!("what the query reads in database `{name}`"))
        } else {
            Footprint::new(input.effect.unwrap_or(Effect::Destructive), Repeat::Transactional)
                .writes_connection(name)
                .writes(format!("what the statement changes in database `{name}`"))
        };
        match &input.file {
            Some(path) => footprint.reads(format!("file `{path}`")),
            None => footprint,
        }
    }

    fn example() -> Output {
        let row = json!({"id": 42, "created_at": "2026-11-20 02:00:00+00"});
        let rows = row.as_object().into_iter().cloned().collect();
        let value = Some(json!(42));
        Output { rows, row_count: 1, value, truncated: false, file_sha256: None }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        if input.read_only {
            return Ok(Observation::NotDone);
        }
        commit::observe(ctx, &input.connection).await
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let script = input.script()?;
        if let Some(script) = &script {
            announce(script, ctx).await?;
        }
        let session = begin(ctx, &input.connection, input.read_only).await?;
        let output = input.statements(script, &session, ctx).await?;
        if input.read_only {
            session.close().await;
            return Ok(output);
        }
        commit::commit(ctx, session, output).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_author_says_how_far_a_statement_that_writes_reaches() {
        let input = |keys: Value| -> Input {
            let mut with = json!({"connection": "prod", "sql": "select pg_switch_wal()"});
            let keys = keys.as_object().expect("keys").clone();
            with.as_object_mut().expect("a mapping").extend(keys);
            serde_json::from_value(with).expect("the input reads")
        };
        let effect = |keys| Query::footprint(&input(keys)).effect;
        assert_eq!(effect(json!({})), Effect::Read);
        assert_eq!(effect(json!({"read_only": false})), Effect::Destructive);
        let said = json!({"read_only": false, "effect": "reversible"});
        assert_eq!(effect(said.clone()), Effect::Reversible);
        assert!(Query::validate(&input(said)).is_ok());
        for wrong in
            [json!({"effect": "reversible"}), json!({"read_only": false, "effect": "read"})]
        {
            assert_eq!(Query::validate(&input(wrong)).unwrap_err()[0].path, ["effect"]);
        }
    }
}
