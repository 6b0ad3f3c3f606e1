//! Making an instance: one request, and what becomes of it, told by its name and its tags.

use std::time::Duration;

use engine::context::StepContext;
use engine::step::Observation;
use jiff::{SignedDuration, Timestamp};
use model::step_error::{ErrorClass, StepError};
use model::units::Span;
use serde::{Deserialize, Serialize};

use super::instance::Instance;
use super::settings::of_this_step;
use super::watch::{Pace, Watch};
use crate::aws::rds::{Rds, Sent};

/// The fact that is durable before RDS is asked.
const FACT: &str = "making";

/// An instance about to be made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Begun {
    at: Timestamp,
    /// The moment that its data is of.
    pub(super) moment: Option<Timestamp>,
}

/// An instance to be made.
pub(super) struct Order<'a> {
    pub(super) ctx: &'a StepContext,
    pub(super) rds: &'a Rds,
    pub(super) instance: &'a str,
    pub(super) security_groups: &'a [String],
    /// How long nothing may be seen of a request whose answer was lost.
    pub(super) settle: Span,
    pub(super) pace: Pace,
}

/// There is one of that name, and this step did not make it.
pub(super) fn taken(what: &str, name: &str, region: &str) -> StepError {
    let message = format!("there is a {what} `{name}` in {region} already, not of this step");
    StepError::permanent("RB0677", message)
        .hint("nothing was made or changed: take another name, or look whose it is by its tags")
}

/// Nothing is known of a thing whose making was asked for, or it is not whole in time.
pub(super) fn unfinished(what: &str, name: &str, limit: Duration, how: &str) -> StepError {
    let message = format!("the {what} `{name}` is not ready after {}: {how}", Span::from(limit));
    StepError::ambiguous("RB0678", message)
        .hint("look at its events in RDS; it is looked at again, and nothing is made twice")
}

impl Order<'_> {
    /// What was announced by this step, in any attempt.
    pub(super) fn begun(&self) -> Option<Begun> {
        self.ctx.fact(FACT).and_then(|fact| serde_json::from_value(fact).ok())
    }

    /// Whether an earlier attempt made it; an error when somebody else did.
    pub(super) async fn is_begun(&self) -> Result<bool, StepError> {
        match self.rds.instance(self.instance).await? {
            None => Ok(false),
            Some(found) if self.begun().is_some() && of_this_step(&found.tags, self.ctx) => {
                self.ctx.log(format!("`{}` was made by an earlier attempt", self.instance));
                Ok(true)
            }
            Some(_) => Err(taken("DB instance", self.instance, self.rds.region())),
        }
    }

    /// Makes it durable that RDS is going to be asked.
    pub(super) async fn announce(&self, moment: Option<Timestamp>) -> Result<(), StepError> {
        if self.ctx.cancel().is_cancelled() {
            return Err(StepError::cancelled());
        }
        self.ctx.record(FACT, Begun { at: self.ctx.now(), moment }).await
    }

    /// Waits for what was asked for.
    pub(super) async fn finish(&self, sent: Sent) -> Result<Instance, StepError> {
        match sent {
            Sent::Accepted | Sent::Taken(_) => self.ready(None).await,
            // A source that is busy: certainly nothing was made.
            Sent::State(why) => Err(StepError::transient("RB0673", why)),
            Sent::Refused(error) => Err(error),
            Sent::Lost(error) => {
                self.ctx.log(format!("{error}: what became of it is looked at"));
                self.ready(Some(error)).await
            }
        }
    }

    /// Waits until it is there, available, and let in whom it should.
    pub(super) async fn ready(&self, lost: Option<StepError>) -> Result<Instance, StepError> {
        let mut watch = Watch::new(self.ctx, self.pace);
        let (mut calm, settle) = (Duration::ZERO, self.settle.duration());
        loop {
            let seen = match (self.rds.instance(self.instance).await, &lost) {
                (Ok(None), Some(error)) if calm >= settle => return Err(error.clone()),
                (Ok(None), _) => {
                    calm += self.pace.interval;
                    Ok(format!("`{}` is not there yet", self.instance))
                }
                (Ok(Some(found)), _) => match self.judge(&found)? {
                    None => return Ok(found),
                    Some(how) => Ok(how),
                },
                (Err(error), _) => Err(error),
            };
            if !watch.again(seen).await.map_err(after)? {
                let limit = self.pace.limit;
                return Err(unfinished("DB instance", self.instance, limit, &watch.last));
            }
        }
    }

    /// What is missing yet, in words; nothing when it is ready.
    fn judge(&self, found: &Instance) -> Result<Option<String>, StepError> {
        let Instance { instance, status, .. } = found;
        if !of_this_step(&found.tags, self.ctx) {
            return Err(taken("DB instance", instance, self.rds.region()));
        }
        if found.is_stuck() {
            let message = format!("`{instance}` was to be made, and its status is `{status}`");
            return Err(StepError::ambiguous("RB0675", message)
                .hint("look at its events in RDS; delete it by hand if it is of no use"));
        }
        if !found.is_available() || found.endpoint.is_none() {
            return Ok(Some(format!("`{instance}` is {status}")));
        }
        let closed = !found.is_in(self.security_groups);
        Ok(closed.then(|| format!("`{instance}` is available, its security groups not active yet")))
    }

    /// What became of it.
    pub(super) async fn observe(&self) -> Result<Observation<(Begun, Instance)>, StepError> {
        let Some(begun) = self.begun() else { return Ok(Observation::NotDone) };
        let Some(found) = self.rds.instance(self.instance).await? else {
            let settle = SignedDuration::try_from(self.settle.duration());
            let until = begun.at.checked_add(settle.unwrap_or(SignedDuration::MAX));
            let late = until.is_ok_and(|until| until <= self.ctx.now());
            return Ok(if late { Observation::NotDone } else { Observation::InProgress });
        };
        Ok(match self.judge(&found) {
            Ok(None) => Observation::Done((begun, found)),
            Ok(Some(_)) => Observation::InProgress,
            Err(_) => Observation::Unknown,
        })
    }
}

/// What ends the looks, once it may have been made.
fn after(error: StepError) -> StepError {
    match error.class {
        ErrorClass::Cancelled => error,
        _ => StepError { class: ErrorClass::Ambiguous, ..error },
    }
}
