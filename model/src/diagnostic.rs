//! Problems of a runbook, and how they are shown.

mod render;

use serde_json::{Value, json};

use crate::node::SourceSpan;

pub use render::render;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The runbook cannot run.
    Error,
    /// The runbook can run; something is odd.
    Warning,
}

impl Severity {
    /// The word in front of the code.
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// The place of a problem that no text holds: an argument, for instance.
pub const NOWHERE: SourceSpan = usize::MAX..usize::MAX;

/// One problem and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// A code with a page: `RB0201`.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong: lower-case, no full stop.
    pub message: String,
    /// Bytes of the source text; [`NOWHERE`] for a problem that no text holds.
    pub span: SourceSpan,
    /// A second place that belongs to the problem, and what stands there.
    pub also: Option<(SourceSpan, String)>,
    /// Why it is a problem.
    pub why: Option<String>,
    /// What to write instead.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error at `span`.
    pub fn error(code: &'static str, span: SourceSpan, message: impl Into<String>) -> Self {
        let (severity, message) = (Severity::Error, message.into());
        Self { code, severity, message, span, also: None, why: None, help: None }
    }

    /// An error that no place in the text is to blame for.
    pub fn without_place(code: &'static str, message: impl Into<String>) -> Self {
        Self::error(code, NOWHERE, message)
    }

    /// A warning at `span`.
    pub fn warning(code: &'static str, span: SourceSpan, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, span, message) }
    }

    /// Adds the reason.
    #[must_use]
    pub fn why(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    /// Adds what to write instead.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds a second place and what stands there.
    #[must_use]
    pub fn also(mut self, span: SourceSpan, what: impl Into<String>) -> Self {
        self.also = Some((span, what.into()));
        self
    }

    /// It keeps the runbook from running.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// A file and where its lines begin.
#[derive(Debug)]
pub struct SourceText<'a> {
    file: &'a str,
    text: &'a str,
    line_starts: Vec<usize>,
}

impl<'a> SourceText<'a> {
    /// A file's name as it is shown, and its text.
    pub fn new(file: &'a str, text: &'a str) -> Self {
        let after_breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { file, text, line_starts: std::iter::once(0).chain(after_breaks).collect() }
    }

    /// Line and column of a byte, both from 1; the column counts characters.
    pub fn position(&self, at: usize) -> (usize, usize) {
        let at = self.floor(at);
        let line = self.line_starts.partition_point(|start| *start <= at);
        let start = self.line_starts[line - 1];
        (line, self.text[start..at].chars().count() + 1)
    }

    /// The nearest place at or before `at` that is inside the text and between characters.
    fn floor(&self, at: usize) -> usize {
        self.text.floor_char_boundary(at)
    }

    /// The bytes of a line (from 1) without its break.
    fn line(&self, number: usize) -> SourceSpan {
        let start = self.line_starts[number - 1];
        let end = self.line_starts.get(number).map_or(self.text.len(), |next| next - 1);
        let line = self.text[start..end].trim_end_matches('\r');
        start..start + line.len()
    }
}

/// Sorts problems by their place and drops repetitions.
pub fn sort(problems: &mut Vec<Diagnostic>) {
    problems.sort_by(|a, b| {
        (a.span.start, a.severity, a.code, &a.message).cmp(&(
            b.span.start,
            b.severity,
            b.code,
            &b.message,
        ))
    });
    problems.dedup();
}

/// The problems as JSON: an object with `diagnostics` and the counts.
pub fn to_json(problems: &[Diagnostic], source: &SourceText<'_>) -> Value {
    let place = |span: &SourceSpan| {
        let (line, column) = source.position(span.start);
        let (end_line, end_column) = source.position(span.end);
        json!({
            "file": source.file, "line": line, "column": column,
            "end_line": end_line, "end_column": end_column,
        })
    };
    let one = |problem: &Diagnostic| {
        json!({
            "code": problem.code,
            "severity": problem.severity.word(),
            "message": problem.message,
            "place": (problem.span != NOWHERE).then(|| place(&problem.span)),
            "also": problem.also.as_ref().map(|(span, what)| {
                json!({"place": place(span), "message": what})
            }),
            "why": problem.why,
            "help": problem.help,
        })
    };
    let errors = problems.iter().filter(|problem| problem.is_error()).count();
    json!({
        "diagnostics": problems.iter().map(one).collect::<Vec<_>>(),
        "errors": errors,
        "warnings": problems.len() - errors,
    })
}

#[cfg(test)]
mod tests;
