//! What the check asks of a step kind, asked once for each kind.

use std::collections::HashMap;

use serde_json::Value;

use crate::catalog::{Catalog, StepKind};
use crate::secret::SECRET_FORMAT;

/// A step kind with its schemas made.
pub(super) struct KindFacts<'a> {
    pub(super) kind: &'a dyn StepKind,
    pub(super) input: Value,
    pub(super) output: Value,
    pub(super) example: minijinja::Value,
    /// The output has a mapping that may have any key.
    pub(super) open: bool,
    pub(super) version: u32,
}

/// The kinds that a runbook uses.
pub(super) type Facts<'a> = HashMap<String, KindFacts<'a>>;

/// Looks every name up once; names without a kind are left out.
pub(super) fn facts(catalog: &dyn Catalog, names: impl Iterator<Item = String>) -> Facts<'_> {
    let mut facts = Facts::new();
    for name in names {
        if facts.contains_key(&name) {
            continue;
        }
        if let Some(kind) = catalog.get(&name) {
            let output = kind.output_schema().to_value();
            let one = KindFacts {
                kind,
                input: kind.input_schema().to_value(),
                open: has_open_mapping(&output),
                output,
                example: crate::template::scope(&kind.example()),
                version: kind.version(),
            };
            facts.insert(name, one);
        }
    }
    facts
}

/// A schema and everything that it says by reference or as an alternative.
fn alternatives<'a>(root: &'a Value, schema: &'a Value, depth: usize, out: &mut Vec<&'a Value>) {
    if depth > 16 {
        return;
    }
    out.push(schema);
    let target = schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|reference| root.pointer(reference.strip_prefix('#')?));
    let listed = ["anyOf", "oneOf", "allOf"].iter().filter_map(|key| schema.get(*key)?.as_array());
    for next in target.into_iter().chain(listed.flatten()) {
        alternatives(root, next, depth + 1, out);
    }
}

/// What a value at the end of a path may be.
pub(super) enum Step<'a> {
    /// One of these schemas.
    Known(Vec<&'a Value>),
    /// The mapping has these keys and not that one.
    NoSuchKey(Vec<&'a str>),
    /// The schema does not say.
    Open,
}

/// The schemas of what stands under `key` inside a value of one of `schemas`.
fn inside<'a>(root: &'a Value, schemas: &[&'a Value], key: &str) -> Step<'a> {
    let (mut found, mut known, mut open) = (Vec::new(), Vec::new(), true);
    for schema in schemas {
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            known.extend(properties.keys().map(String::as_str));
            found.extend(properties.get(key));
            open = false;
        }
        found.extend(schema.get("items"));
        match schema.get("additionalProperties") {
            Some(Value::Bool(more)) => open |= *more,
            Some(more) => found.push(more),
            None => {}
        }
    }
    if found.is_empty() && !open {
        return Step::NoSuchKey(known);
    }
    let mut all = Vec::new();
    for schema in &found {
        alternatives(root, schema, 0, &mut all);
    }
    if all.is_empty() { Step::Open } else { Step::Known(all) }
}

/// Follows `path` through the schema `root`.
pub(super) fn follow<'a, S: AsRef<str>>(root: &'a Value, path: &[S]) -> Step<'a> {
    let mut schemas = Vec::new();
    alternatives(root, root, 0, &mut schemas);
    for key in path {
        match inside(root, &schemas, key.as_ref()) {
            Step::Known(next) => schemas = next,
            end => return end,
        }
    }
    Step::Known(schemas)
}

/// What a value at one place of a document may be, as far as the schema says.
pub(super) struct Schemas<'a> {
    root: &'a Value,
    all: Vec<&'a Value>,
}

impl<'a> Schemas<'a> {
    pub(super) fn of(root: &'a Value) -> Self {
        let mut all = Vec::new();
        alternatives(root, root, 0, &mut all);
        Self { root, all }
    }

    pub(super) fn under(&self, key: &str) -> Self {
        let all = match inside(self.root, &self.all, key) {
            Step::Known(all) => all,
            Step::NoSuchKey(_) | Step::Open => Vec::new(),
        };
        Self { root: self.root, all }
    }

    /// A mapping here may have keys that the schema does not name.
    pub(super) fn is_open(&self) -> bool {
        self.all.iter().any(|schema| opens(schema))
    }
}

fn opens(schema: &Value) -> bool {
    schema.get("additionalProperties").is_some_and(|more| *more != Value::Bool(false))
}

fn has_open_mapping(schema: &Value) -> bool {
    match schema {
        Value::Object(entries) => opens(schema) || entries.values().any(has_open_mapping),
        Value::Array(items) => items.iter().any(has_open_mapping),
        _ => false,
    }
}

/// What a schema says of templates in a field.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct FieldRules {
    pub(super) secrets: bool,
    pub(super) no_templates: bool,
}

/// The rules for the value at `path` inside `with`.
pub(super) fn field_rules(input: &Value, path: &[String]) -> FieldRules {
    let mut rules = FieldRules::default();
    for end in 1..=path.len() {
        let Step::Known(schemas) = follow(input, &path[..end]) else { break };
        let says =
            |key: &str| schemas.iter().any(|schema| schema.get(key) == Some(&Value::Bool(true)));
        rules.secrets |= says("x-secrets-allowed");
        rules.no_templates |= says("x-no-templates");
        rules.secrets |= end == path.len()
            && schemas
                .iter()
                .any(|schema| schema.get("format").and_then(Value::as_str) == Some(SECRET_FORMAT));
    }
    rules
}
