//! What people are asked, and what they answered, as text.

use std::fmt::Write as _;

use jiff::Timestamp;
use model::approval::{Answer, Question};
use model::ids::StepId;
use model::plan::Contact;
use serde_json::{Value, json};

use crate::show::contact;

/// A question with its answers, its items and whom to call.
pub(crate) fn text(step: &StepId, question: &Question, contacts: &[Contact]) -> String {
    let mut text = format!("{step}: {}\n", question.request.prompt);
    let mut line = |it: &str| writeln!(text, "  {it}").expect("text takes every write");
    line(&asked(question));
    for (number, item) in (1_u32..).zip(&question.request.items) {
        let evidence = if item.evidence { " (with evidence)" } else { "" };
        match question.tick(number) {
            None => line(&format!("[ ] {number} {}{evidence}", item.text)),
            Some((at, tick)) => line(&format!("[x] {number} {}: {}", item.text, given(*at, tick))),
        }
    }
    for (at, answer) in question.answers.iter().filter(|(_, answer)| answer.item.is_none()) {
        line(&format!("{} by {}", answer.decision.word(), given(*at, answer)));
    }
    if question.is_glass_open() {
        line("nobody answered; whoever is there may break the glass");
    }
    let escalated = question.escalation.as_ref().map(|escalation| escalation.contacts.as_slice());
    for contact in escalated.unwrap_or(contacts) {
        writeln!(text, "  call {}", contact::line(contact)).expect("text takes every write");
    }
    text
}

/// A question for programs.
pub(crate) fn as_json(question: &Question) -> Value {
    let escalation = question.escalation.as_ref();
    json!({
        "request": question.request, "asked_at": question.asked_at, "until": question.until,
        "answers": question.answers.iter().map(|(at, answer)| json!({"at": at, "answer": answer}))
            .collect::<Value>(),
        "escalated_to": escalation.map(|escalation| &escalation.contacts),
        "break_glass": question.is_glass_open(),
    })
}

/// Who is asked, and until when.
fn asked(question: &Question) -> String {
    let request = &question.request;
    let who = match request.approvers.join(", ") {
        who if who.is_empty() => "anyone".to_owned(),
        who => who,
    };
    let count = match request.required {
        0 | 1 => String::new(),
        count => format!(" ({count} persons)"),
    };
    let until = question.until.map(|until| format!(", open until {until:.0}")).unwrap_or_default();
    format!("asked: {who}{count}{until}")
}

/// Who, when, and what they said.
pub(crate) fn given(at: Timestamp, answer: &Answer) -> String {
    let glass = if answer.break_glass { " BREAK-GLASS" } else { "" };
    let reason = answer.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{}{glass} at {at:.0}{reason}", answer.who())
}
