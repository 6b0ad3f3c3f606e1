//! Whether the copy can be worked with: level `usable`.

use engine::context::StepContext;
use model::set::manifest::Exclusion;
use model::set::{Category, Difference, DifferenceKind};
use model::step_error::{ErrorClass, StepError};
use tokio_postgres::Row;

use super::Input;
use super::input::Assertion;
use crate::pg::asked::{Asked, begin_on};
use crate::pg::classify;
use crate::pg::connection::{Session, connect, connect_pinned};
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
    for assertion in &input.assertions {
        differences.extend(ask(ctx, target, assertion).await?);
    }
    Ok((differences, exclusions))
}

/// Each in a session of its own, with the settings of the database and not with ours.
async fn ask(
    ctx: &StepContext,
    target: &Target,
    assertion: &Assertion,
) -> Result<Option<Difference>, StepError> {
    let session = connect(ctx, target).await?;
    begin_on(&session, true).await?;
    let asked = Asked { sql: &assertion.query, params: &assertion.params, max_rows: 1 };
    let unmet = match asked.run(&session, ctx).await {
        Ok(rows) => assertion.expect.unmet(&rows),
        Err(error) if error.class == ErrorClass::Permanent => vec![error.message],
        Err(error) => return Err(error),
    };
    session.close().await;
    let name = assertion.message.as_deref().unwrap_or(&assertion.query);
    let message = || format!("assertion `{name}`: {}", unmet.join("; "));
    Ok((!unmet.is_empty()).then(|| failed_check(name, message())))
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
    failed_check(name, format!("amcheck of `{name}`: {message}"))
}

fn failed_check(name: &str, message: String) -> Difference {
    Difference {
        category: Category::Check,
        object: name.to_owned(),
        kind: DifferenceKind::Changed,
        expected: None,
        found: None,
        message,
    }
}
