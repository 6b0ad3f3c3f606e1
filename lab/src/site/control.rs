//! What the command asks of a laboratory that runs in another process.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::messages::Told;
use super::{Asked, Site};
use crate::http::Server;

/// Under this header a command says that it may.
pub(super) const TOKEN: &str = "x-lab-token";

/// A laboratory that can be asked from other processes.
pub struct Served {
    site: Arc<Site>,
    server: Server,
    end: Arc<End>,
}

/// Whether somebody wants the laboratory to end.
#[derive(Default)]
struct End {
    asked: Mutex<bool>,
    turned: Condvar,
}

impl End {
    fn ask(&self) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.turned.notify_all();
    }
}

/// Ends a laboratory from another thread.
#[derive(Clone)]
pub struct Ending(Arc<End>);

impl Ending {
    /// Lets [`Served::wait`] return.
    pub fn end(&self) {
        self.0.ask();
    }
}

#[derive(Clone)]
struct Shared {
    site: Arc<Site>,
    end: Arc<End>,
    token: String,
}

impl Served {
    /// Serves a laboratory to whoever knows the token.
    pub fn start(site: Site, token: &str) -> io::Result<Self> {
        let (site, end) = (Arc::new(site), Arc::<End>::default());
        let shared =
            Shared { site: Arc::clone(&site), end: Arc::clone(&end), token: token.to_owned() };
        let server = Server::start("lab", app(shared))?;
        Ok(Self { site, server, end })
    }

    /// The laboratory.
    pub fn site(&self) -> &Arc<Site> {
        &self.site
    }

    /// The port that it is asked on.
    pub fn port(&self) -> u16 {
        self.server.address.port()
    }

    /// What ends it from another thread.
    pub fn ending(&self) -> Ending {
        Ending(Arc::clone(&self.end))
    }

    /// Waits until somebody wants it to end.
    pub fn wait(&self) {
        let mut asked = self.end.asked.lock().unwrap_or_else(PoisonError::into_inner);
        while !*asked {
            asked = self.end.turned.wait(asked).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn app(shared: Shared) -> Router {
    Router::new()
        .route("/status", get(status))
        .route("/effects", get(effects))
        .route("/messages", get(messages))
        .route("/disasters", post(begin))
        .route("/disasters/{name}", delete(end))
        .route("/stop", post(stop))
        .layer(middleware::from_fn_with_state(shared.clone(), only_ours))
        .with_state(shared)
}

async fn only_ours(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let said = request.headers().get(TOKEN).and_then(|value| value.to_str().ok());
    if said != Some(&shared.token) {
        return StatusCode::FORBIDDEN.into_response();
    }
    next.run(request).await
}

async fn status(State(shared): State<Shared>) -> Json<Value> {
    let site = &shared.site;
    Json(json!({
        "instances": site.cloud().world().instances(),
        "records": site.cloud().world().records(),
        "disasters": site.disasters(),
        "writing": site.ledger().is_healthy(),
        "messages": site.sink().messages().len(),
        "effects": site.cloud().world().effects().len(),
        "stored_bytes": site.s3().used(),
    }))
}

async fn effects(State(shared): State<Shared>) -> Json<Value> {
    Json(json!(shared.site.cloud().world().effects()))
}

async fn messages(State(shared): State<Shared>) -> Json<Vec<Told>> {
    Json(shared.site.sink().messages().iter().map(Told::of).collect())
}

async fn begin(State(shared): State<Shared>, Json(asked): Json<Asked>) -> Response {
    settled(tokio::task::spawn_blocking(move || shared.site.begin(&asked)).await)
}

async fn end(State(shared): State<Shared>, Path(name): Path<String>) -> Response {
    settled(tokio::task::spawn_blocking(move || shared.site.end(&name)).await)
}

async fn stop(State(shared): State<Shared>) -> StatusCode {
    shared.end.ask();
    StatusCode::ACCEPTED
}

fn settled(done: Result<io::Result<()>, tokio::task::JoinError>) -> Response {
    match done {
        Ok(Ok(())) => StatusCode::NO_CONTENT.into_response(),
        Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidInput => {
            (StatusCode::BAD_REQUEST, error.to_string()).into_response()
        }
        Ok(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
