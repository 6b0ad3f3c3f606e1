//! What a mask is told: which columns, by which expressions.

use std::collections::HashSet;

use model::catalog::InputProblem;
use model::sql::split_name;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::pg::script::is_one_expression;

/// Puts other values into named columns of a database that is not production's.
///
/// ## What it does
/// In one transaction, for each column of `columns` and `rules`, it sets every row to the value of
/// an SQL expression, which may read the row's other columns as they were. `UPDATE` triggers and
/// rules of the tables are switched off meanwhile, because they would copy old values elsewhere.
/// Materialized views are refreshed. The transaction is committed only after a look at the result:
/// a column whose mask is one value has no other value left, and of the others a sample of the old
/// values is gone.
///
/// Afterwards every table that was changed is rewritten (`VACUUM FULL`) and its statistics are made
/// anew, so that no old value stays in its files or in `pg_statistic`. The server's WAL, its log
/// and its backups still hold them: mask before anybody may read those.
///
/// `require` names columns by pattern (`*.email`, `lms.users.*`); every column that fits must have a
/// mask or stand in `keep`. So a column that is added later is not forgotten.
///
/// ## When to use it
/// After a restore into staging, a test or a developer's machine, before anybody gets in. The
/// connection has `protected: false`; with `not_system_identifier` the step refuses the server
/// that production runs on as well.
///
/// ## What it changes
/// The named columns of every row, and what depends on them: materialized views, generated columns,
/// keys that follow (`ON UPDATE CASCADE`). With `triggers: fire` what the triggers do. A column
/// that is null stays null, unless its rule says `keep_null: false`.
///
/// ## How it can fail
/// Before anything is changed: when a table or a column is not there, an expression is not one
/// expression of the column's type, a required column has no mask, or a mask leaves values as they
/// are. A constraint that the masked values break fails the transaction. When the connection is
/// lost during the commit the server is asked what happened; when it is lost during the rewrite,
/// the next attempt rewrites and does not mask again.
///
/// ## Example
/// ```yaml
/// - id: mask
///   uses: pg.mask
///   with:
///     connection: staging
///     columns:
///       - {table: lms.users, column: email, with: "'user' || id || '@example.invalid'"}
///       - {table: lms.users, column: phone, with: "null"}
///     require: ["*.email", "*.phone", "*.iban"]
///     not_system_identifier: "7571234567890123456"
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The name under `connections:`; it has `protected: false`.
    pub(super) connection: String,
    /// The masks. These and `rules` together name at least one column.
    #[serde(default)]
    pub(super) columns: Vec<Mask>,
    /// The same as text, so that a parameter can hold them: `schema.table.column = expression`.
    #[serde(default)]
    pub(super) rules: Vec<String>,
    /// Patterns of `schema.table.column`, `*` for any text: each column that fits must be masked.
    #[serde(default)]
    pub(super) require: Vec<String>,
    /// Columns as `schema.table.column` that need no mask although `require` names them.
    #[serde(default)]
    pub(super) keep: Vec<String>,
    /// What becomes of the tables' `UPDATE` triggers and rules meanwhile.
    #[serde(default)]
    pub(super) triggers: Triggers,
    /// The changed tables are rewritten afterwards. Without it old values stay in the files, out of
    /// sight, until the room is used again.
    #[serde(default = "crate::defaults::yes")]
    pub(super) rewrite: bool,
    /// The system identifier of production's server: the step refuses that server.
    pub(super) not_system_identifier: Option<String>,
}

/// The mask of one column.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Mask {
    /// The table: `schema.table`, or a name in `public`.
    pub(super) table: String,
    /// The column.
    pub(super) column: String,
    /// One SQL expression; it may read the columns of the row.
    pub(super) with: String,
    /// A null stays null.
    #[serde(default = "crate::defaults::yes")]
    pub(super) keep_null: bool,
    /// Values may be as they were, in this row or another: a shuffle, a list of few values.
    #[serde(default)]
    pub(super) allow_unchanged: bool,
}

/// What becomes of triggers and rules.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Triggers {
    /// They are switched off, and on again as they were.
    #[default]
    Disable,
    /// They fire; what they write may hold old values.
    Fire,
}

/// A column by its names, without quotes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Named {
    pub(super) schema: String,
    pub(super) table: String,
    pub(super) column: String,
}

impl Named {
    /// `schema.table.column`, as errors and patterns have it.
    pub(super) fn shown(&self) -> String {
        format!("{}.{}.{}", self.schema, self.table, self.column)
    }
}

impl Mask {
    /// The mask that a text says: `schema.table.column = expression`.
    fn read(rule: &str) -> Result<Self, String> {
        let (name, with) = rule
            .split_once('=')
            .ok_or_else(|| format!("`{rule}` is not `schema.table.column = expression`"))?;
        let mut parts = split_name(name.trim()).map_err(|error| error.to_string())?;
        let column = parts.pop().filter(|_| !parts.is_empty());
        let column = column.ok_or_else(|| format!("`{}` names no table", name.trim()))?;
        let quoted: Vec<_> = parts.iter().map(|part| quoted(part)).collect();
        let (table, with) = (quoted.join("."), with.trim().to_owned());
        Ok(Self { table, column, with, keep_null: true, allow_unchanged: false })
    }

    /// The column that is meant.
    pub(super) fn named(&self) -> Result<Named, String> {
        let parts = split_name(&self.table).map_err(|error| error.to_string())?;
        let (schema, table) = match &parts[..] {
            [table] => ("public", table),
            [schema, table] => (schema.as_str(), table),
            _ => return Err(format!("`{}` is not `schema.table`", self.table)),
        };
        let (schema, table) = (schema.to_owned(), table.to_owned());
        Ok(Named { schema, table, column: self.column.clone() })
    }

    fn problem(&self) -> Option<(&'static str, String)> {
        if let Err(message) = self.named() {
            return Some(("table", message));
        }
        if self.column.is_empty() {
            return Some(("column", "the column has no name".to_owned()));
        }
        let single = is_one_expression(&self.with);
        (!single).then(|| ("with", format!("`{}` is not one SQL expression", self.with)))
    }
}

fn quoted(part: &str) -> String {
    format!("\"{}\"", part.replace('"', "\"\""))
}

impl Input {
    /// All masks, in order.
    pub(super) fn masks(&self) -> Vec<Mask> {
        let rules = self.rules.iter().filter_map(|rule| Mask::read(rule).ok());
        self.columns.iter().cloned().chain(rules).collect()
    }

    pub(super) fn problems(&self) -> Vec<InputProblem> {
        let mut problems = Vec::new();
        for (at, mask) in self.columns.iter().enumerate() {
            problems.extend(mask.problem().map(|(key, message)| {
                let path = vec!["columns".to_owned(), at.to_string(), key.to_owned()];
                InputProblem { path, message, help: None }
            }));
        }
        for (at, rule) in self.rules.iter().enumerate() {
            let problem = match Mask::read(rule) {
                Ok(mask) => mask.problem().map(|(_, message)| message),
                Err(message) => Some(message),
            };
            problems.extend(problem.map(|message| {
                let path = vec!["rules".to_owned(), at.to_string()];
                InputProblem { path, message, help: None }
            }));
        }
        if self.columns.is_empty() && self.rules.is_empty() {
            problems.push(InputProblem::at("columns", "no column is named"));
        }
        problems.extend(self.named_twice());
        problems
    }

    fn named_twice(&self) -> Option<InputProblem> {
        let mut seen = HashSet::new();
        let named = self.masks().into_iter().filter_map(|mask| mask.named().ok());
        let twice = named.into_iter().find(|named| !seen.insert(named.clone()))?;
        let message = format!("`{}` has two masks", twice.shown());
        Some(InputProblem::at(if self.columns.is_empty() { "rules" } else { "columns" }, message))
    }
}

/// Whether a pattern fits: `*` is any text.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let parts: Vec<_> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn refused(with: &Value) -> Vec<String> {
        let mut input = json!({"connection": "staging"});
        input.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
        let input: Input = serde_json::from_value(input).unwrap();
        input.problems().into_iter().map(|problem| problem.path.join(".")).collect()
    }

    #[test]
    fn patterns_fit_whole_names() {
        for (pattern, name, expected) in [
            ("*.email", "lms.users.email", true),
            ("*.email", "lms.users.email_seen", false),
            ("lms.users.*", "lms.users.email", true),
            ("lms.*.email*", "lms.users.email_old", true),
            ("lms.*.email", "crm.users.email", false),
            ("*mail*", "a.b.email_1", true),
            ("a.b.c", "a.b.c", true),
            ("a.b.c", "a.b.cd", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_rule_is_read_from_text() {
        let mask = Mask::read(r#"lms."Old Users".mail = 'a=b' || id"#).unwrap();
        assert_eq!((mask.column.as_str(), mask.with.as_str()), ("mail", "'a=b' || id"));
        assert_eq!(mask.named().unwrap().shown(), "lms.Old Users.mail");
        assert_eq!(Mask::read("users.mail = null").unwrap().named().unwrap().schema, "public");
        for wrong in ["lms.users.mail", "mail = null", "a.b.c.d = 1", "\"a = 1"] {
            assert!(Mask::read(wrong).and_then(|mask| mask.named()).is_err(), "{wrong} is taken");
        }
    }

    #[test]
    fn what_is_not_one_expression_is_refused_by_its_key() {
        let mask = |with: &str| json!({"columns": [{"table": "a", "column": "b", "with": with}]});
        for with in ["", "1; drop table a", "1), c = (2", "1)", "(1", "1 -- x)\n)", "'a", "/* "] {
            assert_eq!(refused(&mask(with)), ["columns.0.with"], "{with}");
        }
        for with in ["null", "md5(b || ')')", "(select max(x) from c)", "$$;)$$", "1 -- one"] {
            assert_eq!(refused(&mask(with)), Vec::<String>::new(), "{with}");
        }
        assert_eq!(refused(&json!({})), ["columns"]);
        assert_eq!(refused(&json!({"rules": ["a.b = 1", "public.a.b = 2"]})), ["rules"]);
        assert_eq!(refused(&json!({"rules": ["a.b = 1; 2"]})), ["rules.0"]);
        let table = json!({"columns": [{"table": "a.b.c", "column": "", "with": "1"}]});
        assert_eq!(refused(&table), ["columns.0.table"]);
    }
}
