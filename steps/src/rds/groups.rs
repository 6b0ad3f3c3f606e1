//! The security groups of an instance.

use std::time::Duration;

use engine::context::StepContext;
use model::step_error::StepError;

use super::instance::{Instance, missing};
use super::watch::{Pace, Watch};
use crate::aws::rds::{Rds, Sent};

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// So many looks that show nothing of a request whose answer was lost, and it is made again: the
/// same groups a second time do no harm.
const CALM_LOOKS: u32 = 10;

/// The groups of an instance, each with its status.
pub(crate) fn told(found: &Instance) -> String {
    let one = |group: &super::instance::Group| format!("{} ({})", group.id, group.status);
    found.security_groups.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Puts an instance into these groups alone, and waits until they hold. False when they do not
/// within `limit`.
pub(crate) async fn put_into(
    ctx: &StepContext,
    rds: &Rds,
    name: &str,
    groups: &[String],
    limit: Duration,
) -> Result<bool, StepError> {
    let wanted = format!("`{name}` in `{}` alone", groups.join("`, `"));
    let mut watch = Watch::new(ctx, Pace { interval: INTERVAL, limit });
    let mut patience = 0;
    loop {
        let seen = match rds.instance(name).await {
            Ok(Some(found)) if found.is_in(groups) => return Ok(true),
            Ok(Some(_)) if patience > 0 => {
                patience -= 1;
                Ok(format!("RDS puts {wanted}"))
            }
            Ok(Some(found)) => {
                ctx.log(format!("ModifyDBInstance {wanted}: now {}", told(&found)));
                match rds.move_into(name, groups).await {
                    Sent::Accepted => {
                        patience = u32::MAX;
                        Ok("ModifyDBInstance: accepted".to_owned())
                    }
                    Sent::Lost(error) => {
                        patience = CALM_LOOKS;
                        Ok(format!("{error}: the groups of the instance tell"))
                    }
                    Sent::State(why) | Sent::Taken(why) => Ok(why),
                    Sent::Refused(error) => Err(error),
                }
            }
            Ok(None) => return Err(missing("DB instance", name, rds.region())),
            Err(error) => Err(error),
        };
        if !watch.again(seen).await? {
            return Ok(false);
        }
    }
}
