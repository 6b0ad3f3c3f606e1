//! Problems as text for people.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthChar;

use super::{Diagnostic, NOWHERE, Severity, SourceText};
use crate::node::SourceSpan;

const TAB: &str = "    ";
const LONGEST_LINE: usize = 160;

/// Every problem with its source line, and a line that counts them. Empty when there is none.
pub fn render(problems: &[Diagnostic], source: &SourceText<'_>, colour: bool) -> String {
    let mut out = String::new();
    for problem in problems {
        one(&mut out, problem, source, colour);
        out.push('\n');
    }
    if !problems.is_empty() {
        out.push_str(&count(problems));
        out.push('\n');
    }
    out
}

fn one(out: &mut String, problem: &Diagnostic, source: &SourceText<'_>, colour: bool) {
    let (word, code) = (problem.severity.word(), problem.code);
    let head = paint(&format!("{word}[{code}]"), severity_colour(problem.severity), colour);
    line(out, &format!("{head}: {}", problem.message));
    if problem.span != NOWHERE {
        place(out, &problem.span, source, colour.then_some(problem.severity));
    }
    if let Some((span, what)) = &problem.also {
        line(out, &format!("note: {what}"));
        place(out, span, source, colour.then_some(problem.severity));
    }
    if problem.span != NOWHERE {
        for span in source.inclusions(problem.span.start) {
            let (file, (number, _)) = (source.file(span.start), source.position(span.start));
            line(out, &format!("note: included at {}:{number}", file.name));
        }
    }
    for (label, text) in [("why", &problem.why), ("help", &problem.help)] {
        if let Some(text) = text {
            line(out, &format!("{}: {text}", paint(label, "1", colour)));
        }
    }
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

fn severity_colour(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "1;31",
        Severity::Warning => "1;33",
    }
}

fn paint(text: &str, style: &str, colour: bool) -> String {
    if colour { format!("\u{1b}[{style}m{text}\u{1b}[0m") } else { text.to_owned() }
}

/// The place, its source line, and a caret under it.
fn place(out: &mut String, span: &SourceSpan, source: &SourceText<'_>, colour: Option<Severity>) {
    let file = source.file(span.start);
    let (number, column) = file.position(span.start);
    let margin = " ".repeat(number.to_string().len());
    line(out, &format!("{margin}--> {}:{number}:{column}", file.name));
    let (_, parts) = file.line(span);
    let [before, marked, rest] = parts.map(shown);
    let text: String = format!("{before}{marked}{rest}").chars().take(LONGEST_LINE).collect();
    let carets = "^".repeat(width(&marked).clamp(1, LONGEST_LINE));
    let carets = paint(&carets, colour.map_or("", severity_colour), colour.is_some());
    line(out, &format!("{margin} |"));
    line(out, format!("{number} | {text}").trim_end());
    line(out, &format!("{margin} | {}{carets}", " ".repeat(width(&before).min(LONGEST_LINE))));
}

/// Source text as a terminal may show it: tabs of a fixed width, no control characters.
fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => out.push_str(TAB),
            c if c.is_control() => out.push(char::REPLACEMENT_CHARACTER),
            c => out.push(c),
        }
    }
    out
}

fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// `2 errors, 1 warning`.
fn count(problems: &[Diagnostic]) -> String {
    let errors = problems.iter().filter(|problem| problem.is_error()).count();
    let warnings = problems.len() - errors;
    let mut out = String::new();
    for (number, word) in [(errors, "error"), (warnings, "warning")] {
        if number > 0 {
            let comma = if out.is_empty() { "" } else { ", " };
            let plural = if number == 1 { "" } else { "s" };
            write!(out, "{comma}{number} {word}{plural}").expect("text takes every write");
        }
    }
    out
}
