//! What a person is asked, and what they answered.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Span;

/// The question of one approval, as the plan writes it and the journal keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// What is to be decided, in a sentence.
    pub prompt: String,
    /// Roles or names that may answer; empty means anyone.
    #[serde(default)]
    pub approvers: Vec<String>,
    /// How many approvals are needed.
    #[serde(default = "one")]
    pub required: u32,
    /// How long the question stays open; without it, for ever.
    #[serde(default)]
    pub timeout: Option<Span>,
    /// The person who started the run may answer too.
    #[serde(default)]
    pub allow_self: bool,
}

fn one() -> u32 {
    1
}

/// What was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Go on.
    Approved,
    /// Stop.
    Rejected,
}

/// One person's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// What was answered.
    pub decision: Decision,
    /// Who: a name nobody has checked when `claimed`.
    pub by: String,
    /// The name was typed or taken from the login, not proved by a key.
    pub claimed: bool,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
