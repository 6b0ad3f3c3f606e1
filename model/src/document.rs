//! YAML text to a tree of nodes with positions. The YAML crate is known to this file only.
//!
//! The limits leave room for a runbook of 10,000 steps (about 150,000 nodes, 2 MiB).

use std::collections::HashMap;

use indexmap::IndexMap;
use serde_yaml::granit_parser::{self, ErrorKind, Event, Parser, ScalarStyle as YamlStyle};

use crate::codes::document as code;
use crate::diagnostic::Diagnostic;
use crate::node::{Entry, Node, NodeValue, Scalar, ScalarStyle, SourceSpan};

/// The longest text, in bytes.
pub const TEXT_LIMIT: usize = 8 << 20;
/// The most nodes, repeated ones counted each time.
pub const NODE_LIMIT: usize = 250_000;
/// The deepest nesting.
pub const DEPTH_LIMIT: usize = 64;

/// Reads one YAML document. Everything that is wrong with it as YAML is reported; with an error
/// among the problems there is no tree.
pub fn parse(text: &str) -> Result<Node, Vec<Diagnostic>> {
    if text.len() > TEXT_LIMIT {
        let message = format!("the file has {} bytes, more than {TEXT_LIMIT}", text.len());
        return Err(vec![Diagnostic::error(code::TOO_LARGE, 0..0, message)]);
    }
    let options = granit_parser::options! { disallow_directives: true, emit_comments: false };
    let parser = Parser::new_from_str_with_options(text, options);
    let mut reader =
        Reader { text, parser, problems: Vec::new(), anchors: HashMap::new(), nodes: 0, tag: None };
    match reader.document() {
        Ok(node) if reader.problems.is_empty() => Ok(node),
        Ok(_) => Err(reader.problems),
        Err(Stop(problem)) => {
            let follows_a_brace = problem.code == code::SYNTAX
                && reader.problems.iter().any(|earlier| earlier.code == code::UNQUOTED);
            if !follows_a_brace {
                reader.problems.push(*problem);
            }
            Err(reader.problems)
        }
    }
}

/// A problem after which the rest of the text cannot be read.
struct Stop(Box<Diagnostic>);

impl Stop {
    fn at(code: &'static str, span: SourceSpan, message: impl Into<String>) -> Self {
        Self(Box::new(Diagnostic::error(code, span, message)))
    }
}

struct Reader<'a> {
    text: &'a str,
    parser: Parser<'a, granit_parser::StrInput<'a>>,
    problems: Vec<Diagnostic>,
    /// Anchored nodes and how many nodes each is.
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
    /// The place of the last event's tag.
    tag: Option<SourceSpan>,
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> Result<Node, Stop> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentEnd => {}
                Event::StreamEnd => break,
                Event::DocumentStart(..) if root.is_some() => {
                    let message = "a second document begins here";
                    let problem = Diagnostic::error(code::DOCUMENTS, span, message);
                    let help = "one file holds one runbook: remove the `---`";
                    return Err(Stop(Box::new(problem.help(help))));
                }
                Event::DocumentStart(..) => {
                    let (event, span) = self.next()?;
                    root = Some(self.node(event, span, 1)?);
                }
                _ => return Err(Stop::at(code::SYNTAX, span, "unexpected content")),
            }
        }
        root.ok_or_else(|| Stop::at(code::DOCUMENTS, 0..0, "the file is empty"))
    }

    fn next(&mut self) -> Result<(Event<'a>, SourceSpan), Stop> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                self.tag = span.tag_span().and_then(|tag| tag.byte_range());
                Ok((event, span.byte_range().unwrap_or(0..0)))
            }
            Some(Err(error)) => {
                let at = error.marker().byte_offset().unwrap_or(0);
                let at = self.text.floor_char_boundary(at);
                let code = match error.kind() {
                    ErrorKind::RecursionLimitExceeded => code::TOO_DEEP,
                    _ => code::SYNTAX,
                };
                Err(Stop::at(code, at..at, error.info()))
            }
            None => Ok((Event::StreamEnd, self.text.len()..self.text.len())),
        }
    }

    fn node(&mut self, event: Event<'a>, span: SourceSpan, depth: usize) -> Result<Node, Stop> {
        self.count(1, &span)?;
        if depth > DEPTH_LIMIT {
            let message = format!("nested more than {DEPTH_LIMIT} deep");
            return Err(Stop::at(code::TOO_DEEP, span, message));
        }
        if let Some(tag) = event.tag() {
            let message = format!("the tag `{}` is not part of the language", tag.original());
            let place = self.tag.clone().unwrap_or_else(|| span.clone());
            let problem = Diagnostic::error(code::TAG, place, message);
            self.problems.push(problem.help("remove it: the type follows from the key"));
        }
        let before = self.nodes;
        let anchor = event.anchor_id().filter(|anchor| *anchor > 0);
        let node = match event {
            Event::Scalar(text, style, ..) => scalar(&text, style, span),
            Event::SequenceStart(..) => self.list(span, depth)?,
            Event::MappingStart(..) => self.map(span, depth)?,
            Event::Alias(anchor) => self.alias(anchor, span)?,
            _ => return Err(Stop::at(code::SYNTAX, span, "expected a value")),
        };
        if let Some(anchor) = anchor {
            self.anchors.insert(anchor, (node.clone(), self.nodes - before + 1));
        }
        Ok(node)
    }

    fn count(&mut self, nodes: usize, span: &SourceSpan) -> Result<(), Stop> {
        self.nodes += nodes;
        if self.nodes <= NODE_LIMIT {
            return Ok(());
        }
        let message = format!("more than {NODE_LIMIT} values, repeated ones counted each time");
        Err(Stop::at(code::TOO_MANY, span.clone(), message))
    }

    /// A repeated node stands where the alias stands.
    fn alias(&mut self, anchor: usize, span: SourceSpan) -> Result<Node, Stop> {
        let Some(nodes) = self.anchors.get(&anchor).map(|(_, nodes)| *nodes) else {
            let message = "an alias inside the value that it repeats";
            return Err(Stop::at(code::SYNTAX, span, message));
        };
        self.count(nodes - 1, &span)?;
        let (node, _) = &self.anchors[&anchor];
        Ok(node.clone())
    }

    fn list(&mut self, start: SourceSpan, depth: usize) -> Result<Node, Stop> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                let span = self.whole(start.start, span.end);
                return Ok(Node { value: NodeValue::List(items), span });
            }
            items.push(self.node(event, span, depth + 1)?);
        }
    }

    fn map(&mut self, start: SourceSpan, depth: usize) -> Result<Node, Stop> {
        let unquoted = self.text[start.start.min(self.text.len())..].starts_with("{{");
        if unquoted {
            self.unquoted_template(start.start);
        }
        let mut entries: IndexMap<String, Entry> = IndexMap::new();
        loop {
            let (event, key_span) = self.next()?;
            if event == Event::MappingEnd {
                let span = self.whole(start.start, key_span.end);
                return Ok(Node { value: NodeValue::Map(entries), span });
            }
            let key = self.key(event, &key_span, depth, unquoted)?;
            let (event, span) = self.next()?;
            let node = self.node(event, span, depth + 1)?;
            match key.as_ref().and_then(|key| entries.get(key)) {
                Some(first) => {
                    let key = key.unwrap_or_default();
                    let message = format!("the key `{key}` stands twice");
                    let problem = Diagnostic::error(code::DUPLICATE_KEY, key_span, message);
                    self.problems.push(problem.also(first.key_span.clone(), "first here"));
                }
                None => {
                    entries.insert(key.unwrap_or_default(), Entry { key_span, node });
                }
            }
        }
    }

    /// The text of a key; none when it is a key that the language does not have.
    fn key(
        &mut self,
        event: Event<'a>,
        span: &SourceSpan,
        depth: usize,
        unquoted: bool,
    ) -> Result<Option<String>, Stop> {
        if let Event::Scalar(text, style, ..) = &event {
            if *style == YamlStyle::Plain && text == "<<" {
                let message = "merge keys are not part of the language";
                let problem = Diagnostic::error(code::MERGE_KEY, span.clone(), message);
                self.problems.push(problem.help("write the keys out"));
                return Ok(None);
            }
            self.count(1, span)?;
            return Ok(Some(text.to_string()));
        }
        self.node(event, span.clone(), depth + 1)?;
        if !unquoted {
            let message = "a key must be text";
            self.problems.push(Diagnostic::error(code::KEY, span.clone(), message));
        }
        Ok(None)
    }

    fn unquoted_template(&mut self, start: usize) {
        let line = self.text[start..].lines().next().unwrap_or_default();
        let end = line.find("}}").map_or(line.len(), |end| end + 2);
        let message = "a template must be quoted";
        let problem = Diagnostic::error(code::UNQUOTED, start..start + end, message)
            .why("without quotes, YAML reads `{` as the start of a mapping")
            .help(format!("quote the template: \"{}\"", &line[..end].replace('"', "'")));
        self.problems.push(problem);
    }

    /// A collection without the white space that follows it.
    fn whole(&self, start: usize, end: usize) -> SourceSpan {
        let start = self.text.floor_char_boundary(start);
        let end = self.text.floor_char_boundary(end.max(start));
        start..start + self.text[start..end].trim_end().len()
    }
}

fn scalar(text: &str, style: YamlStyle, span: SourceSpan) -> Node {
    let style = match style {
        YamlStyle::Plain if matches!(text, "" | "~" | "null" | "Null" | "NULL") => {
            return Node { value: NodeValue::Null, span };
        }
        YamlStyle::Plain => ScalarStyle::Plain,
        _ => ScalarStyle::Quoted,
    };
    Node { value: NodeValue::Scalar(Scalar { text: text.to_owned(), style }), span }
}

#[cfg(test)]
mod tests;
