//! `webhook.post`: a JSON message to any receiver.

use std::collections::BTreeMap;

use engine::context::StepContext;
use engine::step::{Observation, Step};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::secret::SecretText;
use model::step_error::StepError;
use reqwest::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::delivery::{Delivered, Outcome, TIMEOUT, send, warn};
use crate::http::classify::excerpt;
use crate::http::client::{Answer, Body, Request, place};

/// The header by which a receiver knows a message again: `<run>/<step>`, the same in every
/// attempt.
const KEY: &str = "Idempotency-Key";
/// The header that tells which attempt this is.
const ATTEMPT: &str = "Runbook-Attempt";

/// Posts a JSON message to any receiver.
///
/// ## What it does
/// It posts `body` as JSON, with the header `Idempotency-Key: <run>/<step>`, the same in every
/// attempt, and `Runbook-Attempt: <number>`. The whole exchange takes at most 10 s. Redirects are
/// not followed.
///
/// ## When to use it
/// To tell a program that has no step kind of its own: a chat, a ticket system, a status page.
///
/// ## What it changes
/// Whatever the receiver does with the message.
///
/// ## How it can fail
/// A status that is not expected and a server that cannot be reached are failures. When the
/// answer is lost or the server fails (status 5xx), the message may be there. Then it depends on
/// `deduplicates`: a receiver that ignores a key it knows gets the message again; with any other
/// the step succeeds with a warning and `delivered: unknown`, because a message never puts a run
/// in doubt.
///
/// ## Example
/// ```yaml
/// - id: tell
///   uses: webhook.post
///   with:
///     url: "{{ secrets.status_page }}"
///     body: {component: database, status: operational}
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The receiver's address; may be a secret.
    url: SecretText,
    /// The message: any JSON.
    #[serde(default)]
    body: Value,
    /// Further headers by name; secrets are allowed here.
    #[serde(default)]
    #[schemars(extend("x-secrets-allowed" = true))]
    headers: BTreeMap<String, String>,
    /// The statuses from 200 to 299 that mean the receiver has it; without it, all of them.
    #[serde(default)]
    expect_status: Vec<u16>,
    /// The receiver ignores a second message with an `Idempotency-Key` it knows, so the message
    /// may be sent again.
    #[serde(default)]
    deduplicates: bool,
}

/// What became of the message.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// Whether the receiver confirmed it.
    delivered: Delivered,
    /// The status it answered with, if it answered.
    status: Option<u16>,
    /// The answer's body when it is JSON, else absent.
    answer: Option<Value>,
}

/// The step kind.
pub struct Post;

/// The headers of the input and the two of every message.
fn headers(input: &Input, ctx: &StepContext) -> BTreeMap<String, String> {
    let id = ctx.id();
    let mut headers = input.headers.clone();
    headers.insert(KEY.to_owned(), format!("{}/{}", id.run, id.step));
    headers.insert(ATTEMPT.to_owned(), id.attempt.to_string());
    headers
}

fn unknown(status: Option<u16>) -> Output {
    Output { delivered: Delivered::Unknown, status, answer: None }
}

/// The error of an answer that is good, and not the one that was asked for.
fn unexpected(input: &Input, answer: &Answer) -> Result<StepError, StepError> {
    let expected: Vec<_> = input.expect_status.iter().map(ToString::to_string).collect();
    let (place, expected) = (place(input.url.expose())?, expected.join(" or "));
    let message = format!("{place}: expected status {expected}, found {}", answer.status);
    let mut error = StepError::permanent("RB0707", message);
    error.causes.extend(excerpt(answer));
    Ok(error)
}

impl Step for Post {
    const KIND: &'static str = "webhook.post";
    const SUMMARY: &'static str = "posts a JSON message to any receiver";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let ours =
            |name: &&String| name.eq_ignore_ascii_case(KEY) || name.eq_ignore_ascii_case(ATTEMPT);
        let header = |name: &String| InputProblem {
            path: vec!["headers".to_owned(), name.clone()],
            message: format!("`{name}` is set by the step itself"),
            help: Some("leave it out".to_owned()),
        };
        let mut problems: Vec<_> = input.headers.keys().filter(ours).map(header).collect();
        for status in input.expect_status.iter().filter(|status| !(200..300).contains(*status)) {
            let message = format!("{status} is no status of a receiver that took the message");
            problems.push(
                InputProblem::at("expect_status", message).help("name statuses from 200 to 299"),
            );
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        let repeat = if input.deduplicates { Repeat::Keyed } else { Repeat::Opaque };
        Footprint::new(Effect::Irreversible, repeat)
            .notifies()
            .endpoint("the webhook")
            .writes("what the receiver of the webhook does with the message")
    }

    fn example() -> Output {
        let answer = Some(json!({"ok": true}));
        Output { delivered: Delivered::Confirmed, status: Some(200), answer }
    }

    async fn observe(input: &Input, _ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        // The receiver will know a second message by its key.
        if input.deduplicates {
            return Ok(Observation::NotDone);
        }
        Ok(Observation::Done(unknown(None)))
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let request = Request {
            method: Method::POST,
            url: input.url.expose(),
            headers: &headers(input, ctx),
            body: Body::Json(input.body.clone()),
            timeout: TIMEOUT,
        };
        let answer = match send(&request, ctx).await? {
            Outcome::Taken(answer) => answer,
            Outcome::Unknown(why, _) if input.deduplicates => {
                return Err(StepError::ambiguous("RB0703", why));
            }
            Outcome::Unknown(why, status) => {
                warn(ctx, &why);
                return Ok(unknown(status));
            }
        };
        let status = answer.status;
        if !input.expect_status.is_empty() && !input.expect_status.contains(&status) {
            return Err(unexpected(input, &answer)?);
        }
        let answer = serde_json::from_slice(&answer.body).ok();
        Ok(Output { delivered: Delivered::Confirmed, status: Some(status), answer })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headers_of_the_step_itself_are_not_overwritten() {
        let input = json!({"url": "https://x", "headers": {"idempotency-key": "1"}});
        let problems = Post::validate(&serde_json::from_value(input).unwrap()).unwrap_err();
        assert_eq!(problems[0].path, ["headers", "idempotency-key"]);
    }
}
