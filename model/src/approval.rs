//! What a person is asked, and what they answered. Who may answer what is decided here, by the
//! same rules for a terminal, another process, another machine and a reader of the journal.

mod ask;
mod asked;
mod people;
mod question;
mod refusal;
mod signature;
mod statement;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Span;

pub use ask::{Approve, Task};
pub use asked::Asked;
pub use people::{People, Person, Staffing};
pub use question::{Escalation, Question};
pub use refusal::Refusal;
pub use signature::{NAMESPACE, PublicKeyText, Signature};
pub use statement::plan_digest;

#[cfg(test)]
mod tests;

/// The question of one step, as the plan writes it and the journal keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// What is to be decided or done, in a sentence.
    pub prompt: String,
    /// Roles or names that may answer; empty means anyone.
    #[serde(default)]
    pub approvers: Vec<String>,
    /// How many persons must approve.
    #[serde(default = "one")]
    pub required: u32,
    /// How long the question stays open; without it, for ever.
    #[serde(default)]
    pub timeout: Option<Span>,
    /// The person who started the run may answer too.
    #[serde(default)]
    pub allow_self: bool,
    /// What the end of `timeout` means.
    #[serde(default, skip_serializing_if = "OnTimeout::is_fail")]
    pub on_timeout: OnTimeout,
    /// The items of a checklist; a plain approval has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<Item>,
}

fn one() -> u32 {
    1
}

/// What the end of `timeout` means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnTimeout {
    /// The step has timed out.
    #[default]
    Fail,
    /// The contacts are named and the question stays open for another period; after that,
    /// whoever is there may break the glass with a typed reason.
    Escalate,
}

impl OnTimeout {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_fail(&self) -> bool {
        *self == Self::Fail
    }
}

/// One thing of a checklist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// What is to be done or looked at.
    pub text: String,
    /// Ticking it takes a note: what was seen.
    #[serde(default, skip_serializing_if = "is_false")]
    pub evidence: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
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

impl Decision {
    /// The word, as the journal writes it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Rejected => "rejected",
        }
    }
}

/// One person's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// What was answered.
    pub decision: Decision,
    /// Who: a name nobody has checked when `claimed`.
    pub by: String,
    /// The name was typed or taken from the login, not proved by a key.
    pub claimed: bool,
    /// Why, in their words; of a checklist's item, what was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The item that is ticked, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<u32>,
    /// Given although nobody who was asked was there.
    #[serde(default, skip_serializing_if = "is_false")]
    pub break_glass: bool,
    /// The login it was given from, where that is not the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// The proof that the key of that person gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<Signed>,
}

/// What a key signed. Verified offline with `ssh-keygen -Y verify -n runbook-approval@v1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// The exact text that was signed.
    pub statement: String,
    /// The signature in the SSHSIG format.
    pub signature: String,
    /// The fingerprint of the key, as `ssh-keygen -l` prints it.
    pub fingerprint: String,
}

impl Answer {
    /// An answer in a name that no key proves.
    pub fn claimed(decision: Decision, by: impl Into<String>) -> Self {
        Self {
            decision,
            by: by.into(),
            claimed: true,
            reason: None,
            item: None,
            break_glass: false,
            login: None,
            signed: None,
        }
    }

    /// Adds why, in their words.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// Who gave it and how that is known: `signed by dana (SHA256:...)`, `dana (claimed)`.
    pub fn who(&self) -> String {
        let by = &self.by;
        let login = self.login.iter().map(|login| format!(", from the login {login}"));
        match &self.signed {
            Some(signed) => format!("{by}, signed with {}", signed.fingerprint),
            None => format!("{by} (claimed{})", login.collect::<String>()),
        }
    }

    pub(crate) fn has_reason(&self) -> bool {
        self.reason.as_ref().is_some_and(|reason| !reason.trim().is_empty())
    }
}
