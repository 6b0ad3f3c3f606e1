//! The laboratory's own paths, under `/_lab/`.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::effects::Effect;
use super::faults::{Fault, FaultKind};
use super::world::World;

pub(super) fn routes() -> Router<World> {
    Router::new()
        .route("/status", get(status))
        .route("/effects", get(effects))
        .route("/records", get(records))
        .route("/faults", post(begin).get(faults))
        .route("/faults/{fault}", delete(end))
}

async fn status(State(world): State<World>) -> Json<Value> {
    let standing = world.faults();
    Json(json!({
        "instances": world.instances(),
        "faults": standing,
        "effects": world.effects().len(),
    }))
}

async fn effects(State(world): State<World>) -> Json<Vec<Effect>> {
    Json(world.effects())
}

async fn records(State(world): State<World>) -> Json<Value> {
    Json(json!(world.records()))
}

async fn faults(State(world): State<World>) -> Json<Vec<Fault>> {
    Json(world.faults())
}

async fn begin(State(world): State<World>, Json(fault): Json<Fault>) -> Response {
    // Servers are stopped: not on the thread that answers.
    let begun = tokio::task::spawn_blocking(move || world.begin(&fault)).await;
    settled(begun)
}

async fn end(State(world): State<World>, Path(name): Path<String>) -> Response {
    let Some(kind) = FaultKind::named(&name) else {
        return (StatusCode::NOT_FOUND, format!("there is no fault `{name}`")).into_response();
    };
    settled(tokio::task::spawn_blocking(move || world.end(kind)).await)
}

fn settled(done: Result<std::io::Result<()>, tokio::task::JoinError>) -> Response {
    match done {
        Ok(Ok(())) => StatusCode::NO_CONTENT.into_response(),
        Ok(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
