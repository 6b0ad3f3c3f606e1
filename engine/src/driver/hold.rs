//! Ctrl-C at a terminal while a step runs that cannot be taken back: its end is awaited, nothing
//! starts meanwhile, and then the person chooses how it goes on.

use std::sync::Arc;

use model::ids::StepId;
use model::run::decide::awaited;
use model::run::event::Event;
use model::step_error::StepError;

use crate::driver::{CancelWish, Choice, Driver, Heard, Offer};

/// Somebody wants the run to stop, and has not chosen yet.
pub(super) struct Hold {
    wish: CancelWish,
    awaited: Vec<StepId>,
    asked: bool,
}

impl Driver {
    /// A cancellation from this process: at once, or after what cannot be taken back has ended.
    pub(super) fn wished(&mut self, wish: CancelWish) {
        let awaited: Vec<StepId> = awaited(&self.state).map(|step| step.id.clone()).collect();
        let offers = wish.offer && !wish.force && self.parts.approver.is_some();
        if offers
            && !awaited.is_empty()
            && self.stage_if_legal(Event::RunHeld { by: wish.by.clone() })
        {
            self.hold = Some(Hold { wish, awaited, asked: false });
            return;
        }
        self.hold = None;
        let CancelWish { by, reason, force, .. } = wish;
        self.cancel(Event::CancelRequested { by, reason, force });
    }

    /// Asks the person who holds the run, when nothing runs any more that cannot be taken back.
    pub(super) fn offer_choice(&mut self) {
        if awaited(&self.state).next().is_some() {
            return;
        }
        let Some(hold) = self.hold.as_mut().filter(|hold| !hold.asked) else { return };
        let Some(approver) = self.parts.approver.as_ref().map(Arc::clone) else { return };
        hold.asked = true;
        let offer = Offer { run: self.created.run, ended: hold.awaited.clone() };
        self.tasks.spawn(async move { Heard::Chosen(approver.choose(&offer).await) });
    }

    pub(super) fn chosen(&mut self, choice: Option<Choice>) {
        let Some(Hold { wish: CancelWish { by, reason, force, .. }, .. }) = self.hold.take() else {
            return;
        };
        match choice {
            Some(Choice::GoOn) => {
                self.stage_if_legal(Event::RunContinued { by });
            }
            Some(Choice::Pause) => {
                let error = StepError::needs_operator(
                    "RB0462",
                    format!("`{by}` paused it at the terminal"),
                )
                .hint("`runbook resume` goes on, `runbook cancel` ends it");
                self.stage_if_legal(Event::RunPaused { step: None, error });
            }
            Some(Choice::Cancel) | None => {
                self.cancel(Event::CancelRequested { by, reason, force });
            }
        }
    }
}
