//! What a check takes for the outputs of steps: their kinds' examples, and stand-ins for what
//! no example can hold.
//!
//! A mapping that a kind's output schema leaves open (`additionalProperties`) may have any key at
//! run time. A reference to a key that the example lacks is accepted: the check tries values of
//! several types there, one after the other, until the step that reads it accepts one.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use minijinja::Value as Rendered;
use minijinja::value::{Enumerator, Object, ObjectRepr};
use regex::Regex;
use serde_json::{Value, json};

use super::expand::{Found, Sort};
use super::facts::{KindFacts, Schemas, Step as Followed, follow};
use super::names::Names;
use super::scope::Scope;
use super::step::Spanned;
use crate::codes::language as code;
use crate::diagnostic::Diagnostic;
use crate::node::{Node, SourceSpan};
use crate::plan::{LeftOut, Role};
use crate::suggest;
use crate::template::{self, Reference, TemplateError};

/// A mapping that answers every key.
#[derive(Debug)]
struct OpenMap {
    known: BTreeMap<String, Rendered>,
    stand_in: Rendered,
}

impl Object for OpenMap {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Rendered) -> Option<Rendered> {
        Some(self.known.get(key.as_str()?).unwrap_or(&self.stand_in).clone())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.known.keys().map(Rendered::from).collect())
    }
}

/// Values of all the types that inputs have; `text` where any text will do.
pub(super) fn stand_ins(text: &str) -> Vec<Value> {
    let texts = ["1m", "1MiB", "2026-01-01T00:00:00Z", "/sample", "https://sample.invalid/"];
    let typed = [json!(text), json!(1), json!(true), json!([text]), json!([]), json!({})];
    typed.into_iter().chain(texts.into_iter().map(Value::from)).collect()
}

/// When the outputs among `references` will be known, if there are any.
pub(super) fn known_after(references: &[Reference]) -> Option<String> {
    let steps = references.iter().filter(|one| one.root == "steps");
    let mut ids: Vec<String> = steps.map(Reference::step).collect();
    ids.dedup();
    (!ids.is_empty()).then(|| format!("(known after {})", ids.join(", ")))
}

/// The results of `evaluate` with the examples of the steps; where these lack a key of an open
/// mapping, the results with every stand-in that does, each once.
pub(super) fn evaluated<T: PartialEq>(
    names: &Names<'_>,
    scope: &Scope,
    references: &[Reference],
    skip: bool,
    evaluate: impl Fn(BTreeMap<String, Rendered>) -> Result<T, TemplateError>,
) -> Result<Vec<T>, TemplateError> {
    let values =
        |stand_in| scope.with_steps(step_values(names, references, skip, stand_in).rendered());
    let error = match evaluate(values(None)) {
        Ok(value) => return Ok(vec![value]),
        Err(error) => error,
    };
    if !error.is_about_values() || !reads_open(names, references) {
        return Err(error);
    }
    let text = known_after(references).unwrap_or_default();
    let mut candidates: Vec<_> = stand_ins(&text).iter().map(template::scope).collect();
    let nested = |value: &Rendered| {
        Rendered::from_object(OpenMap { known: BTreeMap::new(), stand_in: value.clone() })
    };
    candidates.extend(candidates.iter().map(nested).collect::<Vec<_>>());
    let mut results = Vec::new();
    for value in candidates.iter().filter_map(|one| evaluate(values(Some(one))).ok()) {
        if !results.contains(&value) {
            results.push(value);
        }
    }
    if results.is_empty() { Err(error) } else { Ok(results) }
}

/// The steps in the form that templates read, with the outputs of their examples.
fn step_values(
    names: &Names<'_>,
    references: &[Reference],
    skip: bool,
    stand_in: Option<&Rendered>,
) -> Tree {
    let mut values = Tree::default();
    for reference in references {
        let Some(found) = names.step_of(reference) else { continue };
        let example = names.facts.get(&found.written.uses.text).map(|facts| {
            match stand_in.filter(|_| facts.open) {
                Some(stand_in) => opened(facts, stand_in),
                None => facts.example.clone(),
            }
        });
        let skipped = skip && names.absence(&found).is_some();
        let outputs = if skipped { None } else { example };
        let outputs =
            outputs.unwrap_or_else(|| Rendered::from(BTreeMap::<String, Rendered>::new()));
        let outputs = match found.sort {
            Sort::Group { .. } => Rendered::from(vec![outputs; found.steps.len()]),
            _ => outputs,
        };
        let status = Rendered::from(if skipped { "skipped" } else { "succeeded" });
        let step = values.at(&reference.path[..found.length]);
        step.0.insert("outputs".to_owned(), Branch::Value(outputs));
        step.0.insert("status".to_owned(), Branch::Value(status));
    }
    values
}

/// Values by path: the parts of an id are nested.
#[derive(Default)]
struct Tree(BTreeMap<String, Branch>);

enum Branch {
    Value(Rendered),
    Inner(Tree),
}

impl Tree {
    fn at(&mut self, path: &[String]) -> &mut Self {
        let Some((first, rest)) = path.split_first() else { return self };
        let inner = self.0.entry(first.clone()).or_insert_with(|| Branch::Inner(Self::default()));
        if let Branch::Value(_) = inner {
            *inner = Branch::Inner(Self::default());
        }
        match inner {
            Branch::Inner(tree) => tree.at(rest),
            Branch::Value(_) => unreachable!("a value has just been replaced"),
        }
    }

    fn rendered(self) -> Rendered {
        let one = |(name, branch)| match branch {
            Branch::Value(value) => (name, value),
            Branch::Inner(tree) => (name, tree.rendered()),
        };
        Rendered::from(self.0.into_iter().map(one).collect::<BTreeMap<String, Rendered>>())
    }
}

/// The example of a kind, its open mappings answering every key.
fn opened(facts: &KindFacts<'_>, stand_in: &Rendered) -> Rendered {
    fn inside(value: &Value, schemas: &Schemas<'_>, stand_in: &Rendered) -> Rendered {
        match value {
            Value::Object(entries) => {
                let entry = |(key, value): (&String, &Value)| {
                    (key.clone(), inside(value, &schemas.under(key), stand_in))
                };
                let known: BTreeMap<_, _> = entries.iter().map(entry).collect();
                if schemas.is_open() {
                    Rendered::from_object(OpenMap { known, stand_in: stand_in.clone() })
                } else {
                    Rendered::from(known)
                }
            }
            Value::Array(items) => {
                let item = |item: &Value| inside(item, &schemas.under("0"), stand_in);
                Rendered::from(items.iter().map(item).collect::<Vec<_>>())
            }
            other => template::scope(other),
        }
    }
    inside(&facts.kind.example(), &Schemas::of(&facts.output), stand_in)
}

fn reads_open(names: &Names<'_>, references: &[Reference]) -> bool {
    references.iter().filter_map(|one| names.step_of(one)).any(|found| {
        let facts = names.facts.get(&found.written.uses.text);
        facts.is_some_and(|facts| facts.open)
    })
}

/// `{% for o in steps.dump.outputs %}`: the name in the loop, and what it goes over.
static LOOP: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\{%[-+]?\s*for\s+(\w+)\s+in\s+steps((?:\.\w+)+)\.outputs\b")
        .expect("the pattern is a constant")
});

/// The output that a loop over the outputs of a `foreach` reads and its kind does not have.
pub(super) fn unknown_in_loop(names: &Names<'_>, node: &Node) -> Option<Diagnostic> {
    let text = node.text()?;
    LOOP.captures_iter(text).find_map(|found| {
        let (name, path) = (found.get(1)?.as_str(), found.get(2)?.as_str());
        let path: Vec<&str> = path.split('.').skip(1).collect();
        let step = names.find(&path).filter(|found| matches!(found.sort, Sort::Group { .. }))?;
        let uses = &step.written.uses.text;
        let facts = names.facts.get(uses)?;
        let body = &text[found.get(0)?.end()..];
        let body = body.split("endfor").next().unwrap_or(body);
        let read = Regex::new(&format!(r"(?:^|[^\w.]){name}((?:\.\w+)+)")).ok()?;
        read.captures_iter(body).find_map(|one| {
            let field: Vec<&str> = one.get(1)?.as_str().split('.').skip(1).collect();
            let Followed::NoSuchKey(known) = follow(&facts.output, &field) else { return None };
            let at = names.runbook.place_in(&node.span, &format!("{name}.{}", field.join(".")));
            let message = format!("`{uses}` has no output `{}`", field.join("."));
            let problem = Diagnostic::error(code::UNKNOWN_OUTPUT, at, message);
            Some(problem.help(suggest::one_of(field.last()?, &known)))
        })
    })
}

/// None of the steps is of an unknown kind or cannot be read, which is reported by itself.
pub(super) fn outputs_are_known(names: &Names<'_>, references: &[Reference]) -> bool {
    references.iter().filter_map(|one| names.step_of(one)).all(|found| {
        found.sort != Sort::Unread && names.facts.contains_key(&found.written.uses.text)
    })
}

/// Why a step may have no outputs when another one reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absence {
    /// It has an `if`.
    Condition,
    /// It may fail, and the run goes on.
    Tolerated,
    /// It is left out of this variant of the run.
    LeftOut(LeftOut),
    /// It stands in the place of another one, in a drill, and has no such output.
    Replaced,
    /// Its reader is a handler, which runs however far the steps have come.
    Handler,
}

impl Names<'_> {
    /// Why the step that reads may find no outputs there.
    fn absence(&self, found: &Found<'_>) -> Option<Absence> {
        let (reader, step) = (self.reader()?, found.written);
        match &reader.role {
            Role::Handler(_) => return Some(Absence::Handler),
            Role::Undo(of) if of.as_str() == found.id => return None,
            Role::Undo(_) | Role::Main | Role::Consent => {}
        }
        if let (Some(left_out), None) = (step.left_out, self.expansion.left_out(reader)) {
            return Some(Absence::LeftOut(left_out));
        }
        if step.condition.is_some() {
            return Some(Absence::Condition);
        }
        step.continue_on_failure.then_some(Absence::Tolerated)
    }

    /// Why the step that reads may find nothing there.
    fn absence_of(&self, reference: &Reference) -> Option<Absence> {
        let found = self.step_of(reference)?;
        let facts = self.facts.get(&found.written.uses.text).filter(|_| found.written.replaced);
        let output = reference.path.get(found.length + 1..);
        let lacks = |facts: &KindFacts<'_>| {
            output.is_some_and(|path| !matches!(follow(&facts.output, path), Followed::Known(_)))
        };
        if facts.is_some_and(lacks) {
            return Some(Absence::Replaced);
        }
        self.absence(&found)
    }
}

/// A reference to outputs that may be missing.
pub(super) struct Missing<'r> {
    reference: &'r Reference,
    absence: Absence,
    /// It reads the outputs of all items of a `foreach`.
    all: bool,
}

/// The first of `references` that reads a step whose outputs may be missing.
pub(super) fn may_be_missing<'r>(
    names: &Names<'_>,
    references: &'r [Reference],
) -> Option<Missing<'r>> {
    references.iter().find_map(|reference| {
        let found = names.step_of(reference)?;
        let all = matches!(found.sort, Sort::Group { .. });
        Some(Missing { reference, absence: names.absence_of(reference)?, all })
    })
}

/// The problem of reading a step that may not have run.
pub(super) fn missing(
    names: &Names<'_>,
    Missing { reference, absence, all }: Missing<'_>,
    span: &SourceSpan,
) -> Diagnostic {
    let id = reference.step();
    let (when, why) = match absence {
        Absence::Condition => ("is skipped", format!("`{id}` has an `if`")),
        Absence::Tolerated => ("has failed", format!("`{id}` has `continue_on`")),
        Absence::LeftOut(LeftOut::Drill) => ("is skipped", format!("`drill.skip` names `{id}`")),
        Absence::LeftOut(LeftOut::Ungraceful) => {
            ("is skipped", format!("`{id}` has `ungraceful: skip`"))
        }
        Absence::Handler => {
            let why = "a handler runs however far the steps have come";
            ("has not succeeded", why.to_owned())
        }
        Absence::Replaced => return lacking(names, reference, span),
    };
    let (message, instead) = if all {
        let message = format!("an item of `{}` is empty when its step {when}", reference.dotted());
        (message, "o.<name> | default(...)".to_owned())
    } else {
        let message = format!("`{}` does not exist when `{id}` {when}", reference.dotted());
        (message, with_default(reference))
    };
    Diagnostic::error(code::MAY_BE_SKIPPED, span.clone(), message)
        .why(why)
        .help(format!("say what to use instead: `{instead}`"))
}

/// The problem of a replacement that does not give what a step reads.
fn lacking(names: &Names<'_>, reference: &Reference, span: &SourceSpan) -> Diagnostic {
    let (id, reader) = (reference.step(), names.reader().map_or("", |one| one.id.as_str()));
    let uses = names.step_of(reference).map(|found| found.written.uses.clone());
    let Spanned { text, span: replaced } =
        uses.unwrap_or_else(|| Spanned { text: String::new(), span: span.clone() });
    let output = reference.path.last().map_or("", String::as_str);
    let message =
        format!("`{text}`, which replaces `{id}`, has no output `{output}`; `{reader}` reads it");
    Diagnostic::error(code::REPLACEMENT, replaced, message)
        .also(span.clone(), format!("`{reader}` reads it here"))
        .help(format!(
            "replace `{id}` by a kind with that output, or read `{}`",
            with_default(reference)
        ))
}

/// Only the output itself can have a default; what is inside it comes after.
fn with_default(reference: &Reference) -> String {
    let outputs = reference.path.iter().position(|part| part == "outputs").unwrap_or(1);
    let output = reference.path.len().min(outputs + 2);
    let (output, inside) = reference.path.split_at(output);
    let output = format!("steps.{} | default(...)", output.join("."));
    if inside.is_empty() { output } else { format!("({output}).{}", inside.join(".")) }
}
