//! `supabase.list_backups`: the backups of a Supabase project and how far back it can be restored.

use engine::context::StepContext;
use engine::step::{Observation, Step};
use jiff::Timestamp;
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::secret::SecretText;
use model::step_error::StepError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::api::{Api, project_problem, public};
use crate::http::client::place;

/// Lists the backups of a Supabase project, and the moments to which it can be restored.
///
/// ## What it does
/// It reads the project's status and its list of backups from the Management API. With `covers` it
/// fails unless point-in-time recovery reaches that moment.
///
/// ## When to use it
/// In front of `supabase.restore_pitr`, so that an approval shows what there is; in a check of the
/// managed backups.
///
/// ## What it changes
/// Nothing.
///
/// ## How it can fail
/// When the API cannot be reached or refuses the token, and when `covers` is outside of what can be
/// restored; the error says from when to when that is.
///
/// ## Example
/// ```yaml
/// - id: backups
///   uses: supabase.list_backups
///   with: {project: abcdefghijklmnopqrst, token: "{{ secrets.supabase_token }}"}
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The project's reference: the first part of its address.
    project: String,
    /// A personal access token of the Management API, from a secret.
    token: SecretText,
    /// The base of the API's addresses.
    #[serde(default = "public")]
    api: String,
    /// A moment that point-in-time recovery has to reach, RFC 3339 with a zone.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    covers: Option<Timestamp>,
}

/// What there is.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// The project's status, such as `ACTIVE_HEALTHY`.
    status: String,
    /// The region of its backups.
    region: Option<String>,
    /// It has point-in-time recovery.
    pitr: bool,
    /// Its WAL is archived (WAL-G).
    walg: bool,
    /// The earliest moment to which it can be restored; absent without point-in-time recovery.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    earliest: Option<Timestamp>,
    /// The latest such moment.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    latest: Option<Timestamp>,
    /// The daily backups, as the API orders them.
    backups: Vec<Listed>,
    /// When the newest complete one was made.
    newest: Option<String>,
}

/// One daily backup.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Listed {
    /// Its number.
    id: Option<i64>,
    /// `COMPLETED`, or what became of it.
    status: String,
    /// When it was made.
    made: String,
    /// It is a copy of the files, else a dump.
    physical: bool,
}

/// The step kind.
pub struct ListBackups;

impl Step for ListBackups {
    const KIND: &'static str = "supabase.list_backups";
    const SUMMARY: &'static str = "lists the backups of a Supabase project";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        project_problem(&input.project).map_or(Ok(()), |problem| Err(vec![problem]))
    }

    fn footprint(input: &Input) -> Footprint {
        let server = place(&input.api).unwrap_or_else(|_| "the API".to_owned());
        Footprint::new(Effect::Read, Repeat::Idempotent)
            .reads(format!("the backups of Supabase project `{}`", input.project))
            .endpoint(server.trim_matches('`'))
    }

    fn example() -> Output {
        Output {
            status: "ACTIVE_HEALTHY".to_owned(),
            region: Some("eu-central-1".to_owned()),
            pitr: true,
            walg: true,
            earliest: Some(Timestamp::UNIX_EPOCH),
            latest: Some(Timestamp::UNIX_EPOCH),
            backups: vec![Listed {
                id: Some(2),
                status: "COMPLETED".to_owned(),
                made: "2026-11-19T01:02:03Z".to_owned(),
                physical: true,
            }],
            newest: Some("2026-11-19T01:02:03Z".to_owned()),
        }
    }

    async fn observe(_input: &Input, _ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        Ok(Observation::NotDone)
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let api = Api { base: &input.api, project: &input.project, token: &input.token };
        let status = api.project(ctx).await?.status;
        let found = api.backups(ctx).await?;
        if let Some(moment) = input.covers {
            found.check_covers(moment)?;
        }
        let window = found.window();
        let complete = found.daily.iter().filter(|backup| backup.status == "COMPLETED");
        let newest = complete.map(|backup| backup.inserted_at.clone()).max();
        let backups = found.daily.into_iter().map(|backup| Listed {
            id: backup.id,
            status: backup.status,
            made: backup.inserted_at,
            physical: backup.physical,
        });
        Ok(Output {
            status,
            region: found.region,
            pitr: found.pitr_enabled,
            walg: found.walg_enabled,
            earliest: window.map(|(earliest, _)| earliest),
            latest: window.map(|(_, latest)| latest),
            backups: backups.collect(),
            newest,
        })
    }
}
