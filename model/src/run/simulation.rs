//! A driver without effects: a world of outcomes by which the rules are tested.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use serde_json::json;

use crate::approval::{Answer, Decision, Request};
use crate::effect::Effect;
use crate::ids::{RunId, StepId};
use crate::plan::{Plan, Role};
use crate::run::decide::{Command, decide, later, stoppable};
use crate::run::event::{AttemptEnd, Event, Mode, RunCreated, Seen, Verdict};
use crate::run::stage::Reopening;
use crate::run::state::{RunState, RunStatus};
use crate::step_error::{ErrorClass, StepError};
use crate::template::condition;

/// What an attempt comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Success,
    Fails(ErrorClass),
    AppliedThenLost,
    AppliedThenSilent,
    Silent,
    Stalls,
}

impl Outcome {
    fn applies(self) -> bool {
        matches!(self, Self::Success | Self::AppliedThenLost | Self::AppliedThenSilent)
    }
}

#[derive(Debug, Clone)]
enum InFlight {
    Run(StepId, u32),
    Look(StepId, u32),
}

/// The world and the run in it.
pub(super) struct Simulation {
    pub(super) state: RunState,
    pub(super) now: Timestamp,
    pub(super) events: Vec<(Timestamp, Event)>,
    /// The state after each event.
    pub(super) states: Vec<RunState>,
    pub(super) outcomes: HashMap<StepId, Vec<Outcome>>,
    /// How often each step had its effect.
    pub(super) applied: BTreeMap<StepId, u32>,
    pub(super) blind: BTreeSet<StepId>,
    /// Dies when so many events are durable.
    pub(super) crashes: BTreeSet<usize>,
    pub(super) cancel_after: Option<usize>,
    /// Asks once more, by force, when so many events are durable.
    pub(super) force_after: Option<usize>,
    /// What people open the finished run again for, the last one first.
    pub(super) reopenings: Vec<Reopening>,
    /// Time passes while attempts run, and people also say no or skip.
    pub(super) moody: bool,
    /// Answers to every open choice of the world, over and over.
    pub(super) choices: Vec<u8>,
    chosen: usize,
    in_flight: Vec<InFlight>,
}

/// The step's `if` does not hold.
pub(super) fn skipped(step: StepId) -> Event {
    Event::StepSkipped { step, left_out: None, by: None, reason: None }
}

pub(super) fn start() -> Timestamp {
    Timestamp::from_second(1_795_000_000).unwrap()
}

impl Simulation {
    pub(super) fn new(plan: Plan) -> Self {
        Self::started(plan, false)
    }

    pub(super) fn started(mut plan: Plan, unattended: bool) -> Self {
        plan.ask_before_undo();
        let mut simulation = Self {
            state: RunState::new(),
            now: start(),
            events: Vec::new(),
            states: Vec::new(),
            outcomes: HashMap::new(),
            applied: BTreeMap::new(),
            blind: BTreeSet::new(),
            crashes: BTreeSet::new(),
            cancel_after: None,
            force_after: None,
            reopenings: Vec::new(),
            moody: false,
            choices: vec![0],
            chosen: 0,
            in_flight: Vec::new(),
        };
        simulation.record(Event::RunCreated(Box::new(RunCreated {
            run: RunId::from(ulid::Ulid::nil()),
            tool: "0.1.0".to_owned(),
            mode: Mode::Live,
            starter: "ann".to_owned(),
            started_at: start(),
            incident_at: None,
            unattended,
            approvers: None,
            vars: indexmap::IndexMap::new(),
            plan,
        })));
        simulation
    }

    pub(super) fn record(&mut self, event: Event) {
        self.state.apply(self.now, &event).unwrap_or_else(|error| panic!("{error}: {event:?}"));
        self.forget(&event);
        self.events.push((self.now, event));
        self.states.push(self.state.clone());
    }

    /// What begins once more may have its effect once more.
    fn forget(&mut self, event: &Event) {
        let state = &self.state;
        match event {
            Event::HandlersStarted { on, .. } => self
                .applied
                .retain(|step, _| state.plan_step_of(step).unwrap().role != Role::Handler(*on)),
            Event::UndoStarted { steps, .. } => self.applied.retain(|step, _| {
                let role = &state.plan_step_of(step).unwrap().role;
                !matches!(role, Role::Undo(of) if steps.contains(of))
            }),
            Event::StepSucceeded { step, .. }
            | Event::StepResolved { step, verdict: Verdict::Applied, .. } => {
                if let Role::Undo(of) = &state.plan_step_of(step).unwrap().role {
                    self.applied.remove(of);
                }
            }
            _ => {}
        }
    }

    fn choose(&mut self, count: usize) -> usize {
        let choice = self.choices[self.chosen % self.choices.len()];
        self.chosen += 1;
        usize::from(choice) % count
    }

    /// Until the run is finished; every wait for people is answered, truthfully.
    pub(super) fn play(&mut self) {
        for _ in 0..5_000 {
            if self.round() {
                return;
            }
        }
        panic!("the run does not end: {:#?}", self.names());
    }

    /// Until the run is finished or waits for people.
    pub(super) fn play_to_rest(&mut self) -> RunStatus {
        for _ in 0..5_000 {
            let resting = decide(&self.state, self.now);
            let rest = resting.iter().find_map(|command| match command {
                Command::Rest(status) => Some(*status),
                _ => None,
            });
            if let Some(status) = rest.filter(|_| self.in_flight.is_empty()) {
                return status;
            }
            if self.round() {
                return self.state.status();
            }
        }
        panic!("the run does not end");
    }

    /// One decision and what follows; whether the run is finished.
    fn round(&mut self) -> bool {
        if self.crashes.remove(&self.events.len()) {
            self.crash();
        }
        if self.cancel_after.is_some_and(|after| after <= self.events.len()) {
            self.cancel_after = None;
            self.cancel(false);
        }
        if self.force_after.is_some_and(|after| after <= self.events.len()) {
            self.force_after = None;
            self.cancel(true);
        }
        let (mut until, mut rest, mut acted) = (None, None, false);
        for command in decide(&self.state, self.now) {
            match command {
                Command::WaitUntil(at) => until = Some(at),
                Command::Rest(status) => rest = Some(status),
                command => {
                    self.enact(command);
                    acted = true;
                }
            }
        }
        if self.state.finished().is_some() {
            return !self.reopen();
        }
        if acted {
            return false;
        }
        if let Some(at) = until.filter(|_| self.moody && self.choose(4) == 0) {
            self.now = at;
        } else if !self.in_flight.is_empty() {
            let next = self.choose(self.in_flight.len());
            let next = self.in_flight.remove(next);
            self.complete(next);
        } else if let Some(status) = rest {
            self.help(status);
        } else {
            self.now = until.expect("something is left to wait for");
        }
        false
    }

    fn enact(&mut self, command: Command) {
        match command {
            Command::Start { step, attempt, .. } => {
                let fresh = self.state.step(&step).unwrap().first_started.is_none();
                if fresh && !self.admits(&step) {
                    return self.record(skipped(step));
                }
                self.record(Event::StepStarted { step: step.clone(), attempt });
                self.in_flight.push(InFlight::Run(step, attempt));
            }
            Command::Ask { step } => {
                if !self.admits(&step) {
                    return self.record(skipped(step));
                }
                let prompt = "Go?".to_owned();
                let request = Request { prompt, required: 1, ..Request::default() };
                self.record(Event::ApprovalRequested { step, request, until: None, plan: None });
            }
            Command::Observe { step, attempt } => {
                self.record(Event::StepObserving { step: step.clone(), attempt });
                self.in_flight.push(InFlight::Look(step, attempt));
            }
            Command::DrawRetry { step, attempt, base, .. } => {
                let at = later(self.now, base);
                self.record(Event::StepRetryScheduled { step, attempt, at });
            }
            Command::Record(event) => self.record(event),
            Command::Finish { status, failed_step } => {
                self.record(Event::RunFinished { status, failed_step });
            }
            Command::WaitUntil(_) | Command::Rest(_) => {}
        }
    }

    fn admits(&self, step: &StepId) -> bool {
        let plan = self.state.plan_step_of(step).unwrap();
        let text = plan.condition.as_deref();
        text.is_none_or(|text| condition(text, &json!({}), &self.state).unwrap())
    }

    fn outcome(&self, step: &StepId, attempt: u32) -> Outcome {
        let outcomes = self.outcomes.get(step).map_or(&[][..], Vec::as_slice);
        let last = outcomes.last().copied().unwrap_or(Outcome::Success);
        outcomes.get(attempt as usize - 1).copied().unwrap_or(last)
    }

    fn complete(&mut self, work: InFlight) {
        match work {
            InFlight::Look(step, attempt) => {
                let seen = self.look(&step);
                self.record(Event::StepObserved { step, attempt, seen });
            }
            InFlight::Run(step, attempt) => {
                if stoppable(&self.state).contains(&step) && self.choose(2) == 0 {
                    let end = AttemptEnd::Failed { error: StepError::cancelled() };
                    return self.record(Event::StepAttemptEnded { step, attempt, end, log: None });
                }
                self.finish(step, attempt);
            }
        }
    }

    fn finish(&mut self, step: StepId, attempt: u32) {
        let outcome = self.outcome(&step, attempt);
        if outcome.applies() {
            *self.applied.entry(step.clone()).or_default() += 1;
        }
        let limit = "1m".parse().unwrap();
        let failed = |class| AttemptEnd::Failed { error: StepError::new(class, "RB0500", "no") };
        let end = match outcome {
            Outcome::Success => {
                let (output, adopted, log) = (json!({}), false, None);
                return self.record(Event::StepSucceeded { step, attempt, output, adopted, log });
            }
            Outcome::Fails(class) => failed(class),
            Outcome::AppliedThenLost => failed(ErrorClass::Ambiguous),
            Outcome::AppliedThenSilent | Outcome::Silent => AttemptEnd::TimedOut { limit },
            Outcome::Stalls => AttemptEnd::Stalled { limit },
        };
        self.record(Event::StepAttemptEnded { step, attempt, end, log: None });
    }

    fn look(&self, step: &StepId) -> Seen {
        if self.state.plan_step_of(step).unwrap().footprint.effect == Effect::Read {
            return Seen::NotDone;
        }
        match self.applied.contains_key(step) {
            _ if self.blind.contains(step) => Seen::Unknown,
            true => Seen::Done { output: json!({}) },
            false => Seen::NotDone,
        }
    }

    /// The process dies: what ran may have had its effect; another process takes over.
    fn crash(&mut self) {
        for work in std::mem::take(&mut self.in_flight) {
            if let InFlight::Run(step, attempt) = work
                && self.outcome(&step, attempt).applies()
                && self.choose(2) == 0
            {
                *self.applied.entry(step).or_default() += 1;
            }
        }
        self.resume();
    }

    pub(super) fn resume(&mut self) {
        let epoch = self.state.epoch() + 1;
        self.record(Event::RunResumed { epoch, by: "bob".to_owned() });
    }

    fn cancel(&mut self, force: bool) {
        if self.state.finished().is_none() {
            let (by, reason) = ("ann".to_owned(), None);
            self.record(Event::CancelRequested { by, reason, force });
        }
    }

    /// Opens the finished run again, when somebody wants to and can.
    fn reopen(&mut self) -> bool {
        while let Some(what) = self.reopenings.pop() {
            let may = match what {
                Reopening::Undo => !self.state.undoable().is_empty(),
                Reopening::RetryFailed => self.state.has_failed_steps(),
            };
            if may {
                let epoch = self.state.epoch() + 1;
                self.record(Event::RunReopened { epoch, by: "bob".to_owned(), what });
                return true;
            }
        }
        false
    }

    fn help(&mut self, status: RunStatus) {
        match status {
            RunStatus::Paused => self.resume(),
            RunStatus::InDoubt => {
                let step = self.state.in_doubt().next().unwrap().id.clone();
                let attempt = self.state.step(&step).unwrap().attempt;
                let applied = self.applied.contains_key(&step);
                let verdict = if applied { Verdict::Applied } else { Verdict::NotApplied };
                let (by, reason, output) = ("dana".to_owned(), "looked".to_owned(), None);
                self.record(Event::StepResolved { step, attempt, verdict, by, reason, output });
            }
            RunStatus::WaitingForApproval => {
                let step = self.state.waiting().next().unwrap().id.clone();
                let rejects = self.moody && self.choose(6) == 0;
                let decision = if rejects { Decision::Rejected } else { Decision::Approved };
                let answer = Answer::claimed(decision, "dana");
                self.record(Event::ApprovalAnswered { step, answer });
            }
            status => panic!("nobody can help with {status:?}"),
        }
    }

    /// The events after the first, as `type step` without `step_`.
    pub(super) fn names(&self) -> Vec<String> {
        let name = |(_, event): &(Timestamp, Event)| {
            let value = serde_json::to_value(event).unwrap();
            let kind = value["type"].as_str().unwrap();
            let kind = kind.strip_prefix("step_").unwrap_or(kind).to_owned();
            event.step().map_or(kind.clone(), |step| format!("{kind} {step}"))
        };
        self.events[1..].iter().map(name).collect()
    }
}
