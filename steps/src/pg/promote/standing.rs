//! What a server is at this moment: a standby, how far it has come, or a primary.

use engine::context::StepContext;
use jiff::Timestamp;
use model::step_error::StepError;
use tokio_postgres::types::PgLsn;

use crate::pg::classify;
use crate::pg::connection::{Session, application_name};

/// `pg_is_in_recovery()` is asked once, because the answer may change within a statement. The
/// control file has the timeline of a standby late, so that what it receives counts as well; that
/// of a primary stands in the name of its current WAL file. What was received and what was
/// replayed stays as it was after a promotion.
/// <https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-RECOVERY-CONTROL>
const STANDING: &str = "\
    SELECT i.in_recovery, s.system_identifier::text, \
    CASE WHEN i.in_recovery \
    THEN greatest(r.received_tli, e.min_recovery_end_timeline, c.timeline_id) \
    ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int4 END, \
    coalesce(r.status = 'streaming', false), \
    greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), r.latest_end_lsn, \
    pg_last_wal_replay_lsn(), pg_last_xact_replay_timestamp(), clock_timestamp() \
    FROM (SELECT pg_is_in_recovery() AS in_recovery OFFSET 0) AS i \
    CROSS JOIN pg_control_system() AS s CROSS JOIN pg_control_checkpoint() AS c \
    CROSS JOIN pg_control_recovery() AS e LEFT JOIN pg_stat_wal_receiver AS r ON true";

/// A session of the step beside this one: a statement of it runs, or may still arrive.
const SESSION: &str = "SELECT EXISTS (SELECT FROM pg_stat_activity \
    WHERE application_name = left($1, 63) AND pid <> pg_backend_pid() \
    AND (state = 'active' OR clock_timestamp() - state_change < interval '1 minute'))";

const MAY_LOOK: &str = "SELECT has_function_privilege('pg_stat_file(text, boolean)', 'execute')";

/// The file by which `pg_promote` tells the server what to do; gone once it has begun.
const SIGNAL: &str = "SELECT (pg_stat_file('promote', true)).modification IS NOT NULL";

/// A server at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    pub(super) in_recovery: bool,
    pub(super) system_identifier: String,
    pub(super) timeline: u32,
    /// It receives WAL from its primary.
    pub(super) streaming: bool,
    /// What it has on its disk, and will have replayed when it is a primary.
    pub(super) received: Option<PgLsn>,
    /// How far its primary had written when it last spoke; only known while it streams.
    pub(super) heard: Option<PgLsn>,
    pub(super) replayed: Option<PgLsn>,
    /// When the last transaction that was replayed had been committed.
    pub(super) replayed_until: Option<Timestamp>,
    /// The server's clock.
    pub(super) now: Timestamp,
}

impl Standing {
    /// The server's clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }
}

/// Looks at the server.
pub(super) async fn look(session: &Session) -> Result<Standing, StepError> {
    let failed = |error| classify::not_applied(classify::statement("look at the standby", &error));
    let row = session.query_one(STANDING, &[]).await.map_err(failed)?;
    Ok(Standing {
        in_recovery: row.get(0),
        system_identifier: row.get(1),
        timeline: row.get::<_, i32>(2).unsigned_abs(),
        streaming: row.get(3),
        received: row.get(4),
        heard: row.get(5),
        replayed: row.get(6),
        replayed_until: row.get(7),
        now: row.get(8),
    })
}

/// Whether a promotion that this step asked for is still on its way or going on.
pub(super) async fn is_underway(ctx: &StepContext, session: &Session) -> Result<bool, StepError> {
    let failed =
        |error| classify::not_applied(classify::statement("look for the promotion", &error));
    let row = session.query_one(SESSION, &[&application_name(ctx)]).await.map_err(failed)?;
    if row.get(0) {
        return Ok(true);
    }
    let may: bool = session.query_one(MAY_LOOK, &[]).await.map_err(failed)?.get(0);
    Ok(may && session.query_one(SIGNAL, &[]).await.map_err(failed)?.get(0))
}
