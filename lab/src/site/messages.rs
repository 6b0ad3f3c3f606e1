//! The messages that came, in short.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::sink::Message;

/// A message as a person reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// `slack`, `pagerduty`, or the path it came to.
    pub to: String,
    /// What it says.
    pub text: String,
}

impl Told {
    pub(super) fn of(message: &Message) -> Self {
        let path = message.path.split('?').next().unwrap_or_default();
        let body = &message.body;
        match path {
            "/slack" => Self { to: "slack".to_owned(), text: slack(body) },
            "/v2/enqueue" => {
                let action = body["event_action"].as_str().unwrap_or("?");
                let about = body["payload"]["summary"].as_str().or(body["dedup_key"].as_str());
                let text = format!("{action}: {}", about.unwrap_or_default());
                Self { to: "pagerduty".to_owned(), text }
            }
            path => Self { to: path.to_owned(), text: body.to_string() },
        }
    }
}

/// The text of a message, or else the texts of its blocks.
fn slack(body: &Value) -> String {
    if let Some(text) = body["text"].as_str() {
        return text.to_owned();
    }
    let mut texts = Vec::new();
    gather(body, &mut texts);
    texts.join("\n")
}

fn gather(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::Object(all) => {
            for (name, value) in all {
                match value.as_str() {
                    Some(text) if name == "text" => texts.push(text.to_owned()),
                    _ => gather(value, texts),
                }
            }
        }
        Value::Array(all) => all.iter().for_each(|value| gather(value, texts)),
        _ => {}
    }
}
