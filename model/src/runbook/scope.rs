//! The values that templates get while a runbook is checked.

use std::collections::{BTreeMap, HashSet};

use minijinja::Value as Rendered;
use serde_json::{Map, Value, json};

use super::Runbook;
use super::foreach::Item;
use super::names::{Names, Place};
use super::param::Bound;
use crate::codes::language as code;
use crate::diagnostic::Diagnostic;
use crate::node::{Node, NodeValue};
use crate::plan::{SAMPLE_RUN, SAMPLE_START};
use crate::template::{self, Reference, Template, TemplateError};

/// Bound or sample values, without the outputs of steps.
pub(super) struct Scope {
    names: BTreeMap<String, Rendered>,
    whole: Rendered,
    /// Params and vars whose value stands for any value: `params.table`.
    sampled: HashSet<String>,
    /// The name of an item that stands for any item.
    sampled_item: Option<String>,
}

impl Scope {
    /// Makes the vars one after the other, and reports what is wrong with them.
    pub(super) fn new(
        names: &mut Names<'_>,
        bound: &Bound,
        problems: &mut Vec<Diagnostic>,
    ) -> Self {
        let runbook = names.runbook;
        let secrets = runbook.secrets.keys().map(|name| (name.clone(), format!("secret://{name}")));
        let mut values = json!({
            "params": bound.values,
            "vars": {},
            "run": run_sample(runbook),
            "secrets": secrets.map(|(name, text)| (name, json!(text))).collect::<Map<_, _>>(),
        });
        let stand_ins = bound.sampled.iter().map(|name| ("params", name));
        let broken = runbook.broken.iter().map(|(sort, name)| (*sort, name));
        let mut sampled =
            stand_ins.chain(broken).map(|(sort, name)| format!("{sort}.{name}")).collect();
        for (name, declared) in &runbook.vars {
            let scope = template::scope(&values);
            let mut making = Var { names, scope: &scope, name, sampled: &mut sampled, problems };
            values["vars"][name.as_str()] = making.render(&declared.node);
        }
        let whole = template::scope(&values);
        let parts = ["params", "vars", "run", "secrets"];
        let part = |name: &str| (name.to_owned(), template::scope(&values[name]));
        let names = parts.iter().map(|name| part(name)).collect();
        Self { names, whole, sampled, sampled_item: None }
    }

    /// With an item of a `foreach`.
    pub(super) fn with_item(&self, item: &Item) -> Self {
        let mut names = self.names.clone();
        names.insert(item.name.clone(), template::scope(&item.value));
        let sampled_item = item.sampled.then(|| item.name.clone());
        let whole = Rendered::from(names.clone());
        Self { names, whole, sampled: self.sampled.clone(), sampled_item }
    }

    /// Without steps.
    pub(super) fn plain(&self) -> &Rendered {
        &self.whole
    }

    /// With these steps.
    pub(super) fn with_steps(&self, steps: Rendered) -> BTreeMap<String, Rendered> {
        let mut names = self.names.clone();
        names.insert("steps".to_owned(), steps);
        names
    }

    /// One of the references has a value that stands for any value.
    pub(super) fn is_sampled(&self, references: &[Reference]) -> bool {
        let item = |one: &Reference| self.sampled_item.as_ref() == Some(&one.root);
        references.iter().any(item) || is_sampled(&self.sampled, references)
    }
}

fn is_sampled(sampled: &HashSet<String>, references: &[Reference]) -> bool {
    references.iter().any(|reference| {
        let name = reference.path.first().map_or("", String::as_str);
        sampled.contains(&format!("{}.{name}", reference.root))
    })
}

fn run_sample(runbook: &Runbook) -> Value {
    json!({
        "id": SAMPLE_RUN,
        "name": runbook.header.name,
        "mode": "plan",
        "stamp": "20260101T000000Z",
        "started_at": SAMPLE_START,
        "failed_step": "",
        "failed_reason": "",
        "waiting_step": "",
        "waiting_reason": "",
        "status": "running",
    })
}

/// A var in the making.
struct Var<'a, 'n> {
    names: &'a mut Names<'n>,
    scope: &'a Rendered,
    name: &'a str,
    sampled: &'a mut HashSet<String>,
    problems: &'a mut Vec<Diagnostic>,
}

impl Var<'_, '_> {
    fn render(&mut self, node: &Node) -> Value {
        match &node.value {
            NodeValue::Scalar(scalar) if template::is_template(&scalar.text) => {
                self.text(&scalar.text, node)
            }
            NodeValue::List(items) => items.iter().map(|item| self.render(item)).collect(),
            NodeValue::Map(entries) => {
                entries.iter().map(|(key, entry)| (key.clone(), self.render(&entry.node))).collect()
            }
            NodeValue::Null | NodeValue::Scalar(_) => node.to_json(),
        }
    }

    fn text(&mut self, text: &str, node: &Node) -> Value {
        let place = Place::Var(self.name);
        let Some((template, references)) = parsed(text, node, self.names, place, self.problems)
        else {
            self.sampled.insert(format!("vars.{}", self.name));
            return Value::Null;
        };
        let from_sample = is_sampled(self.sampled, &references);
        if from_sample {
            self.sampled.insert(format!("vars.{}", self.name));
        }
        template.render(self.scope).unwrap_or_else(|error| {
            if !(from_sample && error.is_about_values()) {
                self.problems.push(refused(&error, node));
            }
            self.sampled.insert(format!("vars.{}", self.name));
            Value::Null
        })
    }
}

/// Parses a text and checks the names it reads; none when either has a problem.
pub(super) fn parsed<'t>(
    text: &'t str,
    node: &Node,
    names: &mut Names<'_>,
    place: Place<'_>,
    problems: &mut Vec<Diagnostic>,
) -> Option<(Template<'t>, Vec<Reference>)> {
    let template = match Template::parse(text) {
        Ok(template) => template,
        Err(error) => {
            problems.push(refused(&error, node));
            return None;
        }
    };
    let references = template.references();
    let before = problems.len();
    for reference in &references {
        if let Err(problem) = names.check(reference, &node.span, place) {
            problems.push(*problem);
        }
    }
    (problems.len() == before).then_some((template, references))
}

/// A template that cannot be used.
pub(super) fn refused(error: &TemplateError, node: &Node) -> Diagnostic {
    Diagnostic::error(code::TEMPLATE, node.span.clone(), error.message.clone())
}
