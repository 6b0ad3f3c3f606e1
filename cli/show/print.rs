//! Standard output and standard error. A closed pipe ends the output, not the run; anything else
//! that keeps data from being written is remembered and ends the command with an error.

use std::io::{self, ErrorKind, Write as _};
use std::sync::OnceLock;

use serde_json::Value;

/// Why data could not be written, the first time.
static UNWRITTEN: OnceLock<io::Error> = OnceLock::new();

/// Writes data to standard output. Control characters are shown, not obeyed: the text may come
/// from a step's output or from a foreign runbook.
pub(crate) fn text(text: &str) {
    bytes(clean(text).as_bytes());
}

/// Writes data to standard output as it is.
pub(crate) fn bytes(bytes: &[u8]) {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
    {
        UNWRITTEN.set(error).ok();
    }
}

/// Why data could not be written.
pub(crate) fn unwritten() -> Option<&'static io::Error> {
    UNWRITTEN.get()
}

/// Writes a JSON document to standard output.
pub(crate) fn json(value: &Value) {
    let document = serde_json::to_string_pretty(value).expect("a JSON value prints");
    text(&(document + "\n"));
}

/// Writes a message to standard error; styles are dropped where nobody would see them. A terminal
/// that went away is no reason to stop.
pub(crate) fn message(text: &str) {
    anstream::stderr().write_all(text.as_bytes()).ok();
}

/// The text with control characters written out: `\u{1b}` instead of an escape that a terminal
/// would obey. Line breaks and tabs stay.
pub(crate) fn clean(text: &str) -> String {
    let obeyed = |c: char| c.is_control() && c != '\n' && c != '\t';
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if obeyed(c) { clean.extend(c.escape_unicode()) } else { clean.push(c) }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_nothing_that_a_step_prints() {
        assert_eq!(clean("a\u{1b}[2Jb\u{7}\n\tc\u{9b}d"), "a\\u{1b}[2Jb\\u{7}\n\tc\\u{9b}d");
        assert_eq!(clean("plain ü\n"), "plain ü\n");
    }
}
