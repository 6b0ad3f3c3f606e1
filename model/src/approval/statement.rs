//! The exact text that a person signs: lines of `name: value`, in one order, so that people can
//! read what they sign and every reader makes the same bytes. Free text is written as JSON, so
//! that it holds no line of its own.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Answer, Asked, NAMESPACE, Refusal};
use crate::hex::hex;
use crate::ids::StepId;
use crate::plan::Plan;
use sha2::{Digest as _, Sha256};

/// SHA-256 of the plan's JSON as the journal's first record holds it.
pub fn plan_digest(plan: &Plan) -> String {
    let json = serde_json::to_vec(plan).expect("a plan is plain data");
    hex(Sha256::digest(json))
}

/// Names this question among all: what is asked by which step, and when.
fn question_digest(step: &StepId, asked: &Asked<'_>) -> String {
    let (request, at) = (&asked.question.request, asked.question.asked_at);
    let json = json!({"step": step, "request": request, "asked_at": at});
    hex(Sha256::digest(json.to_string()))
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The text that `answer` signs.
pub(super) fn statement(asked: &Asked<'_>, answer: &Answer) -> String {
    let question = asked.question;
    let mut text = format!("{NAMESPACE}\n");
    let mut line = |name: &str, value: &str| {
        writeln!(text, "{name}: {value}").expect("text takes every write");
    };
    line("run", &asked.run.to_string());
    line("plan", &format!("sha256:{}", question.plan.as_deref().unwrap_or_default()));
    line("step", asked.step.as_str());
    line("question", &format!("sha256:{}", question_digest(asked.step, asked)));
    line("prompt", &quoted(&question.request.prompt));
    line("decision", answer.decision.word());
    if let Some(item) = answer.item {
        let text = question.request.items.get((item as usize).wrapping_sub(1));
        line("item", &format!("{item} {}", quoted(text.map_or("", |item| &item.text))));
    }
    if answer.break_glass {
        line("break-glass", "yes");
    }
    line("by", &quoted(&answer.by));
    if let Some(reason) = &answer.reason {
        line("reason", &quoted(reason));
    }
    text
}

/// What `signed` says that the answer does not; nothing when they are the same bytes.
pub(super) fn difference(expected: &str, signed: &str) -> Option<Refusal> {
    if expected == signed {
        return None;
    }
    let value = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.map(str::to_owned)
    };
    for (name, refusal) in [
        ("run", Refusal::OtherRun as fn(String) -> Refusal),
        ("plan", Refusal::OtherPlan),
        ("step", Refusal::OtherQuestion),
        ("question", Refusal::OtherQuestion),
        ("decision", Refusal::OtherAnswer),
        ("item", Refusal::OtherAnswer),
        ("by", Refusal::OtherAnswer),
        ("reason", Refusal::OtherAnswer),
    ] {
        let (ours, theirs) = (value(expected, name), value(signed, name));
        if ours != theirs {
            let theirs = theirs.unwrap_or_else(|| "none".to_owned());
            return Some(refusal(format!("its {name} is {theirs}")));
        }
    }
    Some(Refusal::OtherAnswer("its text is another one".to_owned()))
}
