//! The YAML tree with positions.

use std::ops::Range;

use indexmap::IndexMap;

/// Bytes of the source text.
pub type SourceSpan = Range<usize>;

/// One value of a document and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What it is.
    pub value: NodeValue,
    /// Where it stands; empty for a node that no text holds.
    pub span: SourceSpan,
}

/// The shapes a value can have.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeValue {
    /// Nothing, `null` or `~`.
    Null,
    /// A scalar.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the text.
    Map(IndexMap<String, Entry>),
}

/// A scalar keeps its source text, so that `0600` asked for as a string stays `0600`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// The text without quotes, escapes resolved.
    pub text: String,
    /// How it may be read.
    pub style: ScalarStyle,
}

/// How a scalar may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScalarStyle {
    /// Unquoted: a boolean, a number or text, as the reader asks.
    Plain,
    /// Quoted or a block: always text.
    Quoted,
    /// Made by a template or read from a journal: as the reader asks.
    Rendered,
}

/// A key of a mapping with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Where the key stands.
    pub key_span: SourceSpan,
    /// The value.
    pub node: Node,
}

/// A node that does not have the shape its reader asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NodeError {
    /// Where.
    pub span: SourceSpan,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}
