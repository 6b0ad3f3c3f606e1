//! The server behind a connection.

use jiff::Timestamp;
use model::set::manifest::Server;
use model::step_error::StepError;
use tokio_postgres::{Client, Row};

use crate::pg::classify;

/// What every role may read. `now()` is when the transaction began, so not after its snapshot.
const SERVER: &str = "
SELECT current_setting('server_version') AS version,
  current_setting('server_version_num')::int4 AS version_num, session_user::text AS role,
  pg_is_in_recovery() AS in_recovery, now() AS snapshot_time,
  CASE WHEN pg_is_in_recovery() THEN pg_last_xact_replay_timestamp() END AS replayed_to,
  CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text
    AS lsn,
  has_function_privilege('pg_control_system()', 'execute') AS sees_identifier,
  has_function_privilege('pg_control_checkpoint()', 'execute') AS sees_timeline,
  pg_encoding_to_char(d.encoding)::text AS encoding, d.datcollate::text AS collate,
  d.datctype::text AS ctype, to_jsonb(d)->>'datlocprovider' AS provider,
  coalesce(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale') AS locale,
  to_jsonb(d)->>'datcollversion' AS collation_version
FROM pg_database d WHERE d.datname = current_database()";

/// The server and the database behind `client`, which was reached at `endpoint`.
pub async fn server(client: &Client, endpoint: &str) -> Result<Server, StepError> {
    let row = one(client, SERVER).await?;
    let in_recovery = row.get("in_recovery");
    let provider: Option<String> = row.get("provider");
    Ok(Server {
        version: row.get("version"),
        version_num: row.get::<_, i32>("version_num").unsigned_abs(),
        system_identifier: system_identifier(client, row.get("sees_identifier")).await?,
        timeline: timeline(client, in_recovery, row.get("sees_timeline")).await?,
        lsn: row.get("lsn"),
        endpoint: endpoint.to_owned(),
        role: row.get("role"),
        in_recovery,
        snapshot_time: row.get::<_, Timestamp>("snapshot_time"),
        replayed_to: row.get("replayed_to"),
        encoding: row.get("encoding"),
        locale_provider: match provider.as_deref() {
            Some("i") => "icu",
            Some("b") => "builtin",
            _ => "libc",
        }
        .to_owned(),
        collate: row.get("collate"),
        ctype: row.get("ctype"),
        locale: row.get("locale"),
        collation_version: row.get("collation_version"),
    })
}

async fn system_identifier(client: &Client, may: bool) -> Result<Option<String>, StepError> {
    if !may {
        return Ok(None);
    }
    let sql = "SELECT system_identifier::text FROM pg_control_system()";
    Ok(Some(one(client, sql).await?.get(0)))
}

/// On a primary from the name of the current WAL file: the control file has it late.
async fn timeline(client: &Client, in_recovery: bool, may: bool) -> Result<Option<u32>, StepError> {
    let sql = if !in_recovery {
        "SELECT ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int4"
    } else if may {
        "SELECT timeline_id FROM pg_control_checkpoint()"
    } else {
        return Ok(None);
    };
    Ok(Some(one(client, sql).await?.get::<_, i32>(0).unsigned_abs()))
}

async fn one(client: &Client, sql: &str) -> Result<Row, StepError> {
    let row = client.query_one(sql, &[]).await;
    row.map_err(|error| classify::statement("identify the server", &error))
}
