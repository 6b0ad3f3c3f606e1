//! An open question and what has been answered.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Answer, Decision, Request};
use crate::plan::Contact;

/// A question that is or was open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// What is asked.
    pub request: Request,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// When it closes, or is escalated.
    pub until: Option<Timestamp>,
    /// The answers so far, and when they came.
    pub answers: Vec<(Timestamp, Answer)>,
    /// Whom it was escalated to.
    pub escalation: Option<Escalation>,
    /// SHA-256 of the plan, which signatures bind; absent in a journal of a version that checked
    /// answers only before it recorded them.
    pub plan: Option<String>,
}

/// What became of a question that nobody answered in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Escalation {
    /// When.
    pub at: Timestamp,
    /// Whom to call.
    pub contacts: Vec<Contact>,
    /// Whoever is there may answer, with a reason.
    pub break_glass: bool,
}

impl Question {
    /// A question that nobody has answered.
    pub fn new(request: Request, asked_at: Timestamp, until: Option<Timestamp>) -> Self {
        Self { request, asked_at, until, answers: Vec::new(), escalation: None, plan: None }
    }

    fn said(&self) -> impl DoubleEndedIterator<Item = &Answer> {
        self.answers.iter().map(|(_, answer)| answer)
    }

    /// Those who approved or ticked, each once, in order.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for answer in self.said().filter(|answer| answer.decision == Decision::Approved) {
            if !names.iter().any(|name| same_person(name, &answer.by)) {
                names.push(&answer.by);
            }
        }
        names
    }

    /// The first rejection.
    pub fn rejection(&self) -> Option<&Answer> {
        self.said().find(|answer| answer.decision == Decision::Rejected)
    }

    /// It is a checklist.
    pub fn is_task(&self) -> bool {
        !self.request.items.is_empty()
    }

    /// Whoever is there may answer, with a reason.
    pub fn is_glass_open(&self) -> bool {
        self.escalation.as_ref().is_some_and(|escalation| escalation.break_glass)
    }

    /// Who ticked an item (from 1), and when.
    pub fn tick(&self, item: u32) -> Option<&(Timestamp, Answer)> {
        self.answers.iter().find(|(_, answer)| answer.item == Some(item))
    }

    /// The items that nobody ticked, from 1.
    pub fn left(&self) -> Vec<u32> {
        let items = 1..=u32::try_from(self.request.items.len()).unwrap_or(u32::MAX);
        items.filter(|item| self.tick(*item).is_none()).collect()
    }

    /// Enough was approved or everything ticked, and nobody rejected it.
    pub fn is_granted(&self) -> bool {
        let enough = if self.is_task() {
            self.left().is_empty()
        } else {
            self.said().any(|answer| answer.break_glass)
                || self.names().len() >= self.request.required as usize
        };
        self.rejection().is_none() && enough
    }

    /// More answers are needed.
    pub fn is_open(&self) -> bool {
        self.rejection().is_none() && !self.is_granted()
    }

    /// Answers that were given while it was open hold after its end, too.
    pub(super) fn has_expired(&self, at: Timestamp) -> bool {
        let fails = self.request.on_timeout.is_fail();
        fails && self.until.is_some_and(|until| until <= at)
    }

    /// The output of its step.
    pub fn output(&self) -> Value {
        let last = self.answers.last().map(|(at, _)| at);
        let mut output = json!({
            "decision": Decision::Approved,
            "by": self.names().join(", "),
            "at": last,
            "claimed": self.said().any(|answer| answer.claimed),
            "break_glass": self.said().any(|answer| answer.break_glass),
        });
        if self.is_task() {
            let items = (1_u32..).zip(&self.request.items).filter_map(|(number, item)| {
                let (at, tick) = self.tick(number)?;
                Some(json!({
                    "item": number, "text": item.text, "by": tick.by, "at": at,
                    "claimed": tick.claimed, "note": tick.reason,
                }))
            });
            output["items"] = items.collect();
            output["participants"] = json!(self.names());
        }
        output
    }
}

/// Whether two names mean one person.
pub(super) fn same_person(a: &str, b: &str) -> bool {
    a.trim().to_lowercase() == b.trim().to_lowercase()
}
