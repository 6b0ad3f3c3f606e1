//! The one loop: decide, make it durable, act, listen.
//!
//! An effect is never begun before the record that announces it is durable. Events that are
//! decided together are made durable together. When the journal cannot be written, nothing new
//! begins: what can be stopped is stopped, the rest is waited for, and the error says so.

mod asking;
mod enact;
mod hold;
mod listen;
mod ports;
mod watch;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use model::effect::Effect;
use model::ids::{RunId, StepId};
use model::journal::{Record, Stamp};
use model::run::decide::{Command, decide};
use model::run::event::{Event, RunCreated};
use model::run::state::{RunState, RunStatus};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

pub use ports::{
    AnswerFuture, Approver, CancelWish, Choice, ChoiceFuture, Observer, Offer, Question,
};

pub(crate) use listen::wish;

use crate::clock::Clock;
use crate::context::Progress;
use crate::error::{EngineError, Obstacle};
use crate::executor::{Ended, Executor, FactMessage, Job, Link};
use crate::journal::Journal;
use crate::lock::Lock;
use crate::redact::Redactor;
use crate::{inbox, session};

/// What a run is driven with; modes differ only in this.
pub struct Parts {
    /// Where events become durable.
    pub journal: Box<dyn Journal>,
    /// Carries attempts out.
    pub executor: Arc<dyn Executor>,
    /// The run's clock.
    pub clock: Arc<dyn Clock>,
    /// Answers questions, when a person is there.
    pub approver: Option<Arc<dyn Approver>>,
    /// See everything, change nothing.
    pub observers: Vec<Box<dyn Observer>>,
    /// The run's folder, whose inbox is watched.
    pub folder: Option<PathBuf>,
    /// Cancellations from this process.
    pub cancels: Option<mpsc::UnboundedReceiver<CancelWish>>,
    /// The run's lock, looked at again when time has passed that this process did not see.
    pub lock: Option<Lock>,
    /// Masks what goes into the journal.
    pub redactor: Redactor,
}

/// How a run stands when its process lets go of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunOutcome {
    /// The run.
    pub run: RunId,
    /// Where it stands.
    pub status: RunStatus,
}

/// Drives one run.
pub struct Driver {
    parts: Parts,
    state: RunState,
    created: Arc<RunCreated>,
    steps: HashMap<StepId, Arc<model::plan::PlanStep>>,
    tokens: HashMap<StepId, CancellationToken>,
    batch: Batch,
    tasks: JoinSet<Heard>,
    link: Link,
    facts: mpsc::UnboundedReceiver<FactMessage>,
    progress: mpsc::Receiver<(StepId, Progress)>,
    hold: Option<hold::Hold>,
    watch: watch::Watch,
    asking: HashMap<StepId, AbortHandle>,
    taken: HashSet<String>,
    inbox: tokio::time::Interval,
}

/// Events that are not durable yet, and what may only happen when they are.
#[derive(Default)]
struct Batch {
    stamp: Option<Stamp>,
    events: Vec<Event>,
    then: Vec<Then>,
}

/// What happens when a batch is durable.
enum Then {
    Run(Job),
    Observe(Job),
    Ask(Question),
    Confirm(oneshot::Sender<Result<(), model::step_error::StepError>>),
    Stop(Vec<StepId>),
    RequestDone(String),
}

/// What the driver hears from the tasks it started.
enum Heard {
    Ended(StepId, u32, Ended),
    Observed(StepId, u32, model::run::event::Seen),
    Answered(Box<Question>, Option<model::approval::Answer>),
    Chosen(Option<Choice>),
    Looked(StepId, u32, model::run::event::Seen),
}

/// What there is to wait for.
enum Next {
    Wait(Option<Timestamp>),
    LetGo(RunStatus),
}

impl Driver {
    /// A driver of a run whose state so far is `state`; made inside a tokio runtime.
    pub fn new(parts: Parts, state: RunState) -> Self {
        let created = state.created().expect("a driven run was created").clone();
        let steps = created.plan.steps.iter().cloned().map(|step| (step.id.clone(), step.into()));
        let (facts_in, facts) = mpsc::unbounded_channel();
        let (progress_in, progress) = mpsc::channel(64);
        let watch = watch::Watch::now(parts.clock.as_ref());
        Self {
            watch,
            parts,
            steps: steps.collect(),
            created: Arc::new(created),
            state,
            tokens: HashMap::new(),
            batch: Batch::default(),
            tasks: JoinSet::new(),
            link: Link { facts: facts_in, progress: progress_in },
            facts,
            progress,
            asking: HashMap::new(),
            taken: HashSet::new(),
            hold: None,
            inbox: listen::inbox_interval(),
        }
    }

    /// Records events that come before the first decision, and drives the run until it ends or
    /// only people can bring it on.
    pub async fn drive(mut self, first: Vec<Event>) -> Result<RunOutcome, EngineError> {
        for event in first {
            self.stage(event)?;
        }
        self.ask_again();
        // What the last holder did not come to journal comes first.
        self.read_inbox()?;
        let outcome = self.run_loop().await;
        if outcome.is_err() {
            self.wind_down().await;
        }
        outcome
    }

    async fn run_loop(&mut self) -> Result<RunOutcome, EngineError> {
        loop {
            let next = self.decide_all()?;
            self.commit()?;
            self.offer_choice();
            match next {
                // What was asked for meanwhile is not left behind.
                Next::LetGo(_) if self.state.finished().is_none() && self.read_inbox()? => {}
                Next::LetGo(status) => return Ok(RunOutcome { run: self.created.run, status }),
                Next::Wait(until) => self.listen(until).await?,
            }
        }
    }

    /// Decides until nothing more follows.
    fn decide_all(&mut self) -> Result<Next, EngineError> {
        loop {
            let now = self.stamp().at;
            let (mut until, mut rest, mut acted) = (None, None, false);
            for command in decide(&self.state, now) {
                match command {
                    Command::WaitUntil(at) => until = Some(at),
                    Command::Rest(status) => rest = Some(status),
                    command => {
                        let failed = self.state.failed_step().is_some();
                        self.enact(command)?;
                        acted = true;
                        if !failed && self.state.failed_step().is_some() {
                            break;
                        }
                    }
                }
            }
            if acted {
                continue;
            }
            let people = !self.asking.is_empty()
                || self.batch.then.iter().any(|then| matches!(then, Then::Ask(_)));
            return Ok(match rest {
                _ if self.state.finished().is_some() => Next::LetGo(self.state.status()),
                _ if self.state.is_held() => Next::Wait(until),
                Some(status) if status != RunStatus::WaitingForApproval || !people => {
                    Next::LetGo(status)
                }
                _ => Next::Wait(until),
            });
        }
    }

    /// The stamp of the current batch.
    fn stamp(&mut self) -> &Stamp {
        let (clock, epoch) = (&self.parts.clock, self.state.epoch().max(1));
        self.batch.stamp.get_or_insert_with(|| session::stamp(clock.as_ref(), epoch))
    }

    /// Adds an event to the state and to the batch.
    fn stage(&mut self, event: Event) -> Result<(), EngineError> {
        let at = self.stamp().at;
        self.state.apply(at, &event).map_err(|error| {
            let message = format!("{error} ({event:?})");
            EngineError::new("RB0498", Obstacle::Bug, self.parts.redactor.text(&message))
                .hint("please report it; `runbook resume` goes on from the journal")
        })?;
        if let Event::RunResumed { epoch, .. } | Event::RunReopened { epoch, .. } = event {
            self.stamp();
            self.batch.stamp.as_mut().expect("a batch with events has a stamp").epoch = epoch;
        }
        self.batch.events.push(event);
        Ok(())
    }

    /// Makes the batch durable, then does what waited for it.
    fn commit(&mut self) -> Result<(), EngineError> {
        let batch = std::mem::take(&mut self.batch);
        if !batch.events.is_empty() {
            let stamp = batch.stamp.expect("a batch with events has a stamp");
            let records = self.parts.journal.append(&stamp, batch.events);
            let records = records.map_err(|error| session::not_durable(&error))?;
            self.show(&records);
        }
        for then in batch.then {
            self.perform(then);
        }
        self.stop_asking();
        Ok(())
    }

    fn show(&mut self, records: &[Record]) {
        for observer in &mut self.parts.observers {
            for record in records {
                observer.event(record, &self.state);
            }
        }
    }

    fn perform(&mut self, then: Then) {
        let executor = Arc::clone(&self.parts.executor);
        match then {
            Then::Run(job) => {
                self.tokens.insert(job.step.id.clone(), job.cancel.clone());
                self.tasks.spawn(async move {
                    let (step, attempt) = (job.step.id.clone(), job.attempt);
                    Heard::Ended(step, attempt, executor.run(job).await)
                });
            }
            Then::Observe(job) => {
                self.tasks.spawn(async move {
                    let (step, attempt) = (job.step.id.clone(), job.attempt);
                    Heard::Observed(step, attempt, executor.observe(job).await)
                });
            }
            Then::Ask(question) => self.ask(question),
            Then::Confirm(sender) => {
                sender.send(Ok(())).ok();
            }
            Then::Stop(steps) => {
                for token in steps.iter().filter_map(|step| self.tokens.get(step)) {
                    token.cancel();
                }
            }
            Then::RequestDone(name) => {
                if let Some(folder) = &self.parts.folder {
                    inbox::done(folder, &name);
                }
            }
        }
    }

    /// After an error: nothing new begins, what can be taken back is stopped, the rest ends.
    async fn wind_down(&mut self) {
        self.facts.close();
        while self.facts.try_recv().is_ok() {}
        for step in self.state.running() {
            let may_stop = matches!(step.footprint.effect, Effect::Read | Effect::Reversible);
            if let Some(token) = self.tokens.get(&step.id).filter(|_| may_stop) {
                token.cancel();
            }
        }
        while let Some(heard) = self.tasks.join_next().await {
            drop(heard);
        }
    }
}
