//! The masking transaction: what the masks would do, the change, and a look at the result.

use model::step_error::StepError;

use super::input::Triggers;
use super::look::{Column, Table, changed, impossible, materialized, rows, switches};
use super::{Masked, Output};
use crate::pg::classify;
use crate::pg::connection::Session;

/// Old values of a column that are looked for afterwards.
const SAMPLE: usize = 1000;

/// Of each, so many characters.
const LENGTH: usize = 200;

/// What a mask will do to its column.
struct Forecast {
    rows: u64,
    values: Values,
}

/// The values that a column will have.
enum Values {
    /// One in all rows, as text; it may be null.
    Same(Option<String>),
    /// Several; these old ones have to be gone.
    Several(Vec<String>),
}

async fn run(session: &Session, what: &str, sql: &str) -> Result<(), StepError> {
    session.execute_all(what, sql).await.map_err(classify::not_applied)
}

/// Refuses a mask that is not one expression of the column's type. It is prepared alone, so that
/// its error is its own.
pub(super) async fn check(session: &Session, table: &Table) -> Result<(), StepError> {
    for column in &table.columns {
        let value = column.value();
        let sql = format!("SELECT ({value})::{} FROM {}", column.kind, table.quoted);
        let what = format!("the mask of `{}`", column.name);
        let prepared = session.prepare(&sql).await;
        let prepared =
            prepared.map_err(|error| classify::not_applied(classify::statement(&what, &error)))?;
        if prepared.columns().len() != 1 || !prepared.params().is_empty() {
            let why = format!("`{}` is not one expression", column.mask.with);
            return Err(impossible(&column.name, &why));
        }
    }
    Ok(())
}

/// What the masks of a table will do.
async fn forecast(session: &Session, table: &Table) -> Result<Vec<Forecast>, StepError> {
    let measured = |column: &Column| {
        let (rows, old) = (column.rows(), &column.quoted);
        let new = format!("(({})::{})::text COLLATE \"C\"", column.value(), column.kind);
        format!(
            "count(*) FILTER (WHERE {rows}), \
             count(*) FILTER (WHERE {rows} AND {new} IS NOT DISTINCT FROM {old}::text), \
             count({new}) FILTER (WHERE {rows}), \
             min({new}) FILTER (WHERE {rows}), max({new}) FILTER (WHERE {rows})"
        )
    };
    let select: Vec<_> = table.columns.iter().map(measured).collect();
    let sql = format!("SELECT {} FROM {}", select.join(", "), table.quoted);
    let what = format!("look at `{}`", table.name);
    let row = rows(session, &what, &sql, &[]).await?.remove(0);
    let mut forecasts = Vec::new();
    for (at, column) in table.columns.iter().enumerate() {
        let count = |index: usize| row.get::<_, i64>(at * 5 + index).unsigned_abs();
        let text = |index: usize| row.get::<_, Option<String>>(at * 5 + index);
        let (rows, unchanged, not_null, least, most) =
            (count(0), count(1), count(2), text(3), text(4));
        let same = least == most && (not_null == rows || not_null == 0);
        let values = match (same, column.mask.allow_unchanged) {
            (true, _) => Values::Same(least),
            (false, true) => Values::Several(Vec::new()),
            (false, false) if unchanged > 0 => {
                return Err(unmasked(&column.name, unchanged, rows));
            }
            (false, false) => Values::Several(sample(session, table, column).await?),
        };
        forecasts.push(Forecast { rows, values });
    }
    Ok(forecasts)
}

fn unmasked(column: &str, left: u64, rows: u64) -> StepError {
    let message = format!("the mask of `{column}` leaves old values in {left} of {rows} rows");
    StepError::permanent("RB0766", message).hint(
        "write an expression that changes every value, or say `allow_unchanged: true` when few \
         values are possible at all; nothing was changed",
    )
}

async fn sample(
    session: &Session,
    table: &Table,
    column: &Column,
) -> Result<Vec<String>, StepError> {
    let (old, table) = (&column.quoted, &table.quoted);
    let sql = format!(
        "SELECT DISTINCT left({old}::text, {LENGTH}) FROM \
         (SELECT {old} FROM {table} WHERE {old} IS NOT NULL LIMIT {SAMPLE}) AS old"
    );
    let found = rows(session, &format!("look at `{}`", column.name), &sql, &[]).await?;
    Ok(found.iter().map(|row| row.get(0)).collect())
}

/// Refuses the result when old values are left in a column.
async fn verify(
    session: &Session,
    table: &Table,
    column: &Column,
    forecast: &Forecast,
) -> Result<(), StepError> {
    let (value, table, rows_of) = (&column.quoted, &table.quoted, column.rows());
    let what = format!("look at `{}`", column.name);
    let left = match &forecast.values {
        Values::Same(constant) => {
            let sql = format!(
                "SELECT count(*) FROM {table} \
                 WHERE {rows_of} AND {value}::text IS DISTINCT FROM $1::text"
            );
            rows(session, &what, &sql, &[constant]).await?
        }
        Values::Several(old) if old.is_empty() => return Ok(()),
        Values::Several(old) => {
            let sql = format!(
                "SELECT count(*) FROM {table} WHERE left({value}::text, {LENGTH}) = ANY($1::text[])"
            );
            rows(session, &what, &sql, &[old]).await?
        }
    };
    match left[0].get::<_, i64>(0).unsigned_abs() {
        0 => Ok(()),
        left => Err(unmasked(&column.name, left, forecast.rows)),
    }
}

async fn update(session: &Session, table: &Table) -> Result<u64, StepError> {
    let set = table.columns.iter().map(|column| format!("{} = {}", column.quoted, column.value()));
    let set: Vec<_> = set.collect();
    let rows: Vec<_> = table.columns.iter().map(Column::rows).collect();
    let sql = format!("UPDATE {} SET {} WHERE {}", table.quoted, set.join(", "), rows.join(" OR "));
    let what = format!("mask `{}`", table.name);
    let done = session.execute(&sql, &[]).await;
    done.map_err(|error| classify::not_applied(classify::statement(&what, &error)))
}

/// Refreshes the materialized views, which hold what they read when it was read.
async fn refresh(session: &Session, say: &mut impl FnMut(&str)) -> Result<Vec<String>, StepError> {
    let views = materialized(session).await?;
    for view in &views {
        say(&format!("refresh {view}"));
        let refresh = format!("REFRESH MATERIALIZED VIEW {view}");
        run(session, &format!("refresh {view}"), &refresh).await?;
    }
    Ok(views)
}

/// Does everything but the commit.
pub(super) async fn work(
    session: &Session,
    tables: &[Table],
    triggers: Triggers,
    mut say: impl FnMut(&str),
) -> Result<Output, StepError> {
    let trees: Vec<_> = tables.iter().flat_map(|table| table.tree.iter().copied()).collect();
    let switches = match triggers {
        Triggers::Disable => switches(session, &trees).await?,
        Triggers::Fire => Vec::new(),
    };
    for (off, _) in &switches {
        run(session, "switch a trigger off", off).await?;
    }
    let mut output = Output::default();
    for table in tables {
        say(&format!("mask {}", table.name));
        let forecasts = forecast(session, table).await?;
        output.rows += update(session, table).await?;
        // Keys that are checked at the commit are checked now: a table with open checks cannot
        // have its triggers switched on.
        run(session, "check the constraints", "SET CONSTRAINTS ALL IMMEDIATE").await?;
        for (column, forecast) in table.columns.iter().zip(forecasts) {
            verify(session, table, column, &forecast).await?;
            let constant = matches!(forecast.values, Values::Same(_));
            let (column, rows) = (column.name.clone(), forecast.rows);
            output.columns.push(Masked { column, rows, constant });
        }
    }
    for (_, on) in &switches {
        run(session, "switch a trigger on", on).await?;
    }
    output.triggers = switches.len() as u64;
    output.changed = changed(session, &trees).await?;
    output.refreshed = refresh(session, &mut say).await?;
    Ok(output)
}
