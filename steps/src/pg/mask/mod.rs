//! `pg.mask`: puts other values into named columns.

mod input;
mod look;
mod work;

use engine::context::{Progress, StepContext};
use engine::step::{Observation, Step};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::step_error::{ErrorClass, StepError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::input::Input;
use super::connection::{Session, connect_named};
use super::{asked, catalogue, classify, commit};

/// The fact that says that no old value is in a file any more.
const FINISHED: &str = "finished";

/// So that a policy hides no row, a quote is a quote, and nothing but the plan's limits ends it.
const SETTINGS: &str = "SET row_security = off; SET standard_conforming_strings = on; \
    SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0";

/// What was masked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// The columns, in the order of the plan.
    columns: Vec<Masked>,
    /// Rows that were changed, all tables together.
    rows: u64,
    /// The tables whose rows were changed, those of keys that follow included.
    changed: Vec<String>,
    /// The materialized views that were refreshed.
    refreshed: Vec<String>,
    /// How many triggers and rules were switched off meanwhile.
    triggers: u64,
    /// The changed tables were rewritten: no old value is in their files.
    rewritten: bool,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Masked {
    /// `schema.table.column`.
    column: String,
    /// Rows that got another value.
    rows: u64,
    /// They all have the same one now.
    constant: bool,
}

/// The step kind.
pub struct Mask;

/// Refuses a database that is production's.
async fn check_place(input: &Input, ctx: &StepContext) -> Result<(), StepError> {
    let name = &input.connection;
    if ctx.connection(name).await?.protected {
        let message = format!("`{name}` is protected, so nothing in it is masked");
        return Err(StepError::permanent("RB0763", message)
            .hint("mask a copy, over a connection that has `protected: false`"));
    }
    Ok(())
}

async fn check_server(input: &Input, session: &Session) -> Result<(), StepError> {
    // A parameter that is left out.
    let given = input.not_system_identifier.as_ref().filter(|given| !given.is_empty());
    let Some(production) = given else { return Ok(()) };
    let server = catalogue::server(session, &session.target().endpoint()).await;
    let found = server.map_err(classify::not_applied)?.system_identifier;
    match found {
        Some(found) if found != *production => Ok(()),
        Some(found) => {
            let message = format!(
                "the server of `{}` has the system identifier `{found}`: it is production's",
                input.connection
            );
            Err(StepError::permanent("RB0763", message).hint("check the connection's address"))
        }
        None => {
            let message = format!("the server of `{}` does not tell who it is", input.connection);
            Err(StepError::needs_operator("RB0763", message)
                .hint("grant the role EXECUTE on `pg_control_system()`"))
        }
    }
}

/// Masks in one transaction, and commits it.
async fn mask(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
    let session = connect_named(ctx, &input.connection).await?;
    let masked = async {
        check_server(input, &session).await?;
        let settings = session.execute_all("set up a session", SETTINGS).await;
        settings.map_err(classify::not_applied)?;
        asked::begin_on(&session, false).await?;
        look::check_required(&session, input).await?;
        let tables = look::tables(&session, input.masks()).await?;
        for table in &tables {
            work::check(&session, table).await?;
        }
        let say = |activity: &str| {
            ctx.log(activity);
            ctx.progress(Progress { activity: activity.to_owned(), ..Progress::default() });
        };
        work::work(&session, &tables, input.triggers, say).await
    };
    let masked = tokio::select! {
        biased;
        () = ctx.cancel().cancelled() => return Err(StepError::cancelled()),
        masked = masked => masked,
    };
    let output = match masked {
        Ok(output) => output,
        Err(error) => {
            // Nobody waits for the locks of a transaction that has failed.
            session.close().await;
            return Err(error);
        }
    };
    commit::commit(ctx, session, output).await
}

/// Takes the old values out of the files and the statistics. May be repeated.
async fn finish(input: &Input, ctx: &StepContext, output: &Output) -> Result<(), StepError> {
    let session = connect_named(ctx, &input.connection).await?;
    let verb = if input.rewrite { "VACUUM (FULL, ANALYZE)" } else { "ANALYZE" };
    let tables = output.changed.iter().map(|table| format!("{verb} {table}"));
    // A refresh writes a view anew, and leaves its statistics as they were.
    let views = output.refreshed.iter().map(|view| format!("ANALYZE {view}"));
    let todo: Vec<String> = tables.chain(views).collect();
    let settings = session.execute_all("set up a session", SETTINGS).await;
    settings.map_err(classify::not_applied)?;
    for (done, sql) in (0..).zip(&todo) {
        ctx.log(sql);
        let (activity, total) = (sql.clone(), Some(todo.len() as u64));
        ctx.progress(Progress { activity, done, total, bytes: false });
        tokio::select! {
            biased;
            () = ctx.cancel().cancelled() => return Err(StepError::cancelled()),
            done = session.execute_all(sql, sql) => done?,
        }
    }
    session.close().await;
    Ok(())
}

/// The error of a database that is masked, and whose files still hold old values.
fn unfinished(error: StepError) -> StepError {
    let class = match error.class {
        ErrorClass::Cancelled => ErrorClass::Ambiguous,
        class => class,
    };
    let message = "the values are masked, and old ones are still in files or statistics";
    let mut out = StepError::new(class, "RB0767", message);
    out.causes.push(format!("[{}] {}", error.code, error.message));
    out.causes.extend(error.causes);
    out.hint("resume: the next attempt rewrites the tables and masks nothing again")
}

impl Step for Mask {
    const KIND: &'static str = "pg.mask";
    const SUMMARY: &'static str = "puts other values into named columns of a copy";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let problems = input.problems();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        let names: Vec<_> = input
            .masks()
            .iter()
            .filter_map(|mask| mask.named().ok())
            .map(|named| format!("`{}`", named.shown()))
            .collect();
        let name = &input.connection;
        let footprint = Footprint::new(Effect::Destructive, Repeat::Observable)
            .scratch_connection(name)
            .writes(format!("every value of {} in database `{name}`", names.join(", ")))
            .lock("an exclusive lock on each masked table while it is rewritten");
        if input.require.is_empty() {
            return footprint;
        }
        footprint.reads(format!("the names of all columns in database `{name}`"))
    }

    fn example() -> Output {
        let column = "lms.users.email".to_owned();
        Output {
            columns: vec![Masked { column, rows: 1200, constant: false }],
            rows: 1200,
            changed: vec!["lms.users".to_owned()],
            refreshed: vec!["lms.active_users".to_owned()],
            triggers: 1,
            rewritten: true,
        }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        Ok(match commit::observe::<Output>(ctx, &input.connection).await? {
            Observation::Done(output) if ctx.fact(FINISHED).is_some() => {
                Observation::Done(Output { rewritten: input.rewrite, ..output })
            }
            // What is missing may be done again; the masks are known to be in place.
            Observation::Done(_) => Observation::NotDone,
            other => other,
        })
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        check_place(input, ctx).await?;
        let output = match commit::observe::<Output>(ctx, &input.connection).await? {
            Observation::NotDone => mask(input, ctx).await?,
            Observation::Done(output) => {
                ctx.log("an earlier attempt has masked the values; the rest is done now");
                output
            }
            Observation::InProgress | Observation::Unknown => return Err(open()),
        };
        finish(input, ctx, &output).await.map_err(unfinished)?;
        ctx.record(FINISHED, input.rewrite).await?;
        Ok(Output { rewritten: input.rewrite, ..output })
    }
}

/// The error of an attempt that meets another one's open transaction.
fn open() -> StepError {
    let message = "nobody can tell whether an earlier attempt has masked the values";
    StepError::ambiguous("RB0767", message)
        .hint("restore the copy again and mask that: masks may not bear a second round")
}
