//! Where sequences stand. They ignore snapshots, so that a position read after the snapshot was
//! taken is at least what the rows in it need.

use model::set::manifest::{OwningColumn, Sequence};
use model::step_error::StepError;
use tokio_postgres::{Client, Row};

use super::Selection;
use crate::pg::classify;
use crate::pg::sql::{identifier, qualified};

/// Positions that are read by one statement.
const BATCH: usize = 200;

/// Sequences with the column that each belongs to. The column's values are looked at only where
/// they are integers that this server can read.
const LIST: &str = "
SELECT n.nspname::text, c.relname::text, s.seqincrement, s.seqcycle, t.nspname, t.relname,
  t.attname, t.relkind, coalesce(t.readable, false)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_sequence s ON s.seqrelid = c.oid
  LEFT JOIN LATERAL (
    SELECT m.nspname::text, r.relname::text, a.attname::text, r.relkind::text,
      a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
        AND NOT ($2 AND r.relpersistence = 'u')
        AND CASE WHEN r.relkind = 'p' THEN NOT EXISTS (
          SELECT FROM pg_partition_tree(r.oid) p JOIN pg_class f ON f.oid = p.relid
          WHERE f.relkind = 'f') ELSE r.relkind = 'r' END AS readable
    FROM pg_depend d JOIN pg_class r ON r.oid = d.refobjid
      JOIN pg_namespace m ON m.oid = r.relnamespace
      JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = d.refobjsubid
    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
      AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0
      AND d.deptype IN ('a', 'i')) t ON true
WHERE c.relkind = 'S' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT ($2 AND c.relpersistence = 'u')
  AND ($1::oid[] IS NULL OR c.oid = ANY ($1::oid[]))
  AND NOT EXISTS (SELECT FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
      AND NOT c.oid = ANY (coalesce(e.extconfig, '{}')))
ORDER BY n.nspname, c.relname";

/// A sequence whose position is not read yet, and the expression for its column's last value.
struct Listed {
    sequence: Sequence,
    furthest: String,
}

pub(super) async fn positions(
    client: &Client,
    selection: &Selection,
) -> Result<Vec<Sequence>, StepError> {
    let failed = |error| classify::statement("list the sequences", &error);
    let rows = client.query(LIST, &[&selection.relations, &selection.in_recovery]).await;
    let mut listed: Vec<Listed> = rows.map_err(failed)?.iter().map(listed).collect();
    for batch in listed.chunks_mut(BATCH) {
        read_positions(client, batch).await?;
    }
    Ok(listed.into_iter().map(|listed| listed.sequence).collect())
}

fn listed(row: &Row) -> Listed {
    let sequence = Sequence {
        schema: row.get(0),
        name: row.get(1),
        last_value: 0,
        is_called: false,
        increment: row.get(2),
        cycle: row.get(3),
        owned_by: row.get::<_, Option<String>>(4).map(|schema| OwningColumn {
            schema,
            table: row.get(5),
            column: row.get(6),
            furthest: None,
        }),
    };
    let is_readable: bool = row.get(8);
    let furthest = match sequence.owned_by.as_ref().filter(|_| is_readable) {
        Some(owner) => {
            let only = if row.get::<_, &str>(7) == "p" { "" } else { "ONLY " };
            let furthest = if sequence.increment < 0 { "min" } else { "max" };
            let (column, table) =
                (identifier(&owner.column), qualified(&owner.schema, &owner.table));
            format!("(SELECT {furthest}({column})::int8 FROM {only}{table})")
        }
        None => "NULL::int8".to_owned(),
    };
    Listed { sequence, furthest }
}

async fn read_positions(client: &Client, batch: &mut [Listed]) -> Result<(), StepError> {
    let selects = batch.iter().enumerate().map(|(index, Listed { sequence, furthest })| {
        let name = qualified(&sequence.schema, &sequence.name);
        format!("SELECT {index}::int4, last_value, is_called, {furthest} FROM {name}")
    });
    let sql = selects.collect::<Vec<_>>().join(" UNION ALL ");
    let rows = client.query(&sql, &[]).await;
    let failed = |error| classify::statement("read the positions of the sequences", &error);
    for row in rows.map_err(failed)? {
        let index = usize::try_from(row.get::<_, i32>(0)).expect("the index was counted from 0");
        let sequence = &mut batch[index].sequence;
        sequence.last_value = row.get(1);
        sequence.is_called = row.get(2);
        if let Some(owner) = &mut sequence.owned_by {
            owner.furthest = row.get(3);
        }
    }
    Ok(())
}
