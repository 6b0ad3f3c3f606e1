//! The YAML tree with positions.

use std::ops::Range;

use indexmap::IndexMap;
use serde_json::Value;

/// Bytes of the source text.
pub type SourceSpan = Range<usize>;

/// One value of a document and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What it is.
    pub value: NodeValue,
    /// Where it stands; empty for a node that no text holds.
    pub span: SourceSpan,
}

/// The shapes a value can have.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeValue {
    /// Nothing, `null` or `~`.
    Null,
    /// A scalar.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the text.
    Map(IndexMap<String, Entry>),
}

/// A scalar keeps its source text, so that `0600` asked for as a string stays `0600`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// The text without quotes, escapes resolved.
    pub text: String,
    /// How it may be read.
    pub style: ScalarStyle,
}

/// How a scalar may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScalarStyle {
    /// Unquoted: a boolean, a number or text, as the reader asks.
    Plain,
    /// Quoted or a block: always text.
    Quoted,
    /// A number or boolean made by a template or read from a journal: as the reader asks.
    Rendered,
    /// Text made by a template or read from a journal: text, unless the reader asks for a
    /// number or a boolean.
    RenderedText,
}

/// A key of a mapping with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Where the key stands.
    pub key_span: SourceSpan,
    /// The value.
    pub node: Node,
}

/// A node that does not have the shape its reader asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NodeError {
    /// Where.
    pub span: SourceSpan,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl Node {
    /// The node at `path`, outermost key first, as far as it exists: a missing key ends at the
    /// mapping that lacks it.
    pub fn nearest(&self, path: &[String]) -> &Self {
        let Some((key, rest)) = path.split_first() else { return self };
        let inner = match &self.value {
            NodeValue::Map(entries) => entries.get(key).map(|entry| &entry.node),
            NodeValue::List(items) => key.parse().ok().and_then(|index: usize| items.get(index)),
            NodeValue::Null | NodeValue::Scalar(_) => None,
        };
        inner.map_or(self, |inner| inner.nearest(rest))
    }

    /// The value under a key of a mapping.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            NodeValue::Map(entries) => entries.get(key).map(|entry| &entry.node),
            _ => None,
        }
    }

    /// Where a key of a mapping stands.
    pub(crate) fn key_span(&self, key: &str) -> Option<&SourceSpan> {
        match &self.value {
            NodeValue::Map(entries) => entries.get(key).map(|entry| &entry.key_span),
            _ => None,
        }
    }

    /// Moves every place: the text stands behind others.
    pub(crate) fn shift(&mut self, by: usize) {
        self.span = self.span.start + by..self.span.end + by;
        match &mut self.value {
            NodeValue::Null | NodeValue::Scalar(_) => {}
            NodeValue::List(items) => items.iter_mut().for_each(|item| item.shift(by)),
            NodeValue::Map(entries) => entries.values_mut().for_each(|entry| {
                entry.key_span = entry.key_span.start + by..entry.key_span.end + by;
                entry.node.shift(by);
            }),
        }
    }

    /// The text of a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            NodeValue::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    /// What the node is, for messages: ``` `text` ```, `a list`, `a mapping`, `nothing`.
    pub fn what(&self) -> String {
        match &self.value {
            NodeValue::Null => "nothing".to_owned(),
            NodeValue::Scalar(scalar) => scalar.what(),
            NodeValue::List(_) => "a list".to_owned(),
            NodeValue::Map(_) => "a mapping".to_owned(),
        }
    }

    /// The value as JSON. A plain scalar becomes a number or a boolean only when that prints
    /// the very same text, so that nothing is lost.
    pub fn to_json(&self) -> Value {
        match &self.value {
            NodeValue::Null => Value::Null,
            NodeValue::Scalar(scalar) => scalar.to_json(),
            NodeValue::List(items) => items.iter().map(Self::to_json).collect(),
            NodeValue::Map(entries) => {
                entries.iter().map(|(key, entry)| (key.clone(), entry.node.to_json())).collect()
            }
        }
    }

    /// A node that no text holds.
    pub fn from_json(value: &Value) -> Self {
        Self::from_json_at(value, &(0..0))
    }

    /// A node that stands for what `span` holds: a template's rendered value.
    pub fn from_json_at(value: &Value, span: &SourceSpan) -> Self {
        let scalar = |text: String, style| NodeValue::Scalar(Scalar { text, style });
        let value = match value {
            Value::Null => NodeValue::Null,
            Value::Bool(flag) => scalar(flag.to_string(), ScalarStyle::Rendered),
            Value::Number(number) => scalar(number.to_string(), ScalarStyle::Rendered),
            Value::String(text) => scalar(text.clone(), ScalarStyle::RenderedText),
            Value::Array(items) => {
                NodeValue::List(items.iter().map(|item| Self::from_json_at(item, span)).collect())
            }
            Value::Object(entries) => {
                let entry = |(key, item): (&String, &Value)| {
                    let node = Self::from_json_at(item, span);
                    (key.clone(), Entry { key_span: span.clone(), node })
                };
                NodeValue::Map(entries.iter().map(entry).collect())
            }
        };
        Self { value, span: span.clone() }
    }
}

impl Scalar {
    /// The scalar for messages: ``` `text` ```, shortened.
    pub(crate) fn what(&self) -> String {
        const SHOWN: usize = 60;
        let line = self.text.lines().next().unwrap_or_default();
        let shown: String = line.chars().take(SHOWN).collect();
        let dots = if shown.len() < self.text.trim_end().len() { "..." } else { "" };
        match self.style {
            ScalarStyle::Quoted | ScalarStyle::RenderedText => format!("the text `{shown}{dots}`"),
            ScalarStyle::Plain | ScalarStyle::Rendered => format!("`{shown}{dots}`"),
        }
    }

    fn to_json(&self) -> Value {
        match self.style {
            ScalarStyle::Plain | ScalarStyle::Rendered => {
                exact(&self.text).unwrap_or_else(|| Value::String(self.text.clone()))
            }
            ScalarStyle::Quoted | ScalarStyle::RenderedText => Value::String(self.text.clone()),
        }
    }
}

/// The number or boolean that prints exactly this text.
pub(crate) fn exact(text: &str) -> Option<Value> {
    let value = match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => {
            let first = text.as_bytes().first()?;
            (first.is_ascii_digit() || *first == b'-').then_some(())?;
            let integer = text.parse::<i64>().map(Value::from);
            let integer = integer.or_else(|_| text.parse::<u64>().map(Value::from));
            integer.ok().or_else(|| Some(Value::from(text.parse::<f64>().ok()?)))?
        }
    };
    let printed = value.to_string();
    (printed == text).then_some(value)
}
