//! The terms of a promotion: what covers it, what may be lost, and which standby it is.

use engine::context::StepContext;
use jiff::Timestamp;
use model::catalog::InputProblem;
use model::step_error::StepError;
use model::units::{ByteSize, Span};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_postgres::types::PgLsn;

use super::carry_out::Announced;
use super::gate::{loss, written};
use super::silence::{Heard, LOOK, Listening, QUIET_LOOKS};
use super::standing::{Standing, look};
use crate::pg::connection::Session;

/// The old primary was stopped, or refuses writes.
const CONFIRMED: &str = "confirmed";

/// Nobody can reach the old primary, so that nobody can fence it.
const UNREACHABLE: &str = "impossible_unreachable";

/// What keeps the old primary from writing.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fence {
    /// The outcome of `fence`: `confirmed` or `impossible_unreachable`.
    outcome: String,
    /// How that was proved, in a sentence.
    proof: String,
    /// Since when it commits nothing (RFC 3339 with a zone). Without it the loss counts until now.
    #[schemars(with = "Option<String>")]
    fenced_at: Option<Timestamp>,
}

/// What an input says of its promotion.
#[derive(Clone, Copy)]
pub(crate) struct Terms<'a> {
    pub(crate) connection: &'a str,
    pub(crate) fence: Option<&'a Fence>,
    pub(crate) without_fence: Option<&'a String>,
    pub(crate) accept_unreachable: Option<&'a String>,
    pub(crate) max_bytes: Option<ByteSize>,
    pub(crate) max_lag: Option<Span>,
    pub(crate) expected_lsn: Option<&'a String>,
    pub(crate) system_identifier: Option<&'a String>,
}

/// A text that says something.
fn said(text: Option<&String>) -> Option<&str> {
    text.map(|text| text.trim()).filter(|text| !text.is_empty())
}

fn not_a_position(text: &str) -> String {
    format!("`{text}` is not a position in the WAL, such as `0/3000148`")
}

fn uncovered(why: &str) -> StepError {
    StepError::permanent("RB0552", format!("nothing covers the promotion: {why}")).hint(
        "two primaries lose data: fence the old one, or say in `accept_unreachable` or \
         `without_fence` who accepts that it may write",
    )
}

/// Refuses to promote beside a primary that goes on committing.
async fn check_silence(ctx: &StepContext, session: &Session) -> Result<Standing, StepError> {
    let mut found = look(session).await?;
    let mut listening = Listening::default();
    while found.streaming {
        ctx.sleep(LOOK).await?;
        let before = std::mem::replace(&mut found, look(session).await?);
        let committed = found.replayed_until > before.replayed_until;
        match listening.hear(committed, found.heard > found.received) {
            Heard::Silence => break,
            Heard::Writer => {
                return Err(uncovered("the old primary still commits, and the standby streams it"));
            }
            Heard::Doubt if committed => ctx.log(format!(
                "a commit of the old primary arrived, which may be its own: waiting for {QUIET_LOOKS} s without one"
            )),
            Heard::Doubt => {}
        }
    }
    Ok(found)
}

impl Terms<'_> {
    /// What covers the promotion; an error when nothing does.
    pub(crate) fn covered_by(&self) -> Result<String, StepError> {
        let Some(fence) = self.fence else {
            let reason = said(self.without_fence);
            let why = || uncovered("neither `fence` nor a reason in `without_fence` is given");
            return reason.map(|reason| format!("no fence, accepted: {reason}")).ok_or_else(why);
        };
        match (fence.outcome.as_str(), said(self.accept_unreachable)) {
            (CONFIRMED, _) => Ok(format!("fence confirmed: {}", fence.proof)),
            (UNREACHABLE, Some(reason)) => {
                Ok(format!("the old primary is unreachable ({}), accepted: {reason}", fence.proof))
            }
            (UNREACHABLE, None) => {
                let why = format!(
                    "nobody reaches the old primary ({}), and nobody accepted that it may still \
                     write",
                    fence.proof
                );
                Err(uncovered(&why))
            }
            (other, _) => Err(uncovered(&format!("the fence's outcome is `{other}`"))),
        }
    }

    /// What may be lost, in words.
    pub(crate) fn bound(&self) -> String {
        match (self.max_bytes, self.max_lag) {
            (None, None) => "nothing may be lost".to_owned(),
            (Some(bytes), None) => format!("at most {bytes} may be lost"),
            (None, Some(span)) => format!("at most {span} of commits may be lost"),
            (Some(bytes), Some(span)) => format!("at most {bytes} and {span} may be lost"),
        }
    }

    fn expected(&self) -> Result<Option<PgLsn>, StepError> {
        let Some(text) = said(self.expected_lsn) else { return Ok(None) };
        let wrong = |_| StepError::permanent("RB0401", not_a_position(text));
        text.parse().map(Some).map_err(wrong)
    }

    /// Since when the old primary commits nothing.
    fn ended(&self, now: Timestamp) -> Timestamp {
        self.fence.and_then(|fence| fence.fenced_at).map_or(now, |at| at.min(now))
    }

    /// What is wrong with the terms themselves.
    pub(crate) fn problems(&self) -> Vec<InputProblem> {
        let mut problems: Vec<_> = self.cover_problem().into_iter().collect();
        if let (Some(text), Err(_)) = (self.expected_lsn, self.expected()) {
            problems.push(InputProblem::at("expected_lsn", not_a_position(text)));
        }
        problems
    }

    fn cover_problem(&self) -> Option<InputProblem> {
        match (self.fence, self.without_fence) {
            (None, None) => Some(
                InputProblem::at("fence", "neither `fence` nor `without_fence` is given")
                    .help("fence the old primary, or say in `without_fence` why it cannot write"),
            ),
            (Some(_), Some(reason)) if !reason.trim().is_empty() => {
                Some(InputProblem::at("without_fence", "`fence` is given as well"))
            }
            (Some(fence), _) if ![CONFIRMED, UNREACHABLE].contains(&fence.outcome.as_str()) => {
                let message = format!("`{}` is no outcome of a fence", fence.outcome);
                Some(
                    InputProblem::at("fence", message)
                        .help(format!("it is `{CONFIRMED}` or `{UNREACHABLE}`")),
                )
            }
            _ => None,
        }
    }

    fn no_standby(&self, why: &str) -> StepError {
        let message = format!("the server of `{}` cannot be promoted: {why}", self.connection);
        StepError::permanent("RB0525", message).hint("check the connection's host and port")
    }

    /// Refuses what is no standby of the cluster.
    fn check_identity(&self, found: &Standing) -> Result<(), StepError> {
        let own = &found.system_identifier;
        if let Some(expected) = said(self.system_identifier).filter(|id| id != own) {
            return Err(self.no_standby(&format!("it belongs to cluster {own}, not to {expected}")));
        }
        if !found.in_recovery {
            let timeline = found.timeline;
            let why = format!("it is not in recovery, but a primary on timeline {timeline}");
            return Err(self.no_standby(&why));
        }
        Ok(())
    }

    /// Everything that must hold before anything happens; gives what is announced.
    pub(crate) async fn prepare(
        &self,
        ctx: &StepContext,
        session: &Session,
    ) -> Result<Announced, StepError> {
        self.check_identity(&look(session).await?)?;
        let found = check_silence(ctx, session).await?;
        self.check_identity(&found)?;
        let (written, ended) = (written(self.expected()?, &found), self.ended(found.now));
        let loss = loss(written, found.received, found.replayed_until, ended);
        self.check_loss(&loss)?;
        ctx.log(format!(
            "standby on timeline {}, has everything up to {}; loss: {} bytes, {} seconds at most",
            found.timeline,
            found.received.map_or("nothing".to_owned(), |lsn| lsn.to_string()),
            loss.bytes.map_or("unknown".to_owned(), |bytes| bytes.to_string()),
            loss.seconds.map_or("unknown".to_owned(), |seconds| format!("{seconds:.1}")),
        ));
        Ok(Announced {
            system_identifier: found.system_identifier,
            timeline: found.timeline,
            received: found.received.map(|lsn| lsn.to_string()),
            replayed_until: found.replayed_until,
            written: written.map(|lsn| lsn.to_string()),
            ended,
        })
    }
}
