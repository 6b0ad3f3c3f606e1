//! `supabase.restore_pitr`: takes a Supabase project back to a moment.

use std::time::Duration;

use engine::context::{Progress, StepContext};
use engine::step::{Observation, Step};
use jiff::{SignedDuration, Timestamp};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::secret::SecretText;
use model::step_error::{ErrorClass, StepError};
use model::units::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::api::{Api, Posted, project_problem, public};
use crate::http::client::place;
use crate::pg::connection::connect_named;
use crate::pg::{classify, sql};
use crate::store::hex;

/// The fact that is recorded before the request is sent.
const REQUEST: &str = "request";

/// Statuses of a project that answers.
/// <https://supabase.com/docs/reference/api/v1-get-project>
const UP: [&str; 2] = ["ACTIVE_HEALTHY", "ACTIVE_UNHEALTHY"];

/// Takes a Supabase project back to a moment, in place.
///
/// ## What it does
/// It asks the Management API whether point-in-time recovery reaches `target`, leaves a mark in the
/// project's database (an empty schema named after the run), records that it is going to ask, and
/// asks once for the restore. Then it waits until the project is up again and the mark is gone: a
/// database that was taken back to a moment before the mark does not have it.
///
/// The request is never sent a second time by itself. When its answer is lost, the project's status
/// and the mark tell what happened.
///
/// ## When to use it
/// When the project itself has to go back, and nothing less will do: everything written after
/// `target` is lost, also in storage's tables and in `auth`. Take a backup set with `pg.dump` first,
/// and an approval. To bring back a table or rows, restore that set aside instead.
///
/// ## What it changes
/// The whole project's database; it is down meanwhile. Passwords of roles are those of the moment.
/// Projects with read replicas are refused by Supabase.
///
/// ## How it can fail
/// Before anything is asked for: when the project is not up, has no point-in-time recovery, or
/// `target` is outside of its reach. A refusal (status 4xx) changes nothing. When the project stays
/// as it was for `settle` after a lost answer, nobody knows whether the restore will still begin:
/// the step is in doubt. When the status says that the restore failed, a person goes on with
/// Supabase's support.
///
/// ## Example
/// ```yaml
/// - id: restore
///   uses: supabase.restore_pitr
///   with:
///     project: abcdefghijklmnopqrst
///     token: "{{ secrets.supabase_token }}"
///     connection: prod
///     target: "2026-11-20T01:59:00Z"
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
    /// The name under `connections:` of the project's own database, by its direct address.
    connection: String,
    /// The moment, RFC 3339 with a zone; whole seconds.
    #[schemars(with = "String", extend("format" = "date-time"))]
    target: Timestamp,
    /// The time between two looks.
    #[serde(default = "ten_seconds")]
    interval: Span,
    /// How long a restore that was asked for may take to show.
    #[serde(default = "ten_minutes")]
    settle: Span,
}

/// The restored project.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// The project.
    project: String,
    /// The moment to which it was taken back.
    #[schemars(with = "String", extend("format" = "date-time"))]
    recovery_point: Timestamp,
    /// When the restore was asked for.
    #[schemars(with = "String", extend("format" = "date-time"))]
    requested: Timestamp,
}

/// What is recorded before the request.
#[derive(Serialize, Deserialize)]
struct Requested {
    at: Timestamp,
    target: Timestamp,
    mark: String,
}

/// What a look at the project says.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    /// It is up and the mark is gone.
    Restored,
    /// It is on its way; in words, how it is.
    Underway(String),
    /// It is up, and as it was.
    Untouched,
}

/// The step kind.
pub struct RestorePitr;

fn ten_seconds() -> Span {
    Span::from(Duration::from_secs(10))
}

fn ten_minutes() -> Span {
    Span::from(Duration::from_mins(10))
}

fn mark(ctx: &StepContext) -> String {
    let step = hex(Sha256::digest(ctx.id().step.as_str()));
    format!("runbook_restore_{}_{}", ctx.id().run.to_string().to_lowercase(), &step[..8])
}

fn requested(ctx: &StepContext) -> Option<Requested> {
    serde_json::from_value(ctx.fact(REQUEST)?).ok()
}

impl Input {
    fn api(&self) -> Api<'_> {
        Api { base: &self.api, project: &self.project, token: &self.token }
    }

    fn output(&self, requested: &Requested) -> Output {
        let (project, recovery_point) = (self.project.clone(), requested.target);
        Output { project, recovery_point, requested: requested.at }
    }

    /// Refuses what cannot be restored, before anything is asked for.
    async fn check(&self, ctx: &StepContext) -> Result<(), StepError> {
        let status = self.api().project(ctx).await?.status;
        if !UP.contains(&status.as_str()) {
            let message = format!("project `{}` is not up: its status is {status}", self.project);
            return Err(StepError::needs_operator("RB0768", message)
                .hint("wait until it is, or ask Supabase's support"));
        }
        self.api().backups(ctx).await?.check_covers(self.target)
    }

    async fn leave_mark(&self, mark: &str, ctx: &StepContext) -> Result<(), StepError> {
        let session = connect_named(ctx, &self.connection).await?;
        let create = format!("CREATE SCHEMA IF NOT EXISTS {}", sql::identifier(mark));
        let made = session.execute_all("leave a mark", &create).await;
        made.map_err(classify::not_applied)?;
        session.close().await;
        Ok(())
    }

    /// Best effort: the mark is an empty schema whose name says what it is.
    async fn take_mark(&self, mark: &str, ctx: &StepContext) {
        let drop = format!("DROP SCHEMA IF EXISTS {}", sql::identifier(mark));
        let dropped = match connect_named(ctx, &self.connection).await {
            Ok(session) => session.execute_all("take the mark away", &drop).await,
            Err(error) => Err(error),
        };
        if let Err(error) = dropped {
            ctx.log(format!("the schema `{mark}` is left in the database: {error}"));
        }
    }

    async fn has_mark(&self, mark: &str, ctx: &StepContext) -> Result<bool, StepError> {
        let session = connect_named(ctx, &self.connection).await?;
        let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)";
        let row = session.query_one(sql, &[&mark]).await;
        let row = row.map_err(|error| {
            classify::not_applied(classify::statement("look for the mark", &error))
        })?;
        session.close().await;
        Ok(row.get(0))
    }

    async fn look(&self, mark: &str, ctx: &StepContext) -> Result<Seen, StepError> {
        let status = match self.api().project(ctx).await {
            Ok(project) => project.status,
            Err(error) if error.class == ErrorClass::Transient => {
                return Ok(Seen::Underway(error.message));
            }
            Err(error) => return Err(error),
        };
        if status.ends_with("_FAILED") || status == "REMOVED" {
            let message =
                format!("the restore of `{}` failed: its status is {status}", self.project);
            return Err(StepError::needs_operator("RB0770", message)
                .hint("ask Supabase's support; the backup set from before is untouched"));
        }
        if !UP.contains(&status.as_str()) {
            return Ok(Seen::Underway(format!("the project's status is {status}")));
        }
        match self.has_mark(mark, ctx).await {
            Ok(true) => Ok(Seen::Untouched),
            Ok(false) => Ok(Seen::Restored),
            Err(error) if error.class == ErrorClass::Transient => {
                Ok(Seen::Underway(error.message))
            }
            Err(error) => Err(error.hint(
                "after a restore the passwords are those of the moment: set them again, then resume",
            )),
        }
    }

    /// Waits until the project is back.
    async fn wait(&self, requested: &Requested, ctx: &StepContext) -> Result<Output, StepError> {
        let mut still = Duration::ZERO;
        loop {
            let activity = match self.look(&requested.mark, ctx).await.map_err(after)? {
                Seen::Restored => return Ok(self.output(requested)),
                Seen::Underway(how) => {
                    still = Duration::ZERO;
                    how
                }
                Seen::Untouched if still >= self.settle.duration() => {
                    let message = "the restore was accepted, and the project stays as it was";
                    return Err(unclear(message.to_owned()));
                }
                Seen::Untouched => "the restore has not begun".to_owned(),
            };
            ctx.progress(Progress { activity, ..Progress::default() });
            ctx.sleep(self.interval.duration()).await.map_err(after)?;
            still += self.interval.duration();
        }
    }
}

/// An error after the request was sent: it says nothing against the restore.
fn after(error: StepError) -> StepError {
    if error.code == "RB0770" {
        return error;
    }
    let mut out = unclear("the restore was asked for, and its end is unknown".to_owned());
    out.causes.push(error.message);
    out.hint = error.hint.or(out.hint);
    out
}

fn unclear(message: String) -> StepError {
    StepError::ambiguous("RB0769", message)
        .hint("look at the project in Supabase's dashboard; nothing is asked for a second time")
}

impl Step for RestorePitr {
    const KIND: &'static str = "supabase.restore_pitr";
    const SUMMARY: &'static str = "takes a Supabase project back to a moment, in place";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let mut problems: Vec<_> = project_problem(&input.project).into_iter().collect();
        if input.target.subsec_nanosecond() != 0 {
            problems.push(InputProblem::at("target", "Supabase restores to whole seconds"));
        }
        if input.interval.duration().is_zero() {
            problems.push(InputProblem::at("interval", "`interval` is no time at all"));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        let Input { project, connection, target, .. } = input;
        let server = place(&input.api).unwrap_or_else(|_| "the API".to_owned());
        Footprint::new(Effect::Irreversible, Repeat::Observable)
            .writes_connection(connection)
            .writes(format!(
                "all of Supabase project `{project}`: what came after {target} is lost"
            ))
            .endpoint(server.trim_matches('`'))
    }

    fn example() -> Output {
        Output {
            project: "abcdefghijklmnopqrst".to_owned(),
            recovery_point: Timestamp::UNIX_EPOCH,
            requested: Timestamp::UNIX_EPOCH,
        }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        let Some(requested) = requested(ctx) else { return Ok(Observation::NotDone) };
        Ok(match input.look(&requested.mark, ctx).await? {
            Seen::Restored => Observation::Done(input.output(&requested)),
            Seen::Underway(_) => Observation::InProgress,
            Seen::Untouched => {
                let settle = SignedDuration::try_from(input.settle.duration());
                let settled = requested.at.checked_add(settle.unwrap_or(SignedDuration::MAX));
                let waits = settled.is_ok_and(|settled| ctx.now() < settled);
                if waits { Observation::InProgress } else { Observation::Unknown }
            }
        })
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        input.check(ctx).await?;
        let (mark, target) = (mark(ctx), input.target);
        input.leave_mark(&mark, ctx).await?;
        let requested = Requested { at: ctx.now(), target, mark };
        ctx.record(REQUEST, &requested).await?;
        let body = json!({"recovery_time_target_unix": target.as_second()});
        match input.api().restore(body, ctx).await {
            Posted::Accepted => input.wait(&requested, ctx).await,
            Posted::No(error) => {
                input.take_mark(&requested.mark, ctx).await;
                Err(error)
            }
            Posted::Unclear(why) => Err(unclear(why)),
        }
    }
}
