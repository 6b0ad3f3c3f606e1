//! A promotion that is asked for, and what an instance is, seen from there.

use engine::context::StepContext;
use jiff::{SignedDuration, Timestamp};
use model::step_error::StepError;
use model::units::Span;
use serde::{Deserialize, Serialize};

use crate::pg::promote::Announced;
use crate::rds::instance::Instance;

/// The fact that is durable before RDS is asked to promote.
const ASKED: &str = "promotion";

/// The fact that tells how RDS answered, when it did.
const ANSWERED: &str = "promotion_answer";

/// A promotion about to be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Asked {
    pub(super) attempt: u32,
    pub(super) at: Timestamp,
    pub(super) resource_id: String,
    /// The instance whose replica it is.
    pub(super) source: String,
    /// What the server was by SQL.
    pub(super) standby: Announced,
}

/// How RDS answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// It accepted.
    Accepted,
    /// It certainly did nothing.
    Refused,
}

/// What became of RDS's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heard(Option<Answer>);

impl Heard {
    pub(super) fn is_accepted(self) -> bool {
        self.0 == Some(Answer::Accepted)
    }
}

/// What the instance is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// RDS names no source any more, and says that it is available.
    Promoted(Box<Instance>),
    /// Something goes on; in words, what.
    Underway(String),
    /// It is an available replica: nothing has begun, or not yet.
    Replica,
    /// It is in a status that it does not leave by itself.
    Stuck(String),
    /// It is another instance.
    Foreign(String),
}

impl Asked {
    /// Makes it durable that RDS is going to be asked.
    pub(super) async fn record(&self, ctx: &StepContext) -> Result<(), StepError> {
        ctx.record(ASKED, self).await
    }

    /// Makes RDS's answer durable.
    pub(super) async fn answered(ctx: &StepContext, answer: Answer) -> Result<(), StepError> {
        ctx.record(ANSWERED, answer).await
    }

    /// What this step asked for last, in any attempt, and RDS did not refuse.
    pub(super) fn of(ctx: &StepContext) -> Option<(Self, Heard)> {
        let mut open = Vec::new();
        for fact in ctx.facts() {
            match fact.name.as_str() {
                ASKED => {
                    let asked = serde_json::from_value(fact.data).ok();
                    open.extend(asked.map(|asked| (asked, Heard(None))));
                }
                ANSWERED => match serde_json::from_value(fact.data).ok() {
                    Some(Answer::Refused) => drop(open.pop()),
                    answer => open.last_mut().into_iter().for_each(|last| last.1 = Heard(answer)),
                },
                _ => {}
            }
        }
        open.pop()
    }

    /// Whether it was asked for longer ago than `span`.
    pub(super) fn is_older_than(&self, span: Span, now: Timestamp) -> bool {
        let span = SignedDuration::try_from(span.duration()).unwrap_or(SignedDuration::MAX);
        self.at.checked_add(span).is_ok_and(|at| at <= now)
    }

    /// What the instance is now.
    pub(super) fn seen(&self, found: Option<Instance>) -> Seen {
        let Some(found) = found else {
            return Seen::Foreign("there is no instance of that name any more".to_owned());
        };
        if found.resource_id != self.resource_id {
            let (now, then) = (&found.resource_id, &self.resource_id);
            return Seen::Foreign(format!("it is {now} now, and {then} was to be promoted"));
        }
        if found.is_stuck() {
            return Seen::Stuck(found.status);
        }
        match (found.is_available(), &found.source) {
            (true, None) => Seen::Promoted(Box::new(found)),
            (true, Some(_)) => Seen::Replica,
            (false, Some(_)) => Seen::Underway(format!("the replica is {}", found.status)),
            (false, None) => {
                Seen::Underway(format!("it is no replica any more, and is {}", found.status))
            }
        }
    }
}

/// The instance is not the one that was to be promoted.
pub(super) fn foreign(instance: &str, why: &str) -> StepError {
    let message = format!("the instance `{instance}` is not what was to be promoted: {why}");
    StepError::needs_operator("RB0557", message)
        .hint("somebody replaced it: find out who, and which server has the newest data")
}

/// The instance does not come to an end of it by itself.
pub(super) fn stuck(instance: &str, status: &str) -> StepError {
    let message = format!("`{instance}` was to be promoted, and its status is `{status}`");
    StepError::ambiguous("RB0675", message).hint(
        "look at its events in RDS; it is looked at again, and nothing is asked a second time",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> Asked {
        let standby = Announced {
            system_identifier: "7".to_owned(),
            timeline: 1,
            received: None,
            replayed_until: None,
            written: None,
            ended: Timestamp::UNIX_EPOCH,
        };
        let (resource_id, source) = (Instance::example().resource_id, "app-primary".to_owned());
        Asked { attempt: 1, at: Timestamp::UNIX_EPOCH, resource_id, source, standby }
    }

    fn found(status: &str, source: Option<&str>) -> Instance {
        let (status, source) = (status.to_owned(), source.map(str::to_owned));
        Instance { status, source, ..Instance::example() }
    }

    #[test]
    fn available_alone_is_no_promotion() {
        let seen = |found| asked().seen(Some(found));
        assert_eq!(seen(found("available", Some("app-primary"))), Seen::Replica);
        for status in ["modifying", "rebooting", "backing-up", "configuring-enhanced-monitoring"] {
            for source in [Some("app-primary"), None] {
                assert!(matches!(seen(found(status, source)), Seen::Underway(_)), "{status}");
            }
        }
        assert!(matches!(seen(found("available", None)), Seen::Promoted(_)));
        for status in ["failed", "incompatible-parameters", "storage-full"] {
            assert_eq!(seen(found(status, None)), Seen::Stuck(status.to_owned()));
        }
        shown::case("RB0675", stuck("app-replica", "incompatible-parameters").told());
        let other = Instance { resource_id: "db-OTHER".to_owned(), ..Instance::example() };
        assert!(matches!(seen(other), Seen::Foreign(_)));
        assert!(matches!(asked().seen(None), Seen::Foreign(_)));
    }

    #[test]
    fn a_request_is_old_once_its_time_is_over() {
        let now = Timestamp::from_second(60).unwrap();
        assert!(asked().is_older_than("60s".parse().unwrap(), now));
        assert!(!asked().is_older_than("61s".parse().unwrap(), now));
    }
}
