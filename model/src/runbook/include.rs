//! `runbook.include`: the steps of another runbook in the place of one step.

use indexmap::IndexMap;

use super::Runbook;
use super::declare::Declared;
use super::fields::{Fields, Keys};
use super::foreach::Reading;
use super::param::{Bound, Param};
use super::step::Spanned;
use crate::codes::language as code;
use crate::diagnostic::Diagnostic;
use crate::node::{Entry, Node, NodeValue, SourceSpan};
use crate::{suggest, template};

/// The kind of a step that includes.
pub const INCLUDE_KIND: &str = "runbook.include";

/// The keys that such a step may have.
const KEYS: [&str; 7] = ["id", "name", "phase", "uses", "with", "needs", "if"];

const WITH: Keys =
    Keys { what: "`with` of `runbook.include`", known: &["file", "params"], later: &[] };

/// What a step includes.
#[derive(Debug, Clone)]
pub(super) struct Include {
    /// The path as it is written, when there is one.
    pub(super) file: Option<Spanned>,
    pub(super) params: IndexMap<String, Entry>,
    /// Where a parameter that is not given is missing.
    span: SourceSpan,
}

/// Reads the step when it includes.
pub(super) fn read(
    fields: &Fields<'_>,
    uses: &Spanned,
    with: &Node,
    problems: &mut Vec<Diagnostic>,
) -> Option<Include> {
    if uses.text != INCLUDE_KIND {
        return None;
    }
    let others = fields.keys().filter(|(key, _)| !KEYS.contains(key));
    problems.extend(others.map(|(key, span)| refused_key(key, span)));
    let inner = Fields::new(with, &WITH, problems);
    let file: Option<String> = inner.required("file", problems);
    let file = file.zip(inner.get("file")).map(|(text, node)| (text, node.span.clone()));
    let file = file.and_then(|(text, span)| literal(Spanned { text, span }, problems));
    let params = match inner.entry("params") {
        None => IndexMap::new(),
        Some(entry) => given(&entry.node, problems),
    };
    let span = inner.entry("params").or(fields.entry("with")).or(fields.entry("uses"));
    let span = span.map_or(uses.span.clone(), |entry| entry.key_span.clone());
    Some(Include { file, params, span })
}

fn refused_key(key: &str, span: &SourceSpan) -> Diagnostic {
    let message = format!("`{key}` has no meaning for `{INCLUDE_KIND}`");
    let problem = Diagnostic::error(code::INCLUDE, span.clone(), message)
        .why("it never runs itself: the steps of the other runbook stand in its place");
    problem.help(match key {
        "foreach" => "include the runbook once for each, under different ids".to_owned(),
        _ => format!("write `{key}` in the steps of the other runbook"),
    })
}

/// The file must be known before anything else is.
fn literal(file: Spanned, problems: &mut Vec<Diagnostic>) -> Option<Spanned> {
    if !template::is_template(&file.text) {
        return Some(file);
    }
    let message = "`file` may hold no template";
    problems.push(
        Diagnostic::error(code::INCLUDE, file.span, message)
            .why("what is included is checked before there are any parameters")
            .help("write the path of the file"),
    );
    None
}

fn given(node: &Node, problems: &mut Vec<Diagnostic>) -> IndexMap<String, Entry> {
    match &node.value {
        NodeValue::Map(entries) => entries.clone(),
        NodeValue::Null => IndexMap::new(),
        _ => {
            let message = format!("`params` is a mapping from names, not {}", node.what());
            problems.push(Diagnostic::error(code::TYPE, node.span.clone(), message));
            IndexMap::new()
        }
    }
}

/// Whether `if` holds, which reads nothing but the parameters. One with a problem does not.
pub(super) fn is_wanted(
    condition: Option<&Spanned>,
    (runbook, bound): (&Runbook, &Bound),
    problems: &mut Vec<Diagnostic>,
) -> bool {
    let Some(condition) = condition else { return true };
    let mut reading = Reading { runbook, bound, problems, sampled: false };
    let holds = reading.holds(condition);
    reading.sampled || holds == Some(true)
}

/// The parameters of an included runbook. What is wrong with one is reported, and the check goes
/// on with a sample.
pub(super) fn bind(
    include: &Include,
    outer: (&Runbook, &Bound),
    inner: &Runbook,
    problems: &mut Vec<Diagnostic>,
) -> Bound {
    let mut bound = Bound { assumed: outer.1.assumed, ..Bound::default() };
    let unknown =
        |name: &&String| !inner.params.contains_key(*name) && !inner.is_broken("params", name);
    for name in include.params.keys().filter(unknown) {
        let known: Vec<_> = inner.params.keys().collect();
        let message = format!("`{}` has no parameter `{name}`", inner.file);
        let span = include.params[name].key_span.clone();
        let problem = Diagnostic::error(code::INCLUDED_PARAMS, span, message);
        problems.push(problem.help(suggest::one_of(name, &known)));
    }
    for (name, declared) in &inner.params {
        let param = &declared.value;
        let value = match include.params.get(name) {
            Some(entry) => given_value(name, param, &entry.node, outer, problems),
            None => absent(name, declared, include, inner, problems),
        };
        let value = value.unwrap_or_else(|| {
            bound.sampled.insert(name.clone());
            param.sample()
        });
        bound.values.insert(name.clone(), value);
    }
    bound
}

/// The value that the including runbook gives; none when it stands for any value.
fn given_value(
    name: &str,
    param: &Param,
    node: &Node,
    (runbook, bound): (&Runbook, &Bound),
    problems: &mut Vec<Diagnostic>,
) -> Option<serde_json::Value> {
    let mut reading = Reading { runbook, bound, problems, sampled: false };
    let filled = reading.filled(node)?;
    if reading.sampled {
        return None;
    }
    if filled.is_null() && !param.required {
        return Some(param.default.clone().unwrap_or_default());
    }
    let filled = match &node.value {
        NodeValue::Scalar(scalar) if template::is_template(&scalar.text) => {
            &Node::from_json_at(&filled, &node.span)
        }
        _ => node,
    };
    let problem = |reason: String| {
        let message = format!("the parameter `{name}`: {reason}");
        Diagnostic::error(code::INCLUDED_PARAMS, node.span.clone(), message)
    };
    match param.read_value(filled) {
        Ok(value) => match param.refusal(&value) {
            None => return Some(value),
            Some(reason) => problems.push(problem(reason)),
        },
        Err(error) => {
            let code = param.code_of(filled, code::INCLUDED_PARAMS);
            problems.push(Diagnostic { code, help: error.help, ..problem(error.message) });
        }
    }
    None
}

fn absent(
    name: &str,
    declared: &Declared<Param>,
    include: &Include,
    inner: &Runbook,
    problems: &mut Vec<Diagnostic>,
) -> Option<serde_json::Value> {
    let param = &declared.value;
    let absent = (!param.required).then_some(serde_json::Value::Null);
    let value = param.default.clone().or(absent);
    if value.is_none() {
        let message = format!("`{}` needs the parameter `{name}`", inner.file);
        let problem = Diagnostic::error(code::INCLUDED_PARAMS, include.span.clone(), message);
        problems.push(
            problem
                .also(declared.key_span.clone(), "it is declared here, without a default")
                .help(format!("write `params: {{{name}: ...}}`")),
        );
    }
    value
}
