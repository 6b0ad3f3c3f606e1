//! Standard output and standard error. A closed pipe ends the output, not the run.

use std::io::Write as _;

use serde_json::Value;

/// Writes data to standard output.
pub(crate) fn text(text: &str) {
    anstream::stdout().write_all(text.as_bytes()).ok();
}

/// Writes a JSON document to standard output.
pub(crate) fn json(value: &Value) {
    let document = serde_json::to_string_pretty(value).expect("a JSON value prints");
    text(&(document + "\n"));
}

/// Writes a message to standard error; styles are dropped where nobody would see them.
pub(crate) fn message(text: &str) {
    anstream::stderr().write_all(text.as_bytes()).ok();
}
