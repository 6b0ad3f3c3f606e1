//! Reads the keys of one mapping, each on its own, so that one wrong value hides no other.

use indexmap::IndexMap;
use serde::de::DeserializeOwned;

use super::step::Spanned;
use crate::codes::language as code;
use crate::diagnostic::Diagnostic;
use crate::node::{Entry, Node, NodeError, NodeValue, SourceSpan};
use crate::units::Span;
use crate::{node_de, suggest};

/// The keys that a mapping may have.
pub(crate) struct Keys {
    /// What the mapping is, with its article: `a step`.
    pub(super) what: &'static str,
    /// Keys that this version understands.
    pub(crate) known: &'static [&'static str],
    /// Keys of the language that this version does not understand yet.
    pub(super) later: &'static [&'static str],
}

/// A mapping whose keys have been looked at.
pub(super) struct Fields<'a> {
    what: &'static str,
    span: SourceSpan,
    entries: IndexMap<&'a str, &'a Entry>,
    /// It is no mapping at all, which is reported.
    misshapen: bool,
}

impl<'a> Fields<'a> {
    /// Reports every key that `keys` does not have.
    pub(super) fn new(node: &'a Node, keys: &Keys, problems: &mut Vec<Diagnostic>) -> Self {
        let mut fields = Self {
            what: keys.what,
            span: first_line(node),
            entries: IndexMap::new(),
            misshapen: !matches!(node.value, NodeValue::Map(_)),
        };
        let NodeValue::Map(entries) = &node.value else {
            let message = format!("expected a mapping, found {}", node.what());
            let problem = Diagnostic::error(code::TYPE, node.span.clone(), message);
            problems.push(problem.help(suggest::one_of("", keys.known)));
            return fields;
        };
        for (key, entry) in entries {
            if keys.known.contains(&key.as_str()) {
                fields.entries.insert(key, entry);
            } else {
                problems.push(unknown_key(key, entry, keys));
            }
        }
        fields
    }

    /// As [`Fields::new`]; a key that only `whole` has is known and has no meaning here.
    pub(super) fn narrowed(
        node: &'a Node,
        keys: &Keys,
        whole: &Keys,
        problems: &mut Vec<Diagnostic>,
    ) -> Self {
        let before = problems.len();
        let fields = Self::new(node, keys, problems);
        let unknown = problems[before..].iter_mut().filter(|one| one.code == code::UNKNOWN_KEY);
        for problem in unknown {
            let key = entry_at(node, &problem.span);
            let Some(key) = key.filter(|key| whole.known.contains(key)) else { continue };
            let message = format!("`{key}` has no meaning in {}", keys.what);
            *problem = Diagnostic::error(code::NO_MEANING, problem.span.clone(), message)
                .help(format!("remove `{key}`"));
        }
        fields
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a Node> {
        self.entries.get(key).map(|entry| &entry.node)
    }

    pub(super) fn entry(&self, key: &str) -> Option<&'a Entry> {
        self.entries.get(key).copied()
    }

    /// The keys that are there, with their places.
    pub(super) fn keys(&self) -> impl Iterator<Item = (&'a str, &'a SourceSpan)> {
        self.entries.iter().map(|(key, entry)| (*key, &entry.key_span))
    }

    /// The value under `key`, when it is there and has the right type.
    pub(super) fn read<T: DeserializeOwned>(
        &self,
        key: &str,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<T> {
        let node = self.get(key)?;
        match node_de::read(node) {
            Ok(value) => Some(value),
            Err(error) => {
                problems.push(of_type(error));
                None
            }
        }
    }

    /// A limit of time under `key`, which must let something happen.
    pub(super) fn limit(&self, key: &str, problems: &mut Vec<Diagnostic>) -> Option<Span> {
        let limit: Span = self.read(key, problems)?;
        if limit.duration().is_zero() {
            let span = self.get(key)?.span.clone();
            let problem = Diagnostic::error(code::VALUE, span, format!("`{key}` must be above 0"));
            problems.push(problem.help(format!("remove `{key}` to set no limit")));
        }
        Some(limit)
    }

    /// The entries of the mapping under `key`; none when it is absent.
    pub(super) fn mapping(
        &self,
        key: &str,
        problems: &mut Vec<Diagnostic>,
    ) -> Vec<(&'a String, &'a Entry)> {
        match self.get(key).map(|node| (&node.value, node)) {
            Some((NodeValue::Map(entries), _)) => entries.iter().collect(),
            None | Some((NodeValue::Null, _)) => Vec::new(),
            Some((_, node)) => {
                let message = format!("`{key}` is a mapping from names, not {}", node.what());
                problems.push(Diagnostic::error(code::TYPE, node.span.clone(), message));
                Vec::new()
            }
        }
    }

    /// The items of the list under `key`; none when it is absent.
    pub(super) fn items(&self, key: &str, problems: &mut Vec<Diagnostic>) -> &'a [Node] {
        match self.get(key).map(|node| (&node.value, node)) {
            Some((NodeValue::List(items), _)) => items,
            None => &[],
            Some((_, node)) => {
                let message = format!("`{key}` is a list, not {}", node.what());
                problems.push(Diagnostic::error(code::TYPE, node.span.clone(), message));
                &[]
            }
        }
    }

    /// The texts of the list under `key`, each with its place.
    pub(super) fn texts(&self, key: &str, problems: &mut Vec<Diagnostic>) -> Option<Vec<Spanned>> {
        let node = self.get(key)?;
        let texts: Vec<String> = self.read(key, problems)?;
        let NodeValue::List(items) = &node.value else { return None };
        let spans = items.iter().map(|item| item.span.clone());
        Some(texts.into_iter().zip(spans).map(|(text, span)| Spanned { text, span }).collect())
    }

    /// The value under `key`, which must be there.
    pub(super) fn required<T: DeserializeOwned>(
        &self,
        key: &str,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<T> {
        self.present(key, problems)?;
        self.read(key, problems)
    }

    /// The node under `key`, which must be there.
    pub(super) fn present(&self, key: &str, problems: &mut Vec<Diagnostic>) -> Option<&'a Node> {
        if self.misshapen {
            return None;
        }
        let node = self.get(key);
        if node.is_none() {
            let message = format!("{} needs `{key}`", self.what);
            let problem = Diagnostic::error(code::MISSING_KEY, self.span.clone(), message);
            problems.push(problem.help(format!("add `{key}:`")));
        }
        node
    }
}

/// A misfit of a value of the language itself.
pub(super) fn of_type(error: NodeError) -> Diagnostic {
    let NodeError { span, message, help } = error;
    let code = if message.starts_with("unknown key") { code::UNKNOWN_KEY } else { code::TYPE };
    Diagnostic { help, ..Diagnostic::error(code, span, message) }
}

fn unknown_key(key: &str, entry: &Entry, keys: &Keys) -> Diagnostic {
    let span = entry.key_span.clone();
    if keys.later.contains(&key) {
        let message = format!("`{key}` is not supported by this version yet");
        return Diagnostic::error(code::NOT_YET, span, message)
            .why("a key that is ignored would promise what does not happen")
            .help(format!("remove `{key}`"));
    }
    let message = format!("unknown key `{key}` in {}", keys.what);
    if key.contains(' ') && entry.node.value == NodeValue::Null {
        return Diagnostic::error(code::UNKNOWN_KEY, span, message)
            .why("inside `{ }` a comma ends a value")
            .help("put the whole text in quotes");
    }
    Diagnostic::error(code::UNKNOWN_KEY, span, message).help(suggest::one_of(key, keys.known))
}

/// The key that stands at `span`.
fn entry_at<'n>(node: &'n Node, span: &SourceSpan) -> Option<&'n str> {
    let NodeValue::Map(entries) = &node.value else { return None };
    entries.iter().find(|(_, entry)| entry.key_span == *span).map(|(key, _)| key.as_str())
}

/// The place of a mapping as a whole: its first key.
fn first_line(node: &Node) -> SourceSpan {
    match &node.value {
        NodeValue::Map(entries) => {
            entries.values().next().map_or(node.span.clone(), |entry| entry.key_span.clone())
        }
        _ => node.span.clone(),
    }
}
