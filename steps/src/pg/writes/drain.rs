//! Waiting for transactions that began while writing was allowed, and ending what does not end.

use std::time::Duration;

use engine::context::{Progress, StepContext};
use jiff::Timestamp;
use model::step_error::StepError;

use crate::pg::classify::{not_applied, statement};
use crate::pg::connection::Session;

const INTERVAL: Duration = Duration::from_millis(200);

/// How often it is looked whether sessions that were told to end have ended.
const LOOKS_AFTER: u32 = 50;

/// A transaction with an id has written. One without began while it was allowed to write, and may
/// yet. $1: since when it is not allowed; $2: roles whose sessions end; $3: this run's sessions,
/// which only read.
const REMAINING: &str = "FROM pg_stat_activity AS s WHERE s.pid <> pg_backend_pid() \
    AND s.backend_type NOT IN ('autovacuum launcher', 'autovacuum worker', 'walsender') \
    AND NOT (s.backend_xid IS NULL AND starts_with(s.application_name, $3)) \
    AND (s.backend_xid IS NOT NULL OR s.usename::text = ANY ($2) \
    OR (s.state <> 'idle' AND least(s.xact_start, s.query_start) <= $1))";

const WHO: &str = "SELECT format('process %s: role %s, application %s, %s', s.pid, s.usename, \
    quote_literal(s.application_name), coalesce(s.state, s.backend_type))";

const PREPARED: &str = "SELECT format('prepared transaction %s of %s', quote_literal(gid), owner) \
    FROM pg_prepared_xacts ORDER BY prepared";

/// Whose transactions and sessions are to end.
pub(super) struct Drain<'a> {
    pub(super) since: Timestamp,
    pub(super) roles: &'a [String],
    pub(super) grace: Duration,
}

impl Drain<'_> {
    async fn texts(
        &self,
        ctx: &StepContext,
        session: &Session,
        select: &str,
        more: &str,
    ) -> Result<Vec<String>, StepError> {
        let own = format!("runbook/{}/", ctx.id().run);
        let sql = format!("{select} {REMAINING} {more}");
        let rows = session.query(&sql, &[&self.since, &self.roles, &own]).await;
        let rows = rows.map_err(|error| not_applied(statement("look at the sessions", &error)))?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    async fn left(&self, ctx: &StepContext, session: &Session) -> Result<Vec<String>, StepError> {
        self.texts(ctx, session, WHO, "ORDER BY s.pid").await
    }

    async fn end(
        &self,
        ctx: &StepContext,
        session: &Session,
        which: &str,
    ) -> Result<usize, StepError> {
        let select = "SELECT pg_terminate_backend(s.pid)::text";
        Ok(self.texts(ctx, session, select, which).await?.len())
    }

    /// Waits, ends what does not end by itself, and gives how many sessions were ended.
    pub(super) async fn run(
        &self,
        ctx: &StepContext,
        session: &Session,
    ) -> Result<usize, StepError> {
        let mut waited = Duration::ZERO;
        let mut ended = 0;
        loop {
            // Sessions of rejected roles that do nothing have nothing to finish.
            ended += self.end(ctx, session, "AND s.state = 'idle'").await?;
            let left = self.left(ctx, session).await?;
            if left.is_empty() {
                break;
            }
            if waited >= self.grace {
                for who in &left {
                    ctx.log(format!("ended: {who}"));
                }
                ended += self.end(ctx, session, "").await?;
                self.gone(ctx, session).await?;
                break;
            }
            let activity = format!("wait for {} transactions to end", left.len());
            ctx.progress(Progress { activity, ..Progress::default() });
            ctx.sleep(INTERVAL).await?;
            waited += INTERVAL;
        }
        self.nothing_prepared(session).await?;
        Ok(ended)
    }

    async fn gone(&self, ctx: &StepContext, session: &Session) -> Result<(), StepError> {
        for _ in 0..LOOKS_AFTER {
            if self.left(ctx, session).await?.is_empty() {
                return Ok(());
            }
            ctx.sleep(INTERVAL).await?;
        }
        Err(still_writes(self.left(ctx, session).await?))
    }

    /// A prepared transaction has no session, and anybody may commit it later.
    async fn nothing_prepared(&self, session: &Session) -> Result<(), StepError> {
        let rows = session.query(PREPARED, &[]).await;
        let rows = rows.map_err(|e| not_applied(statement("look for prepared ones", &e)))?;
        let prepared: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        if prepared.is_empty() { Ok(()) } else { Err(still_writes(prepared)) }
    }
}

/// What still writes, one by one.
pub(super) fn still_writes(who: Vec<String>) -> StepError {
    let mut error = StepError::permanent("RB0576", "something still writes or may write");
    error.causes = who;
    error.hint("end it by hand, or block with `method: pg_hba`; then run again")
}
