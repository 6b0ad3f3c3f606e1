//! From the announcement to a primary: one request, whose outcome is found out whatever becomes of
//! its answer.

use std::time::Duration;

use engine::context::StepContext;
use model::step_error::{ErrorClass, StepError};

use super::asked::{Answer, Asked, Seen, foreign, stuck};
use super::{Input, prepare};
use crate::aws::rds::{Rds, Sent};
use crate::pg::connection::connect;
use crate::pg::promote::{self, Standing};
use crate::pg::target::Target;
use crate::rds::instance::Instance;
use crate::rds::watch::{Watch, available, busy};

/// Waits until the replica is available, and asks RDS to promote it, once. What RDS refused for its
/// state was certainly not done: a backup began in between, and is waited for.
pub(super) async fn promote(
    input: &Input,
    ctx: &StepContext,
    rds: &Rds,
    target: &Target,
) -> Result<(Asked, Instance), StepError> {
    let mut watch = Watch::new(ctx, input.pace(input.wait));
    loop {
        let found = available(ctx, rds, &input.instance, input.pace(input.wait)).await?;
        let asked = prepare(input, ctx, target, &found).await?;
        asked.record(ctx).await?;
        if ctx.cancel().is_cancelled() {
            Asked::answered(ctx, Answer::Refused).await?;
            return Err(StepError::cancelled());
        }
        ctx.log(format!("PromoteReadReplica `{}` in {}", input.instance, rds.region()));
        let lost = match rds.promote(&input.instance, input.backup_retention).await {
            Sent::Accepted => {
                Asked::answered(ctx, Answer::Accepted).await?;
                None
            }
            Sent::State(why) => {
                Asked::answered(ctx, Answer::Refused).await?;
                // It may be busy with what an earlier attempt asked for.
                if let Some((asked, _)) = Asked::of(ctx) {
                    let lost = Some(StepError::ambiguous("RB0668", why));
                    let found = settle(input, ctx, rds, &asked, lost).await?;
                    return Ok((asked, found));
                }
                if !watch.again(Ok(why)).await? {
                    return Err(busy(&found, &watch.last));
                }
                continue;
            }
            Sent::Taken(why) => {
                Asked::answered(ctx, Answer::Refused).await?;
                return Err(StepError::permanent("RB0665", why));
            }
            Sent::Refused(error) => {
                Asked::answered(ctx, Answer::Refused).await?;
                return Err(error);
            }
            Sent::Lost(error) => {
                ctx.log(format!("{error}: what became of the promotion is looked at"));
                Some(error)
            }
        };
        let found = settle(input, ctx, rds, &asked, lost).await?;
        return Ok((asked, found));
    }
}

/// Looks until the promotion has ended, or has certainly not begun.
pub(super) async fn settle(
    input: &Input,
    ctx: &StepContext,
    rds: &Rds,
    asked: &Asked,
    lost: Option<StepError>,
) -> Result<Instance, StepError> {
    let mut watch = Watch::new(ctx, input.pace(input.timeout));
    let (mut calm, settle) = (Duration::ZERO, input.settle.duration());
    loop {
        let seen = rds.instance(&input.instance).await.map(|found| asked.seen(found));
        calm = match &seen {
            Ok(Seen::Replica) => calm + input.pace(input.timeout).interval,
            _ => Duration::ZERO,
        };
        let how = match (seen, &lost) {
            (Ok(Seen::Promoted(found)), _) => return Ok(*found),
            (Ok(Seen::Underway(how)), _) => Ok(how),
            (Ok(Seen::Replica), Some(error)) if calm >= settle => return Err(error.clone()),
            (Ok(Seen::Replica), _) => Ok("the promotion has not begun yet".to_owned()),
            (Ok(Seen::Stuck(status)), _) => return Err(stuck(&input.instance, &status)),
            (Ok(Seen::Foreign(why)), _) => return Err(foreign(&input.instance, &why)),
            (Err(error), _) => Err(error),
        };
        if !watch.again(how).await.map_err(after)? {
            return Err(unfinished(input, &watch.last));
        }
    }
}

/// What ends the looks, once the promotion may have been begun.
fn after(error: StepError) -> StepError {
    match error.class {
        ErrorClass::Cancelled => error,
        _ => StepError { class: ErrorClass::Ambiguous, ..error },
    }
}

fn unfinished(input: &Input, how: &str) -> StepError {
    let (instance, timeout) = (&input.instance, input.timeout);
    let message = format!("the promotion of `{instance}` has not ended after {timeout}: {how}");
    StepError::ambiguous("RB0674", message).hint(
        "look at its events in RDS; `runbook resume --retry-failed` looks again and never promotes \
         what is promoted",
    )
}

/// Waits until the server itself says that it is the primary that was announced.
pub(super) async fn writable(
    input: &Input,
    ctx: &StepContext,
    target: &Target,
    asked: &Asked,
) -> Result<Standing, StepError> {
    let mut watch = Watch::new(ctx, input.pace(input.timeout));
    loop {
        let seen = match look(ctx, target, asked).await {
            Ok(promote::Seen::Promoted(standing)) => return Ok(standing),
            Ok(promote::Seen::Foreign(why)) => return Err(promote::foreign(&target.name, &why)),
            Ok(promote::Seen::Underway | promote::Seen::Standby) => {
                let name = &target.name;
                Ok(format!("RDS says promoted, and `{name}` is in recovery still"))
            }
            Err(error) => Err(error),
        };
        if !watch.again(seen).await.map_err(after)? {
            return Err(unfinished(input, &watch.last));
        }
    }
}

async fn look(
    ctx: &StepContext,
    target: &Target,
    asked: &Asked,
) -> Result<promote::Seen, StepError> {
    let session = connect(ctx, target).await?;
    let seen = asked.standby.seen(ctx, &session).await?;
    session.close().await;
    Ok(seen)
}
