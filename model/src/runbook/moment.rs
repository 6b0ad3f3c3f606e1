//! Times that a runbook and its parameters give.

use super::facts::{Step as Followed, follow};
use crate::codes::safety as code;
use crate::diagnostic::Diagnostic;
use crate::node::Node;

/// The text is a time of day, or a day, in no zone: many moments, and not one.
pub(super) fn lacks_zone(node: &Node) -> bool {
    let zoned = |text: &str| text.parse::<jiff::Timestamp>().is_ok() || text.contains('[');
    node.text().is_some_and(|text| !zoned(text) && text.parse::<jiff::civil::DateTime>().is_ok())
}

/// Whether the schema of an input asks for a time at `path`.
pub(super) fn is_time(input: &serde_json::Value, path: &[String]) -> bool {
    let Followed::Known(schemas) = follow(input, path) else { return false };
    schemas.iter().any(|schema| schema.get("format").is_some_and(|format| format == "date-time"))
}

/// What is said of a time without a zone instead of `refusal`.
pub(super) fn zoneless(node: &Node, refusal: Diagnostic) -> Diagnostic {
    let message = format!("`{}` is not a time with a zone", node.text().unwrap_or_default());
    let help = "write it as `2026-11-20T02:00:00Z`, or with an offset: `2026-11-20T03:00:00+01:00`";
    Diagnostic { code: code::NO_ZONE, message, ..refusal }
        .why("the same text is another moment in each zone")
        .help(help)
}
