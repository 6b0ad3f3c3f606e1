//! The part of Supabase's Management API that recovery needs, on loopback: a project, its backups,
//! and a restore to a moment, which is whatever the test says it is.
//! <https://supabase.com/docs/reference/api/introduction>

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::http::{Cut, Server};

/// What becomes of a request for a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// `201 Created`, and the project is restored.
    Restored,
    /// `201 Created`, and the restore fails.
    Fails,
    /// `201 Created`, and nothing ever happens.
    Forgotten,
    /// The project is restored and the connection is closed without an answer.
    RestoredUnanswered,
    /// Nothing happens and the connection is closed without an answer.
    LostUnanswered,
    /// This status, and nothing happens.
    Refused(u16),
    /// This status, and the project is restored all the same.
    RestoredWith(u16),
}

/// What a restore to a moment (seconds since 1970) does to the database.
type Restore = Box<dyn Fn(i64) + Send>;

struct Project {
    token: String,
    status: &'static str,
    pitr: bool,
    window: (i64, i64),
    fates: Vec<Fate>,
    requests: Vec<Value>,
    /// The restore that runs: its moment, and how often its status will still be asked.
    running: Option<(i64, u32, bool)>,
    restore: Restore,
}

#[derive(Clone)]
struct Shared(Arc<Mutex<Project>>);

/// A running server with one project; dropping it closes the port.
pub struct Supabase {
    shared: Shared,
    server: Server,
}

/// The project's reference.
pub const PROJECT: &str = "abcdefghijklmnopqrst";

/// How often a restore that runs is seen running.
const LOOKS: u32 = 2;

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Project> {
        self.0.lock().expect("no holder of the project panics")
    }
}

impl Supabase {
    /// Starts a server whose project is restored by `restore`, to moments of `window`.
    pub fn start(
        token: &str,
        window: (i64, i64),
        restore: impl Fn(i64) + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Shared(Arc::new(Mutex::new(Project {
            token: token.to_owned(),
            status: "ACTIVE_HEALTHY",
            pitr: true,
            window,
            fates: Vec::new(),
            requests: Vec::new(),
            running: None,
            restore: Box::new(restore),
        })));
        let server = Server::start("supabase", app(shared.clone()))?;
        Ok(Self { shared, server })
    }

    /// The base of all addresses.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// What becomes of the next requests for a restore, in order; of others [`Fate::Restored`].
    pub fn next(&self, fates: &[Fate]) {
        self.shared.lock().fates = fates.iter().rev().copied().collect();
    }

    /// The bodies of all requests for a restore.
    pub fn requests(&self) -> Vec<Value> {
        self.shared.lock().requests.clone()
    }

    /// Switches point-in-time recovery off.
    pub fn without_pitr(&self) {
        self.shared.lock().pitr = false;
    }

    /// Sets the project's status.
    pub fn set_status(&self, status: &'static str) {
        self.shared.lock().status = status;
    }
}

fn app(shared: Shared) -> Router {
    Router::new()
        .route("/v1/projects/{project}", get(project))
        .route("/v1/projects/{project}/database/backups", get(backups))
        .route("/v1/projects/{project}/database/backups/restore-pitr", post(restore))
        .with_state(shared)
}

/// Why a request is refused, whatever it asks for.
fn refused(shared: &Shared, project: &str, headers: &HeaderMap) -> Option<Response> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let message = |status: StatusCode, text: &str| {
        Some((status, Json(json!({"message": text}))).into_response())
    };
    if given != Some(&format!("Bearer {}", shared.lock().token)) {
        return message(StatusCode::UNAUTHORIZED, "Unauthorized");
    }
    if project != PROJECT {
        return message(StatusCode::NOT_FOUND, "Project not found");
    }
    None
}

async fn project(
    State(shared): State<Shared>,
    Path(project): Path<String>,
    headers: HeaderMap,
) -> Response {
    if let Some(refused) = refused(&shared, &project, &headers) {
        return refused;
    }
    let mut state = shared.lock();
    if let Some((moment, looks, succeeds)) = state.running {
        state.running = (looks > 0).then(|| (moment, looks - 1, succeeds));
        if looks == 0 {
            state.status = if succeeds { "ACTIVE_HEALTHY" } else { "RESTORE_FAILED" };
            if succeeds {
                (state.restore)(moment);
            }
        }
    }
    let body = json!({"id": PROJECT, "ref": PROJECT, "name": "lms", "region": "eu-central-1",
                      "status": state.status, "created_at": "2025-01-01T00:00:00Z"});
    Json(body).into_response()
}

async fn backups(
    State(shared): State<Shared>,
    Path(project): Path<String>,
    headers: HeaderMap,
) -> Response {
    if let Some(refused) = refused(&shared, &project, &headers) {
        return refused;
    }
    let state = shared.lock();
    let (earliest, latest) = state.window;
    let backup = |id: u32, at: &str| json!({"id": id, "is_physical_backup": true, "status": "COMPLETED", "inserted_at": at});
    let window = json!({"earliest_physical_backup_date_unix": earliest,
                        "latest_physical_backup_date_unix": latest});
    Json(json!({
        "region": "eu-central-1",
        "walg_enabled": true,
        "pitr_enabled": state.pitr,
        "backups": [backup(1, "2026-11-18T01:02:03.456Z"), backup(2, "2026-11-19T01:02:03.456Z")],
        "physical_backup_data": if state.pitr { window } else { json!({}) },
    }))
    .into_response()
}

async fn restore(
    State(shared): State<Shared>,
    Path(project): Path<String>,
    ConnectInfo(connection): ConnectInfo<Cut>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(refused) = refused(&shared, &project, &headers) {
        return refused;
    }
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let Some(moment) = body["recovery_time_target_unix"].as_i64() else {
        let text = json!({"message": "recovery_time_target_unix must be an integer number"});
        return (StatusCode::BAD_REQUEST, Json(text)).into_response();
    };
    let mut state = shared.lock();
    state.requests.push(body);
    let fate = state.fates.pop().unwrap_or(Fate::Restored);
    if matches!(fate, Fate::RestoredUnanswered | Fate::LostUnanswered) {
        connection.cut();
    }
    match fate {
        Fate::Fails | Fate::Restored | Fate::RestoredUnanswered | Fate::RestoredWith(_) => {
            state.status = "RESTORING";
            state.running = Some((moment, LOOKS, fate != Fate::Fails));
        }
        Fate::Forgotten | Fate::LostUnanswered | Fate::Refused(_) => {}
    }
    match fate {
        Fate::Refused(status) | Fate::RestoredWith(status) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
            (status, Json(json!({"message": "Failed to restore"}))).into_response()
        }
        _ => StatusCode::CREATED.into_response(),
    }
}
