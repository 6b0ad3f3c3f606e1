//! Fills the templates of a step's `with`.

use indexmap::IndexSet;
use minijinja::Value as Rendered;

use super::expand::Found;
use super::facts::{FieldRules, field_rules};
use super::names::{Names, Place};
use super::outputs::{
    evaluated, known_after, may_be_missing, missing, outputs_are_known, unknown_in_loop,
};
use super::scope::{Scope, parsed, refused};
use super::step::Step;
use crate::catalog::InputProblem;
use crate::codes::language as code;
use crate::diagnostic::Diagnostic;
use crate::node::{Entry, Node, NodeError, NodeValue, Scalar, SourceSpan};
use crate::template::{self, Reference, Template};
use crate::units::Span;

/// A step's input as far as the check can fill it.
pub(super) struct Input {
    pub(super) node: Node,
    /// Steps that it refers to, by their number in the plan.
    pub(super) steps: IndexSet<usize>,
    /// The ids of these steps; for all of a group its own.
    pub(super) references: IndexSet<String>,
    pub(super) secrets: IndexSet<String>,
    /// Templates that could not be filled.
    pub(super) unfilled: Vec<SourceSpan>,
    leaves: Vec<Leaf>,
}

/// A filled template.
struct Leaf {
    span: SourceSpan,
    /// Its value stands for any value.
    sampled: bool,
    why: String,
    /// When its value will be known, if it comes from steps.
    after: Option<String>,
    /// What else it may be, when it stands for any value of an open mapping.
    others: Vec<serde_json::Value>,
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
        Self {
            node: with.clone(),
            steps: IndexSet::new(),
            references: IndexSet::new(),
            secrets: IndexSet::new(),
            unfilled: Vec::new(),
            leaves: Vec::new(),
        }
    }

    /// Notes that the step is referred to.
    pub(super) fn refer(&mut self, found: &Found<'_>) {
        self.steps.extend(found.steps.clone());
        self.references.insert(found.id.clone());
    }

    /// The value at `span` stands for any value, so nothing can be said against it.
    pub(super) fn is_sampled(&self, span: &SourceSpan) -> bool {
        self.leaves.iter().any(|leaf| leaf.sampled && leaf.span == *span)
    }

    /// When the value at `span` will be known, if it comes from steps.
    pub(super) fn known_after(&self, span: &SourceSpan) -> Option<&str> {
        self.leaves.iter().find(|leaf| leaf.span == *span)?.after.as_deref()
    }

    /// A value that is not known yet happens to be this span of time in the check.
    pub(super) fn stands_in(&self, span: Span) -> bool {
        let unknown = self.leaves.iter().filter(|leaf| leaf.sampled || leaf.after.is_some());
        let is_span =
            |node: &Node| node.text().and_then(|text| text.parse::<Span>().ok()) == Some(span);
        unknown.filter_map(|leaf| node_at(&self.node, &leaf.span)).any(is_span)
    }

    /// A value that is not known yet happens to be this text in the check.
    pub(super) fn is_open(&self, text: &str) -> bool {
        let unknown = self.leaves.iter().filter(|leaf| leaf.sampled || leaf.after.is_some());
        let nodes = unknown.filter_map(|leaf| node_at(&self.node, &leaf.span));
        nodes.filter_map(Node::text).any(|found| found == text)
    }

    /// The values that stand for any value of an open mapping, each with what else they may be.
    pub(super) fn open_leaves(
        &self,
    ) -> impl Iterator<Item = (&SourceSpan, Vec<serde_json::Value>)> {
        let open = self.leaves.iter().filter(|leaf| !leaf.others.is_empty());
        open.map(|leaf| (&leaf.span, leaf.others.clone()))
    }

    fn why(&self, span: &SourceSpan) -> Option<String> {
        self.leaves.iter().find(|leaf| leaf.span == *span).map(|leaf| leaf.why.clone())
    }
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
            if let Some(found) = self.names.step_of(reference) {
                self.input.refer(&found);
            }
            if reference.root == "secrets" {
                self.input.secrets.extend(reference.path.first().cloned());
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
        let render = |skip| {
            evaluated(self.names, self.scope, references, skip, |scope| {
                template.render(&Rendered::from(scope))
            })
        };
        if let Some(found) = may_be_missing(self.names, references)
            && render(true).is_err_and(|error| error.undefined)
        {
            self.problems.push(missing(self.names, found, &node.span));
            return self.unfilled(node);
        }
        let after = known_after(references);
        let rendered = match after {
            Some(_) => render(false),
            None => template.render(self.scope.plain()).map(|value| vec![value]),
        };
        let sampled = self.scope.is_sampled(references);
        match rendered {
            Ok(mut values) => {
                let value = values.remove(0);
                let (span, others) = (node.span.clone(), values);
                let why = format!("`{}` is `{value}` in this check", scalar.text);
                self.input.leaves.push(Leaf { span, sampled, why, after, others });
                Node::from_json_at(&value, &node.span)
            }
            Err(error) => {
                if !(sampled && error.is_about_values()) {
                    let unknown = unknown_in_loop(self.names, node).filter(|_| error.undefined);
                    self.problems.push(unknown.unwrap_or_else(|| refused(&error, node)));
                }
                self.unfilled(node)
            }
        }
    }

    fn unfilled(&mut self, node: &Node) -> Node {
        self.input.unfilled.push(node.span.clone());
        node.clone()
    }
}

/// The value at `span`.
fn node_at<'n>(node: &'n Node, span: &SourceSpan) -> Option<&'n Node> {
    if node.span == *span && node.text().is_some() {
        return Some(node);
    }
    match &node.value {
        NodeValue::List(items) => items.iter().find_map(|item| node_at(item, span)),
        NodeValue::Map(entries) => entries.values().find_map(|entry| node_at(&entry.node, span)),
        NodeValue::Null | NodeValue::Scalar(_) => None,
    }
}

/// The problem of a value that does not have the shape of the input.
pub(super) fn of_shape(error: NodeError, step: &Step, input: &Input) -> Diagnostic {
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

/// The problem of a value that breaks a rule of the step.
pub(super) fn of_rule(problem: InputProblem, span: &SourceSpan, input: &Input) -> Diagnostic {
    let InputProblem { message, help, .. } = problem;
    let why = input.why(span);
    Diagnostic { why, help, ..Diagnostic::error(code::INPUT, span.clone(), message) }
}
