//! The Management API: addresses, answers, and what they mean.
//! <https://supabase.com/docs/reference/api/introduction>

use std::collections::BTreeMap;
use std::time::Duration;

use engine::context::StepContext;
use jiff::Timestamp;
use model::catalog::InputProblem;
use model::secret::SecretText;
use model::step_error::StepError;
use reqwest::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::http::classify::{Meaning, excerpt, later, meaning, refused};
use crate::http::client::{Body, Request, Sent, place};

/// For one exchange.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The public address.
pub(super) fn public() -> String {
    "https://api.supabase.com".to_owned()
}

/// A project behind the API.
pub(super) struct Api<'a> {
    pub(super) base: &'a str,
    pub(super) project: &'a str,
    pub(super) token: &'a SecretText,
}

/// `GET /v1/projects/{ref}`.
#[derive(Deserialize)]
pub(super) struct Project {
    pub(super) status: String,
}

/// `GET /v1/projects/{ref}/database/backups`.
#[derive(Deserialize)]
pub(super) struct Backups {
    #[serde(default)]
    pub(super) region: Option<String>,
    #[serde(default)]
    pub(super) pitr_enabled: bool,
    #[serde(default)]
    pub(super) walg_enabled: bool,
    #[serde(default, rename = "backups")]
    pub(super) daily: Vec<Backup>,
    #[serde(default)]
    physical_backup_data: Option<Window>,
}

/// One backup of the list.
#[derive(Deserialize)]
pub(super) struct Backup {
    #[serde(default)]
    pub(super) id: Option<i64>,
    #[serde(default, rename = "is_physical_backup")]
    pub(super) physical: bool,
    pub(super) status: String,
    pub(super) inserted_at: String,
}

#[derive(Deserialize)]
struct Window {
    #[serde(default)]
    earliest_physical_backup_date_unix: Option<i64>,
    #[serde(default)]
    latest_physical_backup_date_unix: Option<i64>,
}

impl Backups {
    /// The moments to which the project can be restored.
    pub(super) fn window(&self) -> Option<(Timestamp, Timestamp)> {
        let window = self.physical_backup_data.as_ref().filter(|_| self.pitr_enabled)?;
        let moment = |seconds: Option<i64>| {
            Timestamp::from_second(seconds.filter(|seconds| *seconds > 0)?).ok()
        };
        let earliest = moment(window.earliest_physical_backup_date_unix)?;
        Some((earliest, moment(window.latest_physical_backup_date_unix)?))
    }

    /// Refuses a moment to which the project cannot be restored.
    pub(super) fn check_covers(&self, target: Timestamp) -> Result<(), StepError> {
        let refused = |why: String| {
            StepError::permanent(
                "RB0768",
                format!("the project cannot be restored to {target}: {why}"),
            )
        };
        match self.window() {
            None => Err(refused("it has no point-in-time recovery".to_owned())
                .hint("restore a backup set of your own: `full-restore`")),
            Some((earliest, latest)) if target < earliest || target > latest => {
                let why = format!("its recovery reaches from {earliest} to {latest}");
                Err(refused(why).hint("choose a moment inside, or wait until it is archived"))
            }
            Some(_) => Ok(()),
        }
    }
}

/// How a request that changes something ended.
pub(super) enum Posted {
    /// It was accepted.
    Accepted,
    /// It was certainly not carried out.
    No(StepError),
    /// Nobody knows; in words, why.
    Unclear(String),
}

impl Api<'_> {
    async fn send(&self, method: Method, path: &str, body: Body, ctx: &StepContext) -> Sent {
        let url = format!("{}/v1/projects/{}{path}", self.base.trim_end_matches('/'), self.project);
        let authorization = format!("Bearer {}", self.token.expose());
        let headers = BTreeMap::from([("Authorization".to_owned(), authorization)]);
        Request { method, url: &url, headers: &headers, body, timeout: TIMEOUT }.send(ctx).await
    }

    async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        ctx: &StepContext,
    ) -> Result<T, StepError> {
        let place = place(self.base)?;
        let answer = match self.send(Method::GET, path, Body::None, ctx).await {
            Sent::Answer(answer) => answer,
            Sent::No(error) => return Err(error),
            Sent::Unanswered(_) if ctx.cancel().is_cancelled() => {
                return Err(StepError::cancelled());
            }
            Sent::Unanswered(why) => return Err(StepError::transient("RB0703", why)),
        };
        match meaning(&answer) {
            Meaning::Accepted => serde_json::from_slice(&answer.body).map_err(|error| {
                let message = format!("{place}: the answer was not understood");
                StepError::permanent("RB0742", message).caused_by(&error)
            }),
            Meaning::Later => Err(later(&place, &answer, ctx).await),
            Meaning::Refused => Err(refused(&place, &answer)),
            Meaning::Unclear => {
                let message = format!("{place} failed with status {}", answer.status);
                Err(StepError::transient("RB0741", message))
            }
        }
    }

    pub(super) async fn project(&self, ctx: &StepContext) -> Result<Project, StepError> {
        self.get("", ctx).await
    }

    pub(super) async fn backups(&self, ctx: &StepContext) -> Result<Backups, StepError> {
        self.get("/database/backups", ctx).await
    }

    /// Asks for a restore of the whole project.
    pub(super) async fn restore(&self, body: Value, ctx: &StepContext) -> Posted {
        let path = "/database/backups/restore-pitr";
        let place = match place(self.base) {
            Ok(place) => place,
            Err(error) => return Posted::No(error),
        };
        let answer = match self.send(Method::POST, path, Body::Json(body), ctx).await {
            Sent::Answer(answer) => answer,
            Sent::No(error) => return Posted::No(error),
            Sent::Unanswered(why) => return Posted::Unclear(why),
        };
        match meaning(&answer) {
            Meaning::Accepted => Posted::Accepted,
            Meaning::Later => Posted::No(later(&place, &answer, ctx).await),
            Meaning::Refused => Posted::No(refused(&place, &answer)),
            Meaning::Unclear => {
                let said = excerpt(&answer).map(|said| format!(": {said}")).unwrap_or_default();
                Posted::Unclear(format!("{place} failed with status {}{said}", answer.status))
            }
        }
    }
}

/// The problem of a text that is no project's reference: it becomes part of an address.
pub(super) fn project_problem(project: &str) -> Option<InputProblem> {
    let right =
        !project.is_empty() && project.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let message = format!("`{project}` is not the reference of a project");
    (!right).then(|| {
        InputProblem::at("project", message).help("it is in the project's address: 20 letters")
    })
}
