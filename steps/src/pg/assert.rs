//! `pg.assert`: compares what a query gives with what is expected.

use engine::context::StepContext;
use engine::step::{Observation, Step};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::{Footprint, Part};
use model::step_error::StepError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value, json};

use super::asked::{Asked, Rows, begin};

/// Rows of the answer that an error shows.
const SHOWN: u32 = 5;

/// Compares what a query gives with what is expected.
///
/// ## What it does
/// It runs `query` in a `READ ONLY` transaction and compares the first column of the first row,
/// or the number of rows, with `expect`. Every expectation that is given must hold.
///
/// ## When to use it
/// After a restore, to see that the data is what the application needs; in front of a dangerous
/// step, to see that it is about to happen in the right place.
///
/// ## What it changes
/// Nothing.
///
/// ## How it can fail
/// When an expectation does not hold. The error says what was expected and what was found, with
/// `message` in front. It is not retried: what is in a database does not mend itself.
///
/// ## Example
/// ```yaml
/// - id: check
///   uses: pg.assert
///   with:
///     connection: prod
///     query: select count(*) from users where deleted_at is null
///     expect: {min: 1}
///     message: there are users
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The name under `connections:`.
    connection: String,
    /// One SQL statement that reads.
    query: String,
    /// Values for `$1`, `$2` ...
    #[serde(default)]
    params: Vec<Value>,
    /// What must hold.
    expect: Expect,
    /// What it means that it holds, for the error.
    message: Option<String>,
}

/// What must hold of an answer; at least one is needed.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    /// The first value is this one.
    equals: Option<Value>,
    /// The first value is a number and at least this.
    min: Option<Number>,
    /// The first value is a number and at most this.
    max: Option<Number>,
    /// The first value is there and not null (`true`), or null or missing (`false`).
    not_null: Option<bool>,
    /// There are so many rows.
    rows: Option<u64>,
    /// There are at least so many rows.
    min_rows: Option<u64>,
    /// There are at most so many rows.
    max_rows: Option<u64>,
}

/// What was found.
#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// The first column of the first row.
    value: Option<Value>,
    /// How many rows there were.
    rows: u64,
}

/// The step kind.
pub struct Assert;

/// A number as the server wrote it, also as `numeric` text.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok().filter(|number: &f64| number.is_finite()),
        _ => None,
    }
}

/// Exact for integers, also beyond 2^53.
fn compare(found: &Value, limit: &Number) -> Option<std::cmp::Ordering> {
    if let (Some(found), Some(limit)) = (found.as_i64(), limit.as_i64()) {
        return Some(found.cmp(&limit));
    }
    number(found)?.partial_cmp(&limit.as_f64()?)
}

fn same(found: &Value, expected: &Value) -> bool {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let equal_number = expected
        .as_number()
        .is_some_and(|expected| compare(found, expected) == Some(std::cmp::Ordering::Equal));
    found == expected || equal_number || (!found.is_null() && text(found) == text(expected))
}

fn shown(value: Option<&Value>) -> String {
    match value {
        None => "no row".to_owned(),
        Some(Value::String(text)) => format!("`{text}`"),
        Some(value) => format!("`{value}`"),
    }
}

impl Expect {
    pub(super) fn is_empty(&self) -> bool {
        let Self { equals, min, max, not_null, rows, min_rows, max_rows } = self;
        let values = [equals.is_some(), min.is_some(), max.is_some(), not_null.is_some()];
        let counts = [rows, min_rows, max_rows].map(Option::is_some);
        !values.into_iter().chain(counts).any(|given| given)
    }

    /// What does not hold: each as `expected ..., found ...`.
    pub(super) fn unmet(&self, found: &Rows) -> Vec<String> {
        let mut unmet = self.unmet_values(found.first.as_ref());
        let mut rows = |holds: bool, expected: &str, number: u64| {
            if !holds {
                unmet.push(format!("expected {expected}{number} rows, found {}", found.count));
            }
        };
        if let Some(number) = self.rows {
            rows(found.count == number, "", number);
        }
        if let Some(number) = self.min_rows {
            rows(found.count >= number, "at least ", number);
        }
        if let Some(number) = self.max_rows {
            rows(found.count <= number, "at most ", number);
        }
        unmet
    }

    fn unmet_values(&self, found: Option<&Value>) -> Vec<String> {
        use std::cmp::Ordering;
        let ordered = |limit| found.and_then(|found| compare(found, limit));
        let mut unmet = Vec::new();
        let mut value = |holds: bool, expected: String| {
            if !holds {
                unmet.push(format!("expected {expected}, found {}", shown(found)));
            }
        };
        if let Some(expected) = &self.equals {
            let holds = found.is_some_and(|found| same(found, expected));
            value(holds, shown(Some(expected)));
        }
        if let Some(limit) = &self.min {
            let holds = matches!(ordered(limit), Some(Ordering::Greater | Ordering::Equal));
            value(holds, format!("at least {limit}"));
        }
        if let Some(limit) = &self.max {
            let holds = matches!(ordered(limit), Some(Ordering::Less | Ordering::Equal));
            value(holds, format!("at most {limit}"));
        }
        if let Some(wanted) = self.not_null {
            let there = found.is_some_and(|found| !found.is_null());
            value(there == wanted, if wanted { "a value" } else { "no value" }.to_owned());
        }
        unmet
    }
}

fn failure(input: &Input, unmet: &[String], found: &Rows) -> StepError {
    let unmet = unmet.join("; ");
    let message = match &input.message {
        Some(message) => format!("{message}: {unmet}"),
        None => unmet,
    };
    let mut error = StepError::permanent("RB0555", message);
    if found.count > 1 {
        let rows = found.kept.iter().map(|row| Value::Object(row.clone()).to_string());
        error.causes.extend(rows);
    }
    error
}

impl Step for Assert {
    const KIND: &'static str = "pg.assert";
    const SUMMARY: &'static str = "compares what a query gives with what is expected";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let mut problems = Vec::new();
        if input.query.trim().is_empty() {
            problems.push(InputProblem::at("query", "the query is empty"));
        }
        if input.expect.is_empty() {
            let problem = InputProblem::at("expect", "nothing is expected");
            problems.push(problem.help("say what must hold, such as `{min: 1}`"));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        let name = &input.connection;
        Footprint::new(Effect::Read, Repeat::Idempotent)
            .plays(Part::Verify)
            .reads_connection(name)
            .reads(format!("what the query reads in database `{name}`"))
    }

    fn example() -> Output {
        Output { value: Some(json!(42)), rows: 1 }
    }

    async fn observe(_input: &Input, _ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        Ok(Observation::NotDone)
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let asked = Asked { sql: &input.query, params: &input.params, max_rows: SHOWN };
        let session = begin(ctx, &input.connection, true).await?;
        let found = asked.run(&session, ctx).await?;
        session.close().await;
        let unmet = input.expect.unmet(&found);
        if unmet.is_empty() {
            return Ok(Output { value: found.first, rows: found.count });
        }
        Err(failure(input, &unmet, &found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unmet(expect: Value, first: Option<Value>, count: u64) -> Vec<String> {
        let expect: Expect = serde_json::from_value(expect).unwrap();
        expect.unmet(&Rows { count, first, ..Rows::default() })
    }

    #[test]
    fn each_expectation_holds_or_says_what_was_found() {
        let none: [&str; 0] = [];
        let cases = [
            (json!({"equals": 5}), Some(json!(5)), none.as_slice()),
            (json!({"equals": 5}), Some(json!("5.00")), &none),
            (json!({"equals": "a"}), Some(json!("a")), &none),
            (json!({"equals": "5"}), Some(json!(5)), &none),
            (json!({"equals": true}), Some(json!(false)), &["expected `true`, found `false`"]),
            (json!({"equals": "null"}), Some(json!(null)), &["expected `null`, found `null`"]),
            (json!({"min": 1}), Some(json!(1)), &none),
            (json!({"min": 1}), Some(json!(0)), &["expected at least 1, found `0`"]),
            (json!({"min": 1}), Some(json!("1.5")), &none),
            (json!({"min": 1}), Some(json!("many")), &["expected at least 1, found `many`"]),
            (json!({"min": 1}), None, &["expected at least 1, found no row"]),
            (json!({"min": 1}), Some(json!(null)), &["expected at least 1, found `null`"]),
            (json!({"max": 2}), Some(json!(3)), &["expected at most 2, found `3`"]),
            (
                json!({"max": i64::MAX - 1}),
                Some(json!(i64::MAX)),
                &["expected at most 9223372036854775806, found `9223372036854775807`"],
            ),
            (json!({"not_null": true}), Some(json!(null)), &["expected a value, found `null`"]),
            (json!({"not_null": false}), None, &none),
        ];
        for (expect, first, expected) in cases {
            assert_eq!(unmet(expect.clone(), first, 1), expected, "{expect}");
        }
    }

    #[test]
    fn rows_are_counted() {
        assert_eq!(unmet(json!({"rows": 2}), None, 1), ["expected 2 rows, found 1"]);
        assert_eq!(unmet(json!({"min_rows": 2}), None, 1), ["expected at least 2 rows, found 1"]);
        assert_eq!(unmet(json!({"max_rows": 0}), None, 1), ["expected at most 0 rows, found 1"]);
        assert_eq!(unmet(json!({"rows": 0, "max_rows": 3}), None, 0), Vec::<String>::new());
    }

    #[test]
    fn an_assertion_that_cannot_fail_is_refused() {
        let input = json!({"connection": "prod", "query": "select 1", "expect": {}});
        let problems = Assert::validate(&serde_json::from_value(input).unwrap()).unwrap_err();
        assert_eq!(problems[0].message, "nothing is expected");
    }
}
