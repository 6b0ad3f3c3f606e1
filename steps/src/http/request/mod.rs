//! `http.request`: sends a request to a server and reads values out of the answer.

mod input;

use std::collections::BTreeMap;

use engine::context::StepContext;
use engine::step::{Observation, Step};
use indexmap::IndexMap;
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::step_error::{ErrorClass, StepError};
use reqwest::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use self::input::Input;
use self::input::Observe;
use super::check::unmet;
use super::classify::{Meaning, excerpt, later, meaning, refused};
use super::client::{Answer, Body, Request, Sent, place};

/// What was answered.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// The status; absent when `observe` found that the request had been carried out.
    status: Option<u16>,
    /// The values that `capture` names. When `observe` found that the request had been carried
    /// out they are read from its answer, and are null where that lacks them.
    captured: IndexMap<String, Value>,
}

/// The step kind.
pub struct SendRequest;

/// The values that are captured, or the pointer that leads nowhere.
fn captured(input: &Input, answer: &Answer) -> Result<IndexMap<String, Value>, String> {
    if input.capture.is_empty() {
        return Ok(IndexMap::new());
    }
    let body: Value = serde_json::from_slice(&answer.body)
        .map_err(|error| format!("the answer is no JSON: {error}"))?;
    let value = |(name, pointer): (&String, &String)| match body.pointer(pointer) {
        Some(value) => Ok((name.clone(), value.clone())),
        None => Err(format!("the answer has nothing at `{pointer}`")),
    };
    input.capture.iter().map(value).collect()
}

/// The class of an end that leaves open what the server did.
fn unclear(input: &Input) -> ErrorClass {
    match input.repeat() {
        Repeat::Idempotent => ErrorClass::Transient,
        _ => ErrorClass::Ambiguous,
    }
}

/// The class of an end after the server did what it was asked for.
fn carried_out(input: &Input) -> ErrorClass {
    match input.repeat() {
        Repeat::Idempotent => ErrorClass::Permanent,
        _ => ErrorClass::Ambiguous,
    }
}

/// What an answer with an unexpected status means for the step.
async fn unexpected(
    input: &Input,
    answer: &Answer,
    ctx: &StepContext,
) -> Result<Output, StepError> {
    let place = place(&input.url)?;
    let status = answer.status;
    let mut error = match meaning(answer) {
        Meaning::Later => return Err(later(&place, answer, ctx).await),
        Meaning::Refused => return Err(refused(&place, answer)),
        Meaning::Unclear => {
            let message = format!("{place} failed with status {status}");
            StepError::new(unclear(input), "RB0741", message)
        }
        Meaning::Accepted => {
            let expected: Vec<_> = input.expect_status.iter().map(ToString::to_string).collect();
            let expected = expected.join(" or ");
            let message = format!("{place}: expected status {expected}, found {status}");
            StepError::new(carried_out(input), "RB0707", message)
        }
    };
    error.causes.extend(excerpt(answer));
    Err(error)
}

/// The answer of the observing request as what it says about the step.
fn observed(observe: &Observe, input: &Input, answer: &Answer) -> Observation<Output> {
    if unmet(&observe.expect, answer).is_empty() {
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let value = |pointer: &String| body.pointer(pointer).cloned().unwrap_or_default();
        let captured = input.capture.iter().map(|(name, at)| (name.clone(), value(at))).collect();
        return Observation::Done(Output { status: None, captured });
    }
    match answer.status {
        200..=299 | 404 | 410 => Observation::NotDone,
        _ => Observation::Unknown,
    }
}

impl Step for SendRequest {
    const KIND: &'static str = "http.request";
    const SUMMARY: &'static str = "sends a request to a server and reads values out of the answer";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let problems = input.problems();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        let shown = |url: &str| place(url).unwrap_or_else(|_| "the server".to_owned());
        let server = shown(&input.url);
        let mut footprint = Footprint::new(input.effect(), input.repeat());
        footprint = match input.effect() {
            Effect::Read => footprint.reads(format!("an answer of {server}")),
            _ => footprint.writes(format!("what {server} changes")),
        };
        footprint = footprint.endpoint(server.trim_matches('`'));
        footprint.parts.clone_from(&input.plays);
        match &input.observe {
            Some(observe) if shown(&observe.url) != server => {
                let asked = shown(&observe.url);
                footprint.reads(format!("an answer of {asked}")).endpoint(asked.trim_matches('`'))
            }
            Some(_) => footprint.reads(format!("an answer of {server}")),
            None => footprint,
        }
    }

    fn example() -> Output {
        Output { status: Some(200), captured: IndexMap::from([("id".to_owned(), json!("7"))]) }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        let Some(observe) = &input.observe else {
            // Not known to be undone: it does no harm twice, so that it may be repeated.
            let harmless = input.repeat() != Repeat::Opaque;
            return Ok(if harmless { Observation::NotDone } else { Observation::Unknown });
        };
        let request = Request {
            method: Method::GET,
            url: &observe.url,
            headers: observe.headers.as_ref().unwrap_or(&input.headers),
            body: Body::None,
            timeout: input.timeout.duration(),
        };
        match request.send(ctx).await {
            Sent::Answer(answer) => Ok(observed(observe, input, &answer)),
            Sent::No(error) => Err(error),
            Sent::Unanswered(_) if ctx.cancel().is_cancelled() => Err(StepError::cancelled()),
            Sent::Unanswered(why) => Err(StepError::transient("RB0703", why)),
        }
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let headers: BTreeMap<_, _> = input.headers();
        let request = Request {
            method: input.method.method(),
            url: &input.url,
            headers: &headers,
            body: input.body(),
            timeout: input.timeout.duration(),
        };
        let answer = match request.send(ctx).await {
            Sent::Answer(answer) => answer,
            Sent::No(error) => return Err(error),
            Sent::Unanswered(_)
                if ctx.cancel().is_cancelled() && input.repeat() == Repeat::Idempotent =>
            {
                return Err(StepError::cancelled());
            }
            Sent::Unanswered(why) => return Err(StepError::new(unclear(input), "RB0703", why)),
        };
        if !input.accepts(answer.status) {
            return unexpected(input, &answer, ctx).await;
        }
        let captured = captured(input, &answer).map_err(|why| {
            let message = format!("the request was carried out, and {why}");
            StepError::new(carried_out(input), "RB0742", message)
                .hint("check the pointers of `capture` against an answer of the server")
        })?;
        Ok(Output { status: Some(answer.status), captured })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(keys: &Value) -> Input {
        let mut input = json!({"url": "https://host/x"});
        input.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        serde_json::from_value(input).unwrap()
    }

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, retry_after: None, body: body.into(), truncated: false }
    }

    #[test]
    fn the_method_and_the_plan_say_what_a_second_request_would_do() {
        for (keys, effect, repeat) in [
            (json!({}), Effect::Read, Repeat::Idempotent),
            (json!({"method": "HEAD"}), Effect::Read, Repeat::Idempotent),
            (json!({"method": "PUT"}), Effect::Irreversible, Repeat::Idempotent),
            (json!({"method": "DELETE"}), Effect::Irreversible, Repeat::Idempotent),
            (json!({"method": "POST"}), Effect::Irreversible, Repeat::Opaque),
            (json!({"method": "PATCH"}), Effect::Irreversible, Repeat::Opaque),
            (
                json!({"method": "PATCH", "idempotent": true, "effect": "reversible"}),
                Effect::Reversible,
                Repeat::Idempotent,
            ),
            (
                json!({"method": "POST", "idempotency_key": "k"}),
                Effect::Irreversible,
                Repeat::Keyed,
            ),
            (
                json!({"method": "POST", "observe": {"url": "https://host/x", "expect": {}}}),
                Effect::Irreversible,
                Repeat::Observable,
            ),
            (json!({"method": "POST", "effect": "read"}), Effect::Read, Repeat::Idempotent),
        ] {
            let input = input(&keys);
            assert_eq!((input.effect(), input.repeat()), (effect, repeat), "{keys}");
        }
    }

    #[test]
    fn what_cannot_be_sent_is_refused_by_its_key() {
        let refused = |keys: &Value| {
            let problems = SendRequest::validate(&input(keys)).err().unwrap_or_default();
            problems.into_iter().map(|problem| problem.path.join(".")).collect::<Vec<_>>()
        };
        assert_eq!(refused(&json!({"timeout": "5s"})), ["timeout"]);
        assert_eq!(refused(&json!({"method": "POST", "json": {}, "text": ""})), ["text"]);
        assert_eq!(refused(&json!({"json": {"a": 1}})), ["json"]);
        assert_eq!(refused(&json!({"capture": {"id": "a.id"}})), ["capture.id"]);
        let keys = json!({"headers": {"idempotency-key": "k"}});
        assert_eq!(refused(&keys), ["headers.idempotency-key"]);
    }

    #[test]
    fn values_are_captured_by_their_pointers() {
        let keys = json!({"capture": {"id": "/items/0/id", "state": "/state"}});
        let found = captured(&input(&keys), &answer(200, r#"{"items":[{"id":7}],"state":"ok"}"#));
        let expected = [("id".to_owned(), json!(7)), ("state".to_owned(), json!("ok"))];
        assert_eq!(found, Ok(IndexMap::from(expected)));
        let missing = captured(&input(&keys), &answer(200, r#"{"state":"ok"}"#));
        assert_eq!(missing, Err("the answer has nothing at `/items/0/id`".to_owned()));
        assert!(captured(&input(&keys), &answer(200, "<html>")).is_err());
        assert_eq!(captured(&input(&json!({})), &answer(204, "")), Ok(IndexMap::new()));
    }

    #[test]
    fn an_observation_tells_by_the_answer_alone() {
        let keys = json!({"method": "POST", "capture": {"id": "/id", "since": "/since"},
            "observe": {"url": "https://host/x", "expect": {"json": {"/on": true}}}});
        let input = input(&keys);
        let seen =
            |status, body| observed(input.observe.as_ref().unwrap(), &input, &answer(status, body));
        let captured =
            IndexMap::from([("id".to_owned(), json!(7)), ("since".to_owned(), Value::Null)]);
        let done = Observation::Done(Output { status: None, captured });
        assert_eq!(seen(200, r#"{"on":true,"id":7}"#), done);
        assert_eq!(seen(200, r#"{"on":false}"#), Observation::NotDone);
        assert_eq!(seen(404, ""), Observation::NotDone);
        for status in [401, 403, 429, 500, 503, 302] {
            assert_eq!(seen(status, ""), Observation::Unknown, "{status}");
        }
    }
}
