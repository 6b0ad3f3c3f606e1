//! `pagerduty.event`: an alert in PagerDuty, by the Events API v2.
//! <https://developer.pagerduty.com/docs/send-alert-event>

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

use super::delivery::{Delivered, Outcome, TIMEOUT, send};
use crate::http::classify::excerpt;
use crate::http::client::{Body, Request, place};

/// Where PagerDuty takes events.
const ENDPOINT: &str = "https://events.pagerduty.com/v2/enqueue";

/// Characters of a summary that PagerDuty takes.
const LONGEST_SUMMARY: usize = 1024;

/// Characters of a key that PagerDuty takes.
const LONGEST_KEY: usize = 255;

/// Triggers, acknowledges or resolves an alert in PagerDuty.
///
/// ## What it does
/// It sends one event to the Events API v2. Events with the same `dedup_key` belong to one alert,
/// so the same event sent twice is one alert; the key of a `trigger` is `<run>/<step>` unless you
/// give one. Only status 202 counts as delivered. When PagerDuty asks to slow down, the step waits
/// as long as asked, at most 30 s, before it may be retried. The whole exchange takes at most
/// 10 s. A summary of more than 1024 characters is cut.
///
/// ## When to use it
/// To wake somebody when a run fails, and to resolve the alert when a later run succeeds: give
/// both the same `dedup_key`.
///
/// ## What it changes
/// An alert is opened, acknowledged or resolved, and people may be called.
///
/// ## How it can fail
/// A refusal (status 400: a wrong routing key or event) and a server that cannot be reached are
/// failures. When the answer is lost or PagerDuty fails (status 5xx), the event may be there; the
/// step may be retried, because the key makes a second one harmless. It never puts a run in doubt.
///
/// ## Example
/// ```yaml
/// - id: page
///   uses: pagerduty.event
///   with:
///     routing_key: "{{ secrets.pagerduty }}"
///     summary: The nightly backup of lms failed.
///     severity: error
///     details: {report: "runbook report"}
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The integration key of the PagerDuty service, from a secret.
    routing_key: SecretText,
    /// What happens to the alert.
    #[serde(default)]
    action: Action,
    /// What is wrong, in one line; needed to trigger.
    summary: Option<String>,
    /// How bad it is.
    #[serde(default)]
    severity: Severity,
    /// What is affected; without it, the runbook's name.
    source: Option<String>,
    /// The part of it that is affected.
    component: Option<String>,
    /// Names and values shown with the alert.
    #[serde(default)]
    details: IndexMap<String, Value>,
    /// The alert the event belongs to; needed to acknowledge and to resolve.
    dedup_key: Option<String>,
    /// Where PagerDuty takes events; another one for its service region in Europe.
    #[serde(default = "endpoint")]
    endpoint: String,
}

/// What happens to an alert.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Action {
    /// It is opened, or the event is added to the open one with that key.
    #[default]
    Trigger,
    /// Somebody works on it.
    Acknowledge,
    /// It is over.
    Resolve,
}

/// How bad something is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Severity {
    /// Somebody must act now.
    #[default]
    Critical,
    /// Something failed.
    Error,
    /// Something may fail.
    Warning,
    /// For the record.
    Info,
}

/// What became of the event.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// Whether PagerDuty confirmed it.
    delivered: Delivered,
    /// The key of the alert.
    dedup_key: String,
}

/// The step kind.
pub struct Event;

fn endpoint() -> String {
    ENDPOINT.to_owned()
}

/// The key of the alert: the input's, or one that every attempt of this step has.
fn key(input: &Input, ctx: &StepContext) -> String {
    let own = || format!("{}/{}", ctx.id().run, ctx.id().step);
    input.dedup_key.clone().unwrap_or_else(own)
}

fn event(input: &Input, ctx: &StepContext) -> Value {
    let mut event = json!({
        "routing_key": input.routing_key.expose(),
        "event_action": input.action,
        "dedup_key": key(input, ctx),
    });
    if input.action == Action::Trigger {
        event["payload"] = payload(input, ctx);
        event["client"] = json!("runbook");
    }
    event
}

fn payload(input: &Input, ctx: &StepContext) -> Value {
    let summary = input.summary.as_deref().unwrap_or_default();
    let mut payload = json!({
        "summary": summary.chars().take(LONGEST_SUMMARY).collect::<String>(),
        "source": input.source.as_ref().unwrap_or(&ctx.id().run_name),
        "severity": input.severity,
        "timestamp": ctx.now(),
    });
    if let Some(component) = &input.component {
        payload["component"] = json!(component);
    }
    if !input.details.is_empty() {
        payload["custom_details"] = json!(input.details);
    }
    payload
}

impl Step for Event {
    const KIND: &'static str = "pagerduty.event";
    const SUMMARY: &'static str = "triggers, acknowledges or resolves an alert in PagerDuty";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let mut problems = Vec::new();
        let triggers = input.action == Action::Trigger;
        if triggers && input.summary.as_ref().is_none_or(|text| text.trim().is_empty()) {
            problems.push(InputProblem::at("summary", "an alert says in one line what is wrong"));
        }
        if !triggers && input.dedup_key.is_none() {
            let problem = InputProblem::at("dedup_key", "the event names no alert");
            problems.push(problem.help("give the `dedup_key` of the step that triggered it"));
        }
        if input.dedup_key.as_ref().is_some_and(|key| key.chars().count() > LONGEST_KEY) {
            problems.push(InputProblem::at("dedup_key", "a key has at most 255 characters"));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        let place = place(&input.endpoint).unwrap_or_else(|_| "PagerDuty".to_owned());
        Footprint::new(Effect::Irreversible, Repeat::Keyed)
            .notifies()
            .endpoint(place.trim_matches('`'))
            .writes("an alert in PagerDuty")
    }

    fn example() -> Output {
        let dedup_key = "01JD2Q0M3K5V7X9ZB1D3F5H7J9/page".to_owned();
        Output { delivered: Delivered::Confirmed, dedup_key }
    }

    async fn observe(_input: &Input, _ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        // PagerDuty will know a second event by its key.
        Ok(Observation::NotDone)
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let request = Request {
            method: Method::POST,
            url: &input.endpoint,
            headers: &BTreeMap::new(),
            body: Body::Json(event(input, ctx)),
            timeout: TIMEOUT,
        };
        let answer = match send(&request, ctx).await? {
            Outcome::Taken(answer) => answer,
            Outcome::Unknown(why, _) => return Err(StepError::ambiguous("RB0703", why)),
        };
        if answer.status == 202 {
            return Ok(Output { delivered: Delivered::Confirmed, dedup_key: key(input, ctx) });
        }
        let place = place(&input.endpoint)?;
        let message = format!("{place} did not accept the event with status 202");
        let mut error = StepError::permanent("RB0706", message);
        error.causes.extend(excerpt(&answer));
        Err(error.hint("check the `endpoint`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn input(keys: &Value) -> Input {
        let mut input = json!({"routing_key": "R"});
        input.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        serde_json::from_value(input).unwrap()
    }

    fn refused(keys: &Value) -> Vec<String> {
        let problems = Event::validate(&input(keys)).err().unwrap_or_default();
        problems.into_iter().map(|problem| problem.path.join(".")).collect()
    }

    #[test]
    fn the_key_is_the_same_in_every_attempt() {
        let host = testing::host();
        let event =
            |attempt| event(&input(&json!({"summary": "x"})), &testing::context_of(&host, attempt));
        assert_eq!(event(1), event(2));
        assert_eq!(event(1)["dedup_key"], json!("00000000000000000000000000/tested"));
    }

    #[test]
    fn a_trigger_has_a_payload_and_the_others_have_none() {
        let keys = json!({"summary": "down", "severity": "warning", "details": {"b": 1, "a": 2}});
        let sent = event(&input(&keys), &testing::context());
        assert_eq!(
            sent["payload"],
            json!({"summary": "down", "source": "memory", "severity": "warning",
                   "timestamp": "2026-11-20T02:00:00Z", "custom_details": {"b": 1, "a": 2}})
        );
        let sent =
            event(&input(&json!({"action": "resolve", "dedup_key": "k"})), &testing::context());
        assert_eq!(sent, json!({"routing_key": "R", "event_action": "resolve", "dedup_key": "k"}));
    }

    #[test]
    fn a_long_summary_is_cut_where_pagerduty_would_refuse_it() {
        let sent = event(&input(&json!({"summary": "ü".repeat(2000)})), &testing::context());
        assert_eq!(sent["payload"]["summary"], json!("ü".repeat(1024)));
    }

    #[test]
    fn what_pagerduty_would_refuse_is_refused_by_its_key() {
        assert_eq!(refused(&json!({})), ["summary"]);
        assert_eq!(refused(&json!({"summary": " "})), ["summary"]);
        assert_eq!(refused(&json!({"action": "resolve"})), ["dedup_key"]);
        assert_eq!(refused(&json!({"summary": "x", "dedup_key": "k".repeat(256)})), ["dedup_key"]);
        assert_eq!(refused(&json!({"action": "acknowledge", "dedup_key": "k"})), [""; 0]);
    }
}
