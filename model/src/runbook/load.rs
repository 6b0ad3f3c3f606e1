//! Reads the runbooks that a runbook includes.

use sha2::{Digest as _, Sha256};

use super::include::Include;
use super::{Inclusion, Runbook, declare};
use crate::codes::language as code;
use crate::diagnostic::{Diagnostic, IncludedText};
use crate::node::{Node, SourceSpan};
use crate::sources::{Sources, resolve};
use crate::{document, hex};

/// Inclusions are at most so deep.
const DEEPEST: usize = 8;
/// There are at most so many inclusions.
const MOST_INCLUSIONS: usize = 100;

/// Keys whose meaning does not come along, where the runbook relies on it.
const LEFT_BEHIND: [&str; 5] =
    ["handlers", "rollback", "concurrency", "allowed_regions", "max_parallel"];

/// Reads one file after the other, each into a range of places of its own.
pub(super) struct Loading<'s> {
    sources: &'s dyn Sources,
    /// The files from the outermost to the one that is read.
    open: Vec<String>,
    pub(super) texts: Vec<IncludedText>,
    /// What of [`LEFT_BEHIND`] the outermost runbook says itself.
    said: Vec<&'static str>,
    next_base: usize,
    problems: Vec<Diagnostic>,
}

impl<'s> Loading<'s> {
    pub(super) fn new(sources: &'s dyn Sources, text: &str, root: &Node) -> Self {
        let said = |key: &&str| root.key_span(key).is_some();
        let said = LEFT_BEHIND.into_iter().filter(said).collect();
        let open = vec![sources.top().to_owned()];
        let (texts, problems) = (Vec::new(), Vec::new());
        Self { sources, open, texts, said, next_base: text.len() + 1, problems }
    }

    /// Reads what the steps of `runbook` include; tells what is wrong with it.
    pub(super) fn load(mut self, runbook: &mut Runbook) -> (Vec<IncludedText>, Vec<Diagnostic>) {
        self.inclusions(runbook);
        (self.texts, self.problems)
    }

    fn inclusions(&mut self, runbook: &mut Runbook) {
        for at in 0..runbook.steps.len() {
            let Some(include) = &runbook.steps[at].include else { continue };
            if let Some(inclusion) = self.inclusion(include) {
                runbook.inclusions.insert(at, inclusion);
            }
        }
    }

    fn inclusion(&mut self, include: &Include) -> Option<Inclusion> {
        let file = include.file.as_ref()?;
        let from = self.open.last().map_or("", String::as_str);
        let refused = |code, message: String| Diagnostic::error(code, file.span.clone(), message);
        let path = match resolve(from, &file.text) {
            Ok(path) => path,
            Err(why) => {
                let message = format!("`{}` cannot be included", file.text);
                self.problems.push(
                    refused(code::INCLUDED_FILE, message)
                        .why(why)
                        .help("write a path below the folder of the runbook that is run"),
                );
                return None;
            }
        };
        if let Some(problem) = self.endless(&path, &file.span) {
            self.problems.push(problem);
            return None;
        }
        match self.sources.read(&path) {
            Ok(text) => self.read(path, text, &file.span),
            Err(why) => {
                let message = format!("`{}` cannot be read", self.sources.shown(&path));
                let problem = refused(code::INCLUDED_FILE, message).why(why);
                self.problems.push(problem.help(format!("the path is relative to `{from}`")));
                None
            }
        }
    }

    /// Why reading would not come to an end.
    fn endless(&self, path: &str, span: &SourceSpan) -> Option<Diagnostic> {
        let refused = |message| Diagnostic::error(code::INCLUDE_CYCLE, span.clone(), message);
        if let Some(first) = self.open.iter().position(|open| open == path) {
            let circle: Vec<_> =
                self.open[first..].iter().map(|file| format!("`{file}`")).collect();
            let circle = circle.join(" includes ");
            let problem = refused(format!("{circle} includes `{path}`"));
            return Some(problem.why("a runbook that includes itself never ends"));
        }
        if self.open.len() > DEEPEST {
            let problem = refused(format!("included more than {DEEPEST} deep"));
            return Some(problem.help("include from fewer levels"));
        }
        if self.texts.len() >= MOST_INCLUSIONS {
            let problem = refused(format!("more than {MOST_INCLUSIONS} inclusions"));
            return Some(problem.help("include fewer runbooks"));
        }
        None
    }

    fn read(&mut self, path: String, text: String, span: &SourceSpan) -> Option<Inclusion> {
        let base = self.next_base;
        self.next_base += text.len() + 1;
        let file = self.sources.shown(&path);
        let sha256 = hex::hex(Sha256::digest(text.as_bytes()));
        let mut problems = Vec::new();
        let runbook = match document::parse(&text) {
            Ok(mut root) => {
                root.shift(base);
                left_behind(&root, &file, &self.said, &mut problems);
                let mut runbook = declare::runbook(&text, &root, &mut problems);
                (runbook.base, runbook.file) = (base, file.clone());
                Some(runbook)
            }
            Err(mut found) => {
                for problem in &mut found {
                    problem.shift(base);
                }
                problems = found;
                None
            }
        };
        // A file that is included twice has its own problems once.
        if !self.texts.iter().any(|read| read.file == file) {
            self.problems.append(&mut problems);
        }
        self.texts.push(IncludedText { file, text, base, included_at: span.clone() });
        let mut runbook = runbook?;
        self.open.push(path);
        self.inclusions(&mut runbook);
        self.open.pop();
        Some(Inclusion { sha256, runbook })
    }
}

/// Warns of what the including runbook neither takes over nor says itself.
fn left_behind(root: &Node, file: &str, said: &[&str], problems: &mut Vec<Diagnostic>) {
    for key in LEFT_BEHIND.into_iter().filter(|key| !said.contains(key)) {
        let Some(span) = root.key_span(key) else { continue };
        let message = format!("`{key}` of `{file}` does nothing here");
        problems.push(
            Diagnostic::warning(code::NOT_TAKEN_OVER, span.clone(), message)
                .why("only the steps of an included runbook are taken over")
                .help(format!("write `{key}` in the runbook that includes it")),
        );
    }
}
