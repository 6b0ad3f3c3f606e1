//! Whether the copy can be worked with: level `usable`.

use engine::context::StepContext;
use model::set::manifest::Exclusion;
use model::set::{Category, Difference, DifferenceKind};
use model::step_error::{ErrorClass, StepError};

use super::Input;
use super::input::Assertion;
use crate::pg::amcheck::relations::{self, Depth, Finding};
use crate::pg::asked::{Asked, begin_on};
use crate::pg::connection::{Session, connect, connect_pinned};
use crate::pg::meter::Meter;
use crate::pg::target::Target;

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

async fn amcheck(session: &Session, meter: &Meter) -> Result<Vec<Difference>, StepError> {
    let schema = "runbook_amcheck";
    let create =
        format!("CREATE SCHEMA {schema}; CREATE EXTENSION IF NOT EXISTS amcheck SCHEMA {schema}");
    session.execute_all("create extension `amcheck`", &create).await?;
    let schema = relations::extension(session).await?.expect("the extension was just created");
    let mut differences = Vec::new();
    for relation in relations::all(session).await? {
        let checked = relations::check(session, &schema, &relation, Depth::default());
        let activity = format!("amcheck `{}`", relation.name);
        let findings = meter.while_running(&activity, checked).await?;
        differences.extend(findings.iter().map(corrupt));
    }
    Ok(differences)
}

fn corrupt(finding: &Finding) -> Difference {
    let Finding { relation, message, .. } = finding;
    failed_check(relation, format!("amcheck of `{relation}`: {message}"))
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
