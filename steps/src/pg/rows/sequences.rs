//! Sequences behind the columns of inserted rows, moved on so that no key is given twice.

use model::step_error::StepError;

use super::asking;
use super::staged::{Staged, State, is_in};
use crate::pg::connection::Session;
use crate::pg::sql::{identifier, qualified};

/// Sequences that a column owns, or whose default reads them.
const SEQUENCES: &str = "
SELECT a.attname::text, n.nspname::text, c.relname::text, q.seqincrement > 0, q.seqmin, q.seqmax
FROM pg_attribute a
  JOIN LATERAL (SELECT d.objid AS oid FROM pg_depend d
      WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
        AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum AND d.deptype IN ('a', 'i')
    UNION SELECT d.refobjid FROM pg_attrdef f JOIN pg_depend d ON d.objid = f.oid
      AND d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass
      WHERE f.adrelid = a.attrelid AND f.adnum = a.attnum) s ON true
  JOIN pg_sequence q ON q.seqrelid = s.oid
  JOIN pg_class c ON c.oid = s.oid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
  AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
ORDER BY a.attnum";

/// Moves the sequences on, at least to the furthest value of the inserted rows, and tells which.
///
/// A position is no part of the transaction: it stays when the transaction fails, which skips
/// numbers and harms nothing. Reading and moving are one statement, so that nothing that others
/// draw meanwhile is given again.
pub(super) async fn move_on(
    session: &Session,
    tables: &[Staged],
) -> Result<Vec<String>, StepError> {
    let mut moved = Vec::new();
    for table in tables {
        let what = format!("move the sequences of `{}` on", table.told);
        for row in asking::rows(session, &what, SEQUENCES, &[&table.live.oid]).await? {
            let (column, schema, name): (String, String, String) =
                (row.get(0), row.get(1), row.get(2));
            if !table.columns.contains(&column) {
                continue;
            }
            let (furthest, beyond) = if row.get(3) { ("max", ">") } else { ("min", "<") };
            let sequence = qualified(&schema, &name);
            let sql = format!(
                "SELECT setval($1::text::regclass, x.n) FROM {sequence} s, \
                 (SELECT {furthest}({})::int8 AS n FROM {} s WHERE {}) x \
                 WHERE x.n BETWEEN $2 AND $3 \
                   AND (x.n {beyond} s.last_value OR x.n = s.last_value AND NOT s.is_called)",
                identifier(&column),
                table.temp,
                is_in("s", &[State::Insert]),
            );
            let (lowest, highest): (i64, i64) = (row.get(4), row.get(5));
            let set = asking::rows(session, &what, &sql, &[&sequence, &lowest, &highest]).await?;
            let told =
                set.first().map(|row| format!("{schema}.{name} to {}", row.get::<_, i64>(0)));
            moved.extend(told);
        }
    }
    Ok(moved)
}
