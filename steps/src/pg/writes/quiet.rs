//! The second look: no transaction wrote since the first.

use std::time::Duration;

use engine::context::StepContext;
use model::step_error::StepError;

use super::drain::still_writes;
use crate::pg::classify::{not_applied, statement};
use crate::pg::connection::Session;

/// Between two looks.
const BETWEEN: Duration = Duration::from_secs(1);

/// Autovacuum takes transaction ids as well; it ends.
const LOOKS: u32 = 15;

/// How often it is looked whether what was written asynchronously is on disk.
const FLUSH_LOOKS: u32 = 100;

/// The position behind the header of a page is that of the page: nothing is between.
const FLUSHED: &str = "SELECT flushed >= inserted OR (pg_wal_lsn_diff(inserted, '0/0') \
    % current_setting('wal_block_size')::int <= 40 AND pg_wal_lsn_diff(inserted, flushed) <= 40), \
    flushed::text, pg_snapshot_xmax(pg_current_snapshot())::text \
    FROM (SELECT pg_current_wal_insert_lsn() AS inserted) AS i, \
    LATERAL (SELECT pg_current_wal_flush_lsn() AS flushed) AS f";

/// How far the server has written, and the transaction id that it gives next.
#[derive(PartialEq, Eq)]
struct Position {
    lsn: String,
    next: String,
}

async fn position(ctx: &StepContext, session: &Session) -> Result<Position, StepError> {
    for _ in 0..FLUSH_LOOKS {
        let row = session.query_one(FLUSHED, &[]).await;
        let row = row.map_err(|error| not_applied(statement("read the WAL position", &error)))?;
        if row.get(0) {
            return Ok(Position { lsn: row.get(1), next: row.get(2) });
        }
        ctx.sleep(Duration::from_millis(50)).await?;
    }
    Err(still_writes(vec!["the WAL grows faster than it is flushed".to_owned()]))
}

/// Looks until nothing was written between two looks; gives the position of the second.
pub(super) async fn position_of_rest(
    ctx: &StepContext,
    session: &Session,
) -> Result<String, StepError> {
    let mut first = position(ctx, session).await?;
    for _ in 0..LOOKS {
        ctx.sleep(BETWEEN).await?;
        let second = position(ctx, session).await?;
        // Without a new transaction id, what was written holds no commit.
        if second.next == first.next || second.lsn == first.lsn {
            return Ok(second.lsn);
        }
        first = second;
    }
    Err(still_writes(vec![format!("transactions begin all the time; the next is {}", first.next)]))
}
