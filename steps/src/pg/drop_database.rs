//! `pg.drop_database`: removes a database.

use engine::context::StepContext;
use engine::step::{Observation, Step};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::step_error::StepError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_postgres::Error;
use tokio_postgres::types::Oid;

use super::classify;
use super::connection::{Session, connect_named};
use super::sql::identifier;

/// The fact that holds the object id of the database that is dropped.
const FACT: &str = "drop_database";

/// Databases that belong to the server itself.
const KEPT: [&str; 3] = ["postgres", "template0", "template1"];

/// Removes a database.
///
/// ## What it does
/// It looks up the database's object id, journals it, and drops the database. A later look for
/// that id tells whether it happened, also when somebody has made a new database of that name.
///
/// ## When to use it
/// To remove a scratch database, or to make room for a restore under the same name.
///
/// ## What it changes
/// The database with all its data is gone; only a backup brings it back. On a protected
/// connection, which is the default, `confirm` must repeat the name.
///
/// ## How it can fail
/// When the database does not exist, unless `if_exists` is set; when sessions are connected to
/// it, unless `force` is set; when the connection itself names that database; when the role is
/// not its owner.
///
/// ## Example
/// ```yaml
/// - id: clean_up
///   uses: pg.drop_database
///   with: {connection: scratch, database: lms_restored, if_exists: true}
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The name under `connections:`; it names another database of the same server.
    connection: String,
    /// The database to remove.
    database: String,
    /// Ends the sessions that are connected to it.
    #[serde(default)]
    force: bool,
    /// A database that does not exist is a success.
    #[serde(default)]
    if_exists: bool,
    /// The database's name once more, needed when the connection is protected.
    confirm: Option<String>,
}

/// What was removed.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// The name.
    database: String,
    /// It existed and was dropped by this step.
    dropped: bool,
}

/// The step kind.
pub struct DropDatabase;

#[derive(Serialize, Deserialize)]
struct Doomed {
    oid: Oid,
}

fn recorded(ctx: &StepContext) -> Option<Oid> {
    let doomed: Doomed = serde_json::from_value(ctx.fact(FACT)?).ok()?;
    Some(doomed.oid)
}

async fn find(session: &Session, sql: &str, database: &str) -> Result<Option<Oid>, StepError> {
    let row = session.query_opt(sql, &[&database]).await;
    let failed =
        |error: Error| classify::not_applied(classify::statement("look for the database", &error));
    Ok(row.map_err(failed)?.map(|row| row.get(0)))
}

async fn by_name(session: &Session, database: &str) -> Result<Option<Oid>, StepError> {
    find(session, "SELECT oid FROM pg_database WHERE datname = $1", database).await
}

async fn still_there(session: &Session, oid: Oid) -> Result<bool, StepError> {
    let sql = "SELECT oid FROM pg_database WHERE oid::text = $1";
    Ok(find(session, sql, &oid.to_string()).await?.is_some())
}

impl Input {
    fn output(&self, dropped: bool) -> Output {
        Output { database: self.database.clone(), dropped }
    }

    fn is_confirmed(&self) -> bool {
        self.confirm.as_ref() == Some(&self.database)
    }

    fn statement(&self) -> String {
        let force = if self.force { " WITH (FORCE)" } else { "" };
        format!("DROP DATABASE {}{force}", identifier(&self.database))
    }

    fn absent(&self) -> Result<Output, StepError> {
        if self.if_exists {
            return Ok(self.output(false));
        }
        let message = format!("the database `{}` does not exist", self.database);
        Err(StepError::permanent("RB0562", message).hint("set `if_exists: true` if that is fine"))
    }

    fn check_allowed(&self, protected: bool) -> Result<(), StepError> {
        if !protected || self.is_confirmed() {
            return Ok(());
        }
        let message = format!("the connection `{}` is protected", self.connection);
        Err(StepError::permanent("RB0563", message).hint(format!(
            "write `confirm: {}`, or `protected: false` at the connection",
            self.database
        )))
    }
}

impl Step for DropDatabase {
    const KIND: &'static str = "pg.drop_database";
    const SUMMARY: &'static str = "removes a database";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let mut problems = Vec::new();
        if KEPT.contains(&input.database.as_str()) {
            let message = format!("`{}` belongs to the server", input.database);
            problems.push(InputProblem::at("database", message));
        }
        if input.confirm.is_some() && !input.is_confirmed() {
            let message = "it does not repeat the name of the database";
            let help = format!("write `{}`", input.database);
            problems.push(InputProblem::at("confirm", message).help(help));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        let Input { connection, database, .. } = input;
        let footprint = Footprint::new(Effect::Destructive, Repeat::Observable)
            .writes(format!("drops database `{database}` on the server of `{connection}`"));
        if input.is_confirmed() {
            return footprint.writes_connection(connection);
        }
        footprint.scratch_connection(connection)
    }

    fn example() -> Output {
        Output { database: "lms_restored".to_owned(), dropped: true }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        let Some(oid) = recorded(ctx) else { return Ok(Observation::NotDone) };
        let session = connect_named(ctx, &input.connection).await?;
        let there = still_there(&session, oid).await?;
        session.close().await;
        Ok(if there { Observation::NotDone } else { Observation::Done(input.output(true)) })
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        input.check_allowed(ctx.connection(&input.connection).await?.protected)?;
        let session = connect_named(ctx, &input.connection).await?;
        // An earlier attempt may have dropped it: a new one of that name is not ours to drop.
        if let Some(oid) = recorded(ctx)
            && !still_there(&session, oid).await?
        {
            return Ok(input.output(true));
        }
        let Some(oid) = by_name(&session, &input.database).await? else { return input.absent() };
        if ctx.cancel().is_cancelled() {
            return Err(StepError::cancelled());
        }
        ctx.record(FACT, Doomed { oid }).await?;
        session.execute_all("drop the database", &input.statement()).await?;
        session.close().await;
        Ok(input.output(true))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn input(json: serde_json::Value) -> Input {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_protected_connection_needs_the_name_once_more() {
        let plain = input(json!({"connection": "prod", "database": "lms"}));
        assert_eq!(plain.check_allowed(true).unwrap_err().code, "RB0563");
        assert_eq!(plain.check_allowed(false), Ok(()));
        assert!(DropDatabase::footprint(&plain).connections[0].must_be_unprotected);
        let confirmed = input(json!({"connection": "prod", "database": "lms", "confirm": "lms"}));
        assert_eq!(confirmed.check_allowed(true), Ok(()));
        assert!(!DropDatabase::footprint(&confirmed).connections[0].must_be_unprotected);
    }

    #[test]
    fn a_wrong_confirmation_and_the_servers_own_databases_are_refused() {
        let wrong = json!({"connection": "c", "database": "lms", "confirm": "lsm"});
        let problems = DropDatabase::validate(&input(wrong)).unwrap_err();
        assert_eq!(problems[0].path, ["confirm"]);
        let own = json!({"connection": "c", "database": "postgres"});
        let problems = DropDatabase::validate(&input(own)).unwrap_err();
        assert_eq!(problems[0].path, ["database"]);
    }

    #[test]
    fn names_are_quoted() {
        let input = input(json!({"connection": "c", "database": "a\"b", "force": true}));
        assert_eq!(input.statement(), r#"DROP DATABASE "a""b" WITH (FORCE)"#);
    }
}
