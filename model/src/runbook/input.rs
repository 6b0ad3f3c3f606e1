//! Fills the templates of a step's `with` and has the step's kind check the result.

use std::collections::BTreeMap;

use indexmap::IndexSet;
use minijinja::Value as Rendered;

use super::facts::{FieldRules, KindFacts, field_rules};
use super::names::{Names, Place};
use super::scope::{Scope, parsed, refused};
use super::step::Step;
use crate::catalog::{InputProblem, InputRefusal};
use crate::codes::language as code;
use crate::diagnostic::Diagnostic;
use crate::footprint::Footprint;
use crate::node::{Entry, Node, NodeError, NodeValue, Scalar, SourceSpan};
use crate::template::{self, Reference, Template};

/// A step's input as far as the check can fill it.
pub(super) struct Input {
    pub(super) node: Node,
    /// Steps that it refers to, by their place in the runbook.
    pub(super) steps: IndexSet<usize>,
    pub(super) secrets: IndexSet<String>,
    leaves: Vec<Leaf>,
    /// Every template could be filled.
    complete: bool,
}

/// A filled template.
struct Leaf {
    span: SourceSpan,
    /// Its value stands for any value.
    sampled: bool,
    why: String,
}

/// Fills `with`; the names it reads are checked on the way.
pub(super) struct Filling<'a, 'n> {
    pub(super) names: &'a mut Names<'n>,
    pub(super) scope: &'a Scope,
    pub(super) uses: &'a str,
    pub(super) problems: &'a mut Vec<Diagnostic>,
    pub(super) input: Input,
}

impl Input {
    pub(super) fn new(with: &Node) -> Self {
        let (steps, secrets) = (IndexSet::new(), IndexSet::new());
        Self { node: with.clone(), steps, secrets, leaves: Vec::new(), complete: true }
    }

    /// The value at `span` stands for any value, so nothing can be said against it.
    pub(super) fn is_sampled(&self, span: &SourceSpan) -> bool {
        self.leaves.iter().any(|leaf| leaf.sampled && leaf.span == *span)
    }

    fn why(&self, span: &SourceSpan) -> Option<String> {
        self.leaves.iter().find(|leaf| leaf.span == *span).map(|leaf| leaf.why.clone())
    }
}

/// The steps in the form that templates read, with the outputs of their examples.
pub(super) fn step_values(
    names: &Names<'_>,
    references: &[Reference],
    skip: bool,
) -> BTreeMap<String, Rendered> {
    let mut values = BTreeMap::new();
    let ids =
        references.iter().filter(|one| one.root == "steps").filter_map(|one| one.path.first());
    for id in ids {
        let Some(step) = names.steps.get(id.as_str()).map(|at| &names.runbook.steps[*at]) else {
            continue;
        };
        let example = names.facts.get(&step.uses.text).map(|facts| facts.example.clone());
        let skipped = skip && step.condition.is_some();
        let outputs = if skipped { None } else { example };
        let outputs =
            outputs.unwrap_or_else(|| Rendered::from(BTreeMap::<String, Rendered>::new()));
        let status = Rendered::from(if skipped { "skipped" } else { "succeeded" });
        let value = BTreeMap::from([("outputs", outputs), ("status", status)]);
        values.insert(id.clone(), Rendered::from(value));
    }
    values
}

/// None of the steps is of an unknown kind, which is reported by itself.
pub(super) fn outputs_are_known(names: &Names<'_>, references: &[Reference]) -> bool {
    references.iter().filter(|one| one.root == "steps").all(|one| {
        let step = one.path.first().and_then(|id| names.steps.get(id.as_str()));
        step.is_none_or(|at| names.facts.contains_key(&names.runbook.steps[*at].uses.text))
    })
}

/// The steps among `references` that may be skipped.
pub(super) fn may_be_skipped<'r>(
    names: &Names<'_>,
    references: &'r [Reference],
) -> Option<&'r Reference> {
    references.iter().filter(|one| one.root == "steps").find(|one| {
        let step = one.path.first().and_then(|id| names.steps.get(id.as_str()));
        step.is_some_and(|at| names.runbook.steps[*at].condition.is_some())
    })
}

/// The problem of reading a step that may not have run.
pub(super) fn skipped(reference: &Reference, span: &SourceSpan) -> Diagnostic {
    let id = reference.path.first().map_or("", String::as_str);
    let message = format!("`{}` does not exist when `{id}` is skipped", reference.dotted());
    Diagnostic::error(code::MAY_BE_SKIPPED, span.clone(), message)
        .why(format!("`{id}` has an `if`"))
        .help(format!("say what to use instead: `{}`", with_default(reference)))
}

/// Only the output itself can have a default; what is inside it comes after.
fn with_default(reference: &Reference) -> String {
    let output = reference.path.len().min(3);
    let (output, inside) = reference.path.split_at(output);
    let output = format!("steps.{} | default(...)", output.join("."));
    if inside.is_empty() { output } else { format!("({output}).{}", inside.join(".")) }
}

impl Filling<'_, '_> {
    /// Fills the whole of `with`.
    pub(super) fn run(mut self, with: &Node) -> Input {
        self.input.node = self.fill(with, &mut Vec::new());
        self.input
    }

    fn fill(&mut self, node: &Node, path: &mut Vec<String>) -> Node {
        let value = match &node.value {
            NodeValue::Scalar(scalar) if template::is_template(&scalar.text) => {
                return self.leaf(scalar, node, path);
            }
            NodeValue::Null | NodeValue::Scalar(_) => node.value.clone(),
            NodeValue::List(items) => {
                let item = |(at, item): (usize, &Node)| self.inside(&at.to_string(), item, path);
                NodeValue::List(items.iter().enumerate().map(item).collect())
            }
            NodeValue::Map(entries) => {
                let entry = |(key, entry): (&String, &Entry)| {
                    let node = self.inside(key, &entry.node, path);
                    (key.clone(), Entry { key_span: entry.key_span.clone(), node })
                };
                NodeValue::Map(entries.iter().map(entry).collect())
            }
        };
        Node { value, span: node.span.clone() }
    }

    fn inside(&mut self, key: &str, node: &Node, path: &mut Vec<String>) -> Node {
        path.push(key.to_owned());
        let filled = self.fill(node, path);
        path.pop();
        filled
    }

    fn leaf(&mut self, scalar: &Scalar, node: &Node, path: &[String]) -> Node {
        let rules = self
            .names
            .facts
            .get(self.uses)
            .map_or(FieldRules { secrets: true, no_templates: false }, |facts| {
                field_rules(&facts.input, path)
            });
        if rules.no_templates {
            let message = "this field may hold no templates";
            let problem = Diagnostic::error(code::TEMPLATE, node.span.clone(), message);
            self.problems.push(problem.help("pass the value through `env`"));
            return self.unfilled(node);
        }
        let place = if rules.secrets { Place::SecretField } else { Place::Field };
        let found = parsed(&scalar.text, node, self.names, place, self.problems);
        let Some((template, references)) = found else { return self.unfilled(node) };
        self.note(&references);
        if !outputs_are_known(self.names, &references) {
            return self.unfilled(node);
        }
        self.render(&template, &references, scalar, node)
    }

    fn note(&mut self, references: &[Reference]) {
        for reference in references {
            let Some(name) = reference.path.first() else { continue };
            if reference.root == "steps" {
                self.input.steps.extend(self.names.steps.get(name.as_str()));
            } else if reference.root == "secrets" {
                self.input.secrets.insert(name.clone());
            }
        }
    }

    fn render(
        &mut self,
        template: &Template<'_>,
        references: &[Reference],
        scalar: &Scalar,
        node: &Node,
    ) -> Node {
        if let Some(reference) = may_be_skipped(self.names, references) {
            let steps = self.scope.with_steps(step_values(self.names, references, true));
            if template.render(&Rendered::from(steps)).is_err_and(|error| error.undefined) {
                self.problems.push(skipped(reference, &node.span));
                return self.unfilled(node);
            }
        }
        let rendered = if references.iter().any(|reference| reference.root == "steps") {
            let steps = self.scope.with_steps(step_values(self.names, references, false));
            template.render(&Rendered::from(steps))
        } else {
            template.render(self.scope.plain())
        };
        let sampled = self.scope.is_sampled(references);
        match rendered {
            Ok(value) => {
                let why = format!("`{}` is `{value}` in this check", scalar.text);
                self.input.leaves.push(Leaf { span: node.span.clone(), sampled, why });
                Node::from_json_at(&value, &node.span)
            }
            Err(error) => {
                if !(sampled && error.is_about_values()) {
                    self.problems.push(refused(&error, node));
                }
                self.unfilled(node)
            }
        }
    }

    fn unfilled(&mut self, node: &Node) -> Node {
        self.input.complete = false;
        node.clone()
    }
}

/// Has the kind check the filled input. None when there is a problem, or when the input could
/// not be filled.
pub(super) fn footprint(
    step: &Step,
    input: &Input,
    facts: &KindFacts<'_>,
    problems: &mut Vec<Diagnostic>,
) -> Option<Footprint> {
    if !input.complete {
        return None;
    }
    match facts.kind.check(&input.node) {
        Ok(footprint) => return Some(footprint),
        Err(InputRefusal::Shape(error)) => {
            if !input.is_sampled(&error.span) {
                problems.push(of_shape(error, step, input));
            }
        }
        Err(InputRefusal::Rules(found)) => {
            problems.extend(found.into_iter().filter_map(|problem| of_rule(problem, input)));
        }
    }
    None
}

fn of_shape(error: NodeError, step: &Step, input: &Input) -> Diagnostic {
    let NodeError { span, message, help } = error;
    let whole = span == step.with.span;
    let code = match message.as_str() {
        text if text.starts_with("unknown key") => code::UNKNOWN_KEY,
        text if whole && text.ends_with("is missing") => code::MISSING_KEY,
        _ => code::INPUT,
    };
    let why = input.why(&span);
    let help = help.or_else(|| Some(format!("`runbook steps {}` shows its input", step.uses.text)));
    let message = if code == code::MISSING_KEY {
        format!("in `with` of `{}`, {message}", step.id.text)
    } else {
        message
    };
    Diagnostic { why, help, ..Diagnostic::error(code, span, message) }
}

fn of_rule(problem: InputProblem, input: &Input) -> Option<Diagnostic> {
    let InputProblem { path, message, help } = problem;
    let span = input.node.nearest(&path).span.clone();
    if input.is_sampled(&span) {
        return None;
    }
    let why = input.why(&span);
    Some(Diagnostic { why, help, ..Diagnostic::error(code::INPUT, span, message) })
}
