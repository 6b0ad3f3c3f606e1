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

impl Request {
    /// Why an answer does not count, when the run was started by `starter`. A rejection always
    /// counts. A claimed name counts when the list has it.
    pub fn refuses(&self, answer: &Answer, starter: &str) -> Option<String> {
        if answer.decision == Decision::Rejected {
            return None;
        }
        if answer.by == starter && !self.allow_self {
            return Some(format!("`{starter}` started the run, and `allow_self` is not set"));
        }
        let listed = self.approvers.is_empty() || self.approvers.contains(&answer.by);
        (!listed).then(|| format!("`{}` is not one of {}", answer.by, self.approvers.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(
        approvers: &[&str],
        allow_self: bool,
        by: &str,
        decision: Decision,
    ) -> Option<String> {
        let approvers = approvers.iter().map(|name| (*name).to_owned()).collect();
        let prompt = "Go?".to_owned();
        let request = Request { prompt, approvers, required: 1, timeout: None, allow_self };
        let answer = Answer { decision, by: by.to_owned(), claimed: true, reason: None };
        request.refuses(&answer, "ann")
    }

    #[test]
    fn who_may_approve_is_what_the_request_says() {
        use Decision::{Approved, Rejected};
        assert_eq!(refusal(&[], false, "bob", Approved), None);
        assert_eq!(refusal(&["bob"], false, "bob", Approved), None);
        assert_eq!(refusal(&["ann"], true, "ann", Approved), None);
        assert_eq!(refusal(&["bob"], false, "eve", Rejected), None);
        assert_eq!(refusal(&["bob"], false, "eve", Approved).unwrap(), "`eve` is not one of bob");
        let own = refusal(&[], false, "ann", Approved).unwrap();
        assert_eq!(own, "`ann` started the run, and `allow_self` is not set");
    }
}
