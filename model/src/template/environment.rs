//! The one engine: which statements, filters, tests and functions exist.

use std::sync::LazyLock;

use minijinja::{Environment, UndefinedBehavior, filters as builtin, functions, tests};
use regex::Regex;

use super::{TemplateError, filters};

/// Instructions that one rendering may take.
const FUEL: u64 = 100_000;

/// Statements that cannot make more than a bounded multiple of what they read.
const STATEMENTS: [&str; 7] = ["for", "endfor", "if", "elif", "else", "endif", "raw"];

pub(super) static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(64);
    environment.set_debug(false);
    add_filters(&mut environment);
    add_tests(&mut environment);
    environment.add_function("range", functions::range);
    environment
});

fn add_filters(environment: &mut Environment<'static>) {
    environment.add_filter("ident", filters::ident);
    environment.add_filter("date", filters::date);
    environment.add_filter("basename", filters::basename);
    environment.add_filter("bytes", filters::bytes);
    environment.add_filter("json", filters::json);
    environment.add_filter("default", builtin::default);
    environment.add_filter("abs", builtin::abs);
    environment.add_filter("first", builtin::first);
    environment.add_filter("float", builtin::float);
    environment.add_filter("int", builtin::int);
    environment.add_filter("join", builtin::join);
    environment.add_filter("last", builtin::last);
    environment.add_filter("length", builtin::length);
    environment.add_filter("lower", builtin::lower);
    environment.add_filter("map", builtin::map);
    environment.add_filter("max", builtin::max);
    environment.add_filter("min", builtin::min);
    environment.add_filter("reject", builtin::reject);
    environment.add_filter("replace", filters::replace);
    environment.add_filter("round", builtin::round);
    environment.add_filter("select", builtin::select);
    environment.add_filter("sort", builtin::sort);
    environment.add_filter("split", builtin::split);
    environment.add_filter("string", builtin::string);
    environment.add_filter("sum", builtin::sum);
    environment.add_filter("trim", builtin::trim);
    environment.add_filter("unique", builtin::unique);
    environment.add_filter("upper", builtin::upper);
}

fn add_tests(environment: &mut Environment<'static>) {
    environment.add_test("defined", tests::is_defined);
    environment.add_test("undefined", tests::is_undefined);
    environment.add_test("none", tests::is_none);
    environment.add_test("number", tests::is_number);
    environment.add_test("string", tests::is_string);
    environment.add_test("startingwith", tests::is_startingwith);
    environment.add_test("endingwith", tests::is_endingwith);
    environment.add_test("in", tests::is_in);
    environment.add_test("eq", tests::is_eq);
    environment.add_test("ne", tests::is_ne);
    environment.add_test("lt", tests::is_lt);
    environment.add_test("le", tests::is_le);
    environment.add_test("gt", tests::is_gt);
    environment.add_test("ge", tests::is_ge);
}

static STATEMENT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\{%[-+]?\s*(\w+)").expect("the pattern is a constant"));

/// Refuses statements that define or load something: with them a short text could grow
/// without bound.
pub(super) fn refuse_statements(text: &str) -> Result<(), TemplateError> {
    let words = STATEMENT.captures_iter(text).map(|found| found.extract::<1>().1[0]);
    match words.into_iter().find(|word| *word != "endraw" && !STATEMENTS.contains(word)) {
        Some(word) => Err(TemplateError::new(format!(
            "`{{% {word} %}}` is not a statement of this language: only `for`, `if` and `raw` are"
        ))),
        None => Ok(()),
    }
}
