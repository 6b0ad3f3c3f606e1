//! Ending the sessions of a server over one that was there before.

use std::time::Duration;

use engine::context::StepContext;
use model::step_error::{ErrorClass, StepError};

use super::evidence::Evidence;
use super::input::Input;
use crate::pg::connection::Session;
use crate::rds::watch::{Pace, Watch};

const INTERVAL: Duration = Duration::from_millis(500);

/// Whom this role may end: sessions of superusers only if it is one itself. Senders of WAL live on,
/// so that the replica gets all there is.
const END: &str = "SELECT count(pg_terminate_backend(a.pid))::text FROM pg_stat_activity AS a \
    LEFT JOIN pg_roles AS r ON r.oid = a.usesysid \
    WHERE coalesce(a.backend_type, 'client backend') = 'client backend' \
    AND a.pid <> pg_backend_pid() AND a.usesysid IS NOT NULL AND (NOT coalesce(r.rolsuper, false) \
    OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user))";

/// Who is left. `rdsadmin` is RDS itself, on the instance; a row whose kind this role may not see
/// counts.
const LEFT: &str = "SELECT count(*)::text FROM pg_stat_activity \
    WHERE coalesce(backend_type, 'client backend') = 'client backend' \
    AND pid <> pg_backend_pid() AND usename IS DISTINCT FROM 'rdsadmin'";

const WRITTEN: &str = "SELECT pg_current_wal_flush_lsn()::text";

/// Ends all sessions but this one, until none was there for `quiet`. Gives the position up to which
/// the server has written then; nothing when somebody stays, or the session is lost.
pub(super) async fn end(
    input: &Input,
    ctx: &StepContext,
    session: Session,
    evidence: &mut Evidence,
) -> Result<Option<String>, StepError> {
    let limit = input.quiet.duration() + input.wait.duration();
    let mut watch = Watch::new(ctx, Pace { interval: INTERVAL, limit });
    let mut quiet = Duration::ZERO;
    loop {
        let left = match once(&session).await {
            Ok(left) => left,
            Err(error) if error.class == ErrorClass::Cancelled => return Err(error),
            Err(error) => {
                evidence.saw(ctx, format!("the session from before is lost: {error}"));
                return Ok(None);
            }
        };
        if left != "0" {
            quiet = Duration::ZERO;
        } else if quiet >= input.quiet.duration() {
            break;
        } else {
            quiet += INTERVAL;
        }
        if !watch.again(Ok(format!("{left} sessions from before are left"))).await? {
            evidence.saw(ctx, format!("{left} sessions from before do not end"));
            return Ok(None);
        }
    }
    let Ok(lsn) = session.text("read the WAL position", WRITTEN).await else { return Ok(None) };
    session.close().await;
    let how = format!("no client session was left for {}, written up to {lsn}", input.quiet);
    evidence.saw(ctx, how);
    Ok(Some(lsn))
}

async fn once(session: &Session) -> Result<String, StepError> {
    session.text("end the sessions", END).await?;
    session.text("count the sessions", LEFT).await
}
