//! One SQL statement of a user's, with parameters, and its rows as JSON.

use engine::context::StepContext;
use futures_util::{Stream, StreamExt};
use model::step_error::StepError;
use serde_json::{Map, Number, Value};
use tokio_postgres::types::{Kind, Type};
use tokio_postgres::{Column, Error, SimpleQueryMessage, SimpleQueryRow, Statement};

use super::classify;
use super::connection::{Session, connect_named};
use super::sql::literal;

/// So that values print the same everywhere. The time zone and the search path stay the role's,
/// because the statement was written for them.
const SETTINGS: &str = "SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres'; \
    SET extra_float_digits = 1; SET bytea_output = 'hex'";

/// What errors call the statement.
const WHAT: &str = "the query";

/// A statement and what is filled into its `$1`, `$2` ...
pub(super) struct Asked<'a> {
    pub(super) sql: &'a str,
    pub(super) params: &'a [Value],
    pub(super) max_rows: u32,
}

/// What a statement gave.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Rows {
    /// At most `max_rows` rows by column name.
    pub(super) kept: Vec<Map<String, Value>>,
    /// All rows it returned, or changed when it returns none.
    pub(super) count: u64,
    /// The first column of the first row.
    pub(super) first: Option<Value>,
    /// There were more rows than are kept.
    pub(super) truncated: bool,
}

/// Opens the connection and begins a transaction: `READ ONLY` when nothing may be changed.
pub(super) async fn begin(
    ctx: &StepContext,
    connection: &str,
    read_only: bool,
) -> Result<Session, StepError> {
    let session = connect_named(ctx, connection).await?;
    begin_on(&session, read_only).await?;
    Ok(session)
}

/// Begins a transaction on a session that is open.
pub(super) async fn begin_on(session: &Session, read_only: bool) -> Result<(), StepError> {
    let mode = if read_only { "READ ONLY" } else { "READ WRITE" };
    let begun = session.execute_all("begin", &format!("{SETTINGS}; BEGIN {mode}")).await;
    begun.map_err(classify::not_applied)
}

impl Asked<'_> {
    /// Runs the statement in the session's transaction. Nothing is committed, so every error
    /// means that nothing was applied; so does a cancellation.
    pub(super) async fn run(
        &self,
        session: &Session,
        ctx: &StepContext,
    ) -> Result<Rows, StepError> {
        tokio::select! {
            biased;
            () = ctx.cancel().cancelled() => Err(StepError::cancelled()),
            rows = self.rows(session) => rows,
        }
    }

    async fn rows(&self, session: &Session) -> Result<Rows, StepError> {
        let failed = |error: Error| classify::not_applied(classify::statement(WHAT, &error));
        // The protocol prepares one statement only: text that ends a statement and begins
        // another, out of the transaction, is refused here.
        let prepared = session.prepare(self.sql).await.map_err(failed)?;
        self.check(&prepared)?;
        let stream = if self.params.is_empty() {
            session.simple_query_raw(self.sql).await.map_err(failed)?
        } else {
            let name = "runbook_asked";
            let prepare = format!("PREPARE {name} AS {}", self.sql);
            session.batch_execute(&prepare).await.map_err(failed)?;
            let execute = format!("EXECUTE {name} ({})", self.literals(&prepared));
            session.simple_query_raw(&execute).await.map_err(failed)?
        };
        self.collect(stream, &prepared).await.map_err(failed)
    }

    fn check(&self, prepared: &Statement) -> Result<(), StepError> {
        let (expected, given) = (prepared.params().len(), self.params.len());
        if expected != given {
            let message = format!("the query has {expected} parameters, {given} are given");
            return Err(StepError::permanent("RB0550", message));
        }
        let mut names: Vec<_> = prepared.columns().iter().map(Column::name).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => {
                let message = format!("the query has two columns named `{}`", pair[0]);
                Err(StepError::permanent("RB0551", message).hint("name one of them with `AS`"))
            }
            None => Ok(()),
        }
    }

    fn literals(&self, prepared: &Statement) -> String {
        let values = self.params.iter().zip(prepared.params());
        values.map(|(value, kind)| parameter(value, kind)).collect::<Vec<_>>().join(", ")
    }

    async fn collect(
        &self,
        stream: impl Stream<Item = Result<SimpleQueryMessage, Error>>,
        prepared: &Statement,
    ) -> Result<Rows, Error> {
        let mut stream = std::pin::pin!(stream);
        let mut rows = Rows::default();
        while let Some(message) = stream.next().await {
            match message? {
                SimpleQueryMessage::Row(row) => rows.add(&row, prepared, self.max_rows)?,
                SimpleQueryMessage::CommandComplete(count) if prepared.columns().is_empty() => {
                    rows.count = count;
                }
                _ => {}
            }
        }
        Ok(rows)
    }
}

impl Rows {
    fn add(
        &mut self,
        row: &SimpleQueryRow,
        prepared: &Statement,
        max_rows: u32,
    ) -> Result<(), Error> {
        self.count += 1;
        if self.count > u64::from(max_rows) {
            self.truncated = true;
            return Ok(());
        }
        let mut object = Map::new();
        for (index, column) in prepared.columns().iter().enumerate() {
            let value = row.try_get(index)?.map_or(Value::Null, |text| read(text, column.type_()));
            if index == 0 && self.first.is_none() && self.count == 1 {
                self.first = Some(value.clone());
            }
            object.insert(column.name().to_owned(), value);
        }
        self.kept.push(object);
        Ok(())
    }
}

/// The text of a value as JSON: numbers and booleans as such, JSON as itself, all else as text.
/// `numeric` stays text, because a JSON number would lose digits.
fn read(text: &str, kind: &Type) -> Value {
    let number = match *kind {
        Type::BOOL => return Value::Bool(text == "t"),
        Type::INT2 | Type::INT4 | Type::INT8 | Type::OID => {
            text.parse::<i64>().ok().map(Number::from)
        }
        Type::FLOAT4 | Type::FLOAT8 => text.parse().ok().and_then(Number::from_f64),
        Type::JSON | Type::JSONB => {
            return serde_json::from_str(text).unwrap_or_else(|_| text.into());
        }
        _ => None,
    };
    number.map_or_else(|| text.into(), Value::Number)
}

/// A value as an SQL literal of unknown type, which takes the parameter's.
fn parameter(value: &Value, kind: &Type) -> String {
    text_of(value, kind).map_or_else(|| "NULL".to_owned(), |text| literal(&text))
}

/// A value in the text form of a parameter's type; nothing for null.
pub(super) fn text_of(value: &Value, kind: &Type) -> Option<String> {
    match (value, kind.kind()) {
        (Value::Null, _) => None,
        (Value::Array(items), Kind::Array(_)) => Some(array(items)),
        (Value::String(text), _) => Some(text.clone()),
        (value, _) => Some(value.to_string()),
    }
}

/// <https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO>
fn array(items: &[Value]) -> String {
    let item = |item: &Value| match item {
        Value::Null => "NULL".to_owned(),
        Value::Array(items) => array(items),
        Value::String(text) => quoted(text),
        other => quoted(&other.to_string()),
    };
    format!("{{{}}}", items.iter().map(item).collect::<Vec<_>>().join(","))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_become_json_of_their_type() {
        for (text, kind, expected) in [
            ("t", Type::BOOL, json!(true)),
            ("9223372036854775807", Type::INT8, json!(i64::MAX)),
            ("1.5", Type::FLOAT8, json!(1.5)),
            ("NaN", Type::FLOAT8, json!("NaN")),
            ("1.10", Type::NUMERIC, json!("1.10")),
            (r#"{"a": 1}"#, Type::JSONB, json!({"a": 1})),
            ("2026-11-20", Type::DATE, json!("2026-11-20")),
        ] {
            assert_eq!(read(text, &kind), expected);
        }
    }

    #[test]
    fn parameters_cannot_leave_their_literal() {
        for (value, kind, expected) in [
            (json!(null), Type::TEXT, "NULL"),
            (json!(7), Type::INT4, "'7'"),
            (json!("it's"), Type::TEXT, "'it''s'"),
            (json!({"a": "'"}), Type::JSONB, r#"'{"a":"''"}'"#),
            (json!(["a", "b\"c", null]), Type::TEXT_ARRAY, r#" E'{"a","b\\"c",NULL}'"#),
            (json!(["a"]), Type::JSONB, r#"'["a"]'"#),
        ] {
            assert_eq!(parameter(&value, &kind), expected);
        }
    }
}
