//! Masks secrets in everything that leaves a step: its log, its errors, its outputs, its facts.

mod encodings;
mod stream;

use std::sync::{Arc, PoisonError, RwLock};

use aho_corasick::{AhoCorasick, MatchKind};
use model::step_error::StepError;
use serde_json::Value;

pub use stream::Masker;

/// What stands where a secret was.
pub const MASK: &str = "(secret)";

/// A secret shorter than this is not masked inside other text: it would hide everything.
const SHORTEST: usize = 3;

/// The secrets that this process has read, in every form in which they may show up.
#[derive(Clone, Default)]
pub struct Redactor {
    patterns: Arc<RwLock<Patterns>>,
}

#[derive(Default)]
struct Patterns {
    forms: Vec<Vec<u8>>,
    search: Option<Arc<Search>>,
}

/// The forms, ready to be searched for.
struct Search {
    automaton: AhoCorasick,
    longest: usize,
}

impl Redactor {
    /// Masks `secret` from now on.
    pub fn add(&self, secret: &str) {
        let mut patterns = self.patterns.write().unwrap_or_else(PoisonError::into_inner);
        let mut forms = encodings::of(secret);
        forms.retain(|form| form.len() >= SHORTEST && !patterns.forms.contains(form));
        if forms.is_empty() {
            return;
        }
        patterns.forms.append(&mut forms);
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .build(&patterns.forms)
            .expect("secrets are few and small");
        let longest = patterns.forms.iter().map(Vec::len).max().unwrap_or_default();
        patterns.search = Some(Arc::new(Search { automaton, longest }));
    }

    fn search(&self) -> Option<Arc<Search>> {
        self.patterns.read().unwrap_or_else(PoisonError::into_inner).search.clone()
    }

    /// `text` without secrets.
    pub fn text(&self, text: &str) -> String {
        let mut masker = Masker::new(self.clone());
        let mut output = masker.push(text.as_bytes());
        output.extend(masker.finish());
        String::from_utf8_lossy(&output).into_owned()
    }

    /// A value without secrets, in keys and texts.
    pub fn value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text)),
            Value::Array(items) => items.iter().map(|item| self.value(item)).collect(),
            Value::Object(entries) => {
                entries.iter().map(|(key, item)| (self.text(key), self.value(item))).collect()
            }
            other => other.clone(),
        }
    }

    /// An error without secrets.
    pub fn error(&self, error: StepError) -> StepError {
        StepError {
            message: self.text(&error.message),
            causes: error.causes.iter().map(|cause| self.text(cause)).collect(),
            hint: error.hint.map(|hint| self.text(&hint)),
            ..error
        }
    }
}

#[cfg(test)]
mod tests;
