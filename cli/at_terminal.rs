//! The person at the terminal: questions have it to themselves while they are open, and a Ctrl-C
//! in a step that cannot be taken back ends in a choice.

use std::sync::Arc;

use engine::driver::{AnswerFuture, Approver, Choice, ChoiceFuture, Offer, Question};
use model::ids::StepId;

use crate::people::console::console;
use crate::show::live::{Screen, Talk};
use crate::show::print;

/// Answers with `approver`, and lets the person choose.
pub(crate) struct AtTerminal {
    pub(crate) screen: Option<Screen>,
    pub(crate) approver: Arc<dyn Approver>,
}

impl AtTerminal {
    /// The terminal, without the picture that is drawn on it otherwise.
    async fn talk(&self) -> Option<Talk> {
        let screen = self.screen.clone()?;
        // A terminal that takes nothing holds the question up, not the run.
        tokio::task::spawn_blocking(move || screen.talk()).await.ok()
    }
}

impl Approver for AtTerminal {
    fn ask<'a>(&'a self, question: &'a Question) -> AnswerFuture<'a> {
        Box::pin(async move {
            let talk = self.talk().await;
            let answer = self.approver.ask(question).await;
            drop(talk);
            answer
        })
    }

    fn choose<'a>(&'a self, offer: &'a Offer) -> ChoiceFuture<'a> {
        Box::pin(async move {
            let talk = self.talk().await;
            print::message(&prompt(offer));
            let choice = read().await;
            drop(talk);
            choice
        })
    }
}

fn prompt(offer: &Offer) -> String {
    let ended: Vec<&str> = offer.ended.iter().map(StepId::as_str).collect();
    format!(
        "\n{} could not be taken back, and has ended\n\
         go on, pause (for `runbook resume {}`), or cancel?\n\
         type `go on`, `pause` or `cancel`: ",
        ended.join(", "),
        offer.run
    )
}

/// Reads until a plain choice; the end of input is none.
async fn read() -> Option<Choice> {
    let mut console = console().await;
    loop {
        if let Some(choice) = choice(&console.line().await?) {
            return Some(choice);
        }
        print::message("type `go on`, `pause` or `cancel`: ");
    }
}

fn choice(text: &str) -> Option<Choice> {
    match text.trim().to_lowercase().as_str() {
        "go on" | "go" | "continue" => Some(Choice::GoOn),
        "pause" => Some(Choice::Pause),
        "cancel" => Some(Choice::Cancel),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_a_plain_choice_counts() {
        assert_eq!(choice(" Go on \n"), Some(Choice::GoOn));
        assert_eq!(choice("continue"), Some(Choice::GoOn));
        assert_eq!(choice("PAUSE"), Some(Choice::Pause));
        assert_eq!(choice("cancel"), Some(Choice::Cancel));
        assert_eq!(["", "y", "yes", "no", "stop"].map(choice), [None; 5]);
    }
}
