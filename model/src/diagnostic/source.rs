//! The texts that problems point into.
//!
//! Every text has a range of places of its own: that of the runbook begins at 0, those of the
//! runbooks that it includes follow, each one behind the one before.

use crate::node::SourceSpan;

/// The text of an included runbook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncludedText {
    /// The file's name as it is shown.
    pub file: String,
    /// What it holds.
    pub text: String,
    /// The place of its first byte.
    pub base: usize,
    /// Where it is included.
    pub included_at: SourceSpan,
}

/// A runbook's text, with those it includes.
#[derive(Debug)]
pub struct SourceText<'a> {
    files: Vec<File<'a>>,
}

/// One file and where its lines begin.
#[derive(Debug)]
pub(super) struct File<'a> {
    pub(super) name: &'a str,
    text: &'a str,
    base: usize,
    included_at: Option<&'a SourceSpan>,
    line_starts: Vec<usize>,
}

impl<'a> SourceText<'a> {
    /// A file's name as it is shown, and its text.
    pub fn new(file: &'a str, text: &'a str) -> Self {
        Self { files: vec![File::new(file, text, 0, None)] }
    }

    /// With the texts that it includes, in the order of their places.
    #[must_use]
    pub fn with(mut self, included: &'a [IncludedText]) -> Self {
        self.files.extend(
            included
                .iter()
                .map(|one| File::new(&one.file, &one.text, one.base, Some(&one.included_at))),
        );
        self
    }

    /// The file that holds a place.
    pub(super) fn file(&self, at: usize) -> &File<'a> {
        let after = self.files.partition_point(|file| file.base <= at);
        &self.files[after.saturating_sub(1)]
    }

    /// Where the file that holds a place is included, innermost first.
    pub(super) fn inclusions(&self, at: usize) -> Vec<&'a SourceSpan> {
        let first = self.file(at).included_at;
        std::iter::successors(first, |span| self.file(span.start).included_at).collect()
    }

    /// Line and column of a place in its file, both from 1; the column counts characters.
    pub fn position(&self, at: usize) -> (usize, usize) {
        self.file(at).position(at)
    }
}

impl<'a> File<'a> {
    fn new(name: &'a str, text: &'a str, base: usize, included_at: Option<&'a SourceSpan>) -> Self {
        let after_breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(after_breaks).collect();
        Self { name, text, base, included_at, line_starts }
    }

    pub(super) fn position(&self, at: usize) -> (usize, usize) {
        let at = self.floor(at);
        let line = self.line_starts.partition_point(|start| *start <= at);
        let start = self.line_starts[line - 1];
        (line, self.text[start..at].chars().count() + 1)
    }

    /// The nearest byte at or before a place that is inside the text and between characters.
    fn floor(&self, at: usize) -> usize {
        self.text.floor_char_boundary(at.saturating_sub(self.base))
    }

    /// The line of a place: its number, what stands before `span`, in it, and behind it.
    pub(super) fn line(&self, span: &SourceSpan) -> (usize, [&'a str; 3]) {
        let (number, _) = self.position(span.start);
        let first = self.line_starts[number - 1];
        let last = self.line_starts.get(number).map_or(self.text.len(), |next| next - 1);
        let last = first + self.text[first..last].trim_end_matches('\r').len();
        let start = self.floor(span.start).clamp(first, last);
        let end = self.floor(span.end).clamp(start, last);
        (number, [&self.text[first..start], &self.text[start..end], &self.text[end..last]])
    }
}
