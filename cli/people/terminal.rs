//! Questions answered on the terminal that the run was started from.

use engine::driver::{AnswerFuture, Approver, Question};
use model::approval::{Answer, Decision};

use crate::people::console::console;
use crate::show::{print, question};
use crate::signing;

/// Asks on the terminal.
pub(super) struct Terminal {
    pub(super) colour: bool,
}

impl Approver for Terminal {
    fn ask<'a>(&'a self, question: &'a Question) -> AnswerFuture<'a> {
        Box::pin(self.answer(question))
    }
}

impl Terminal {
    async fn answer(&self, asked: &Question) -> Option<Answer> {
        let mut console = console().await;
        print::message(&print::clean(&prompt(asked)));
        loop {
            let line = console.line().await?;
            let answer = match read(asked, line.trim()) {
                Ok(answer) => answer,
                Err(how) => {
                    print::message(&how);
                    continue;
                }
            };
            let (asked, colour) = (asked.clone(), self.colour);
            let signed = tokio::task::spawn_blocking(move || {
                signing::sign(&asked.context(), answer, None, None)
            });
            match signed.await.ok()? {
                Ok(answer) => return Some(answer),
                Err(failure) => print::message(&failure.text(colour)),
            }
        }
    }
}

fn prompt(asked: &Question) -> String {
    let refused = asked.refused.iter().map(|why| format!("that answer does not count: {why}\n"));
    let contacts = &asked.created.plan.contacts;
    let (refused, shown) =
        (refused.collect::<String>(), question::text(&asked.step, &asked.asked, contacts));
    format!("\n{refused}{shown}{}: ", how(asked))
}

/// What may be typed.
fn how(asked: &Question) -> String {
    let glass = if asked.asked.is_glass_open() { ", or `break-glass` and the reason" } else { "" };
    if asked.asked.is_task() {
        format!("done? type the number of an item and a note, or `no`{glass}")
    } else {
        format!("approve? type `yes` or `no`{glass}")
    }
}

/// What was typed, as an answer; else what may be typed.
fn read(asked: &Question, line: &str) -> Result<Answer, String> {
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let (decision, item) = match word.to_lowercase().as_str() {
        "no" => (Decision::Rejected, None),
        "yes" | "break-glass" if !asked.asked.is_task() => (Decision::Approved, None),
        number if asked.asked.is_task() && number.parse::<u32>().is_ok() => {
            (Decision::Approved, number.parse().ok())
        }
        _ => return Err(format!("{}: ", how(asked))),
    };
    let answer = Answer::claimed(decision, engine::environment::login());
    let reason = Some(rest.trim().to_owned()).filter(|reason| !reason.is_empty());
    let late = asked.asked.is_task() && asked.asked.is_glass_open() && item.is_some();
    let break_glass = word.eq_ignore_ascii_case("break-glass") || late;
    Ok(Answer { item, reason, break_glass, ..answer })
}
