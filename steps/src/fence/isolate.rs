//! `method: rds`. An instance that has a replica cannot be stopped, so it is shut in: into security
//! groups that let nobody in, and then every session that was there before is ended, because
//! security groups keep established connections.

use std::time::Duration;

use engine::context::StepContext;
use model::step_error::{ErrorClass, StepError};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::evidence::Evidence;
use super::input::{Input, given};
use super::method::{Control, Verdict};
use super::sessions;
use super::{PATIENCE, wrong};
use crate::aws::place::Place;
use crate::aws::rds::{Rds, Sent};
use crate::pg::connection::{Session, connect};
use crate::pg::target::Target;
use crate::rds::groups;
use crate::rds::instance::{Instance, missing};
use crate::rds::watch::{Pace, Watch};

/// The fact that holds the security groups from before, durable before they are changed.
const FORMER: &str = "fence_former_groups";

/// The fact that tells that no session from before is left.
const DROPPED: &str = "fence_dropped";

/// Between two looks at a reboot, which may be short.
const CLOSELY: Duration = Duration::from_millis(200);

/// How the sessions from before were ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Dropped {
    how: String,
    /// How far it had written when nobody was left.
    lsn: Option<String>,
}

impl Input {
    pub(super) fn place(&self) -> Place<'_> {
        Place {
            region: self.region.as_deref(),
            profile: self.profile.as_deref(),
            endpoint_url: self.endpoint_url.as_deref(),
        }
    }

    pub(super) fn instance(&self) -> &str {
        given(self.instance.as_ref()).unwrap_or_default()
    }

    /// ``  `app-primary` in `sg-isolated` ``.
    pub(super) fn isolation(&self) -> String {
        format!("`{}` in `{}` alone", self.instance(), self.security_groups.join("`, `"))
    }
}

/// The security groups from before, when they are known.
pub(super) fn former(ctx: &StepContext) -> Vec<String> {
    ctx.fact(FORMER).and_then(|fact| serde_json::from_value(fact).ok()).unwrap_or_default()
}

/// How far the server had written when its last session was gone.
pub(super) fn control(ctx: &StepContext) -> Control {
    let dropped = dropped(ctx);
    Control { last_lsn: dropped.and_then(|dropped| dropped.lsn), ..Control::default() }
}

fn dropped(ctx: &StepContext) -> Option<Dropped> {
    ctx.fact(DROPPED).and_then(|fact| serde_json::from_value(fact).ok())
}

/// Refuses to shut in what is not the old primary.
fn check_instance(found: &Instance, old: &Target) -> Result<(), StepError> {
    found.check_single()?;
    let name = &found.instance;
    if let Some(source) = &found.source {
        return Err(wrong(format!("the instance `{name}` is the replica of {source}")));
    }
    let Some(endpoint) = &found.endpoint else { return Ok(()) };
    // Another name may be an alias; the name of another instance is not.
    let other = old.host.contains(".rds.") && !old.host.eq_ignore_ascii_case(&endpoint.address);
    if other {
        let address = &endpoint.address;
        return Err(wrong(format!(
            "`{}` leads to {}, and the instance `{name}` listens at {address}",
            old.name, old.host
        )));
    }
    Ok(())
}

/// A session from before, by which the others are ended.
async fn hold(
    ctx: &StepContext,
    old: &Target,
    evidence: &mut Evidence,
) -> Result<Option<Session>, StepError> {
    match timeout(PATIENCE, connect(ctx, old)).await {
        Ok(Ok(session)) => Ok(Some(session)),
        Ok(Err(error)) if error.class == ErrorClass::Cancelled => Err(error),
        Ok(Err(error)) => {
            evidence.saw(ctx, format!("no session from before: {}", error.message));
            Ok(None)
        }
        Err(_) => Ok(None),
    }
}

/// Shuts the instance in, as far as RDS answers.
pub(super) async fn stop(
    input: &Input,
    ctx: &StepContext,
    old: &Target,
    evidence: &mut Evidence,
) -> Result<(), StepError> {
    let rds = Rds::at(input.place()).await?;
    let found = match rds.instance(input.instance()).await {
        Ok(found) => found,
        Err(error) if error.class == ErrorClass::Transient => {
            evidence.saw(ctx, format!("RDS in {} does not answer: {error}", rds.region()));
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let found = found.ok_or_else(|| missing("DB instance", input.instance(), rds.region()))?;
    check_instance(&found, old)?;
    let session = hold(ctx, old, evidence).await?;
    if !found.is_in(&input.security_groups) && former(ctx).is_empty() {
        ctx.record(FORMER, found.group_ids()).await?;
    }
    if !shut_in(input, ctx, &rds, evidence).await? {
        return Ok(());
    }
    let ended = match session {
        Some(session) => sessions::end(input, ctx, session, evidence).await?,
        None => None,
    };
    let dropped = match ended {
        Some(lsn) => Some(Dropped { how: "no client session is left".to_owned(), lsn: Some(lsn) }),
        None => reboot(input, ctx, &rds, evidence).await?,
    };
    match dropped {
        Some(dropped) => ctx.record(DROPPED, dropped).await,
        None => Ok(()),
    }
}

/// Puts the instance into the groups, and waits until they hold. False when they do not in time.
async fn shut_in(
    input: &Input,
    ctx: &StepContext,
    rds: &Rds,
    evidence: &mut Evidence,
) -> Result<bool, StepError> {
    let (groups, limit) = (&input.security_groups, input.timeout.duration());
    let holds = groups::put_into(ctx, rds, input.instance(), groups, limit).await?;
    evidence.saw(
        ctx,
        if holds {
            format!("RDS says {}: active", input.isolation())
        } else {
            format!("{} is not so after {}", input.isolation(), input.timeout)
        },
    );
    Ok(holds)
}

/// Ends every connection by a reboot, and waits until it was seen. Nothing when it was not.
async fn reboot(
    input: &Input,
    ctx: &StepContext,
    rds: &Rds,
    evidence: &mut Evidence,
) -> Result<Option<Dropped>, StepError> {
    let name = input.instance();
    let mut watch = Watch::new(ctx, Pace { interval: CLOSELY, limit: input.timeout.duration() });
    let (mut asked, mut rebooting) = (false, false);
    loop {
        let seen = match rds.instance(name).await {
            Ok(Some(found)) if found.status == "rebooting" => {
                rebooting = true;
                Ok(format!("`{name}` is rebooting"))
            }
            Ok(Some(_)) if rebooting => {
                let how = format!("`{name}` was rebooted, which ended every session");
                evidence.saw(ctx, &how);
                return Ok(Some(Dropped { how: "it was rebooted since".to_owned(), lsn: None }));
            }
            Ok(_) if asked => Ok(format!("`{name}` does not reboot yet")),
            Ok(_) => {
                ctx.log(format!("RebootDBInstance `{name}`: it may have sessions from before"));
                match rds.reboot(name).await {
                    Sent::Accepted | Sent::Lost(_) => {
                        asked = true;
                        Ok("RebootDBInstance: asked for".to_owned())
                    }
                    Sent::State(why) | Sent::Taken(why) => Ok(why),
                    Sent::Refused(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        };
        if !watch.again(seen).await? {
            evidence.saw(ctx, format!("no reboot of `{name}` was seen within {}", input.timeout));
            return Ok(None);
        }
    }
}

/// What RDS says of the instance now. Only looks.
pub(super) async fn verdict(
    input: &Input,
    ctx: &StepContext,
    evidence: &mut Evidence,
) -> Result<Verdict, StepError> {
    let (rds, name) = (Rds::at(input.place()).await?, input.instance());
    let found = match rds.instance(name).await {
        Ok(Some(found)) => found,
        Ok(None) => {
            let why = format!("there is no instance `{name}` in {}", rds.region());
            return Ok(Verdict::Unknown(why));
        }
        Err(error) if error.class == ErrorClass::Transient => {
            let why = format!("RDS in {} does not answer: {error}", rds.region());
            return Ok(Verdict::Unknown(why));
        }
        Err(error) => return Err(error),
    };
    evidence.saw(ctx, format!("RDS: `{name}` is {}, in {}", found.status, groups::told(&found)));
    if !found.is_in(&input.security_groups) {
        return Ok(Verdict::Runs(format!(
            "`{name}` is in the security groups {}",
            groups::told(&found)
        )));
    }
    Ok(match dropped(ctx) {
        Some(dropped) => {
            Verdict::Stopped(format!("{} since, and {}", input.isolation(), dropped.how))
        }
        None => Verdict::Runs(format!("`{name}` may have sessions from before")),
    })
}
