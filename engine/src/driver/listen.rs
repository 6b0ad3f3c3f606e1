//! What the driver hears while it waits: ends of attempts, facts, answers, cancellations, and
//! requests of other processes.

use std::time::Duration;

use jiff::Timestamp;
use model::ids::StepId;
use model::run::decide::stoppable;
use model::run::event::{Event, Seen};
use model::run::step_state::StepState;
use model::step_error::StepError;
use tokio::time::{Interval, MissedTickBehavior};

use crate::driver::{CancelWish, Driver, Heard, Then};
use crate::error::{EngineError, Obstacle};
use crate::executor::{Ended, FactMessage};
use crate::inbox::{self, Request};

/// Between two looks into the inbox.
const INBOX: Duration = Duration::from_millis(250);

/// Looks into the inbox are spread evenly, whatever else happens.
pub(super) fn inbox_interval() -> Interval {
    let mut interval = tokio::time::interval(INBOX);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// What came first.
enum Woken {
    Heard(Heard),
    Lost,
    Fact(FactMessage),
    Progress(StepId, crate::context::Progress),
    Cancel(CancelWish),
    Inbox,
    Time,
}

impl Driver {
    /// Waits for the first thing to happen, then takes everything else that has happened.
    pub(super) async fn listen(&mut self, until: Option<Timestamp>) -> Result<(), EngineError> {
        let woken = self.wait(until).await;
        self.batch.stamp = None;
        self.watch_time()?;
        self.take(woken)?;
        while let Some(heard) = self.tasks.try_join_next() {
            self.take(joined(heard))?;
        }
        while let Ok(message) = self.facts.try_recv() {
            self.take(Woken::Fact(message))?;
        }
        Ok(())
    }

    async fn wait(&mut self, until: Option<Timestamp>) -> Woken {
        let clock = std::sync::Arc::clone(&self.parts.clock);
        let time = async {
            match until {
                // Work that runs may end before the time comes, also on a clock that jumps.
                Some(at) => {
                    tokio::task::yield_now().await;
                    clock.wait_until(at).await;
                }
                None => std::future::pending().await,
            }
        };
        let watches = self.parts.folder.is_some();
        tokio::select! {
            biased;
            Some(message) = self.facts.recv() => Woken::Fact(message),
            Some(heard) = self.tasks.join_next() => joined(heard),
            wish = wish(self.parts.cancels.as_mut()) => Woken::Cancel(wish),
            Some((step, progress)) = self.progress.recv() => Woken::Progress(step, progress),
            _ = self.inbox.tick(), if watches => Woken::Inbox,
            () = time => Woken::Time,
        }
    }

    fn take(&mut self, woken: Woken) -> Result<(), EngineError> {
        match woken {
            Woken::Heard(Heard::Ended(step, attempt, ended)) => self.ended(step, attempt, ended),
            Woken::Heard(Heard::Observed(step, attempt, seen)) => {
                self.observed(step, attempt, seen)
            }
            Woken::Heard(Heard::Answered(question, answer)) => {
                self.answered(*question, answer);
                Ok(())
            }
            Woken::Fact(message) => {
                self.fact(message);
                Ok(())
            }
            Woken::Heard(Heard::Looked(step, attempt, seen)) => self.looked(step, attempt, &seen),
            Woken::Heard(Heard::Chosen(choice)) => {
                self.chosen(choice);
                Ok(())
            }
            Woken::Cancel(wish) => {
                self.wished(wish);
                Ok(())
            }
            Woken::Progress(step, progress) => {
                for observer in &mut self.parts.observers {
                    observer.progress(&step, &progress);
                }
                Ok(())
            }
            Woken::Inbox => self.read_inbox().map(|_| ()),
            Woken::Time => Ok(()),
            Woken::Lost => Err(EngineError::new(
                "RB0498",
                Obstacle::Bug,
                "a part of the program that runs steps ended in a bug",
            )),
        }
    }

    fn ended(&mut self, step: StepId, attempt: u32, ended: Ended) -> Result<(), EngineError> {
        if !self.runs(&step, attempt) {
            return Ok(());
        }
        self.tokens.remove(&step);
        // Facts that the attempt sent before its end come first.
        while let Ok(message) = self.facts.try_recv() {
            self.fact(message);
        }
        let log = ended.log;
        self.stage(match ended.result {
            Ok(output) => Event::StepSucceeded { step, attempt, output, adopted: false, log },
            Err(end) => Event::StepAttemptEnded { step, attempt, end, log },
        })
    }

    fn observed(&mut self, step: StepId, attempt: u32, seen: Seen) -> Result<(), EngineError> {
        self.stage(Event::StepObserved { step, attempt, seen })
    }

    fn fact(&mut self, message: FactMessage) {
        let FactMessage { step, attempt, fact, durable } = message;
        if self.stage_if_legal(Event::StepFact { step, attempt, fact }) {
            self.batch.then.push(Then::Confirm(durable));
        } else {
            let error = StepError::permanent("RB0407", "the attempt has ended: no fact is taken");
            durable.send(Err(error)).ok();
        }
    }

    /// Stages an event that someone outside asked for; whether it was possible.
    pub(super) fn stage_if_legal(&mut self, event: Event) -> bool {
        let at = self.stamp().at;
        if self.state.apply(at, &event).is_err() {
            return false;
        }
        self.batch.events.push(event);
        true
    }

    pub(super) fn cancel(&mut self, event: Event) {
        if self.stage_if_legal(event) {
            self.batch.then.push(Then::Stop(stoppable(&self.state)));
        }
    }

    /// Takes the requests of other processes, each once; one that is not possible is told and
    /// dropped. Whether there was one.
    pub(super) fn read_inbox(&mut self) -> Result<bool, EngineError> {
        let Some(folder) = self.parts.folder.clone() else { return Ok(false) };
        let mut any = false;
        for (name, request) in inbox::waiting(&folder) {
            if !self.taken.insert(name.clone()) {
                continue;
            }
            any = true;
            match request {
                Some(request) => self.answer_request(&request)?,
                None => self.warn("a request in the inbox cannot be read".to_owned(), None)?,
            }
            self.batch.then.push(Then::RequestDone(name));
        }
        Ok(any)
    }

    fn answer_request(&mut self, request: &Request) -> Result<(), EngineError> {
        let event = request.event(&self.state);
        if let Event::CancelRequested { .. } = event {
            self.cancel(event);
            return Ok(());
        }
        let step = event.step().cloned();
        if let Event::ApprovalAnswered { step, answer } = &event {
            // A holder that died may have journaled it before it removed the request.
            let asked = self.state.step(step).and_then(StepState::question);
            if asked.is_some_and(|asked| asked.answers.iter().any(|(_, given)| given == answer)) {
                return Ok(());
            }
            let at = self.stamp().at;
            if let Some(refusal) = inbox::refusal(&self.state, step, at, answer) {
                let message = format!("an answer does not count: [{}] {refusal}", refusal.code());
                return self.warn(message, Some(step.clone()));
            }
        }
        let staged = self.stage_if_legal(event);
        match step {
            Some(step) if staged => self.ask_anew(&step),
            step if !staged => self.warn("a request came too late".to_owned(), step)?,
            _ => {}
        }
        Ok(())
    }

    fn warn(&mut self, message: String, step: Option<StepId>) -> Result<(), EngineError> {
        self.stage(Event::Warning { code: "RB0452".to_owned(), message, step })
    }
}

/// What a task that ended told; one whose question was closed tells nothing.
fn joined(heard: Result<Heard, tokio::task::JoinError>) -> Woken {
    match heard {
        Ok(heard) => Woken::Heard(heard),
        Err(error) if error.is_cancelled() => Woken::Time,
        Err(_) => Woken::Lost,
    }
}

/// The next cancellation from this process; never, when none can come.
pub(crate) async fn wish(
    cancels: Option<&mut tokio::sync::mpsc::UnboundedReceiver<CancelWish>>,
) -> CancelWish {
    match cancels {
        Some(cancels) => match cancels.recv().await {
            Some(wish) => wish,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}
