//! An instance on its way to the moment, and what it says when it is there.

use std::time::Duration;

use engine::clock::{Clock, RealClock};
use engine::context::{Progress, StepContext};
use jiff::Timestamp;
use model::step_error::{ErrorClass, StepError};
use model::wal::Lsn;

use super::instance::{Instance, Mark};
use crate::pg::classify;
use crate::pg::connection::Session;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);
/// A server that was started has a process within this time, in milliseconds.
const PATIENCE_MS: u64 = 30_000;
/// As many lines of the log are told.
const TOLD: usize = 6;

const STATE: &str = "SELECT pg_is_in_recovery(), \
    CASE WHEN pg_is_in_recovery() THEN pg_get_wal_replay_pause_state() ELSE '' END, \
    CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text, \
    pg_last_xact_replay_timestamp(), \
    CASE WHEN pg_is_in_recovery() THEN (SELECT timeline_id FROM pg_control_checkpoint()) \
    ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int4 END";

/// Where an instance stands.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    pub(super) in_recovery: bool,
    pub(super) paused: bool,
    pub(super) lsn: Option<Lsn>,
    /// When the last transaction that was replayed had ended.
    pub(super) replayed_until: Option<Timestamp>,
    pub(super) timeline: u32,
}

/// Asks the instance where it stands.
pub(super) async fn standing(session: &Session) -> Result<Standing, StepError> {
    let row = session.query_one(STATE, &[]).await;
    let row = row.map_err(|error| {
        classify::not_applied(classify::statement("ask the instance where it stands", &error))
    })?;
    Ok(Standing {
        in_recovery: row.get(0),
        paused: row.get::<_, String>(1) == "paused",
        lsn: row.get::<_, Option<String>>(2).and_then(|lsn| lsn.parse().ok()),
        replayed_until: row.get(3),
        timeline: row.get::<_, i32>(4).unsigned_abs(),
    })
}

/// The server's own words for where it stopped: `recovery stopping before commit of ...`.
pub(super) fn stopped(instance: &Instance) -> Option<String> {
    let lines = instance.log_lines();
    let line = lines.iter().rev().find(|line| line.contains("recovery stopping "))?;
    line.split_once("LOG:").map(|(_, words)| words.trim().to_owned())
}

/// Waits until `there` holds of the instance; fails when its server stops.
pub(super) async fn wait(
    instance: &Instance,
    ctx: &StepContext,
    mark: &Mark,
    there: impl Fn(&Standing) -> bool,
) -> Result<(Session, Standing), StepError> {
    let (begun, mut shown) = (RealClock.mono_ms(), None);
    loop {
        if instance.server().is_none() && RealClock.mono_ms() - begun > grace(instance) {
            return Err(ended(instance));
        }
        match instance.connect(ctx, mark.port).await {
            Ok(session) => {
                let standing = standing(&session).await?;
                if there(&standing) {
                    return Ok((session, standing));
                }
                if standing.lsn != shown {
                    shown = standing.lsn;
                    show(ctx, &standing, &mark.target);
                }
                session.close().await;
            }
            // It does not take connections before it is consistent.
            Err(error) if error.class == ErrorClass::Transient => {}
            Err(error) => return Err(error),
        }
        ctx.sleep(LOOK).await?;
    }
}

/// A server that says why it ended is not waited for.
fn grace(instance: &Instance) -> u64 {
    let over = |line: &String| line.contains("FATAL:") || line.contains("is shut down");
    let newest = instance.log_lines();
    if newest.iter().rev().take(TOLD).any(over) { 0 } else { PATIENCE_MS }
}

fn show(ctx: &StepContext, standing: &Standing, target: &str) {
    let at = standing.lsn.map(|lsn| lsn.to_string()).unwrap_or_default();
    let activity = format!("replay WAL to {target}: at {at}");
    ctx.progress(Progress { activity, done: 0, total: None, bytes: false });
}

/// The server ended before it was there.
fn ended(instance: &Instance) -> StepError {
    let lines = instance.log_lines();
    let fatal = lines.iter().rev().find(|line| line.contains("FATAL:"));
    let why = fatal.and_then(|line| line.split_once("FATAL:")).map(|(_, why)| why.trim());
    let message = match why {
        Some(why) => format!("the server of the instance ended: {why}"),
        None => "the server of the instance ended".to_owned(),
    };
    let mut error = StepError::permanent("RB0634", message).hint(format!(
        "its log is in `{}`; repair what it names, then resume: what was unpacked is used again",
        instance.folder.display()
    ));
    let from = lines.len().saturating_sub(TOLD);
    error.causes.extend(lines.into_iter().skip(from));
    error
}
