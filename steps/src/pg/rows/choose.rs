//! The rows that the plan asks for, by a predicate or by keys.
//!
//! A predicate is SQL text of the plan's author and never more than one expression: the extended
//! protocol takes one statement only, the text is closed in by parentheses and a line break, so
//! that no comment swallows what follows, and it is prepared in places where nothing but one
//! expression parses. The transaction is read-only besides.

use bytes::BytesMut;
use model::step_error::StepError;
use serde_json::{Map, Value};
use tokio_postgres::Statement;
use tokio_postgres::types::{Format, IsNull, Oid, ToSql, Type, to_sql_checked};

use super::asking;
use super::shape::{Key, Shape};
use crate::pg::asked;
use crate::pg::connection::Session;

/// One row of the snapshot: where it lies.
pub(super) type RowId = (Oid, String);

/// Which rows are asked for.
pub(super) enum Wanted<'a> {
    /// Those for which an expression is true.
    Where { predicate: &'a str, params: &'a [Value] },
    /// Those with these keys.
    Keys(&'a [Value]),
}

/// The text of a parameter, read by the server as its type.
#[derive(Debug)]
struct Text(Option<String>);

impl ToSql for Text {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        let Some(text) = &self.0 else { return Ok(IsNull::Yes) };
        out.extend_from_slice(text.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

fn refused(message: impl Into<String>) -> StepError {
    StepError::permanent("RB0540", message)
}

impl Wanted<'_> {
    /// The rows of `table`, at most one more than `most`. `from` is what stands after `FROM`.
    pub(super) async fn find(
        &self,
        session: &Session,
        table: &Shape,
        from: &str,
        most: u64,
    ) -> Result<Vec<RowId>, StepError> {
        let found = match self {
            Self::Where { predicate, params } => {
                by_predicate(session, from, predicate, params, most).await?
            }
            Self::Keys(keys) => by_keys(session, table, from, keys).await?,
        };
        if found.is_empty() {
            let message = format!("`where` is true for no row of `{}`", table.told());
            return Err(StepError::permanent("RB0541", message).hint(
                "check the predicate, and that the copy is of a moment when the rows were there",
            ));
        }
        Ok(found)
    }

    /// Words for why rows are in the bundle.
    pub(super) fn told(&self) -> &'static str {
        match self {
            Self::Where { .. } => "chosen by `where`",
            Self::Keys(_) => "chosen by `keys`",
        }
    }
}

async fn by_predicate(
    session: &Session,
    from: &str,
    predicate: &str,
    params: &[Value],
    most: u64,
) -> Result<Vec<RowId>, StepError> {
    let alone = prepare(session, &format!("SELECT (\n{predicate}\n) FROM {from} LIMIT 0")).await?;
    // An argument: a parenthesis that closes too early makes another expression of it.
    let argument = format!("SELECT pg_catalog.num_nulls(\n{predicate}\n) FROM {from} LIMIT 0");
    let argument = prepare(session, &argument).await?;
    let is = |prepared: &Statement, kind: &Type| matches!(prepared.columns(), [column] if column.type_() == kind);
    if !is(&alone, &Type::BOOL) || !is(&argument, &Type::INT4) {
        return Err(refused("`where` is not one expression that is true or false for a row")
            .hint("write what stands after `WHERE`, without the word: `id = $1`"));
    }
    let limit = most.saturating_add(1);
    let sql =
        format!("SELECT tableoid, ctid::text FROM {from} WHERE (\n{predicate}\n) LIMIT {limit}");
    let select = prepare(session, &sql).await?;
    execute(session, &select, params).await
}

async fn prepare(session: &Session, sql: &str) -> Result<Statement, StepError> {
    session.prepare(sql).await.map_err(|error| {
        let told = asking::failed("the predicate", &error);
        if told.code != "RB0510" {
            return told;
        }
        let hint = "write what stands after `WHERE`, without the word, as one expression";
        StepError {
            causes: told.causes,
            ..refused(told.message).hint(told.hint.as_deref().unwrap_or(hint))
        }
    })
}

async fn execute(
    session: &Session,
    statement: &Statement,
    params: &[Value],
) -> Result<Vec<RowId>, StepError> {
    let (expected, given) = (statement.params().len(), params.len());
    if expected != given {
        let message = format!("`where` has {expected} parameters, {given} are given in `params`");
        return Err(refused(message));
    }
    let texts = params.iter().zip(statement.params());
    let texts: Vec<Text> = texts.map(|(value, kind)| Text(asked::text_of(value, kind))).collect();
    let bound: Vec<&(dyn ToSql + Sync)> =
        texts.iter().map(|text| -> &(dyn ToSql + Sync) { text }).collect();
    let rows = session.query(statement, &bound).await;
    let rows = rows.map_err(|error| not_a_value(&error))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// A value that is none of its type is the plan's mistake.
fn not_a_value(error: &tokio_postgres::Error) -> StepError {
    let told = asking::failed("choose the rows", error);
    let state = error.code().map(tokio_postgres::error::SqlState::code).unwrap_or_default();
    if state.starts_with("22") { refused(told.message) } else { told }
}

async fn by_keys(
    session: &Session,
    table: &Shape,
    from: &str,
    keys: &[Value],
) -> Result<Vec<RowId>, StepError> {
    let key = key_of(table)?;
    let sql = format!("SELECT tableoid, ctid::text FROM {from} WHERE {}", key.is_given());
    let select = session.prepare(&sql).await;
    let select = select.map_err(|error| asking::failed("choose the rows", &error))?;
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for value in keys {
        let rows = execute(session, &select, &values(key, value)?).await?;
        if rows.is_empty() {
            missing.push(value.to_string());
        }
        found.extend(rows);
    }
    if missing.is_empty() {
        return Ok(found);
    }
    let message = format!("`{}` has no row with the key {}", table.told(), missing.join(", "));
    Err(StepError::permanent("RB0541", message)
        .hint("check the keys, and that the copy is of a moment when the rows were there"))
}

/// The key of a table, or why there is none.
pub(super) fn key_of(table: &Shape) -> Result<&Key, StepError> {
    table.key.as_ref().ok_or_else(|| {
        let message = format!("`{}` has no key by which its rows can be told apart", table.told());
        StepError::permanent("RB0543", message)
            .hint("give the table a primary key, or leave it out with `exclude`")
    })
}

/// The values of a key in the order of its columns.
fn values(key: &Key, value: &Value) -> Result<Vec<Value>, StepError> {
    let wanted =
        || refused(format!("`{value}` is no key: it has the columns {}", key.columns.join(", ")));
    let hint = "write the value of a key of one column, or a mapping: `{tenant: 3, id: 7}`";
    match value {
        Value::Object(map) => in_order(key, map).ok_or_else(|| wanted().hint(hint)),
        Value::Array(_) | Value::Null => Err(wanted().hint(hint)),
        value if key.columns.len() == 1 => Ok(vec![value.clone()]),
        _ => Err(wanted().hint(hint)),
    }
}

fn in_order(key: &Key, map: &Map<String, Value>) -> Option<Vec<Value>> {
    let values: Option<Vec<_>> = key.columns.iter().map(|name| map.get(name).cloned()).collect();
    values.filter(|values| values.len() == map.len())
}
