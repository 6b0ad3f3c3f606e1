//! The table that keeps the former rows: its name, what is written on it, and how it is made.

use model::set::manifest::TableName;
use model::step_error::StepError;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::live::Live;
use crate::pg::classify;
use crate::pg::connection::Session;
use crate::pg::sql;
use crate::store::hex;

/// The longest name that PostgreSQL keeps, in bytes.
const LONGEST: usize = 63;

/// The comment on a table that keeps former rows. It is written in the transaction that exchanges
/// the rows: where it is, that transaction was committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pg) struct Mark {
    /// The run.
    pub(in crate::pg) runbook: String,
    /// The step.
    pub(in crate::pg) step: String,
    /// The table whose rows are kept.
    pub(in crate::pg) table: String,
    /// The set that took their place.
    pub(in crate::pg) set: String,
    /// The fingerprint of the rows that took their place.
    pub(in crate::pg) after: String,
}

/// A table of former rows that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::pg) struct Kept {
    pub(in crate::pg) name: TableName,
    pub(in crate::pg) mark: Mark,
}

/// `<name>__rb_<run>` beside the table. A name that would become too long is cut, and told from
/// others by a part of its digest.
pub(in crate::pg) fn kept_name(table: &TableName, run: &str) -> TableName {
    let suffix = format!("__rb_{}", run.to_lowercase());
    let room = LONGEST.saturating_sub(suffix.len());
    if table.name.len() <= room {
        return TableName::new(&table.schema, format!("{}{suffix}", table.name));
    }
    let digest = &hex(Sha256::digest(&table.name))[..8];
    let mut end = room.saturating_sub(digest.len() + 1);
    while !table.name.is_char_boundary(end) {
        end -= 1;
    }
    TableName::new(&table.schema, format!("{}_{digest}{suffix}", &table.name[..end]))
}

impl Kept {
    /// Looks for the former rows of `table` that `run` kept.
    pub(in crate::pg) async fn find(
        session: &Session,
        table: &TableName,
        run: &str,
    ) -> Result<Option<Self>, StepError> {
        let name = kept_name(table, run);
        let found = session
            .query_opt(
                "SELECT obj_description(c.oid, 'pg_class') FROM pg_class c
                   JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind = 'r'",
                &[&name.schema, &name.name],
            )
            .await
            .map_err(|error| {
                classify::not_applied(classify::statement("look for the former rows", &error))
            })?;
        let comment: Option<String> = found.and_then(|row| row.get(0));
        let mark = comment.and_then(|comment| serde_json::from_str::<Mark>(&comment).ok());
        let ours = mark.filter(|mark| {
            mark.table == table.to_string() && mark.runbook.eq_ignore_ascii_case(run)
        });
        Ok(ours.map(|mark| Self { name, mark }))
    }

    /// Removes it, in the session's transaction.
    pub(in crate::pg) async fn drop_table(&self, session: &Session) -> Result<(), StepError> {
        let drop = format!("DROP TABLE {}", sql::qualified(&self.name.schema, &self.name.name));
        session.execute_all(&format!("drop `{}`", self.name), &drop).await
    }
}

/// Copies the rows of `live` into a new table `name`, in the session's transaction: plain columns
/// of the same types, nobody but the owner may read it.
pub(in crate::pg) async fn keep(
    session: &Session,
    live: &Live,
    name: &TableName,
) -> Result<u64, StepError> {
    let what = format!("keep the rows of `{}`", live.name);
    let kept = sql::qualified(&name.schema, &name.name);
    let is_published = published_whole(session).await?;
    // A publication of all tables would send these rows to subscribers that have no such table. It
    // leaves out unlogged tables, and the rewrite that makes them logged.
    let unlogged = if is_published { "UNLOGGED " } else { "" };
    let create = format!(
        "CREATE {unlogged}TABLE {kept} (LIKE {}){}",
        live.qualified(),
        live.in_tablespace()
    );
    session.execute_all(&what, &create).await?;
    let columns = sql::identifiers(live.columns.iter().map(|column| column.name.as_str()));
    let copy =
        format!("INSERT INTO {kept} ({columns}) SELECT {columns} FROM ONLY {}", live.qualified());
    let rows = session.execute(&copy, &[]).await;
    let rows = rows.map_err(|error| classify::statement(&what, &error))?;
    if is_published {
        session.execute_all(&what, &format!("ALTER TABLE {kept} SET LOGGED")).await?;
    }
    session.execute_all(&what, &withdrawn(session, &what, name).await?).await?;
    let owner = sql::identifier(&live.owner);
    session.execute_all(&what, &format!("ALTER TABLE {kept} OWNER TO {owner}")).await?;
    Ok(rows)
}

async fn published_whole(session: &Session) -> Result<bool, StepError> {
    let sql = "SELECT EXISTS (SELECT FROM pg_publication WHERE puballtables)";
    let row = session.query_one(sql, &[]).await;
    let row = row.map_err(|error| classify::statement("look at the publications", &error))?;
    Ok(row.get(0))
}

/// Takes back what default privileges gave to others.
async fn withdrawn(session: &Session, what: &str, name: &TableName) -> Result<String, StepError> {
    let grantees = "
        SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC'
          ELSE format('%I', pg_get_userbyid(a.grantee)) END
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) a
        WHERE n.nspname = $1 AND c.relname = $2 AND a.grantee <> c.relowner";
    let rows = session.query(grantees, &[&name.schema, &name.name]).await;
    let rows = rows.map_err(|error| classify::statement(what, &error))?;
    let kept = sql::qualified(&name.schema, &name.name);
    let revoke = rows
        .iter()
        .map(|row| format!("REVOKE ALL ON TABLE {kept} FROM {}", row.get::<_, String>(0)));
    Ok(revoke.collect::<Vec<_>>().join("; "))
}

/// Writes the mark on a table of former rows.
pub(in crate::pg) async fn write_mark(
    session: &Session,
    name: &TableName,
    mark: &Mark,
) -> Result<(), StepError> {
    let text = serde_json::to_string(mark).expect("a mark is plain data");
    let kept = sql::qualified(&name.schema, &name.name);
    let comment = format!("COMMENT ON TABLE {kept} IS {}", sql::literal(&text));
    session.execute_all("mark the former rows", &comment).await
}

/// A short text that changes when any row of the table does. It is compared on the same server
/// within days, so the server's own hash will do.
pub(in crate::pg) async fn fingerprint(
    session: &Session,
    live: &Live,
) -> Result<String, StepError> {
    let content = super::difference::content("l", &live.copied());
    let sql = format!(
        "SELECT count(*) || ':' || coalesce(sum(hashtextextended({content}, 0)::numeric), 0) \
         FROM ONLY {} l",
        live.qualified()
    );
    session.text(&format!("read the rows of `{}`", live.name), &sql).await
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "01JD2Q0M3K5V7X9ZB1D3F5H7J9";

    #[test]
    fn the_kept_table_is_named_after_the_table_and_the_run() {
        let kept = kept_name(&TableName::new("app", "Orders"), RUN);
        assert_eq!(kept, TableName::new("app", "Orders__rb_01jd2q0m3k5v7x9zb1d3f5h7j9"));
    }

    #[test]
    fn long_names_stay_apart_and_fit() {
        let long = |end: &str| TableName::new("app", format!("{}{end}", "ä".repeat(28)));
        let (one, other) = (kept_name(&long("one"), RUN), kept_name(&long("two"), RUN));
        assert!(one.name.len() <= LONGEST && other.name.len() <= LONGEST, "{one} {other}");
        assert_ne!(one, other);
        assert!(one.name.ends_with("__rb_01jd2q0m3k5v7x9zb1d3f5h7j9"));
    }
}
