//! What became of a message.

use std::time::Duration;

use engine::context::StepContext;
use model::step_error::StepError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::http::classify::{Meaning, later, meaning, refused};
use crate::http::client::{Answer, Request, Sent, place};

/// A message takes no longer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// What is known of a message that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Delivered {
    /// The receiver said that it has it.
    Confirmed,
    /// The receiver may have it.
    Unknown,
}

/// How a message ended, when it did not fail.
pub(super) enum Outcome {
    /// The receiver answered and took it.
    Taken(Answer),
    /// The receiver may have it; why nobody knows. The answer's status, if there was one.
    Unknown(String, Option<u16>),
}

/// Sends a message once. Errors are certain: the receiver does not have it.
pub(super) async fn send(request: &Request<'_>, ctx: &StepContext) -> Result<Outcome, StepError> {
    let place = place(request.url)?;
    let answer = match request.send(ctx).await {
        Sent::Answer(answer) => answer,
        Sent::No(error) => return Err(error),
        Sent::Unanswered(why) => return Ok(Outcome::Unknown(why, None)),
    };
    match meaning(&answer) {
        Meaning::Accepted => Ok(Outcome::Taken(answer)),
        Meaning::Later => Err(later(&place, &answer, ctx).await),
        Meaning::Refused => Err(refused(&place, &answer)),
        Meaning::Unclear => {
            let status = answer.status;
            Ok(Outcome::Unknown(format!("{place} failed with status {status}"), Some(status)))
        }
    }
}

/// Says in the log that a message may be lost.
pub(super) fn warn(ctx: &StepContext, why: &str) {
    ctx.log(format!("warning: the message may not have arrived: {why}"));
}
