//! The `if` of a step: an expression over its scope and over the results so far.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use minijinja::value::{Rest, Serde};
use minijinja::{Error, ErrorKind, Expression, Value as Rendered};
use regex::Regex;
use serde_json::Value;

use super::{ENVIRONMENT, Reference, TemplateError, failure, located};

/// The results that a condition may ask for.
pub trait Results {
    /// That step succeeded; without a step: nothing has failed so far.
    fn succeeded(&self, step: Option<&str>) -> bool;
    /// That step failed; without a step: something has failed so far.
    fn failed(&self, step: Option<&str>) -> bool;
}

/// The functions of a condition.
pub(crate) const FUNCTIONS: [&str; 3] = ["succeeded", "failed", "always"];

/// `succeeded()`, `failed('dump')`: the function and, at most, one step id in quotes. Text in
/// quotes is passed over, and so is the field of something else (`params.failed`).
static CALL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r#""[^"]*"|'[^']*'|"#,
        r#"(?:^|[^\w."'])(succeeded|failed|always)\s*\(\s*(?:["']([^"']*)["'])?\s*\)"#
    ))
    .expect("the pattern is a constant")
});

/// A parsed `if`.
#[derive(Debug)]
pub struct Condition<'text> {
    text: &'text str,
    expression: Expression<'text, 'text>,
}

impl<'text> Condition<'text> {
    /// Parses an expression, which stands without braces.
    pub fn parse(text: &'text str) -> Result<Self, TemplateError> {
        if text.contains("{{") || text.contains("{%") {
            return Err(TemplateError::new("an `if` is an expression and stands without braces"));
        }
        let environment: &'text minijinja::Environment<'text> = &ENVIRONMENT;
        let expression = environment.compile_expression(text).map_err(|error| failure(&error))?;
        Ok(Self { text, expression })
    }

    /// The names it reads from its scope, sorted.
    pub fn references(&self) -> Vec<Reference> {
        let names = self.expression.undeclared_variables(true);
        located(names.into_iter().filter(|name| !FUNCTIONS.contains(&name.as_str())), self.text)
    }

    /// The steps whose results it asks for, in the order of the text.
    pub fn asked_steps(&self) -> Vec<&'text str> {
        CALL.captures_iter(self.text).filter_map(|call| call.get(2)).map(|id| id.as_str()).collect()
    }

    /// The steps that must have succeeded, as far as its calls of `succeeded('...')` tell.
    pub fn succeeded_steps(&self) -> Vec<&'text str> {
        let calls = CALL.captures_iter(self.text);
        let asks = |call: &regex::Captures<'_>| &call[1] == "succeeded";
        let calls = calls.filter(|call| call.get(1).is_some() && asks(call));
        calls.filter_map(|call| call.get(2)).map(|id| id.as_str()).collect()
    }

    /// It calls `failed()` or `always()`, so its step may start although something failed.
    pub fn runs_after_failure(&self) -> bool {
        let mut functions = CALL.captures_iter(self.text).filter_map(|call| call.get(1));
        functions.any(|function| function.as_str() != "succeeded")
    }

    /// It asks how steps ended, so that only a run can tell whether it holds.
    pub(crate) fn asks_results(&self) -> bool {
        CALL.captures_iter(self.text).any(|call| call.get(1).is_some())
    }

    /// Whether the step is to run.
    pub fn holds(&self, scope: &Value, results: &dyn Results) -> Result<bool, TemplateError> {
        let mut names: BTreeMap<String, Rendered> = BTreeMap::new();
        for (name, value) in scope.as_object().into_iter().flatten() {
            names.insert(name.clone(), Rendered::from(Serde(value)));
        }
        self.holds_in(names, results)
    }

    /// [`Condition::holds`] with a scope that is made already.
    pub(crate) fn holds_in(
        &self,
        mut names: BTreeMap<String, Rendered>,
        results: &dyn Results,
    ) -> Result<bool, TemplateError> {
        let asked = self.asked_steps();
        names.insert("succeeded".to_owned(), answers(&asked, |step| results.succeeded(step)));
        names.insert("failed".to_owned(), answers(&asked, |step| results.failed(step)));
        names.insert("always".to_owned(), Rendered::from_function(|| true));
        let value = self.expression.eval(names).map_err(|error| failure(&error))?;
        bool::try_from(value.clone()).map_err(|_| {
            if value.is_undefined() {
                return TemplateError::undefined(format!("`{}` is undefined", self.text.trim()));
            }
            let text = self.text.trim();
            TemplateError::new(format!("`{text}` is `{value}`, which is neither true nor false"))
        })
    }
}

/// The condition with other names for the steps whose results it asks for.
pub(crate) fn with_steps(text: &str, named: impl Fn(&str) -> String) -> String {
    let (mut out, mut end) = (String::with_capacity(text.len()), 0);
    for step in CALL.captures_iter(text).filter_map(|call| call.get(2)) {
        out.push_str(&text[end..step.start()]);
        out.push_str(&named(step.as_str()));
        end = step.end();
    }
    out.push_str(&text[end..]);
    out
}

/// A function that knows its answer for each step that the text names.
fn answers(asked: &[&str], answer: impl Fn(Option<&str>) -> bool) -> Rendered {
    let overall = answer(None);
    let by_step: BTreeMap<String, bool> =
        asked.iter().map(|step| ((*step).to_owned(), answer(Some(step)))).collect();
    Rendered::from_function(move |step: Rest<String>| match step.as_slice() {
        [] => Ok(overall),
        [step] => by_step.get(step).copied().ok_or_else(|| {
            Error::new(ErrorKind::InvalidOperation, "the step id must be written out in quotes")
        }),
        _ => Err(Error::from(ErrorKind::TooManyArguments)),
    })
}

/// Parses `text` and tells whether its step is to run.
pub fn condition(text: &str, scope: &Value, results: &dyn Results) -> Result<bool, TemplateError> {
    Condition::parse(text)?.holds(scope, results)
}
