//! Parameters: their declarations, and the values they are bound to.

use std::collections::HashSet;

use indexmap::IndexMap;
use regex::Regex;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::declare::{Declared, Named};
use super::fields::{Fields, Keys};
use super::moment::lacks_zone;
use crate::codes::{params as code, safety};
use crate::diagnostic::Diagnostic;
use crate::node::{Node, NodeError, NodeValue, ScalarStyle, SourceSpan};
use crate::units::{ByteSize, Span};
use crate::{node_de, suggest};

/// The types of parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ParamType {
    /// Text.
    String,
    /// A whole number of at most 64 bits.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A span of time: `15m`.
    Duration,
    /// A time in RFC 3339 with a zone.
    Timestamp,
    /// A number of bytes: `64MiB`.
    Size,
    /// A list of texts; separated by commas on the command line.
    List,
}

/// A parameter's declaration.
#[derive(Debug, Clone)]
pub struct Param {
    /// The type of its value.
    pub kind: ParamType,
    /// It must be given. A parameter that need not be, and has no default, is null when absent.
    pub required: bool,
    /// What it is for.
    pub description: Option<String>,
    /// The environment variable that gives its value when the command line does not.
    pub env: Option<String>,
    /// Its value when nothing gives one.
    pub default: Option<Value>,
    allowed: Option<Vec<Value>>,
    pattern: Option<Regex>,
    min: Option<Value>,
    max: Option<Value>,
}

/// The parameters' values.
#[derive(Debug, Default)]
pub(super) struct Bound {
    pub(super) values: IndexMap<String, Value>,
    /// Parameters whose value only stands for any value of their type.
    pub(super) sampled: HashSet<String>,
    /// The values are assumed, for a check without parameters.
    pub(super) assumed: bool,
}

pub(crate) const PARAM: Keys = Keys {
    what: "a parameter",
    known: &["type", "default", "required", "enum", "pattern", "min", "max", "env", "description"],
    later: &[],
};

/// Names that mean something inside a template.
pub(super) const RESERVED: [&str; 15] = [
    "params", "vars", "run", "steps", "secrets", "loop", "true", "false", "none", "not", "and",
    "or", "in", "is", "if",
];

impl ParamType {
    /// The value of a node, in the form that plans have.
    fn value(self, node: &Node) -> Result<Value, NodeError> {
        match self {
            Self::String => node_de::read::<String>(node).map(Value::from),
            Self::Integer => node_de::read::<i64>(node).map(Value::from),
            Self::Number => node_de::read::<f64>(node).map(Value::from),
            Self::Boolean => node_de::read::<bool>(node).map(Value::from),
            Self::Duration => node_de::read::<Span>(node).map(|span| json!(span.to_string())),
            Self::Size => node_de::read::<ByteSize>(node).map(|size| json!(size.to_string())),
            Self::Timestamp => timestamp(node),
            Self::List => list(node),
        }
    }

    /// Any value of the type.
    fn sample(self) -> Value {
        match self {
            Self::String => json!("sample"),
            Self::Integer | Self::Number => json!(1),
            Self::Boolean => json!(false),
            Self::Duration => json!("1m"),
            Self::Timestamp => json!("2026-01-01T00:00:00Z"),
            Self::Size => json!("1MiB"),
            Self::List => json!(["sample"]),
        }
    }

    /// What `min` and `max` compare.
    fn measure(self, value: &Value) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "sizes beyond 2^53 bytes compare roughly")]
        let size = |text: &str| text.parse::<ByteSize>().ok().map(|size| size.bytes() as f64);
        match self {
            Self::Integer | Self::Number => value.as_f64(),
            Self::Duration => {
                value.as_str()?.parse::<Span>().ok().map(|span| span.duration().as_secs_f64())
            }
            Self::Size => size(value.as_str()?),
            Self::String | Self::Boolean | Self::Timestamp | Self::List => None,
        }
    }
}

fn timestamp(node: &Node) -> Result<Value, NodeError> {
    let text: String = node_de::read(node)?;
    let invalid = |_| NodeError {
        span: node.span.clone(),
        message: format!("`{text}` is not a time with a zone"),
        help: Some("write it as `2026-11-20T02:00:00Z`".to_owned()),
    };
    text.parse::<jiff::Timestamp>().map_err(invalid)?;
    Ok(Value::String(text))
}

fn list(node: &Node) -> Result<Value, NodeError> {
    match &node.value {
        NodeValue::Scalar(scalar) if scalar.style == ScalarStyle::RenderedText => {
            let parts = scalar.text.split(',').map(str::trim).filter(|part| !part.is_empty());
            Ok(parts.collect())
        }
        _ => node_de::read::<Vec<String>>(node).map(Value::from),
    }
}

impl Param {
    /// Reads a declaration; values inside it are read as the declared type.
    pub(super) fn read(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Self> {
        let fields = Fields::new(node, &PARAM, problems);
        let kind: ParamType = fields.required("type", problems)?;
        let required: Option<bool> = fields.read("required", problems);
        let mut value = |key| value_at(kind, &fields, key, problems);
        let (default, min, max) = (value("default"), value("min"), value("max"));
        let allowed = fields.get("enum").and_then(|node| allowed(kind, node, problems));
        if required == Some(true) && default.is_some() {
            let message = "a parameter is `required` or has a `default`, not both";
            problems.push(Diagnostic::error(code::DECLARATION, node.span.clone(), message));
        }
        Some(Self {
            kind,
            // What a broken default would be is not known: any value may stand for it.
            required: required.unwrap_or(default.is_none()),
            description: fields.read("description", problems),
            env: fields.read("env", problems),
            default,
            allowed,
            pattern: pattern(kind, &fields, problems),
            min,
            max,
        })
    }

    /// A value of the declared type.
    pub(super) fn read_value(&self, node: &Node) -> Result<Value, NodeError> {
        self.kind.value(node)
    }

    /// Stands for any value.
    pub(super) fn sample(&self) -> Value {
        let first = self.allowed.as_ref().and_then(|allowed| allowed.first());
        first.or(self.min.as_ref()).cloned().unwrap_or_else(|| self.kind.sample())
    }

    /// Nothing but the command line gives it a value.
    pub(super) fn is_open(&self) -> bool {
        self.required && self.default.is_none() && self.env.is_none()
    }

    /// Gives it this value, unless the command line gives another.
    pub(super) fn settle(&mut self, value: Value) {
        (self.default, self.required, self.env) = (Some(value), false, None);
    }

    /// The code of a value that is not of the type.
    pub(super) fn code_of(&self, node: &Node, otherwise: &'static str) -> &'static str {
        misfit(self.kind, node, otherwise)
    }

    /// Why a value of the right type is not allowed.
    pub(super) fn refusal(&self, value: &Value) -> Option<String> {
        let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if let Some(allowed) = self.allowed.as_ref().filter(|allowed| !allowed.contains(value)) {
            let names: Vec<_> = allowed
                .iter()
                .map(|one| one.as_str().map_or(one.to_string(), str::to_owned))
                .collect();
            return Some(format!("`{shown}` is not one of `{}`", names.join("`, `")));
        }
        let misses = |pattern: &&Regex| value.as_str().is_some_and(|text| !pattern.is_match(text));
        if let Some(pattern) = self.pattern.as_ref().filter(misses) {
            return Some(format!("`{shown}` does not match `{pattern}`"));
        }
        let measure = |value: &Value| self.kind.measure(value);
        let this = measure(value)?;
        let limit = |limit: &Option<Value>| limit.as_ref().and_then(measure);
        let plain = |limit: &Option<Value>| {
            let limit = limit.clone().unwrap_or_default();
            limit.as_str().map_or_else(|| limit.to_string(), str::to_owned)
        };
        if limit(&self.min).is_some_and(|min| this < min) {
            return Some(format!("`{shown}` is less than the least, `{}`", plain(&self.min)));
        }
        if limit(&self.max).is_some_and(|max| this > max) {
            return Some(format!("`{shown}` is more than the most, `{}`", plain(&self.max)));
        }
        None
    }
}

fn misfit(kind: ParamType, node: &Node, otherwise: &'static str) -> &'static str {
    if kind == ParamType::Timestamp && lacks_zone(node) { safety::NO_ZONE } else { otherwise }
}

fn value_at(
    kind: ParamType,
    fields: &Fields<'_>,
    key: &str,
    problems: &mut Vec<Diagnostic>,
) -> Option<Value> {
    declared_value(kind, fields.get(key)?, problems)
}

fn declared_value(kind: ParamType, node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Value> {
    match kind.value(node) {
        Ok(value) => Some(value),
        Err(NodeError { span, message, help }) => {
            let code = misfit(kind, node, code::DECLARATION);
            problems.push(Diagnostic { help, ..Diagnostic::error(code, span, message) });
            None
        }
    }
}

fn allowed(kind: ParamType, node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Vec<Value>> {
    let NodeValue::List(items) = &node.value else {
        let message = format!("`enum` is a list, not {}", node.what());
        problems.push(Diagnostic::error(code::DECLARATION, node.span.clone(), message));
        return None;
    };
    items.iter().map(|item| declared_value(kind, item, problems)).collect()
}

fn pattern(kind: ParamType, fields: &Fields<'_>, problems: &mut Vec<Diagnostic>) -> Option<Regex> {
    let text: String = fields.read("pattern", problems)?;
    let span = fields.get("pattern")?.span.clone();
    if kind != ParamType::String {
        let message = "`pattern` is for parameters of type `string`";
        problems.push(Diagnostic::error(code::DECLARATION, span, message));
        return None;
    }
    let invalid = |error: regex::Error| {
        let reason = error.to_string();
        let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
        let message = format!("`pattern` is not a regular expression: {reason}");
        problems.push(Diagnostic::error(code::DECLARATION, span, message));
    };
    Regex::new(&text).map_err(invalid).ok()
}

/// Checks a declaration's name, and its default against its own rules.
pub(super) fn check_declaration(
    name: &str,
    declared: &Declared<Param>,
    problems: &mut Vec<Diagnostic>,
) {
    if RESERVED.contains(&name) {
        let message = format!("`{name}` is a reserved name");
        problems.push(Diagnostic::error(code::RESERVED, declared.key_span.clone(), message));
    }
    let param = &declared.value;
    let place = declared.node.get("default").map(|node| node.span.clone());
    if let (Some(default), Some(span)) = (&param.default, place)
        && let Some(reason) = param.refusal(default)
    {
        let message = format!("the default is not allowed: {reason}");
        problems.push(Diagnostic::error(code::DECLARATION, span, message));
    }
    let ordered =
        |limit: &Option<Value>| limit.as_ref().and_then(|limit| param.kind.measure(limit));
    let limits = [&param.min, &param.max];
    if limits.iter().any(|limit| limit.is_some() && ordered(limit).is_none()) {
        let message = "`min` and `max` are for numbers, durations and sizes";
        problems.push(Diagnostic::error(code::DECLARATION, declared.key_span.clone(), message));
    }
    let most = declared.node.get("max").map(|node| node.span.clone());
    if let (Some(min), Some(max), Some(span)) = (ordered(&param.min), ordered(&param.max), most)
        && min > max
    {
        let message = "`max` is less than `min`, so that no value is allowed";
        problems.push(Diagnostic::error(code::DECLARATION, span, message));
    }
}

/// Values for a check without parameters: defaults, and samples of what is required.
pub(super) fn samples(params: &Named<Param>) -> Bound {
    let mut bound = Bound { assumed: true, ..Bound::default() };
    for (name, Declared { value: param, .. }) in params {
        let absent = (!param.required).then_some(Value::Null);
        let value = param.default.clone().or(absent).unwrap_or_else(|| {
            bound.sampled.insert(name.clone());
            param.sample()
        });
        bound.values.insert(name.clone(), value);
    }
    bound
}

/// Values for a check of what only other parameters than the usual bring about: any at all.
pub(super) fn any(params: &Named<Param>) -> Bound {
    let values = params.iter().map(|(name, param)| (name.clone(), param.value.sample()));
    Bound { values: values.collect(), sampled: params.keys().cloned().collect(), assumed: true }
}

/// The value that a node gives a parameter, or what is wrong where it stands.
pub(super) fn value_of(
    params: &Named<Param>,
    name: &str,
    key_span: &SourceSpan,
    node: &Node,
) -> Result<Value, Diagnostic> {
    let Some(declared) = params.get(name) else {
        let known: Vec<_> = params.keys().collect();
        let message = format!("unknown parameter `{name}`");
        let problem = Diagnostic::error(code::UNKNOWN, key_span.clone(), message);
        return Err(problem.help(suggest::one_of(name, &known)));
    };
    let refused = |reason: &str| {
        let message = format!("the parameter `{name}`: {reason}");
        Diagnostic::error(code::INVALID, node.span.clone(), message)
    };
    let value = declared.value.read_value(node).map_err(|error| Diagnostic {
        code: declared.value.code_of(node, code::INVALID),
        help: error.help,
        ..refused(&error.message)
    })?;
    match declared.value.refusal(&value) {
        Some(reason) => Err(refused(&reason)),
        None => Ok(value),
    }
}

/// The values of a mapping that stands in a text of its own.
pub(super) fn read_all(
    params: &Named<Param>,
    root: &Node,
) -> Result<IndexMap<String, Value>, Vec<Diagnostic>> {
    let NodeValue::Map(entries) = &root.value else {
        let message = format!("parameters are a mapping from names, not {}", root.what());
        let problem = Diagnostic::error(code::INVALID, root.span.clone(), message);
        return Err(vec![problem.help("write `name: value`, one on each line")]);
    };
    let (mut values, mut problems) = (IndexMap::new(), Vec::new());
    for (name, entry) in entries {
        match value_of(params, name, &entry.key_span, &entry.node) {
            Ok(value) => drop(values.insert(name.clone(), value)),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(values) } else { Err(problems) }
}

/// The given values and the defaults, or everything that is wrong with them.
pub(super) fn bind(
    params: &Named<Param>,
    given: &IndexMap<String, Value>,
) -> Result<Bound, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    for name in given.keys().filter(|name| !params.contains_key(*name)) {
        let known: Vec<_> = params.keys().collect();
        let message = format!("unknown parameter `{name}`");
        let problem = Diagnostic::without_place(code::UNKNOWN, message);
        let help = suggest::one_of(name, &known);
        problems.push(problem.why(format!("`-p {name}` was given")).help(help));
    }
    let mut bound = Bound::default();
    for (name, declared) in params {
        match bind_one(name, declared, given.get(name)) {
            Ok(value) => drop(bound.values.insert(name.clone(), value)),
            Err(problem) => problems.push(*problem),
        }
    }
    if problems.is_empty() { Ok(bound) } else { Err(problems) }
}

fn bind_one(
    name: &str,
    declared: &Declared<Param>,
    given: Option<&Value>,
) -> Result<Value, Box<Diagnostic>> {
    let (param, span) = (&declared.value, declared.key_span.clone());
    let Some(given) = given else {
        let absent = (!param.required).then_some(Value::Null);
        return param.default.clone().or(absent).ok_or_else(|| {
            let message = format!("the parameter `{name}` has no value");
            let problem = Diagnostic::error(code::MISSING, span, message);
            Box::new(problem.help(format!("give it with `-p {name}=...`")))
        });
    };
    let node = Node::from_json(given);
    let value = param.kind.value(&node).map_err(|error| {
        let message = format!("the parameter `{name}`: {}", error.message);
        let code = param.code_of(&node, code::INVALID);
        Box::new(Diagnostic { help: error.help, ..Diagnostic::error(code, span.clone(), message) })
    })?;
    match param.refusal(&value) {
        None => Ok(value),
        Some(reason) => {
            let message = format!("the parameter `{name}`: {reason}");
            Err(Box::new(Diagnostic::error(code::INVALID, span, message)))
        }
    }
}
