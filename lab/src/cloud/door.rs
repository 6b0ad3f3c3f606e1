//! The one port: who asks which service of which region, and what becomes of it.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::call::{Answer, Answered, Call, Protocol, Scope};
use super::faults::{FaultKind, Met};
use super::refusal::Refusal;
use super::world::World;
use super::{ACCESS_KEY, control, iam, proxy, rds, route53, secrets, ssm, sts};
use crate::http::Cut;

/// The largest request of a service other than S3.
const LARGEST: usize = 4 * 1024 * 1024;

pub(super) fn app(world: World) -> Router {
    Router::new().nest("/_lab", control::routes()).fallback(dispatch).with_state(world)
}

async fn dispatch(
    State(world): State<World>,
    ConnectInfo(connection): ConnectInfo<Cut>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let Some(scope) = Scope::of(&head) else {
        return unsigned(&world, head, body).await;
    };
    if scope.service == "s3" {
        return object_request(&world, &scope, &connection, head, body).await;
    }
    let request = Request::from_parts(head, body);
    let (head, body) = request.into_parts();
    let body = match to_bytes(body, LARGEST).await {
        Ok(body) => body,
        Err(error) => return (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    };
    match serve(&world, &scope, &head, &body) {
        Some(answered) => told(&scope, answered),
        None => cut(&connection),
    }
}

/// Closes the connection without an answer.
fn cut(connection: &Cut) -> Response {
    connection.cut();
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

/// Serves a request; nothing means that its answer is lost.
fn serve(world: &World, scope: &Scope, head: &Parts, body: &[u8]) -> Option<Answered> {
    let call = match Call::read(scope, head, body) {
        Ok(call) => call,
        Err(refusal) => return Some(Err(refusal)),
    };
    let met = Met { service: &scope.service, region: &scope.region, action: &call.action };
    if world.lock().faults.cuts(met) {
        return None;
    }
    if let Some(refusal) = refused(world, scope, met) {
        return Some(Err(refusal));
    }
    let answered = answer(world, &scope.service, &call);
    if answered.is_ok() && call.changes() {
        let faults = &mut world.lock().faults;
        if faults.meets(FaultKind::ApplyThenDrop, met).is_some() {
            return None;
        }
        if faults.meets(FaultKind::ErrorAfterApply, met).is_some() {
            return Some(Err(Refusal::internal()));
        }
    }
    Some(answered)
}

/// Why a request is not served.
fn refused(world: &World, scope: &Scope, met: Met<'_>) -> Option<Refusal> {
    if scope.key != ACCESS_KEY {
        return Some(Refusal::unknown_key(scope.protocol()));
    }
    world.lock().faults.refuses(met, scope.protocol())
}

fn answer(world: &World, service: &str, call: &Call) -> Answered {
    match service {
        "rds" => rds::answer(world, call),
        "route53" => route53::answer(world, call),
        "ssm" => ssm::answer(world, call),
        "secretsmanager" => secrets::answer(world, call),
        "sts" => sts::answer(call),
        "iam" => iam::answer(world, call),
        other => Err(Refusal::new(
            "UnrecognizedClientException",
            format!("the laboratory has no service {other}"),
        )),
    }
}

/// Writes what a service answered.
fn told(scope: &Scope, answered: Answered) -> Response {
    let protocol = scope.protocol();
    let kind = if protocol == Protocol::Json { "application/x-amz-json-1.1" } else { "text/xml" };
    let request = request_id();
    let (status, body) = match answered {
        Ok(Answer::Json(value)) => (StatusCode::OK, value.to_string()),
        Ok(Answer::Xml(root)) => (StatusCode::OK, root.document(scope.namespace())),
        Err(refusal) => {
            let status = StatusCode::from_u16(refusal.status);
            let body = refusal.told(protocol, scope.namespace(), &request);
            (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), body)
        }
    };
    let head = [
        (header::CONTENT_TYPE, kind),
        (header::HeaderName::from_static("x-amzn-requestid"), &request),
    ];
    (status, head, body).into_response()
}

/// A request without a signature: S3 judges it, no other service serves it.
async fn unsigned(world: &World, head: Parts, body: Body) -> Response {
    match world.s3() {
        Some(url) => proxy::hand_on(url, Request::from_parts(head, body)).await,
        None => (StatusCode::FORBIDDEN, "the request is not signed").into_response(),
    }
}

async fn object_request(
    world: &World,
    scope: &Scope,
    connection: &Cut,
    head: Parts,
    body: Body,
) -> Response {
    let met = Met { service: "s3", region: &scope.region, action: head.method.as_str() };
    if world.lock().faults.cuts(met) {
        return cut(connection);
    }
    let refusal = world.lock().faults.refuses(met, Protocol::Rest);
    if let Some(refusal) = refusal {
        return told(scope, Err(refusal.of_s3()));
    }
    let changes = head.method != "GET" && head.method != "HEAD";
    let Some(url) = world.s3() else {
        return told(scope, Err(Refusal::new("NotImplemented", "the laboratory has no S3")));
    };
    let (path, method) = (head.uri.path().to_owned(), head.method.clone());
    let answer = proxy::hand_on(url, Request::from_parts(head, body)).await;
    let met = Met { service: "s3", region: &scope.region, action: method.as_str() };
    if !(changes && answer.status().is_success()) {
        return answer;
    }
    world.record(("s3", met.region), met.action, &path, serde_json::json!({}));
    lost_or(world, scope, connection, met, answer)
}

/// The answer of a change that took effect, unless a fault takes it.
fn lost_or(
    world: &World,
    scope: &Scope,
    connection: &Cut,
    met: Met<'_>,
    answer: Response,
) -> Response {
    let faults = &mut world.lock().faults;
    if faults.meets(FaultKind::ApplyThenDrop, met).is_some() {
        return cut(connection);
    }
    if faults.meets(FaultKind::ErrorAfterApply, met).is_some() {
        return told(scope, Err(Refusal::internal().of_s3()));
    }
    answer
}

/// An identifier such as AWS gives every request.
pub(super) fn request_id() -> String {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    let word = format!("{:032x}", u128::from_be_bytes(bytes));
    [&word[..8], &word[8..12], &word[12..16], &word[16..20], &word[20..]].join("-")
}
