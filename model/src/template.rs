//! Templates and conditions: minijinja, strict and sandboxed.
//!
//! A template can read what its scope holds and nothing else. It may loop and choose, but not
//! define, include or import; its instructions and its output are bounded.

mod condition;
mod environment;
mod filters;

use std::ops::Range;

use minijinja::Value as Rendered;
use minijinja::value::Serde;
use serde_json::Value;

pub use condition::{Condition, Results, condition};
pub(crate) use condition::{FUNCTIONS, with_steps};
use environment::ENVIRONMENT;

/// A template renders to at most this many bytes.
pub const OUTPUT_LIMIT: usize = 1 << 20;

/// Why a template or a condition cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// What is wrong: lower-case, no full stop.
    pub message: String,
    /// It reads something that the scope does not hold, or that is undefined.
    pub undefined: bool,
    /// It comes from the values that were read; other values may do.
    pub by_value: bool,
    /// Where inside a rendered value, outermost key first; empty for a value that is one text.
    pub path: Vec<String>,
}

/// A name that a template reads from its scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The first part: `params`, `vars`, `run`, `steps`, `secrets`.
    pub root: String,
    /// The parts after the root: `["dump", "outputs", "path"]`.
    pub path: Vec<String>,
    /// Bytes of the template text; the whole text when the name is not written in one piece.
    pub span: Range<usize>,
}

impl Reference {
    /// The name as it is written: `steps.dump.outputs.path`.
    pub fn dotted(&self) -> String {
        std::iter::once(&self.root).chain(&self.path).cloned().collect::<Vec<_>>().join(".")
    }
}

impl Reference {
    /// The name of the step that `steps.failback.promote.outputs.lsn` reads: `failback.promote`.
    pub(crate) fn step(&self) -> String {
        let end = self.path.iter().position(|part| part == "outputs" || part == "status");
        self.path[..end.unwrap_or(self.path.len().min(1))].join(".")
    }
}

/// A parsed template.
#[derive(Debug)]
pub struct Template<'text> {
    text: &'text str,
    form: Form<'text>,
}

#[derive(Debug)]
enum Form<'text> {
    Text,
    Expression(minijinja::Expression<'text, 'text>),
    Mix(minijinja::Template<'text, 'text>),
}

/// Whether the text holds anything for the template engine. A comment alone does not count:
/// `${#list[@]}` is common in scripts.
pub fn is_template(text: &str) -> bool {
    ["{{", "{%"].iter().any(|opening| text.contains(opening))
}

/// The expression of a text that is one whole `{{ expression }}`.
fn whole_expression(text: &str) -> Option<&str> {
    let inner = text.strip_prefix("{{")?.strip_suffix("}}")?;
    let inner = inner.strip_prefix('-').unwrap_or(inner);
    Some(inner.strip_suffix('-').unwrap_or(inner))
}

impl<'text> Template<'text> {
    /// Parses a text, which may also be no template at all.
    pub fn parse(text: &'text str) -> Result<Self, TemplateError> {
        if !is_template(text) {
            return Ok(Self { text, form: Form::Text });
        }
        let environment: &'text minijinja::Environment<'text> = &ENVIRONMENT;
        let whole = whole_expression(text)
            .and_then(|expression| environment.compile_expression(expression).ok());
        if let Some(expression) = whole {
            return Ok(Self { text, form: Form::Expression(expression) });
        }
        environment::refuse_statements(text)?;
        let template = environment.template_from_str(text).map_err(|error| failure(&error))?;
        Ok(Self { text, form: Form::Mix(template) })
    }

    /// The text is one whole `{{ expression }}`, so that its value keeps its type.
    pub fn is_whole(&self) -> bool {
        matches!(self.form, Form::Expression(_))
    }

    /// The names it reads, sorted, each once.
    pub fn references(&self) -> Vec<Reference> {
        let names = match &self.form {
            Form::Text => return Vec::new(),
            Form::Expression(expression) => expression.undeclared_variables(true),
            Form::Mix(template) => template.undeclared_variables(true),
        };
        located(names, self.text)
    }

    /// The value, with everything that it reads taken from `scope`.
    pub fn render(&self, scope: &Rendered) -> Result<Value, TemplateError> {
        match &self.form {
            Form::Text => Ok(Value::String(self.text.to_owned())),
            Form::Expression(expression) => {
                let value = expression.eval(scope).map_err(|error| failure(&error))?;
                typed(&value, self.text)
            }
            Form::Mix(template) => {
                let mut output = Bounded(Vec::new());
                template.render_captured_to(scope, &mut output).map_err(|error| failure(&error))?;
                let text = String::from_utf8(output.0).expect("templates write whole text");
                Ok(Value::String(text))
            }
        }
    }
}

/// The names with their places in `text`, sorted.
fn located(names: impl IntoIterator<Item = String>, text: &str) -> Vec<Reference> {
    let reference = |name: String| {
        let mut parts = name.split('.').map(str::to_owned);
        let start = position(text, &name);
        Reference {
            root: parts.next().unwrap_or_default(),
            path: parts.collect(),
            span: start.map_or(0..text.len(), |start| start..start + name.len()),
        }
    };
    let mut all: Vec<Reference> =
        names.into_iter().filter(|name| name != "range").map(reference).collect();
    all.sort_by_cached_key(Reference::dotted);
    all
}

/// Where `name` stands in `text` as a name of its own, not as a part of a longer one.
pub(crate) fn position(text: &str, name: &str) -> Option<usize> {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(name).map(|(start, _)| start).find(|start| {
        let before = text[..*start].chars().next_back();
        let after = text[start + name.len()..].chars().next();
        !before.is_some_and(|c| inside(c) || c == '.') && !after.is_some_and(inside)
    })
}

/// Names that `text` reads.
pub fn references(text: &str) -> Result<Vec<Reference>, TemplateError> {
    Ok(Template::parse(text)?.references())
}

/// A scope in the form that templates read; make it once for many renderings.
pub fn scope(value: &Value) -> Rendered {
    Rendered::from(Serde(value))
}

/// Renders every text inside `value`; keys stay as they are. A text that is one whole
/// `{{ expression }}` becomes a value of the expression's type.
pub fn render(value: &Value, scope: &Value) -> Result<Value, TemplateError> {
    render_in(value, &self::scope(scope))
}

/// [`render`] with a scope made by [`scope`].
pub fn render_in(value: &Value, scope: &Rendered) -> Result<Value, TemplateError> {
    match value {
        Value::String(text) if is_template(text) => Template::parse(text)?.render(scope),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(index, item)| render_in(item, scope).map_err(|e| e.inside(&index.to_string())))
            .collect(),
        Value::Object(entries) => entries
            .iter()
            .map(|(key, item)| {
                let item = render_in(item, scope).map_err(|error| error.inside(key))?;
                Ok((key.clone(), item))
            })
            .collect(),
        other => Ok(other.clone()),
    }
}

fn typed(value: &Rendered, text: &str) -> Result<Value, TemplateError> {
    if value.is_undefined() {
        let read = text.trim_start_matches("{{").trim_end_matches("}}").trim();
        return Err(TemplateError::undefined(format!("`{read}` is undefined")));
    }
    let json = serde_json::to_value(value)
        .map_err(|error| TemplateError::new(format!("the value is not JSON: {error}")))?;
    match &json {
        Value::String(text) if text.len() > OUTPUT_LIMIT => Err(too_long()),
        _ => Ok(json),
    }
}

fn too_long() -> TemplateError {
    TemplateError::new(format!("renders to more than {OUTPUT_LIMIT} bytes"))
}

/// Takes at most [`OUTPUT_LIMIT`] bytes.
struct Bounded(Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT_LIMIT {
            return Err(std::io::Error::other(too_long()));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl TemplateError {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), undefined: false, by_value: false, path: Vec::new() }
    }

    fn undefined(message: impl Into<String>) -> Self {
        Self { undefined: true, ..Self::new(message) }
    }

    /// Other values might do: it is no mistake of the text itself.
    pub(crate) fn is_about_values(&self) -> bool {
        self.by_value || self.undefined
    }

    fn inside(mut self, key: &str) -> Self {
        self.path.insert(0, key.to_owned());
        self
    }
}

/// The engine's error in our words, without its listing of the scope.
fn failure(error: &minijinja::Error) -> TemplateError {
    use minijinja::ErrorKind;
    if let Some(own) = own_error(error) {
        return own;
    }
    let detail = error.detail().unwrap_or_default();
    match error.kind() {
        ErrorKind::UndefinedError if detail.is_empty() => {
            TemplateError::undefined("reads something undefined")
        }
        ErrorKind::UndefinedError => TemplateError::undefined(detail),
        ErrorKind::OutOfFuel => TemplateError::new("takes too many instructions"),
        ErrorKind::SyntaxError => TemplateError::new(format!("template syntax: {detail}")),
        ErrorKind::UnknownFilter | ErrorKind::UnknownFunction | ErrorKind::UnknownTest => {
            let name = detail.strip_suffix(" is unknown").unwrap_or(detail);
            let (sort, name) = name.split_once(' ').unwrap_or(("name", name));
            TemplateError::new(format!("unknown {sort} `{name}`"))
        }
        kind => {
            let message = if detail.is_empty() { kind.to_string() } else { detail.to_owned() };
            TemplateError { by_value: true, ..TemplateError::new(message) }
        }
    }
}

/// The error that one of our own functions raised inside the engine.
fn own_error(error: &minijinja::Error) -> Option<TemplateError> {
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        let raised = cause.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref());
        if let Some(own) = raised.and_then(|inner| inner.downcast_ref::<TemplateError>()) {
            return Some(own.clone());
        }
        next = cause.source();
    }
    None
}

#[cfg(test)]
mod tests;
