//! The filters that are ours.

use jiff::Timestamp;
use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Value};

use super::OUTPUT_LIMIT;
use crate::sql;

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

/// A name as a quoted SQL identifier; a list is the parts of a qualified name.
pub(super) fn ident(value: &Value) -> Result<String, Error> {
    let quoted = match value.kind() {
        ValueKind::Seq => value
            .try_iter()?
            .map(|part| sql::quote_ident(&part.to_string()).map_err(|e| invalid(e.to_string())))
            .collect::<Result<Vec<_>, _>>()
            .map(|parts| parts.join(".")),
        ValueKind::String => {
            sql::quote_name(value.as_str().unwrap_or_default()).map_err(|e| invalid(e.to_string()))
        }
        other => Err(invalid(format!("`ident` takes text or a list of texts, not {other}"))),
    }?;
    if quoted.is_empty() {
        return Err(invalid("`ident` takes a list that is not empty"));
    }
    Ok(quoted)
}

/// A time (RFC 3339 or a stamp such as `20261120T020000Z`) in UTC, formatted as strftime does.
pub(super) fn date(time: &str, format: &str) -> Result<String, Error> {
    let timestamp: Timestamp = time
        .parse()
        .map_err(|_| invalid(format!("`{time}` is not a time such as `2026-11-20T02:00:00Z`")))?;
    jiff::fmt::strtime::format(format, timestamp)
        .map_err(|error| invalid(format!("`{format}` is not a date format: {error}")))
}

/// What follows the last `/`, a trailing one not counted.
pub(super) fn basename(path: &str) -> String {
    let path = path.trim_end_matches('/');
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

/// A number of bytes for people: `1.5 GiB`.
pub(super) fn bytes(value: &Value) -> Result<String, Error> {
    let number = u64::try_from(value.clone())
        .map_err(|_| invalid(format!("`{value}` is not a number of bytes")))?;
    Ok(human_bytes(number))
}

const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// One decimal, rounded down, so that no size looks larger than it is.
fn human_bytes(number: u64) -> String {
    let unit = (0..UNITS.len()).rev().find(|unit| number >> (10 * unit) > 0).unwrap_or(0);
    if unit == 0 {
        return format!("{number} B");
    }
    let tenths = (u128::from(number) * 10) >> (10 * unit);
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// The value as JSON text.
pub(super) fn json(value: &Value) -> Result<String, Error> {
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    serde_json::to_string(value).map_err(|error| invalid(error.to_string()))
}

/// `text` with every `from` replaced by `to`, bounded like every output.
pub(super) fn replace(text: &str, from: &str, to: &str) -> Result<String, Error> {
    let found = text.matches(from).count();
    if text.len().saturating_add(found.saturating_mul(to.len())) > OUTPUT_LIMIT {
        return Err(invalid("`replace` makes too long a text"));
    }
    Ok(text.replace(from, to))
}
