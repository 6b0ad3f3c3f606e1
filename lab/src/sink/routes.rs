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

use super::{Fault, Message, Shared};
use crate::http::Cut;

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
    if shared.lock().refused.contains(uri.path()) {
        return answer(503);
    }
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

fn usual_answer(message: &Message, body: &[u8]) -> Response {
    let answers = match message.path.as_str() {
        "/slack" => slack,
        "/v2/enqueue" => pagerduty,
        _ => return Json(json!({"ok": true})).into_response(),
    };
    if message.method == "POST" { answers(body) } else { answer(405) }
}

/// What Slack answers:
/// <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>.
fn slack(body: &[u8]) -> Response {
    let Ok(Value::Object(payload)) = serde_json::from_slice(body) else {
        return (StatusCode::BAD_REQUEST, "invalid_payload").into_response();
    };
    if ["text", "blocks", "attachments"].iter().any(|key| payload.contains_key(*key)) {
        "ok".into_response()
    } else {
        (StatusCode::BAD_REQUEST, "no_text").into_response()
    }
}

/// What PagerDuty answers: <https://developer.pagerduty.com/docs/send-alert-event>. A routing key
/// has 32 characters.
fn pagerduty(body: &[u8]) -> Response {
    let event: Value = serde_json::from_slice(body).unwrap_or_default();
    let errors = event_errors(&event);
    if !errors.is_empty() {
        let refusal = json!({"status": "invalid event", "message": "Event object is invalid",
                             "errors": errors});
        return (StatusCode::BAD_REQUEST, Json(refusal)).into_response();
    }
    let key = event["dedup_key"].as_str().unwrap_or("made-by-pagerduty");
    let taken = json!({"status": "success", "message": "Event processed", "dedup_key": key});
    (StatusCode::ACCEPTED, Json(taken)).into_response()
}

fn event_errors(event: &Value) -> Vec<String> {
    let mut errors = Vec::new();
    if event["routing_key"].as_str().is_none_or(|key| key.len() != 32) {
        errors.push("'routing_key' is invalid".to_owned());
    }
    match event["event_action"].as_str() {
        Some("trigger") => errors.extend(payload_errors(&event["payload"])),
        Some("acknowledge" | "resolve") if event["dedup_key"].is_string() => {}
        Some("acknowledge" | "resolve") => errors.push("'dedup_key' is missing".to_owned()),
        _ => errors.push("'event_action' is invalid".to_owned()),
    }
    if event["dedup_key"].as_str().is_some_and(|key| key.chars().count() > 255) {
        errors.push("'dedup_key' is too long".to_owned());
    }
    errors
}

fn payload_errors(payload: &Value) -> Vec<String> {
    let mut errors = Vec::new();
    for name in ["summary", "source", "severity"] {
        if payload[name].as_str().is_none_or(str::is_empty) {
            errors.push(format!("'payload.{name}' is missing or blank"));
        }
    }
    if payload["summary"].as_str().is_some_and(|text| text.chars().count() > 1024) {
        errors.push("'payload.summary' is too long".to_owned());
    }
    let severities = ["critical", "error", "warning", "info"];
    if payload["severity"].as_str().is_some_and(|severity| !severities.contains(&severity)) {
        errors.push("'payload.severity' is invalid".to_owned());
    }
    errors
}

fn answer(status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let reason = status.canonical_reason().unwrap_or_default();
    (status, reason).into_response()
}
