//! Has a step's kind check the filled `with`, problem after problem.
//!
//! A kind stops at the first value that does not fit. What it refuses is reported once and
//! replaced by a stand-in of some type, and the kind is asked again, so that one wrong value
//! hides no other.

use super::facts::{KindFacts, Step as Followed, follow};
use super::input::{Input, of_rule, of_shape};
use super::moment;
use super::outputs::stand_ins;
use super::step::Step;
use crate::catalog::InputRefusal;
use crate::diagnostic::Diagnostic;
use crate::footprint::Footprint;
use crate::node::{Entry, Node, NodeError, NodeValue, SourceSpan};
use crate::template::position;

/// How often a kind is asked about one `with`.
const ROUNDS: usize = 64;

/// Stand-ins have spans from here upwards, where no text has a place.
const OUTSIDE: usize = usize::MAX / 2;

/// What came of asking the kind.
pub(super) struct Trial {
    /// What the step touches; with stand-ins for what does not fit.
    pub(super) footprint: Option<Footprint>,
    /// Everything fits.
    pub(super) sound: bool,
    /// Names of connections and stores that only the run would know.
    pub(super) later: Vec<String>,
    node: Node,
    waiting: Vec<StandIn>,
    /// The help for each key that was taken out.
    corrections: Vec<String>,
}

/// A value in the place of another, and what else might do there.
struct StandIn {
    span: SourceSpan,
    left: std::vec::IntoIter<serde_json::Value>,
    /// What is reported when nothing will do.
    first_refusal: Option<Diagnostic>,
}

/// Asks the kind until it has nothing more to say.
pub(super) fn trial(
    step: &Step,
    input: &Input,
    facts: &KindFacts<'_>,
    problems: &mut Vec<Diagnostic>,
) -> Trial {
    let mut trial = Trial::new(input, facts);
    for _ in 0..ROUNDS {
        let goes_on = match facts.kind.check(&trial.node) {
            Ok(footprint) => {
                trial.footprint = Some(footprint);
                false
            }
            Err(InputRefusal::Shape(error)) => trial.shape(error, step, input, facts, problems),
            Err(InputRefusal::Rules(found)) => {
                let mut mended = false;
                for problem in found {
                    let span = trial.node.nearest(&problem.path).span.clone();
                    let refusal = trial.timely(&span, of_rule(problem, &span, input), facts);
                    mended |= trial.rule(&span, refusal, step, input, facts, problems);
                }
                mended
            }
        };
        if !goes_on {
            break;
        }
    }
    trial.sound &= trial.footprint.is_some();
    if trial.sound {
        trial.forget_examples(input, facts);
    }
    trial
}

impl Trial {
    fn new(input: &Input, facts: &KindFacts<'_>) -> Self {
        let open = input.open_leaves().map(|(span, values)| StandIn {
            span: span.clone(),
            left: values.into_iter(),
            first_refusal: None,
        });
        let mut trial = Self {
            footprint: None,
            sound: input.unfilled.is_empty(),
            later: Vec::new(),
            node: input.node.clone(),
            waiting: open.collect(),
            corrections: Vec::new(),
        };
        for span in &input.unfilled {
            trial.replace(span, facts);
        }
        trial
    }

    /// The value at `span` is not what the runbook says.
    pub(super) fn is_stand_in(&self, text: &str) -> bool {
        place_of(&self.node, text).is_some_and(|span| span.start >= OUTSIDE)
    }

    /// Takes a misfit; whether it makes sense to ask again.
    fn shape(
        &mut self,
        error: NodeError,
        step: &Step,
        input: &Input,
        facts: &KindFacts<'_>,
        problems: &mut Vec<Diagnostic>,
    ) -> bool {
        let span = error.span.clone();
        let key = error.message.split('`').nth(1).unwrap_or_default().to_owned();
        let unknown = error.message.starts_with("unknown key");
        let missing = error.message.ends_with("is missing");
        let refusal = self.timely(&span, of_shape(error, step, input), facts);
        if let Some(at) = self.waiting.iter().position(|one| one.span == span) {
            return self.advance(at, refusal, problems);
        }
        self.sound = false;
        let meant = format!("did you mean `{key}`?");
        let told = input.is_sampled(&span) || missing && self.corrections.contains(&meant);
        if unknown {
            self.corrections.extend(refusal.help.clone());
        }
        if !told {
            problems.push(refusal);
        }
        match (unknown, missing) {
            (true, _) => remove(&mut self.node, &span),
            (_, true) => self.insert(&span, &key, facts),
            _ => self.replace(&span, facts),
        }
    }

    /// The refusal; where a time lacks its zone, one that says so.
    fn timely(&self, span: &SourceSpan, refusal: Diagnostic, facts: &KindFacts<'_>) -> Diagnostic {
        let found = path_to(&self.node, span).filter(|path| moment::is_time(&facts.input, path));
        let node = found.map(|path| self.node.nearest(&path));
        match node.filter(|node| moment::lacks_zone(node)) {
            Some(node) => moment::zoneless(node, refusal),
            None => refusal,
        }
    }

    /// Takes a broken rule; whether it makes sense to ask again.
    fn rule(
        &mut self,
        span: &SourceSpan,
        refusal: Diagnostic,
        step: &Step,
        input: &Input,
        facts: &KindFacts<'_>,
        problems: &mut Vec<Diagnostic>,
    ) -> bool {
        if let Some(at) = self.waiting.iter().position(|one| one.span == *span) {
            return self.advance(at, refusal, problems);
        }
        let whole = *span == step.with.span;
        // A rule about the whole may be broken by what was replaced.
        if !input.is_sampled(span) && (self.sound || !whole) {
            problems.push(refusal);
        }
        self.sound = false;
        !whole && self.replace(span, facts)
    }

    /// Tries the next value of a stand-in.
    fn advance(&mut self, at: usize, refusal: Diagnostic, problems: &mut Vec<Diagnostic>) -> bool {
        let stand_in = &mut self.waiting[at];
        if stand_in.span.start < OUTSIDE {
            stand_in.first_refusal.get_or_insert(refusal);
        }
        let Some(next) = stand_in.left.next() else {
            self.sound = false;
            problems.extend(stand_in.first_refusal.take());
            return false;
        };
        let span = stand_in.span.clone();
        let found = path_to(&self.node, &span).and_then(|path| at_path(&mut self.node, &path));
        found.map(|node| *node = Node::from_json_at(&next, &span)).is_some()
    }

    /// Puts a stand-in into the place of the node at `span`.
    fn replace(&mut self, span: &SourceSpan, facts: &KindFacts<'_>) -> bool {
        let Some(path) = path_to(&self.node, span) else { return false };
        let node = self.stand_in(facts, &path);
        at_path(&mut self.node, &path).map(|old| *old = node).is_some()
    }

    /// Adds a missing key to the mapping at `span`.
    fn insert(&mut self, span: &SourceSpan, key: &str, facts: &KindFacts<'_>) -> bool {
        let Some(mut path) = path_to(&self.node, span) else { return false };
        path.push(key.to_owned());
        let node = self.stand_in(facts, &path);
        path.pop();
        let Some(Node { value: NodeValue::Map(entries), .. }) = at_path(&mut self.node, &path)
        else {
            return false;
        };
        entries.insert(key.to_owned(), Entry { key_span: node.span.clone(), node }).is_none()
    }

    fn stand_in(&mut self, facts: &KindFacts<'_>, path: &[String]) -> Node {
        let start = OUTSIDE + self.waiting.len();
        let mut values = choices(facts, path);
        values.extend(stand_ins("sample"));
        let mut left = values.into_iter();
        let first = left.next().unwrap_or_default();
        self.waiting.push(StandIn { span: start..start, left, first_refusal: None });
        Node::from_json_at(&first, &(start..start))
    }

    /// Says `(known after ...)` instead of the examples that stand for the outputs of steps.
    fn forget_examples(&mut self, input: &Input, facts: &KindFacts<'_>) {
        let Some(known) = self.footprint.take() else { return };
        let (mut marked, mut texts) = (self.node.clone(), Vec::new());
        mark(&mut marked, input, &mut texts);
        if texts.is_empty() {
            self.footprint = Some(known);
            return;
        }
        self.footprint = Some(match facts.kind.check(&marked) {
            Ok(footprint) => {
                let names = |footprint: &Footprint| -> Vec<String> {
                    let connections = footprint.connections.iter().map(|used| &used.name);
                    connections.chain(&footprint.stores).cloned().collect()
                };
                let pairs = names(&known).into_iter().zip(names(&footprint));
                self.later =
                    pairs.filter(|(one, other)| one != other).map(|(one, _)| one).collect();
                let Footprint { reads, writes, endpoints, .. } = footprint;
                let Footprint { makes_databases, makes_servers, locks, .. } = footprint;
                Footprint {
                    reads,
                    writes,
                    endpoints,
                    makes_databases,
                    makes_servers,
                    locks,
                    ..known
                }
            }
            Err(_) => without(known, &texts),
        });
    }
}

/// The values that the schema lists for the place at `path`.
fn choices(facts: &KindFacts<'_>, path: &[String]) -> Vec<serde_json::Value> {
    let Followed::Known(schemas) = follow(&facts.input, path) else { return Vec::new() };
    let listed = schemas.iter().filter_map(|schema| schema.get("enum")?.as_array()).flatten();
    let single = schemas.iter().filter_map(|schema| schema.get("const"));
    listed.chain(single).cloned().collect()
}

/// Replaces every text that steps will give; `texts` gets each with what replaces it.
fn mark(node: &mut Node, input: &Input, texts: &mut Vec<(String, String)>) {
    match &mut node.value {
        NodeValue::Scalar(scalar) => {
            if let Some(after) = input.known_after(&node.span)
                && scalar.style == crate::node::ScalarStyle::RenderedText
            {
                texts.push((
                    std::mem::replace(&mut scalar.text, after.to_owned()),
                    after.to_owned(),
                ));
            }
        }
        NodeValue::List(items) => items.iter_mut().for_each(|item| mark(item, input, texts)),
        NodeValue::Map(entries) => {
            entries.values_mut().for_each(|entry| mark(&mut entry.node, input, texts));
        }
        NodeValue::Null => {}
    }
}

/// The footprint with other words for some texts.
fn without(mut footprint: Footprint, texts: &[(String, String)]) -> Footprint {
    let Footprint { reads, writes, endpoints, makes_databases, makes_servers, locks, .. } =
        &mut footprint;
    for words in [reads, writes, endpoints, makes_databases, makes_servers, locks] {
        for (text, after) in texts.iter().filter(|(text, _)| !text.is_empty()) {
            for word in words.iter_mut() {
                *word = replaced(word, text, after);
            }
        }
    }
    footprint
}

/// `words` with `text`, where it stands on its own, replaced.
fn replaced(words: &str, text: &str, by: &str) -> String {
    match position(words, text) {
        None => words.to_owned(),
        Some(start) => {
            let rest = replaced(&words[start + text.len()..], text, by);
            format!("{}{by}{rest}", &words[..start])
        }
    }
}

/// The scalar inside `node` that has this text.
pub(super) fn place_of<'n>(node: &'n Node, text: &str) -> Option<&'n SourceSpan> {
    match &node.value {
        NodeValue::Scalar(scalar) => (scalar.text == text).then_some(&node.span),
        NodeValue::List(items) => items.iter().find_map(|item| place_of(item, text)),
        NodeValue::Map(entries) => entries.values().find_map(|entry| place_of(&entry.node, text)),
        NodeValue::Null => None,
    }
}

/// Where the node at `span` is, outermost key first.
fn path_to(node: &Node, span: &SourceSpan) -> Option<Vec<String>> {
    if node.span == *span {
        return Some(Vec::new());
    }
    let under = |key: String, node: &Node| {
        let mut path = path_to(node, span)?;
        path.insert(0, key);
        Some(path)
    };
    match &node.value {
        NodeValue::Map(entries) => {
            entries.iter().find_map(|(key, entry)| under(key.clone(), &entry.node))
        }
        NodeValue::List(items) => {
            items.iter().enumerate().find_map(|(at, item)| under(at.to_string(), item))
        }
        NodeValue::Null | NodeValue::Scalar(_) => None,
    }
}

fn at_path<'n>(node: &'n mut Node, path: &[String]) -> Option<&'n mut Node> {
    let Some((key, rest)) = path.split_first() else { return Some(node) };
    let inner = match &mut node.value {
        NodeValue::Map(entries) => &mut entries.get_mut(key)?.node,
        NodeValue::List(items) => items.get_mut(key.parse::<usize>().ok()?)?,
        NodeValue::Null | NodeValue::Scalar(_) => return None,
    };
    at_path(inner, rest)
}

/// Takes the key at `span` out of its mapping.
fn remove(node: &mut Node, span: &SourceSpan) -> bool {
    match &mut node.value {
        NodeValue::Map(entries) => {
            let before = entries.len();
            entries.retain(|_, entry| entry.key_span != *span);
            entries.len() < before
                || entries.values_mut().any(|entry| remove(&mut entry.node, span))
        }
        NodeValue::List(items) => items.iter_mut().any(|item| remove(item, span)),
        NodeValue::Null | NodeValue::Scalar(_) => false,
    }
}
