//! `http.check`: asks a server and compares the answer with what is expected.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::clock::{Clock as _, RealClock};
use engine::context::{Progress, StepContext};
use engine::step::{Observation, Step};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::{Footprint, Part};
use model::step_error::{ErrorClass, StepError};
use model::units::Span;
use reqwest::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::classify::excerpt;
use super::client::{Answer, Body, CONNECT_TIMEOUT, Request, Sent, place};

/// Asks a server and compares the answer with what is expected.
///
/// ## What it does
/// It sends one `GET` and checks the status, and when asked, that the body contains a text and
/// that values inside a JSON body are equal to given ones. Redirects are not followed: a redirect
/// is an answer with its own status. At most 1 MiB of the body is read.
///
/// ## When to use it
/// To see that an application answers after a restore or a failover. With `wait` it looks again until
/// it does.
///
/// ## What it changes
/// Nothing, provided the address answers `GET` without a side effect, as it must.
///
/// ## How it can fail
/// When the server cannot be reached, does not answer within `timeout`, or answers something
/// else, the whole of `wait`; the error names what was expected and what was found.
///
/// ## Example
/// ```yaml
/// - id: smoke
///   uses: http.check
///   with:
///     url: https://lms.example.com/health
///     expect: {status: [200], json: {/database: ok}}
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The address: `https://`, or `http://` on a trusted network.
    url: String,
    /// Headers by name; secrets are allowed here.
    #[serde(default)]
    #[schemars(extend("x-secrets-allowed" = true))]
    headers: BTreeMap<String, String>,
    /// What the answer must be.
    #[serde(default)]
    expect: Expect,
    /// For the whole exchange; more than 5s.
    #[serde(default = "ten_seconds")]
    timeout: Span,
    /// How long to wait for the expected answer; without it, one look decides.
    wait: Option<Span>,
    /// The time between two looks.
    #[serde(default = "two_seconds")]
    interval: Span,
}

/// What an answer must be.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Expect {
    /// Statuses that are right.
    status: Vec<u16>,
    /// A text that the body contains.
    contains: Option<String>,
    /// Values inside a JSON body by their JSON pointer (RFC 6901), such as `/checks/0/status`.
    json: BTreeMap<String, Value>,
}

impl Default for Expect {
    fn default() -> Self {
        Self { status: vec![200], contains: None, json: BTreeMap::new() }
    }
}

/// What was answered.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// The status.
    status: u16,
    /// The size of the body, in bytes; 1 MiB when it is at least that.
    bytes: u64,
    /// How long the answer took, in milliseconds.
    duration_ms: u64,
}

/// The step kind.
pub struct Check;

fn ten_seconds() -> Span {
    Span::from(Duration::from_secs(10))
}

fn two_seconds() -> Span {
    Span::from(Duration::from_secs(2))
}

fn found(value: Option<&Value>) -> String {
    value.map_or_else(|| "nothing".to_owned(), |value| format!("`{value}`"))
}

/// What the answer is not: each as one sentence.
pub(super) fn unmet(expect: &Expect, answer: &Answer) -> Vec<String> {
    let mut unmet = Vec::new();
    if !expect.status.contains(&answer.status) {
        let expected: Vec<_> = expect.status.iter().map(ToString::to_string).collect();
        unmet.push(format!("expected status {}, found {}", expected.join(" or "), answer.status));
    }
    if let Some(text) = &expect.contains
        && !String::from_utf8_lossy(&answer.body).contains(text.as_str())
    {
        unmet.push(format!("expected the body to contain `{text}`"));
    }
    if expect.json.is_empty() {
        return unmet;
    }
    match serde_json::from_slice::<Value>(&answer.body) {
        Ok(body) => unmet.extend(expect.json.iter().filter_map(|(pointer, expected)| {
            let value = body.pointer(pointer);
            (value != Some(expected))
                .then(|| format!("expected `{pointer}` to be `{expected}`, found {}", found(value)))
        })),
        Err(_) if answer.truncated => unmet.push("the body is larger than 1 MiB".to_owned()),
        Err(error) => unmet.push(format!("expected a JSON body: {error}")),
    }
    unmet
}

impl Step for Check {
    const KIND: &'static str = "http.check";
    const SUMMARY: &'static str = "asks a server and compares the answer with what is expected";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let mut problems = Vec::new();
        if input.timeout.duration() <= CONNECT_TIMEOUT {
            let problem = InputProblem::at("timeout", "a connection alone may take 5s");
            problems.push(problem.help("give it more than `5s`"));
        }
        if input.expect.status.is_empty() {
            problems.push(InputProblem {
                path: vec!["expect".to_owned(), "status".to_owned()],
                message: "no status is right".to_owned(),
                help: Some("name at least one, such as `[200]`".to_owned()),
            });
        }
        for pointer in input.expect.json.keys().filter(|pointer| !pointer.starts_with('/')) {
            problems.push(InputProblem {
                path: vec!["expect".to_owned(), "json".to_owned(), pointer.clone()],
                message: format!("`{pointer}` is not a JSON pointer"),
                help: Some(format!("write `/{}`", pointer.replace('.', "/"))),
            });
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        let place = place(&input.url).unwrap_or_else(|_| "the server".to_owned());
        Footprint::new(Effect::Read, Repeat::Idempotent)
            .plays(Part::Verify)
            .gives_up_after(input.wait)
            .endpoint(place.trim_matches('`'))
            .reads(format!("an answer of {place}"))
    }

    fn example() -> Output {
        Output { status: 200, bytes: 15, duration_ms: 12 }
    }

    async fn observe(_input: &Input, _ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        Ok(Observation::NotDone)
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let begun = RealClock.mono_ms();
        let wait = input.wait.map_or(Duration::ZERO, Span::duration);
        loop {
            let error = match look(input, ctx).await {
                Err(error) if error.class == ErrorClass::Transient => error,
                decided => return decided,
            };
            let spent = Duration::from_millis(RealClock.mono_ms() - begun);
            if spent + input.interval.duration() > wait {
                return Err(error);
            }
            let activity = format!("wait: {}", error.message);
            ctx.progress(Progress { activity, ..Progress::default() });
            ctx.sleep(input.interval.duration()).await?;
        }
    }
}

/// Asks once, and compares.
async fn look(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
    let place = place(&input.url)?;
    let started = ctx.now();
    let request = Request {
        method: Method::GET,
        url: &input.url,
        headers: &input.headers,
        body: Body::None,
        timeout: input.timeout.duration(),
    };
    let answer = match request.send(ctx).await {
        Sent::Answer(answer) => answer,
        Sent::No(error) => return Err(error),
        Sent::Unanswered(_) if ctx.cancel().is_cancelled() => return Err(StepError::cancelled()),
        Sent::Unanswered(why) => return Err(StepError::transient("RB0703", why)),
    };
    let unmet = unmet(&input.expect, &answer);
    if unmet.is_empty() {
        let duration_ms = ctx.now().duration_since(started).as_millis();
        let duration_ms = u64::try_from(duration_ms).unwrap_or_default();
        let bytes = answer.body.len() as u64;
        return Ok(Output { status: answer.status, bytes, duration_ms });
    }
    let message = format!("{place}: {}", unmet.join("; "));
    // Reading changes nothing, so another attempt is always safe, and often the point.
    let mut error = StepError::new(ErrorClass::Transient, "RB0707", message);
    error.causes.extend(excerpt(&answer));
    Err(error)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answered(status: u16, body: &str) -> Answer {
        Answer { status, retry_after: None, body: body.into(), truncated: false }
    }

    fn expect(json: Value) -> Expect {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn an_answer_that_is_right_leaves_nothing_unmet() {
        let expect = expect(json!({"contains": "ok", "json": {"/db": "ok", "/lag/0": 3}}));
        let answer = answered(200, r#"{"db": "ok", "lag": [3]}"#);
        assert_eq!(unmet(&expect, &answer), Vec::<String>::new());
    }

    #[test]
    fn each_unmet_expectation_names_expected_and_found() {
        let expect = expect(json!({"status": [200, 204], "contains": "ready",
                                   "json": {"/db": "ok", "/gone": true}}));
        assert_eq!(
            unmet(&expect, &answered(503, r#"{"db": "down"}"#)),
            [
                "expected status 200 or 204, found 503",
                "expected the body to contain `ready`",
                "expected `/db` to be `\"ok\"`, found `\"down\"`",
                "expected `/gone` to be `true`, found nothing",
            ]
        );
    }

    #[test]
    fn a_body_that_is_no_json_is_said_to_be_none() {
        let unmet = unmet(&expect(json!({"json": {"/a": 1}})), &answered(200, "<html>"));
        assert_eq!(unmet, ["expected a JSON body: expected value at line 1 column 1"]);
    }

    #[test]
    fn expectations_that_cannot_hold_are_refused() {
        let input = json!({"url": "http://localhost", "timeout": "5s",
                           "expect": {"status": [], "json": {"a.b": 1}}});
        let problems = Check::validate(&serde_json::from_value(input).unwrap()).unwrap_err();
        let paths: Vec<_> = problems.iter().map(|problem| problem.path.join(".")).collect();
        assert_eq!(paths, ["timeout", "expect.status", "expect.json.a.b"]);
        assert_eq!(problems[2].help.as_deref(), Some("write `/a/b`"));
    }
}
