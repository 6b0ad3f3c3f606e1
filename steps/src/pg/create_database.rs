//! `pg.create_database`: makes an empty database.

use engine::context::StepContext;
use engine::step::{Observation, Step};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::step_error::StepError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio_postgres::Error;
use tokio_postgres::types::Oid;

use super::classify;
use super::connection::{Session, connect_named};
use super::sql::{identifier, literal};
use crate::store::hex;

/// Makes an empty database.
///
/// ## What it does
/// It makes the database under a name of its own, marks it with a comment that names the run and
/// the step, and renames it. So the name you give never belongs to a half-made database, and the
/// comment tells a later look that this very step made it.
///
/// ## When to use it
/// In front of a restore into a new database, or for a scratch database.
///
/// ## What it changes
/// A database is added to the server of the connection. The default template is `template0`:
/// nothing local to the server gets in.
///
/// ## How it can fail
/// When the database exists and this step did not make it; when the role may not create
/// databases; when the template is in use.
///
/// ## Example
/// ```yaml
/// - id: target
///   uses: pg.create_database
///   with: {connection: server, database: lms_restored, owner: lms}
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The name under `connections:`; it names any database of the server.
    connection: String,
    /// The database to make.
    database: String,
    /// The database it is copied from.
    #[serde(default = "template")]
    template: String,
    /// The role that owns it; without it, the connection's role.
    owner: Option<String>,
    /// The character encoding, such as `UTF8`; without it, the template's.
    encoding: Option<String>,
    /// Collation and character classes together, such as `C.UTF-8`; without it, the template's.
    locale: Option<String>,
    /// The collation alone (`LC_COLLATE`).
    collate: Option<String>,
    /// The character classes alone (`LC_CTYPE`).
    ctype: Option<String>,
}

/// The database that was made.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// Its name.
    database: String,
    /// Its object id: a later database of the same name has another.
    oid: u32,
}

/// The step kind.
pub struct CreateDatabase;

fn template() -> String {
    "template0".to_owned()
}

/// What this step of this run writes as the comment of its database.
fn mark(ctx: &StepContext) -> String {
    format!("made by runbook, run {}, step {}", ctx.id().run, ctx.id().step)
}

/// The name of the database while it is made; the same in every attempt.
fn unfinished(ctx: &StepContext) -> String {
    let digest = hex(Sha256::digest(mark(ctx)));
    format!("runbook_unfinished_{}", &digest[..16])
}

/// `CREATE DATABASE` under the unfinished name.
/// <https://www.postgresql.org/docs/current/sql-createdatabase.html>
fn create(input: &Input, name: &str) -> String {
    let quoted = |text: &String| literal(text).trim_start().to_owned();
    let options = [
        ("TEMPLATE", Some(identifier(&input.template))),
        ("OWNER", input.owner.as_deref().map(identifier)),
        ("ENCODING", input.encoding.as_ref().map(quoted)),
        ("LOCALE", input.locale.as_ref().map(quoted)),
        ("LC_COLLATE", input.collate.as_ref().map(quoted)),
        ("LC_CTYPE", input.ctype.as_ref().map(quoted)),
    ];
    let given = options.into_iter().filter_map(|(keyword, value)| Some((keyword, value?)));
    let words = given.map(|(keyword, value)| format!("{keyword} {value}"));
    let create = format!("CREATE DATABASE {}", identifier(name));
    std::iter::once(create).chain(words).collect::<Vec<_>>().join(" ")
}

/// A database as the server knows it.
struct Known {
    oid: Oid,
    comment: Option<String>,
}

async fn look(session: &Session, database: &str) -> Result<Option<Known>, StepError> {
    let sql = "SELECT oid, shobj_description(oid, 'pg_database') FROM pg_database \
               WHERE datname = $1";
    let row = session.query_opt(sql, &[&database]).await;
    let failed =
        |error: Error| classify::not_applied(classify::statement("look for the database", &error));
    let row = row.map_err(failed)?;
    Ok(row.map(|row| Known { oid: row.get(0), comment: row.get(1) }))
}

fn taken(database: &str) -> StepError {
    StepError::permanent("RB0560", format!("the database `{database}` exists already"))
        .hint("give another name, or drop it with `pg.drop_database` first")
}

impl Step for CreateDatabase {
    const KIND: &'static str = "pg.create_database";
    const SUMMARY: &'static str = "makes an empty database";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let mut problems = Vec::new();
        if input.database.is_empty() || input.database.len() > 63 {
            let message = "a database's name has 1 to 63 bytes";
            problems.push(InputProblem::at("database", message));
        }
        if input.locale.is_some() && (input.collate.is_some() || input.ctype.is_some()) {
            let message = "`locale` sets `collate` and `ctype` as well";
            problems.push(InputProblem::at("locale", message).help("give `locale`, or the others"));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        let Input { connection, database, .. } = input;
        Footprint::new(Effect::Reversible, Repeat::Observable)
            .writes_connection(connection)
            .makes_database(database)
            .writes(format!("makes database `{database}` on the server of `{connection}`"))
    }

    fn example() -> Output {
        Output { database: "lms_restored".to_owned(), oid: 16_384 }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        let session = connect_named(ctx, &input.connection).await?;
        let known = look(&session, &input.database).await?;
        session.close().await;
        Ok(match known {
            Some(known) if known.comment == Some(mark(ctx)) => {
                Observation::Done(Output { database: input.database.clone(), oid: known.oid })
            }
            _ => Observation::NotDone,
        })
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let session = connect_named(ctx, &input.connection).await?;
        match look(&session, &input.database).await? {
            Some(known) if known.comment == Some(mark(ctx)) => {
                return Ok(Output { database: input.database.clone(), oid: known.oid });
            }
            Some(_) => return Err(taken(&input.database)),
            None => {}
        }
        let name = unfinished(ctx);
        if look(&session, &name).await?.is_none() {
            ctx.log(format!("create database `{}`", input.database));
            session.execute_all("create the database", &create(input, &name)).await?;
        }
        let finish = finish(&session, input, &name, &mark(ctx)).await;
        if let Err(error) = finish {
            discard(&session, &name).await;
            return Err(error);
        }
        let made = look(&session, &input.database).await?;
        session.close().await;
        let oid = made.map(|known| known.oid).ok_or_else(|| vanished(&input.database))?;
        Ok(Output { database: input.database.clone(), oid })
    }
}

async fn finish(session: &Session, input: &Input, name: &str, mark: &str) -> Result<(), StepError> {
    let comment = format!("COMMENT ON DATABASE {} IS {}", identifier(name), literal(mark));
    session.execute_all("mark the database", &comment).await?;
    let (from, to) = (identifier(name), identifier(&input.database));
    let rename = format!("ALTER DATABASE {from} RENAME TO {to}");
    session.execute_all("name the database", &rename).await
}

/// Best effort: what stays has a name that says what it is, and the next attempt takes it up.
async fn discard(session: &Session, name: &str) {
    let drop = format!("DROP DATABASE IF EXISTS {}", identifier(name));
    session.execute_all("drop the unfinished database", &drop).await.ok();
}

fn vanished(database: &str) -> StepError {
    let message = format!("the database `{database}` was made and is gone");
    StepError::needs_operator("RB0561", message).hint("see who dropped it: the server's log")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing;

    fn input(json: serde_json::Value) -> Input {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn options_are_quoted() {
        let plain = input(json!({"connection": "c", "database": "d"}));
        assert_eq!(create(&plain, "n"), r#"CREATE DATABASE "n" TEMPLATE "template0""#);
        let full =
            input(json!({"connection": "c", "database": "d", "template": "t", "owner": "o\"",
                                "encoding": "UTF8", "collate": "C", "ctype": "it's"}));
        assert_eq!(
            create(&full, "n"),
            "CREATE DATABASE \"n\" TEMPLATE \"t\" OWNER \"o\"\"\" ENCODING 'UTF8' \
             LC_COLLATE 'C' LC_CTYPE 'it''s'"
        );
    }

    #[test]
    fn a_database_that_vanished_is_for_a_person() {
        shown::case("RB0561", vanished("copy").told());
    }

    #[test]
    fn the_unfinished_name_is_the_same_in_every_attempt() {
        let host = testing::host();
        let name = unfinished(&testing::context_of(&host, 1));
        assert_eq!(name, unfinished(&testing::context_of(&host, 2)));
        assert!(name.len() < 64 && name.starts_with("runbook_unfinished_"), "{name}");
    }
}
