//! Questions of a run, answered on the terminal it was started from.

pub(crate) mod console;
mod terminal;

use std::io::{BufRead as _, IsTerminal as _};
use std::sync::Arc;

use engine::driver::{AnswerFuture, Approver, Question};
use jiff::Timestamp;
use model::approval::{Answer, Decision};
use model::plan::Plan;

use crate::cli::Attended;
use crate::people::terminal::Terminal;
use crate::show::print;

/// A person sits at the terminal, and is waited for.
pub(crate) fn is_attended(attended: &Attended) -> bool {
    let terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    terminal && !attended.no_wait
}

/// The person at the terminal wants to be asked.
fn may_be_asked(attended: &Attended) -> bool {
    is_attended(attended) && !attended.yes
}

/// Asks when the incident began, where the runbook has an RPO to measure; never guessed.
pub(crate) fn incident(plan: &Plan, attended: &Attended) -> Option<Timestamp> {
    if plan.objectives.rpo.is_none() || !may_be_asked(attended) {
        return None;
    }
    let question = "when did the incident begin? RFC 3339 with a zone; Enter when there was none: ";
    print::message(question);
    for line in std::io::stdin().lock().lines() {
        let line = line.ok()?;
        match line.trim() {
            "" => return None,
            text => match text.parse() {
                Ok(at) => return Some(at),
                Err(_) => print::message("write it as `2026-11-20T02:00:00Z`, or press Enter: "),
            },
        }
    }
    None
}

/// Who answers: `--yes` for the starter, a person at the terminal, or nobody.
pub(crate) fn approver(attended: &Attended, colour: bool) -> Option<Arc<dyn Approver>> {
    if attended.yes {
        return Some(Arc::new(Yes));
    }
    may_be_asked(attended).then(|| Arc::new(Terminal { colour }) as Arc<dyn Approver>)
}

/// Says yes in the starter's name, to a question that asks for no more than one person; it counts
/// only where the starter may answer. A checklist is never ticked by it.
struct Yes;

impl Approver for Yes {
    fn ask<'a>(&'a self, question: &'a Question) -> AnswerFuture<'a> {
        let (login, asked) = (engine::environment::login(), &question.asked);
        let may = question.refused.is_none()
            && question.created.starter == login
            && asked.request.required <= 1
            && !asked.is_task();
        let answer = may.then(|| Answer::claimed(Decision::Approved, login).because("--yes"));
        Box::pin(std::future::ready(answer))
    }
}
