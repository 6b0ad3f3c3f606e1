//! What a plan writes under `with` of the steps that ask people.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Item, OnTimeout, Request, one};
use crate::node::{Node, NodeError};
use crate::node_de;
use crate::units::Span;

/// The question of `human.approve`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Approve {
    /// What is to be decided, in a sentence.
    pub prompt: String,
    /// Roles or names that may answer; empty means anyone.
    #[serde(default)]
    pub approvers: Vec<String>,
    /// How many different persons must approve.
    #[serde(default = "one")]
    pub required: u32,
    /// How long the question stays open; without it, for ever.
    #[serde(default)]
    pub timeout: Option<Span>,
    /// What the end of `timeout` means: the step fails, or the contacts are named and, after
    /// another period, whoever is there may break the glass.
    #[serde(default)]
    pub on_timeout: OnTimeout,
    /// The person who started the run may answer too.
    #[serde(default)]
    pub allow_self: bool,
}

/// The checklist of `human.task`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// What is to be done, in a sentence.
    pub prompt: String,
    /// The things to do, each ticked by a person.
    pub items: Vec<Item>,
    /// Roles or names that may tick; empty means anyone.
    #[serde(default)]
    pub approvers: Vec<String>,
    /// How long the list stays open; without it, for ever.
    #[serde(default)]
    pub timeout: Option<Span>,
    /// What the end of `timeout` means, as for `human.approve`.
    #[serde(default)]
    pub on_timeout: OnTimeout,
    /// The person who started the run may tick too.
    #[serde(default = "yes")]
    pub allow_self: bool,
}

fn yes() -> bool {
    true
}

impl From<Approve> for Request {
    fn from(with: Approve) -> Self {
        let Approve { prompt, approvers, required, timeout, on_timeout, allow_self } = with;
        Self { prompt, approvers, required, timeout, allow_self, on_timeout, items: Vec::new() }
    }
}

impl From<Task> for Request {
    fn from(with: Task) -> Self {
        let Task { prompt, items, approvers, timeout, on_timeout, allow_self } = with;
        Self { prompt, approvers, required: 1, timeout, allow_self, on_timeout, items }
    }
}

impl Request {
    /// Reads a rendered `with`: a checklist when it has `items`.
    pub fn read(with: &Node) -> Result<Self, NodeError> {
        if with.get("items").is_some() {
            node_de::read::<Task>(with).map(Self::from)
        } else {
            node_de::read::<Approve>(with).map(Self::from)
        }
    }
}
