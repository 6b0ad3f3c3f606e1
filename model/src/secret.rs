//! Text that is secret once the run has read it.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

/// The `format` by which a schema marks a field of type [`SecretText`].
pub const SECRET_FORMAT: &str = "secret";

/// A field that may hold `{{ secrets.name }}`: a token, a webhook's URL.
///
/// While a runbook is checked it holds the placeholder `secret://name`, so a step's `validate`
/// must not look into it. It is never printed, and its text is only to be had by [`expose`].
///
/// [`expose`]: SecretText::expose
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SecretText(String);

impl SecretText {
    /// The text, for the one call that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl JsonSchema for SecretText {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": SECRET_FORMAT})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_show_it() {
        let secret: SecretText = serde_json::from_str("\"hunter2\"").unwrap();
        assert_eq!(format!("{secret:?}"), "(secret)");
        assert_eq!(secret.expose(), "hunter2");
    }
}
