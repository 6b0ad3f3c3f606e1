//! A file of SQL statements, cut where they end.
//!
//! The server has the last word: each piece is prepared alone, so that a cut in the wrong place is
//! a syntax error and never another statement.

use std::path::Path;

use engine::files;
use model::step_error::StepError;
use sha2::{Digest, Sha256};

use crate::store::hex;

/// A file may have this many bytes: it is held in memory.
const LIMIT: u64 = 16 * 1024 * 1024;

/// First words of statements that would end the transaction, or begin another.
const TRANSACTION: [&str; 8] =
    ["abort", "begin", "commit", "end", "release", "rollback", "savepoint", "start"];

/// A file as it was read: what is told about it is told about these bytes.
pub(super) struct Script {
    pub(super) path: String,
    pub(super) sha256: String,
    pub(super) statements: Vec<Piece>,
}

/// One statement, and the line on which it begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) sql: String,
    pub(super) line: usize,
}

fn refused(path: &str, why: &str) -> StepError {
    StepError::permanent("RB0760", format!("the SQL file `{path}` cannot be run: {why}"))
}

impl Script {
    /// Reads and cuts a file.
    pub(super) fn read(path: &str) -> Result<Self, StepError> {
        if path.is_empty() {
            return Err(refused(path, "no path is given"));
        }
        let bytes = bytes(path)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| refused(path, "it is not UTF-8"))?;
        let statements = cut(text.strip_prefix('\u{feff}').unwrap_or(text));
        if statements.is_empty() {
            return Err(refused(path, "it holds no statement")
                .hint("a list on which nobody stands yet says `select 0;`"));
        }
        if let Some(piece) = statements.iter().find(|piece| ends_transaction(&piece.sql)) {
            let why = format!("the statement on line {} ends the transaction", piece.line);
            return Err(refused(path, &why)
                .hint("leave `BEGIN` and `COMMIT` out: the step commits all statements at once"));
        }
        let sha256 = hex(Sha256::digest(&bytes));
        Ok(Self { path: path.to_owned(), sha256, statements })
    }

    /// An error of the statement `index`, with its place.
    pub(super) fn at(&self, index: usize, mut error: StepError) -> StepError {
        let line = self.statements[index].line;
        error.message =
            format!("statement {} (line {line}) of `{}`: {}", index + 1, self.path, error.message);
        error
    }
}

fn bytes(path: &str) -> Result<Vec<u8>, StepError> {
    let unread = |error: std::io::Error| {
        StepError::permanent("RB0650", format!("the file `{path}` cannot be read"))
            .caused_by(&error)
    };
    let facts = files::facts(Path::new(path)).map_err(unread)?;
    if !facts.is_file() {
        return Err(refused(path, "it is not a file"));
    }
    if facts.len() > LIMIT {
        return Err(refused(path, "it has more than 16 MiB").hint("cut it into several steps"));
    }
    if let Err(error) = files::refuse_world_writable(Path::new(path)) {
        let open = refused(path, &error.message);
        return Err(open.hint(error.hint.unwrap_or_default()));
    }
    files::read(Path::new(path)).map_err(unread)
}

/// Whether the statement is one of those that end a transaction.
fn ends_transaction(sql: &str) -> bool {
    let mut words = sql.split(|c: char| !is_word(c)).map(str::to_ascii_lowercase);
    let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    TRANSACTION.contains(&first.as_str()) || (first == "prepare" && second == "transaction")
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// The statements of a text, without the comments in front of them.
/// <https://www.postgresql.org/docs/current/sql-syntax-lexical.html>
fn cut(text: &str) -> Vec<Piece> {
    let (mut pieces, mut start, mut depth, mut at) = (Vec::new(), None, 0_usize, 0);
    let mut finish = |start: &mut Option<usize>, end: usize| {
        if let Some(from) = start.take() {
            let line = text[..from].matches('\n').count() + 1;
            pieces.push(Piece { sql: text[from..end].trim_end().to_owned(), line });
        }
    };
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        if let Some(length) = comment(rest).filter(|_| c == '-' || c == '/') {
            at += length;
            continue;
        }
        if c == ';' && depth == 0 {
            finish(&mut start, at);
        } else if !c.is_whitespace() {
            start.get_or_insert(at);
        }
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += token(rest, c);
    }
    finish(&mut start, text.len());
    pieces
}

/// Whether a text is one expression as far as its tokens tell: in parentheses it cannot leave
/// them. A comment may end it, when a line end follows.
pub(super) fn is_one_expression(text: &str) -> bool {
    let (mut depth, mut at, mut some) = (0_usize, 0, false);
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        if let Some(length) = comment(rest) {
            at += length;
            if rest.starts_with("/*") && !rest[..length].ends_with("*/") {
                return false;
            }
            continue;
        }
        let length = token(rest, c);
        let open = matches!(c, '\'' | '"') && !is_closed(&rest[..length], c);
        match c {
            ';' => return false,
            '(' => depth += 1,
            ')' if depth == 0 => return false,
            ')' => depth -= 1,
            _ if open => return false,
            _ => {}
        }
        some |= !c.is_whitespace();
        at += length;
    }
    some && depth == 0
}

/// Whether a quoted text ends with its own quote. Doubled ones inside come in pairs.
fn is_closed(text: &str, quote: char) -> bool {
    text.matches(quote).count().is_multiple_of(2)
}

/// The length of the comment that `rest` begins with.
fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("--") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if !rest.starts_with("/*") {
        return None;
    }
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if here.starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += 1;
        }
    }
    Some(rest.len())
}

/// The length of the token that `rest` begins with: a string, a quoted name, a word, or a
/// character.
fn token(rest: &str, first: char) -> usize {
    match first {
        '\'' => quoted(rest, b'\'', false),
        '"' => quoted(rest, b'"', false),
        'e' | 'E' if rest[1..].starts_with('\'') => 1 + quoted(&rest[1..], b'\'', true),
        '$' => dollar(rest).unwrap_or(1),
        _ if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
        _ => first.len_utf8(),
    }
}

/// The length of a string in `quote`s; a doubled one does not end it.
fn quoted(rest: &str, quote: u8, escapes: bool) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        let doubled = bytes[at] == quote && bytes.get(at + 1) == Some(&quote);
        if doubled || (escapes && bytes[at] == b'\\') {
            at += 2;
        } else if bytes[at] == quote {
            return at + 1;
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// The length of a string in dollars: `$tag$ ... $tag$`.
fn dollar(rest: &str) -> Option<usize> {
    let tag = rest[1..].find('$').map(|end| &rest[..end + 2])?;
    let name = &tag[1..tag.len() - 1];
    let is_tag = name.chars().all(|c| c.is_alphanumeric() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit());
    if !is_tag {
        return None;
    }
    let end = rest[tag.len()..].find(tag).map(|end| tag.len() + end + tag.len());
    Some(end.unwrap_or(rest.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        cut(text).into_iter().map(|piece| piece.sql).collect()
    }

    #[test]
    fn a_semicolon_inside_of_something_ends_nothing() {
        for whole in [
            "select 'a;b', 'it''s;'",
            r"select E'a\';b', e'\\'",
            "select \"a;\"\";\"",
            "select 1 /* a; /* b; */ c; */ + 1",
            "select 1 -- a; b\n + 1",
            "do $$ begin perform 1; end $$",
            "do $a_1$ begin perform $$;$$; end $a_1$",
            "create rule r as on insert to t do (select 1; select 2)",
            "select größe$1 from ü where a = $1",
            "select '\u{1f600};'",
        ] {
            assert_eq!(texts(whole), [whole]);
            assert_eq!(texts(&format!("{whole};select 2;")), [whole, "select 2"], "{whole}");
        }
    }

    #[test]
    fn statements_begin_after_what_says_nothing() {
        let pieces = cut("-- who asked\n\n;; /* 1 */ delete from a;\n  -- and\ndelete\nfrom b\n");
        let expected = [("delete from a", 3), ("delete\nfrom b", 5)];
        let expected = expected.map(|(sql, line)| Piece { sql: sql.to_owned(), line });
        assert_eq!(pieces, expected);
        assert_eq!(cut("-- nobody\n/* yet */ ;"), []);
        assert_eq!(texts("select 'open; select 2"), ["select 'open; select 2"]);
        assert_eq!(texts("select 1 /* open; "), ["select 1 /* open;"]);
        assert_eq!(texts(r"select E'\"), [r"select E'\"]);
    }

    #[test]
    fn what_ends_a_transaction_is_known_by_its_first_words() {
        for sql in ["COMMIT", "end", "Rollback to a", "begin", "prepare transaction 'a'", "abort"] {
            assert!(ends_transaction(sql), "{sql}");
        }
        for sql in ["prepare a as select 1", "delete from commit", "with a as (select 1) select 1"]
        {
            assert!(!ends_transaction(sql), "{sql}");
        }
    }
}
