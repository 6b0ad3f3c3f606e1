//! `slack.notify`: a message in a Slack channel.

use std::collections::BTreeMap;

use engine::context::StepContext;
use engine::step::{Observation, Step};
use indexmap::IndexMap;
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
use crate::http::client::{Body, Request, place};

/// Puts a message into a Slack channel.
///
/// ## What it does
/// It posts `text`, and `fields` as a small table under it, to an incoming webhook. Only status
/// 200 with the body `ok` counts as delivered. When Slack asks to slow down, the step waits as
/// long as asked, at most 30 s, before it may be retried. The whole exchange takes at most 10 s.
///
/// ## When to use it
/// To tell a channel how a run went: success, and above all failure.
///
/// ## What it changes
/// A message appears, and cannot be taken back.
///
/// ## How it can fail
/// A refusal (a wrong or revoked webhook, status 4xx) and a server that cannot be reached are
/// failures. A lost answer or a failing server (status 5xx) is none: the message may be there,
/// and posting it again could show it twice. The step then succeeds with a warning and
/// `delivered: unknown`; a message never puts a run in doubt.
///
/// ## Example
/// ```yaml
/// - id: tell
///   uses: slack.notify
///   with:
///     webhook: "{{ secrets.slack }}"
///     text: The nightly backup is proven.
///     fields: {Database: lms, Size: 1.2 GiB}
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The address of the incoming webhook, from a secret.
    webhook: SecretText,
    /// The message, in Slack's own mark-up.
    text: String,
    /// Names and values shown as a table under the text, in this order.
    #[serde(default)]
    fields: IndexMap<String, String>,
}

/// What became of the message.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// Whether Slack confirmed it.
    delivered: Delivered,
}

/// The step kind.
pub struct Notify;

fn message(input: &Input) -> Value {
    if input.fields.is_empty() {
        return json!({"text": input.text});
    }
    let field = |(title, value)| json!({"title": title, "value": value, "short": true});
    let fields: Vec<_> = input.fields.iter().map(field).collect();
    json!({"text": input.text, "attachments": [{"fields": fields}]})
}

impl Step for Notify {
    const KIND: &'static str = "slack.notify";
    const SUMMARY: &'static str = "puts a message into a Slack channel";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        if input.text.trim().is_empty() {
            return Err(vec![InputProblem::at("text", "the message is empty")]);
        }
        Ok(())
    }

    fn footprint(_input: &Input) -> Footprint {
        Footprint::new(Effect::Irreversible, Repeat::Opaque)
            .notifies()
            .endpoint("the Slack webhook")
            .writes("a message in a Slack channel")
    }

    fn example() -> Output {
        Output { delivered: Delivered::Confirmed }
    }

    async fn observe(_input: &Input, _ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        // Nothing can tell, and a message is never worth a run in doubt.
        Ok(Observation::Done(Output { delivered: Delivered::Unknown }))
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let request = Request {
            method: Method::POST,
            url: input.webhook.expose(),
            headers: &BTreeMap::new(),
            body: Body::Json(message(input)),
            timeout: TIMEOUT,
        };
        let answer = match send(&request, ctx).await? {
            Outcome::Taken(answer) => answer,
            Outcome::Unknown(why, _) => {
                warn(ctx, &why);
                return Ok(Output { delivered: Delivered::Unknown });
            }
        };
        if answer.status == 200 && answer.body.trim_ascii() == b"ok" {
            return Ok(Output { delivered: Delivered::Confirmed });
        }
        let place = place(input.webhook.expose())?;
        let message = format!("{place} did not confirm the message with `ok`: it is not Slack");
        let mut error = StepError::permanent("RB0706", message);
        error.causes.extend(excerpt(&answer));
        Err(error.hint("check the webhook's address"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order() {
        let input = json!({"webhook": "https://x", "text": "hi", "fields": {"b": "1", "a": "2"}});
        let message = message(&serde_json::from_value(input).unwrap());
        assert_eq!(
            message,
            json!({"text": "hi", "attachments": [{"fields": [
                {"title": "b", "value": "1", "short": true},
                {"title": "a", "value": "2", "short": true},
            ]}]})
        );
    }

    #[test]
    fn an_empty_message_is_refused() {
        let input = json!({"webhook": "https://x", "text": " "});
        let problems = Notify::validate(&serde_json::from_value(input).unwrap()).unwrap_err();
        assert_eq!(problems[0].path, ["text"]);
    }
}
