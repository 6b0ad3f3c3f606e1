//! Indexes of partitioned tables after a parallel restore.
//!
//! `pg_restore --jobs` attaches the indexes of several partitions at the same time. An index above
//! them becomes valid when the session that attaches the last one sees all of them valid; of two
//! that end together neither may see the other, and the index stays invalid although it is whole.
//! Attaching a partition's index once more makes the server look again.
//! <https://www.postgresql.org/docs/current/sql-alterindex.html>

use model::step_error::StepError;
use tokio_postgres::SimpleQueryMessage;

use crate::pg::classify;
use crate::pg::connection::Session;

/// One statement for each invalid index above partitions whose own indexes are valid.
const WAITING: &str = "SELECT format('ALTER INDEX %I.%I ATTACH PARTITION %I.%I', \
    above_in.nspname, above.relname, below_in.nspname, below.relname) \
    FROM pg_index AS i \
    JOIN pg_class AS above ON above.oid = i.indexrelid AND above.relkind = 'I' \
    JOIN pg_namespace AS above_in ON above_in.oid = above.relnamespace \
    JOIN LATERAL (SELECT min(h.inhrelid::bigint)::oid AS first, bool_and(c.indisvalid) AS whole \
      FROM pg_inherits AS h JOIN pg_index AS c ON c.indexrelid = h.inhrelid \
      WHERE h.inhparent = i.indexrelid) AS parts ON parts.whole \
    JOIN pg_class AS below ON below.oid = parts.first \
    JOIN pg_namespace AS below_in ON below_in.oid = below.relnamespace \
    WHERE NOT i.indisvalid ORDER BY 1";

/// Lets the server look again at each index that could be valid, from the lowest to the highest.
/// One that is not whole stays as it is.
pub(super) async fn validate(session: &Session) -> Result<(), StepError> {
    let mut before = Vec::new();
    loop {
        let waiting = waiting(session).await?;
        if waiting == before {
            return Ok(());
        }
        for statement in &waiting {
            session.execute_all("validate an index of partitions", statement).await?;
        }
        before = waiting;
    }
}

async fn waiting(session: &Session) -> Result<Vec<String>, StepError> {
    let failed = |error| classify::statement("look for indexes of partitions", &error);
    let answer = session.simple_query(WAITING).await.map_err(failed)?;
    let rows = answer.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    Ok(rows.collect())
}

#[cfg(test)]
mod tests {
    use engine::settings::ConnectionSettings;
    use lab::cluster::{Cluster, ClusterOptions};

    use super::*;
    use crate::pg::connection::connect;
    use crate::pg::target::Target;
    use crate::testing;

    const NESTED: &str = "
        CREATE TABLE log (day int, n int) PARTITION BY RANGE (day);
        CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM (1) TO (2) PARTITION BY RANGE (n);
        CREATE TABLE log_1_a PARTITION OF log_1 FOR VALUES FROM (1) TO (2);
        CREATE TABLE log_1_b PARTITION OF log_1 FOR VALUES FROM (2) TO (3);
        CREATE TABLE log_2 PARTITION OF log FOR VALUES FROM (2) TO (3);
        CREATE INDEX \"by N\" ON log (n);
        CREATE INDEX unfinished ON ONLY log (day);
        -- What two sessions leave that attach the last two partitions at once.
        UPDATE pg_index SET indisvalid = false FROM pg_class
          WHERE pg_class.oid = indexrelid AND relkind = 'I'";

    #[tokio::test(flavor = "multi_thread")]
    async fn an_index_above_whole_partitions_becomes_valid_at_every_level() {
        let cluster = Cluster::start(&ClusterOptions::new()).unwrap();
        cluster.execute("postgres", NESTED).unwrap();
        let invalid = "SELECT relname FROM pg_index JOIN pg_class ON oid = indexrelid
            WHERE NOT indisvalid ORDER BY 1";
        let names = ["by N", "log_1_n_idx", "unfinished"];
        assert_eq!(cluster.query("postgres", invalid).unwrap(), names);
        let host = testing::host();
        let settings = ConnectionSettings {
            url: Some(cluster.url("postgres").into()),
            ..ConnectionSettings::default()
        };
        let target = Target::resolve(&settings).unwrap();
        let session = connect(&testing::context_of(&host, 1), &target).await.unwrap();
        validate(&session).await.unwrap();
        session.close().await;
        assert_eq!(cluster.query("postgres", invalid).unwrap(), ["unfinished"]);
    }
}
