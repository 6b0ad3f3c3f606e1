//! From the announcement to a primary: one `pg_promote`, whose outcome is found out whatever
//! becomes of the connection.

use std::time::Duration;

use engine::clock::pause;
use engine::context::{Progress, StepContext};
use jiff::Timestamp;
use model::step_error::{ErrorClass, StepError};
use serde::{Deserialize, Serialize};
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::error::SqlState;

use super::Input;
use super::standing::{Standing, is_underway, look};
use crate::pg::classify;
use crate::pg::connection::{Session, connect_even_cancelled};
use crate::pg::target::Target;

/// The fact that is durable before the server is told to promote.
pub(super) const FACT: &str = "promotion";

/// Between two looks at a promotion.
const INTERVAL: Duration = Duration::from_millis(200);

/// Looks that must see a standby with nothing under way before that is believed: between the
/// moment the server takes up the order and the end of recovery nothing shows it.
const CALM_LOOKS: u32 = 15;

/// A promotion about to be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Announced {
    pub(crate) system_identifier: String,
    /// The timeline of the standby; that of the new primary is the next.
    pub(crate) timeline: u32,
    /// What it has on its disk.
    pub(crate) received: Option<String>,
    /// When the last transaction that was replayed had been committed.
    pub(crate) replayed_until: Option<Timestamp>,
    /// How far its primary had written, when that is known.
    pub(crate) written: Option<String>,
    /// Since when the old primary commits nothing: the fence, else this moment.
    pub(crate) ended: Timestamp,
}

/// What a server is, seen from a promotion that was announced.
#[derive(Debug)]
pub(crate) enum Seen {
    /// It is the primary it was to become.
    Promoted(Standing),
    /// It is a standby still, and the promotion goes on or may still begin.
    Underway,
    /// It is a standby, and nothing is under way.
    Standby,
    /// It is something else.
    Foreign(String),
}

impl Announced {
    /// The announcement of this step, of any attempt.
    pub(super) fn of(ctx: &StepContext) -> Option<Self> {
        serde_json::from_value(ctx.fact(FACT)?).ok()
    }

    /// What the server is now.
    pub(crate) async fn seen(
        &self,
        ctx: &StepContext,
        session: &Session,
    ) -> Result<Seen, StepError> {
        let found = look(session).await?;
        if let Some(why) = self.foreign(&found) {
            return Ok(Seen::Foreign(why));
        }
        if !found.in_recovery {
            return Ok(Seen::Promoted(found));
        }
        let underway = is_underway(ctx, session).await?;
        Ok(if underway { Seen::Underway } else { Seen::Standby })
    }

    fn foreign(&self, found: &Standing) -> Option<String> {
        let (own, expected) = (&found.system_identifier, &self.system_identifier);
        if own != expected {
            return Some(format!("it belongs to cluster {own}, and {expected} was announced"));
        }
        let next = if found.in_recovery { self.timeline } else { self.timeline + 1 };
        let what = if found.in_recovery { "a standby" } else { "a primary" };
        (found.timeline != next).then(|| {
            format!("it is {what} on timeline {}, and {next} was expected", found.timeline)
        })
    }
}

/// The server became something that this step did not announce.
pub(crate) fn foreign(connection: &str, why: &str) -> StepError {
    let message = format!("the server of `{connection}` is not what was announced: {why}");
    StepError::needs_operator("RB0557", message).hint(
        "somebody promoted or replaced it: find out who, and which server has the newest data",
    )
}

/// Lets `work` go on while the step shows that it lives.
async fn alive<T>(ctx: &StepContext, activity: &str, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    loop {
        let progress = Progress { activity: activity.to_owned(), ..Progress::default() };
        ctx.progress(progress);
        tokio::select! {
            done = &mut work => return done,
            () = pause(Duration::from_secs(1)) => {}
        }
    }
}

/// Tells the server to promote, once, and gives what it is afterwards. From here on a
/// cancellation changes nothing: what was begun is brought to its end.
pub(super) async fn promote(
    input: &Input,
    ctx: &StepContext,
    session: Session,
    announced: &Announced,
) -> Result<Standing, StepError> {
    let seconds = i32::try_from(input.timeout.duration().as_secs().max(1)).unwrap_or(i32::MAX);
    ctx.log(format!("pg_promote() on `{}`", input.connection));
    let order = format!("SELECT pg_promote(true, {seconds})");
    let sent = async { session.simple_query(&order).await };
    let sent = alive(ctx, "promote the standby", sent).await;
    let target = session.target().clone();
    let lost = match sent {
        Ok(answer) => {
            session.close().await;
            let done = |message: &SimpleQueryMessage| match message {
                SimpleQueryMessage::Row(row) => row.get(0) == Some("t"),
                _ => false,
            };
            (!answer.iter().any(done)).then(|| unfinished(input))
        }
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            return Err(classify::statement("promote the standby", &error));
        }
        Err(error) => Some(classify::statement("promote the standby", &error)),
    };
    if let Some(error) = &lost {
        ctx.log(format!("{error}: what became of the promotion is looked at"));
    }
    settle(input, ctx, &target, announced, lost).await
}

/// Looks until the promotion has ended, or has certainly not begun.
pub(super) async fn settle(
    input: &Input,
    ctx: &StepContext,
    target: &Target,
    announced: &Announced,
    lost: Option<StepError>,
) -> Result<Standing, StepError> {
    let looking = async {
        let mut calm = 0;
        loop {
            match looked(ctx, target, announced).await? {
                Some(Seen::Promoted(standing)) => return Ok(standing),
                Some(Seen::Foreign(why)) => return Err(foreign(&target.name, &why)),
                Some(Seen::Standby) if calm == CALM_LOOKS => {
                    return Err(lost.clone().unwrap_or_else(|| unfinished(input)));
                }
                Some(Seen::Standby) => calm += 1,
                Some(Seen::Underway) | None => calm = 0,
            }
            pause(INTERVAL).await;
        }
    };
    let looking = alive(ctx, "look what became of the promotion", looking);
    match tokio::time::timeout(input.timeout.duration(), looking).await {
        Ok(settled) => settled,
        Err(_) => Err(lost.clone().unwrap_or_else(|| unfinished(input))),
    }
}

/// Nothing while the server cannot be asked.
async fn looked(
    ctx: &StepContext,
    target: &Target,
    announced: &Announced,
) -> Result<Option<Seen>, StepError> {
    let seen = async {
        let session = connect_even_cancelled(ctx, target).await?;
        let seen = announced.seen(ctx, &session).await?;
        session.close().await;
        Ok::<_, StepError>(seen)
    };
    match seen.await {
        Ok(seen) => Ok(Some(seen)),
        Err(error) if error.class == ErrorClass::Transient => Ok(None),
        Err(error) => Err(StepError { class: ErrorClass::Ambiguous, ..error }),
    }
}

fn unfinished(input: &Input) -> StepError {
    let message = format!(
        "`{}` was told to promote and is a standby still after {}",
        input.connection, input.timeout
    );
    StepError::ambiguous("RB0556", message).hint(
        "it replays what it has received first: see its log; `runbook resume --retry-failed` \
         looks again and never promotes what is promoted",
    )
}
