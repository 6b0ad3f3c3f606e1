//! Problems of a runbook, and how they are shown.

mod render;
mod source;

use serde_json::{Value, json};

use crate::node::SourceSpan;

pub use render::render;
pub use source::{IncludedText, SourceText};

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

    /// Moves its places: the text stands behind others.
    pub(crate) fn shift(&mut self, by: usize) {
        let also = self.also.as_mut().map(|(span, _)| span);
        for span in std::iter::once(&mut self.span).chain(also) {
            *span = span.start + by..span.end + by;
        }
    }

    /// It keeps the runbook from running.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
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
        let (file, (line, column)) = (source.file(span.start), source.position(span.start));
        let (end_line, end_column) = file.position(span.end);
        json!({
            "file": file.name, "line": line, "column": column,
            "end_line": end_line, "end_column": end_column,
        })
    };
    let included = |span: &SourceSpan| -> Vec<Value> {
        source.inclusions(span.start).iter().map(|span| place(span)).collect()
    };
    let one = |problem: &Diagnostic| {
        json!({
            "code": problem.code,
            "severity": problem.severity.word(),
            "message": problem.message,
            "place": (problem.span != NOWHERE).then(|| place(&problem.span)),
            "included_at": included(&problem.span),
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
