//! The paths of the receiver.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::connection::Cut;
use super::{Fault, Message, Shared};

/// `POST /control/faults`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlannedFault {
    times: usize,
    fault: Fault,
}

/// `PUT /control/health`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Health {
    status: u16,
}

pub(super) fn app(shared: Shared) -> Router {
    Router::new()
        .route("/messages", get(messages))
        .route("/health", get(health))
        .route("/control/health", put(set_health))
        .route("/control/faults", post(plan_fault))
        .fallback(receive)
        .with_state(shared)
}

async fn messages(State(shared): State<Shared>) -> Json<Vec<Message>> {
    Json(shared.lock().messages.clone())
}

async fn health(State(shared): State<Shared>) -> Response {
    let status = shared.lock().health.unwrap_or(200);
    answer(status)
}

async fn set_health(State(shared): State<Shared>, Json(health): Json<Health>) -> StatusCode {
    shared.lock().health = Some(health.status);
    StatusCode::NO_CONTENT
}

async fn plan_fault(State(shared): State<Shared>, Json(planned): Json<PlannedFault>) -> StatusCode {
    shared.lock().plan(planned.times, planned.fault);
    StatusCode::NO_CONTENT
}

async fn receive(
    State(shared): State<Shared>,
    ConnectInfo(connection): ConnectInfo<Cut>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let message = message(&method, &uri.to_string(), &headers, &body);
    let usual = usual_answer(&message, &body);
    let fault = match shared.lock().record(message) {
        Ok(fault) => fault,
        Err(error) => {
            return (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response();
        }
    };
    match fault {
        None => usual,
        Some(Fault::Status(status)) => answer(status),
        Some(Fault::RetryAfter(seconds)) => {
            let wait = [(header::RETRY_AFTER, seconds.to_string())];
            (StatusCode::TOO_MANY_REQUESTS, wait, "rate_limited").into_response()
        }
        Some(Fault::DelayMs(delay)) => {
            tokio::time::sleep(Duration::from_millis(delay)).await;
            usual
        }
        Some(Fault::Drop) => {
            connection.cut();
            usual
        }
    }
}

fn message(method: &Method, path: &str, headers: &HeaderMap, body: &[u8]) -> Message {
    let header = |(name, value): (&header::HeaderName, &header::HeaderValue)| {
        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    Message {
        seq: 0,
        method: method.to_string(),
        path: path.to_owned(),
        headers: headers.iter().map(header).collect(),
        body: serde_json::from_slice(body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(body).into_owned())),
    }
}

/// What Slack answers at <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>,
/// and `{"ok":true}` elsewhere.
fn usual_answer(message: &Message, body: &[u8]) -> Response {
    if message.path != "/slack" {
        return Json(json!({"ok": true})).into_response();
    }
    if message.method != "POST" {
        return answer(405);
    }
    let Ok(Value::Object(payload)) = serde_json::from_slice(body) else {
        return (StatusCode::BAD_REQUEST, "invalid_payload").into_response();
    };
    if ["text", "blocks", "attachments"].iter().any(|key| payload.contains_key(*key)) {
        "ok".into_response()
    } else {
        (StatusCode::BAD_REQUEST, "no_text").into_response()
    }
}

fn answer(status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let reason = status.canonical_reason().unwrap_or_default();
    (status, reason).into_response()
}
