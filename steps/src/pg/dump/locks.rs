//! Locks on the tables: one session waits for them and says for whom; the others never wait.
//!
//! A session that waits for ACCESS SHARE behind a waiting ACCESS EXCLUSIVE waits for a session
//! that waits for us: only the first may wait, as with the workers of `pg_dump --jobs`
//! (`lockTableForWorker`). <https://www.postgresql.org/docs/current/explicit-locking.html>

use std::time::Duration;

use engine::context::StepContext;
use model::set::manifest::TableName;
use model::step_error::StepError;

use crate::pg::classify;
use crate::pg::connection::{Session, connect_pinned};
use crate::pg::meter::Meter;
use crate::pg::sql;
use crate::pg::target::Target;

const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// The longest time between two looks at who holds a lock that is waited for.
const LOOK: Duration = Duration::from_secs(2);

/// The shortest.
const SHORTEST_LOOK: Duration = Duration::from_millis(20);

/// A lock was not granted: `55P03`, or the same from `pg_dump`.
const NOT_GRANTED: &str = "RB0508";

/// The sessions that stand between the session `$1` and ACCESS SHARE on tables that it has
/// locked (`$2`) or waits for (not `$2`), and whom they wait for themselves.
const IN_THE_WAY: &str = "
SELECT theirs.relation::regclass::text, theirs.pid, theirs.granted,
  array_to_string(pg_blocking_pids(theirs.pid), ', ')
FROM pg_locks AS ours
  JOIN pg_locks AS theirs USING (locktype, database, relation)
WHERE ours.pid = $1 AND ours.granted = $2 AND theirs.pid <> ours.pid
  AND locktype = 'relation' AND theirs.mode = 'AccessExclusiveLock'
ORDER BY 1, 2";

/// The tables that are locked.
pub(super) struct Locks {
    names: String,
    timeout: Duration,
}

impl Locks {
    /// Locks of these tables; `timeout` is how long to wait for each.
    pub(super) fn new<'a>(tables: impl Iterator<Item = &'a TableName>, timeout: Duration) -> Self {
        let name =
            |table: &TableName| format!("ONLY {}", sql::qualified(&table.schema, &table.name));
        Self { names: tables.map(name).collect::<Vec<_>>().join(", "), timeout }
    }

    /// Begins a transaction and waits for the locks; meanwhile the log and the progress say for
    /// whom, and so does the error.
    pub(super) async fn wait(
        &self,
        ctx: &StepContext,
        target: &Target,
        session: &Session,
    ) -> Result<(), StepError> {
        let pid = backend(session).await?;
        let (lock, mut seen) = (self.waiting(), None);
        let locked = tokio::select! {
            biased;
            locked = session.execute_all("lock the tables", &lock) => locked,
            error = self.watch(ctx, target, pid, &mut seen) => Err(error),
        };
        locked.map_err(classify::not_applied).map_err(|error| in_words(error, seen))
    }

    /// Begins a transaction and takes the locks, or fails at once.
    pub(super) async fn take_now(&self, session: &Session) -> Result<(), StepError> {
        let lock = self.statement(" NOWAIT");
        let locked = session.execute_all("lock the tables", &format!("{BEGIN}; {lock}")).await;
        locked.map_err(classify::not_applied)
    }

    fn waiting(&self) -> String {
        let (timeout, lock) = (self.timeout.as_millis(), self.statement(""));
        format!("{BEGIN}; SET LOCAL lock_timeout = {timeout}; {lock}; SET LOCAL lock_timeout = 0")
    }

    fn statement(&self, how: &str) -> String {
        if self.names.is_empty() {
            return String::new();
        }
        format!("LOCK TABLE {} IN ACCESS SHARE MODE{how}", self.names)
    }

    /// Looks now and then at what the session waits for. Ends only when the step is cancelled;
    /// where it cannot look the wait goes on without words.
    async fn watch(
        &self,
        ctx: &StepContext,
        target: &Target,
        pid: i32,
        seen: &mut Option<String>,
    ) -> StepError {
        let pause = (self.timeout / 4).clamp(SHORTEST_LOOK, LOOK);
        let meter = Meter::new(ctx, None);
        let mut session = None;
        loop {
            if let Err(cancelled) = ctx.sleep(pause).await {
                return cancelled;
            }
            if session.is_none() {
                session = connect_pinned(ctx, target).await.ok();
            }
            let Some(session) = &session else { continue };
            let Some(found) = in_the_way(session, pid, false).await else { continue };
            let words = format!("waits for a lock on {found}");
            meter.activity(&words);
            if seen.as_ref() != Some(&found) {
                ctx.log(words);
                *seen = Some(found);
            }
        }
    }
}

/// Adds to an error about a lock who is in the way of the tables that `exporter` has locked.
pub(super) async fn explain(exporter: &Session, error: StepError) -> StepError {
    if error.code != NOT_GRANTED {
        return error;
    }
    let found = match backend(exporter).await {
        Ok(pid) => in_the_way(exporter, pid, true).await,
        Err(_) => None,
    };
    in_words(error, found).hint(
        "a change of a table waits for this dump, and the dump does not wait for it: \
         the next attempt comes after the change; dump when no migration runs",
    )
}

fn in_words(mut error: StepError, found: Option<String>) -> StepError {
    if let Some(found) = found.filter(|_| error.code == NOT_GRANTED) {
        error.message = format!("{}; the lock is on {found}", error.message);
    }
    error
}

async fn backend(session: &Session) -> Result<i32, StepError> {
    let what = "ask for the session's process";
    let pid = session.text(what, "SELECT pg_backend_pid()::text").await;
    Ok(pid.map_err(classify::not_applied)?.parse().expect("a process id is a number"))
}

/// The tables and the server processes, in words; nothing when nobody is in the way any more, or
/// when the server does not tell.
async fn in_the_way(session: &Session, pid: i32, granted: bool) -> Option<String> {
    let rows = session.query(IN_THE_WAY, &[&pid, &granted]).await.ok()?;
    let words = rows.iter().map(|row| {
        let (table, pid): (String, i32) = (row.get(0), row.get(1));
        let (holds, behind): (bool, String) = (row.get(2), row.get(3));
        if holds {
            return format!("`{table}` (process {pid} holds ACCESS EXCLUSIVE)");
        }
        format!("`{table}` (process {pid} waits for ACCESS EXCLUSIVE, behind {behind})")
    });
    let words: Vec<_> = words.collect();
    (!words.is_empty()).then(|| words.join(", "))
}
