//! `pg.identify`: which server and database a connection leads to.

use engine::context::StepContext;
use engine::step::{Observation, Step};
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::set::manifest::Server;
use model::step_error::StepError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::catalogue;
use super::classify::not_applied;
use super::connection::connect_named;

/// Tells which server and which database answer.
///
/// ## What it does
/// Connects and reads which server and which database answer: version, system
/// identifier, timeline, write position, primary or standby, encoding and locale. With
/// expectations it refuses any other place.
///
/// ## When to use it
/// As the first step of a runbook that changes or copies a database, so that the
/// report says where it ran, and so that a wrong DNS entry or a wrong URL stops the run before
/// anything happens. The system identifier does not tell a primary from its standby or from a
/// physical copy: expect `primary` or the database name as well.
///
/// ## What it changes
/// Nothing.
///
/// ## How it can fail
/// The server cannot be reached or refuses the login; something is not as
/// expected.
///
/// ## Example
/// ```yaml
/// - id: identify
///   uses: pg.identify
///   with: {connection: prod, expect: {database: lms, primary: true}}
/// ```
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The connection.
    pub connection: String,
    /// What must hold; what is left out is not checked.
    #[serde(default)]
    pub expect: Expect,
}

/// What must hold of a server.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// The name of the database.
    pub database: Option<String>,
    /// The cluster's system identifier, as text.
    pub system_identifier: Option<String>,
    /// It is a primary (true) or a standby (false).
    pub primary: Option<bool>,
    /// The oldest major version that will do: `15`.
    pub min_version: Option<u32>,
}

/// What answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The name of the database.
    pub database: String,
    /// Its size on disk, in bytes.
    pub bytes: u64,
    /// The major version: 15.
    pub major_version: u32,
    /// It is a primary.
    pub primary: bool,
    /// The server.
    pub server: Server,
}

/// The step.
pub struct Identify;

impl Step for Identify {
    const KIND: &'static str = "pg.identify";
    const SUMMARY: &'static str = "reads which server and database a connection leads to";
    type Input = Input;
    type Output = Output;

    fn footprint(input: &Input) -> Footprint {
        Footprint::new(Effect::Read, Repeat::Idempotent)
            .reads(format!("the server of `{}`", input.connection))
            .reads_connection(&input.connection)
    }

    fn example() -> Output {
        Output {
            database: "lms".to_owned(),
            bytes: 262_144_000,
            major_version: 15,
            primary: true,
            server: Server {
                version: "15.14".to_owned(),
                version_num: 15_00_14,
                system_identifier: Some("7430214598120394113".to_owned()),
                timeline: Some(1),
                lsn: Some("2/9A0000C8".to_owned()),
                endpoint: "db.internal:5432".to_owned(),
                role: "backup".to_owned(),
                in_recovery: false,
                snapshot_time: jiff::Timestamp::UNIX_EPOCH,
                replayed_to: None,
                encoding: "UTF8".to_owned(),
                locale_provider: "libc".to_owned(),
                collate: "en_US.UTF-8".to_owned(),
                ctype: "en_US.UTF-8".to_owned(),
                locale: None,
                collation_version: Some("2.36".to_owned()),
            },
        }
    }

    async fn observe(_: &Input, _: &StepContext) -> Result<Observation<Output>, StepError> {
        Ok(Observation::NotDone)
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let output = identify(input, ctx).await.map_err(not_applied)?;
        let server = &output.server;
        ctx.log(format!(
            "database `{}` on {} ({}), PostgreSQL {}, system identifier {}",
            output.database,
            server.endpoint,
            role(output.primary),
            server.version,
            server.system_identifier.as_deref().unwrap_or("unknown"),
        ));
        input.expect.check(&output)?;
        Ok(output)
    }
}

async fn identify(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
    let session = connect_named(ctx, &input.connection).await?;
    let server = catalogue::server(&session, &session.target().endpoint()).await?;
    let bytes = "SELECT pg_database_size(current_database())::text";
    let bytes = session.text("read the size of the database", bytes).await?;
    let output = Output {
        database: session
            .text("read the name of the database", "SELECT current_database()::text")
            .await?,
        bytes: bytes.parse().expect("`pg_database_size` is a number"),
        major_version: server.version_num / 10_000,
        primary: !server.in_recovery,
        server,
    };
    session.close().await;
    Ok(output)
}

fn role(primary: bool) -> &'static str {
    if primary { "primary" } else { "standby" }
}

impl Expect {
    fn check(&self, found: &Output) -> Result<(), StepError> {
        let differs = |what: &str, found: &str, wanted: &str| {
            let message = format!("{what} is `{found}`, expected `{wanted}`");
            Err(StepError::permanent("RB0523", message)
                .hint("check the connection's host and database before anything else"))
        };
        if let Some(wanted) = self.database.as_ref().filter(|name| **name != found.database) {
            return differs("the database", &found.database, wanted);
        }
        let identifier = found.server.system_identifier.as_deref().unwrap_or("unknown");
        if let Some(wanted) = self.system_identifier.as_ref().filter(|id| **id != identifier) {
            return differs("the system identifier", identifier, wanted);
        }
        if let Some(wanted) = self.primary.filter(|wanted| *wanted != found.primary) {
            return differs("the server", role(found.primary), role(wanted));
        }
        match self.min_version {
            Some(wanted) if wanted > found.major_version => differs(
                "the server's major version",
                &found.major_version.to_string(),
                &format!("{wanted} or newer"),
            ),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(expect: &Expect) -> Option<String> {
        expect.check(&Identify::example()).err().map(|error| error.message)
    }

    #[test]
    fn each_expectation_is_checked() {
        let text = |text: &str| Some(text.to_owned());
        let all = Expect {
            database: text("lms"),
            system_identifier: text("7430214598120394113"),
            primary: Some(true),
            min_version: Some(15),
        };
        assert_eq!(refusal(&all), None);
        assert_eq!(refusal(&Expect::default()), None);
        for (expect, message) in [
            (
                Expect { database: text("crm"), ..all.clone() },
                "the database is `lms`, expected `crm`",
            ),
            (
                Expect { system_identifier: text("1"), ..all.clone() },
                "the system identifier is `7430214598120394113`, expected `1`",
            ),
            (
                Expect { primary: Some(false), ..all.clone() },
                "the server is `primary`, expected `standby`",
            ),
            (
                Expect { min_version: Some(16), ..all },
                "the server's major version is `15`, expected `16 or newer`",
            ),
        ] {
            assert_eq!(refusal(&expect).as_deref(), Some(message));
        }
    }
}
