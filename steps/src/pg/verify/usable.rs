//! Whether the copy can be worked with: level `usable`.

use engine::context::StepContext;
use model::set::manifest::Exclusion;
use model::set::{Category, Difference, DifferenceKind};
use model::step_error::StepError;
use tokio_postgres::Row;

use super::Input;
use crate::pg::classify;
use crate::pg::connection::{Session, connect_pinned};
use crate::pg::meter::Meter;
use crate::pg::sql;
use crate::pg::target::Target;

/// Findings of one check that are named.
const NAMED: usize = 10;

/// Checks every index and table, where the server can.
pub(super) async fn check(
    ctx: &StepContext,
    target: &Target,
    input: &Input,
    meter: &Meter,
) -> Result<(Vec<Difference>, Vec<Exclusion>), StepError> {
    let session = connect_pinned(ctx, target).await?;
    let (mut differences, mut exclusions) = (Vec::new(), Vec::new());
    let reason = if !input.amcheck {
        Some("the plan says `amcheck: false`")
    } else if has_amcheck(&session).await? {
        differences.extend(amcheck(&session, meter).await?);
        None
    } else {
        Some("the scratch server does not have the extension `amcheck`")
    };
    exclusions.extend(reason.map(|reason| Exclusion {
        category: Category::Check,
        object: "amcheck".to_owned(),
        reason: reason.to_owned(),
    }));
    session.close().await;
    Ok((differences, exclusions))
}

async fn has_amcheck(session: &Session) -> Result<bool, StepError> {
    let available = "SELECT count(*)::text FROM pg_available_extensions WHERE name = 'amcheck'";
    Ok(session.text("look for amcheck", available).await? != "0")
}

/// B-tree indexes, and from 14 on heaps. <https://www.postgresql.org/docs/current/amcheck.html>
const RELATIONS: &str = "
SELECT c.oid, format('%I.%I', n.nspname, c.relname), c.relkind::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_index i ON i.indexrelid = c.oid
  JOIN pg_am a ON a.oid = c.relam
WHERE n.nspname !~ '^pg_toast' AND c.relpersistence <> 't'
  AND ((c.relkind = 'i' AND a.amname = 'btree' AND i.indisvalid AND i.indisready)
    OR (c.relkind IN ('r', 'm') AND a.amname = 'heap'
      AND current_setting('server_version_num')::int4 >= 140000))
ORDER BY 2";

async fn amcheck(session: &Session, meter: &Meter) -> Result<Vec<Difference>, StepError> {
    let schema = "runbook_amcheck";
    let create =
        format!("CREATE SCHEMA {schema}; CREATE EXTENSION IF NOT EXISTS amcheck SCHEMA {schema}");
    session.execute_all("create extension `amcheck`", &create).await?;
    let place = "SELECT n.nspname::text FROM pg_extension e JOIN pg_namespace n
        ON n.oid = e.extnamespace WHERE e.extname = 'amcheck'";
    let schema = sql::identifier(&session.text("look for amcheck", place).await?);
    let failed = |error| classify::statement("list what amcheck looks at", &error);
    let mut differences = Vec::new();
    for row in session.query(RELATIONS, &[]).await.map_err(failed)? {
        let name: String = row.get(1);
        let checked = check_relation(session, &schema, &row, &name);
        let activity = format!("amcheck `{name}`");
        differences.extend(meter.while_running(&activity, checked).await?);
    }
    Ok(differences)
}

async fn check_relation(
    session: &Session,
    schema: &str,
    row: &Row,
    name: &str,
) -> Result<Vec<Difference>, StepError> {
    let oid: u32 = row.get(0);
    let is_index = row.get::<_, String>(2) == "i";
    let check = if is_index {
        format!("SELECT NULL::text FROM (SELECT {schema}.bt_index_check($1::oid::regclass)) c")
    } else {
        format!("SELECT msg FROM {schema}.verify_heapam($1::oid::regclass) LIMIT {NAMED}")
    };
    match session.query(&check, &[&oid]).await {
        Ok(rows) => {
            let messages = rows.iter().filter_map(|row| row.get::<_, Option<String>>(0));
            Ok(messages.map(|message| corrupt(name, &message)).collect())
        }
        // ERRCODE_INDEX_CORRUPTED and ERRCODE_DATA_CORRUPTED.
        Err(error) if is_corruption(&error) => {
            let message = error.as_db_error().map(|it| it.message().to_owned()).unwrap_or_default();
            Ok(vec![corrupt(name, &message)])
        }
        Err(error) => Err(classify::statement(&format!("check `{name}`"), &error)),
    }
}

fn is_corruption(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|state| matches!(state.code(), "XX001" | "XX002"))
}

fn corrupt(name: &str, message: &str) -> Difference {
    Difference {
        category: Category::Check,
        object: name.to_owned(),
        kind: DifferenceKind::Changed,
        expected: None,
        found: None,
        message: format!("amcheck of `{name}`: {message}"),
    }
}
