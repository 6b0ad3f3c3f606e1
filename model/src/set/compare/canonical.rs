//! Definitions that mean the same. PostgreSQL does not always print a restored expression as it
//! printed the original (`varchar IN (...)`, nested `AND`), so texts are compared as trees of
//! tokens in which these harmless forms are one.

/// Whether two printed definitions mean the same.
pub(super) fn same(left: &str, right: &str) -> bool {
    left == right || canonical(parse(left)) == canonical(parse(right))
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    /// A word, a literal, an operator or a mark.
    Token(String),
    /// What stands in `(...)` or `[...]`.
    Group(char, Vec<Node>),
}

impl Node {
    fn is(&self, text: &str) -> bool {
        matches!(self, Self::Token(token) if token == text)
    }
}

/// Deeper nesting is compared as plain tokens; PostgreSQL prints nothing near it.
const DEEPEST: usize = 200;

fn parse(text: &str) -> Vec<Node> {
    let mut open = vec![(' ', Vec::new())];
    for token in Tokens(text) {
        match token {
            "(" if open.len() < DEEPEST => open.push(('(', Vec::new())),
            "[" if open.len() < DEEPEST => open.push(('[', Vec::new())),
            ")" | "]" if open.len() > 1 => close(&mut open),
            _ => push(&mut open, Node::Token(token.to_owned())),
        }
    }
    while open.len() > 1 {
        close(&mut open);
    }
    open.pop().expect("the outermost level is never closed").1
}

fn push(open: &mut [(char, Vec<Node>)], node: Node) {
    open.last_mut().expect("the outermost level is never closed").1.push(node);
}

fn close(open: &mut Vec<(char, Vec<Node>)>) {
    let (kind, nodes) = open.pop().expect("the caller saw an open group");
    push(open, Node::Group(kind, nodes));
}

/// The tokens of printed SQL; literals, quoted names and function bodies are one token each.
struct Tokens<'a>(&'a str);

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        self.0 = self.0.trim_start();
        let first = self.0.chars().next()?;
        let length = match first {
            '\'' | '"' => quoted_length(self.0, first),
            '$' => dollar_quoted_length(self.0),
            c if is_word(c) => self.0.find(|c| !is_word(c)).unwrap_or(self.0.len()),
            c if is_operator(c) => self.0.find(|c| !is_operator(c)).unwrap_or(self.0.len()),
            c => c.len_utf8(),
        };
        let (token, rest) = self.0.split_at(length);
        self.0 = rest;
        Some(token)
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_operator(c: char) -> bool {
    "+-*/<>=~!@#%^&|`?:".contains(c)
}

/// A doubled quote ends one token and begins the next, which compares as well.
fn quoted_length(text: &str, quote: char) -> usize {
    text[1..].find(quote).map_or(text.len(), |end| end + 2)
}

fn dollar_quoted_length(text: &str) -> usize {
    let Some(end) = text[1..].find('$') else { return 1 };
    let tag = &text[..end + 2];
    if !tag[1..=end].chars().all(is_word) {
        return 1;
    }
    text[tag.len()..].find(tag).map_or(1, |body| body + 2 * tag.len())
}

fn canonical(nodes: Vec<Node>) -> Vec<Node> {
    let mut nodes: Vec<Node> = nodes.into_iter().map(canonical_node).collect();
    while let Some(at) = (0..nodes.len()).find(|&at| cast_array_type(&nodes[at..]).is_some()) {
        distribute_cast(&mut nodes, at);
    }
    flatten(nodes, "AND")
}

fn canonical_node(node: Node) -> Node {
    let Node::Group(kind, inner) = node else { return node };
    let mut inner = canonical(inner);
    // `((x))` is `(x)`.
    if kind == '('
        && inner.len() == 1
        && let Some(Node::Group('(', innermost)) = inner.first_mut()
    {
        inner = std::mem::take(innermost);
    }
    Node::Group(kind, flatten(flatten(inner, "AND"), "OR"))
}

/// `(a AND b) AND c` is `a AND b AND c`.
fn flatten(nodes: Vec<Node>, connective: &str) -> Vec<Node> {
    if !is_list_of(&nodes, connective) {
        return nodes;
    }
    let mut flat = Vec::with_capacity(nodes.len());
    for (index, operand) in nodes.split(|node| node.is(connective)).enumerate() {
        if index > 0 {
            flat.push(Node::Token(connective.to_owned()));
        }
        match operand {
            [Node::Group('(', inner)] if is_list_of(inner, connective) => {
                flat.extend(inner.iter().cloned());
            }
            other => flat.extend(other.iter().cloned()),
        }
    }
    flat
}

fn is_list_of(nodes: &[Node], connective: &str) -> bool {
    let other = if connective == "AND" { "OR" } else { "AND" };
    let breaks = |node: &Node| node.is(other) || node.is(",") || node.is(";");
    nodes.iter().any(|node| node.is(connective)) && !nodes.iter().any(breaks)
}

/// The length of the type when the nodes begin with `(ARRAY[...])::type[]`.
fn cast_array_type(nodes: &[Node]) -> Option<usize> {
    let [Node::Group('(', array), cast, rest @ ..] = nodes else { return None };
    let is_array = matches!(array.as_slice(), [word, Node::Group('[', _)] if word.is("ARRAY"));
    let length = rest.iter().position(|node| *node == Node::Group('[', Vec::new()))?;
    let is_type = |node: &Node| match node {
        Node::Token(token) => token == "." || token.starts_with(|c| is_word(c) || c == '"'),
        Node::Group(kind, _) => *kind == '(',
    };
    (is_array && cast.is("::") && length > 0 && rest[..length].iter().all(is_type))
        .then_some(length)
}

/// `(ARRAY[a, b])::type[]` becomes `ARRAY[(a)::type, (b)::type]`.
fn distribute_cast(nodes: &mut Vec<Node>, at: usize) {
    let length = cast_array_type(&nodes[at..]).expect("the caller found the cast");
    let cast: Vec<Node> = nodes[at + 1..at + 2 + length].to_vec();
    let Node::Group(_, array) = &nodes[at] else { unreachable!("a cast array is a group") };
    let [_, Node::Group(_, elements)] = array.as_slice() else {
        unreachable!("a cast array is `ARRAY[...]`")
    };
    let mut distributed = Vec::new();
    for (index, element) in elements.split(|node| node.is(",")).enumerate() {
        if index > 0 {
            distributed.push(Node::Token(",".to_owned()));
        }
        if !element.is_empty() {
            distributed.push(Node::Group('(', element.to_vec()));
            distributed.extend(cast.iter().cloned());
        }
    }
    let replacement = [Node::Token("ARRAY".to_owned()), Node::Group('[', distributed)];
    nodes.splice(at..at + 3 + length, replacement);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn forms_that_a_restore_changes_are_the_same() {
        for (dumped, restored) in [
            (
                "CHECK (((s)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[])))",
                "CHECK (((s)::text = ANY (ARRAY[('a'::character varying)::text, ('b'::character varying)::text])))",
            ),
            (
                "CHECK ((((a >= 1) AND (a <= 2)) AND (c IS NOT NULL)))",
                "CHECK (((a >= 1) AND (a <= 2) AND (c IS NOT NULL)))",
            ),
            ("((a OR b) OR (c OR d))", "(a OR b OR c OR d)"),
            ("SELECT x\n   FROM t", "SELECT x FROM t"),
        ] {
            assert!(same(dumped, restored), "{dumped}\n{restored}");
        }
    }

    #[test]
    fn what_means_something_else_is_not_the_same() {
        for (left, right) in [
            ("((a OR b) AND c)", "(a OR (b AND c))"),
            ("((a AND b) OR c)", "(a AND b OR c)"),
            ("f(a AND b) AND c", "f(a AND b AND c)"),
            ("(ARRAY['a'::text])::x[]", "ARRAY[('a'::text)::y]"),
            ("'a  b'", "'a b'"),
            ("\"a b\"", "\"a  b\""),
            ("$f$ a  b $f$", "$f$ a b $f$"),
            ("$f$ (a and b) and c $f$", "$f$ a and b and c $f$"),
            ("(a > 1)", "(a >= 1)"),
            ("NOT (a AND b) AND c", "NOT a AND b AND c"),
            ("x < 1", "x > 1"),
            ("a.b", "ab"),
        ] {
            assert!(!same(left, right), "{left}\n{right}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "[\\PC$'\"()\\[\\], :AND]{0,40}") {
            prop_assert!(same(&text, &text));
            let _ = canonical(parse(&text));
        }
    }
}
