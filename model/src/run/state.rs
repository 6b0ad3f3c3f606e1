//! The state of a run: what its events add up to. The sets that decisions are taken from are
//! kept up to date by every event, so that a decision never walks over all steps.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::approval::{Asked, Question};
use crate::ids::StepId;
use crate::plan::{Occasion, Plan, PlanStep};
use crate::run::event::{Event, FinalStatus, RunCreated};
use crate::run::graph::{Graph, LANES, Lane, Place};
use crate::run::sets::Sets;
use crate::run::stage::{Stage, Wait};
use crate::run::step_state::{Phase, StepState};
use crate::step_error::StepError;
use crate::template::Results;

/// An event that cannot follow what happened before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the event cannot happen here: {0}")]
pub struct IllegalEvent(pub(super) String);

/// The word for where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Steps run or may start.
    Running,
    /// Nothing goes on before a person answers.
    WaitingForApproval,
    /// Nothing goes on before somebody puts something right and resumes.
    Paused,
    /// Nothing goes on before a person says whether a step happened.
    InDoubt,
    /// Every step succeeded or was skipped.
    Succeeded,
    /// The same, and something is to be looked at.
    SucceededWithWarnings,
    /// A step failed.
    Failed,
    /// It was cancelled before its end.
    Cancelled,
}

/// A cancellation that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cancel {
    /// Steps that cannot be taken back are stopped too.
    pub force: bool,
}

/// The state of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunState {
    pub(super) created: Option<Arc<RunCreated>>,
    pub(super) graph: Graph,
    pub(super) steps: Vec<StepState>,
    pub(super) sets: Sets,
    pub(super) epoch: u32,
    pub(super) stage: Stage,
    /// Steps of each lane that have begun their stage and not ended.
    pub(super) open: [usize; LANES],
    /// Steps that have ended, over all.
    pub(super) ended: usize,
    pub(super) failed: Option<usize>,
    pub(super) undo_failed: Option<usize>,
    pub(super) stopped: usize,
    pub(super) stops: Stops,
    pub(super) paused: Option<StepError>,
    pub(super) held: bool,
    pub(super) undo_requested: bool,
    pub(super) undo_begun: bool,
    /// The undo steps to come, the next one last.
    pub(super) undo_queue: Vec<usize>,
    /// The handlers that have begun, `waiting` aside.
    pub(super) begun: BTreeSet<Occasion>,
    /// Waits that nobody was told of.
    pub(super) waits: VecDeque<Wait>,
    pub(super) told: Option<Wait>,
    pub(super) finished: Option<FinalStatus>,
    pub(super) warnings: usize,
}

/// The cancellations that were asked for, by the stage that they stop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stops {
    pub(super) main: Option<Cancel>,
    pub(super) undo: Option<Cancel>,
    pub(super) handlers: Option<Cancel>,
    pub(super) exit: Option<Cancel>,
}

impl Default for RunState {
    fn default() -> Self {
        Self::new()
    }
}

impl RunState {
    /// The state before the first event.
    pub fn new() -> Self {
        Self {
            created: None,
            graph: Graph::default(),
            steps: Vec::new(),
            sets: Sets::default(),
            epoch: 0,
            stage: Stage::Main,
            open: [0; LANES],
            ended: 0,
            failed: None,
            undo_failed: None,
            stopped: 0,
            stops: Stops::default(),
            paused: None,
            held: false,
            undo_requested: false,
            undo_begun: false,
            undo_queue: Vec::new(),
            begun: BTreeSet::new(),
            waits: VecDeque::new(),
            told: None,
            finished: None,
            warnings: 0,
        }
    }

    /// Adds an event that happened at `at`; a refused event changes nothing.
    pub fn apply(&mut self, at: Timestamp, event: &Event) -> Result<(), IllegalEvent> {
        self.transition(at, event)
    }

    pub(super) fn begin(&mut self, created: &RunCreated) -> Result<(), IllegalEvent> {
        let graph = Graph::new(&created.plan).map_err(IllegalEvent)?;
        self.sets = Sets::new(&graph.limits);
        self.steps = graph.needs.iter().zip(&graph.places).map(first).collect();
        for (step, state) in self.steps.iter().enumerate() {
            self.sets.add(step, graph.places[step], &state.phase, None);
        }
        self.open[Lane::Main.index()] = graph.lane(Lane::Main).len();
        self.graph = graph;
        self.epoch = 1;
        self.created = Some(Arc::new(created.clone()));
        Ok(())
    }

    /// Moves a step and keeps the sets and the counters of its dependents right.
    pub(super) fn enter(&mut self, step: usize, phase: Phase) {
        let place = self.graph.places[step];
        self.waits_no_more(step);
        let state = &mut self.steps[step];
        let before = std::mem::replace(&mut state.phase, phase);
        self.sets.remove(step, place, &before, state.due.take());
        let slow = state.slow_at.filter(|_| state.phase == Phase::Running);
        state.due = state.phase.due().or(slow);
        self.sets.add(step, place, &state.phase, state.due);
        self.sets.let_forward(place.group);
        let lane = place.lane.index();
        let was_closed = before.is_closed();
        if let Phase::Waiting(asked) = before {
            self.steps[step].asked = Some(asked);
        }
        match (was_closed, self.steps[step].phase.is_closed()) {
            (true, false) => self.open[lane] += 1,
            (false, true) => {
                self.open[lane] -= 1;
                self.ended(step);
            }
            _ => {}
        }
    }

    /// What the end of a step means for the run and for the steps that need it.
    fn ended(&mut self, step: usize) {
        self.ended += 1;
        self.steps[step].ended = self.ended;
        let place = self.graph.places[step];
        let phase = &self.steps[step].phase;
        let failed = matches!(phase, Phase::Failed | Phase::TimedOut);
        let mut satisfies = phase.satisfies();
        match place.lane {
            Lane::Main if failed && self.plan_step(step).continue_on_failure => {
                (satisfies, self.warnings) = (true, self.warnings + 1);
            }
            Lane::Main if failed => {
                self.failed.get_or_insert(step);
            }
            Lane::Main | Lane::Consent => {}
            Lane::Undo => return self.undo_ended(step, failed),
            // A handler that fails never keeps another one from telling.
            Lane::Handler(_) => {
                (satisfies, self.warnings) = (true, self.warnings + usize::from(failed));
            }
        }
        for number in 0..self.graph.dependents[step].len() {
            let dependent = self.graph.dependents[step][number];
            if satisfies || self.graph.places[dependent].aware {
                self.meet(dependent);
            }
        }
    }

    fn meet(&mut self, dependent: usize) {
        // One that ended before the run was opened again, or was skipped, waits for nothing.
        if self.steps[dependent].phase != Phase::Pending {
            return;
        }
        self.steps[dependent].unmet -= 1;
        if self.steps[dependent].unmet == 0 {
            self.enter(dependent, Phase::Ready);
        }
    }

    /// Whether `step` may start now, a free slot aside.
    pub(super) fn may_start(&self, step: usize) -> bool {
        let place = self.graph.places[step];
        let goes_on = matches!(self.steps[step].phase, Phase::Retrying(_));
        let stands = self.paused.is_some() || self.held || self.in_doubt_blocks();
        match place.lane {
            Lane::Main => {
                !stands
                    && self.stops.main.is_none()
                    && (self.failed.is_none() || place.aware || goes_on)
            }
            Lane::Undo => !stands && self.stops.undo.is_none() && self.undo_failed.is_none(),
            Lane::Consent => self.stops.undo.is_none(),
            Lane::Handler(_) => self.stop_of(place.lane).is_none(),
        }
    }

    /// A step of the runbook, or of undo, is in doubt.
    fn in_doubt_blocks(&self) -> bool {
        let blocks = |step: &usize| !matches!(self.graph.places[*step].lane, Lane::Handler(_));
        self.sets.in_doubt.iter().any(blocks)
    }

    /// The cancellation that stops the steps of a lane. Those that tell of a wait are never
    /// stopped: somebody must know of it.
    pub(super) fn stop_of(&self, lane: Lane) -> Option<Cancel> {
        match lane {
            Lane::Main => self.stops.main,
            Lane::Undo | Lane::Consent => self.stops.undo,
            Lane::Handler(Occasion::Waiting) => None,
            Lane::Handler(Occasion::Exit) => self.stops.exit,
            Lane::Handler(_) => self.stops.handlers,
        }
    }

    /// How many more steps of the runbook may run at once.
    pub(super) fn free_slots(&self) -> usize {
        let limit = self.created.as_ref().map_or(0, |created| created.plan.max_parallel.max(1));
        limit.saturating_sub(self.sets.busy)
    }

    pub(super) fn lane(&self, step: usize) -> Lane {
        self.graph.places[step].lane
    }

    /// A step of a handler that only tells people something.
    pub(super) fn only_tells(&self, step: usize) -> bool {
        let handler = matches!(self.lane(step), Lane::Handler(_));
        handler && self.plan_step(step).footprint.notifies
    }

    pub(super) fn plan_step(&self, step: usize) -> &PlanStep {
        &self.plan().expect("steps exist only after the run was created").steps[step]
    }

    /// How the run began.
    pub fn created(&self) -> Option<&RunCreated> {
        self.created.as_deref()
    }

    /// The plan.
    pub fn plan(&self) -> Option<&Plan> {
        self.created.as_deref().map(|created| &created.plan)
    }

    /// The epoch of the newest process that held the run, from 1.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// A step by its id.
    pub fn step(&self, step: &StepId) -> Option<&StepState> {
        self.graph.find(step).map(|step| &self.steps[step])
    }

    /// Where the step of that id stands; all steps of a `foreach` or of an included runbook.
    fn phases(&self, id: &str) -> Option<Vec<&Phase>> {
        let parsed: StepId = id.parse().ok()?;
        if let Some(step) = self.step(&parsed) {
            return Some(vec![&step.phase]);
        }
        let plan = self.plan()?;
        if let Some(group) = plan.groups.get(&parsed) {
            return Some(group.steps.iter().filter_map(|id| Some(&self.step(id)?.phase)).collect());
        }
        let inside = |step: &PlanStep| {
            step.role.is_main()
                && step.id.as_str().strip_prefix(id).is_some_and(|rest| rest.starts_with('.'))
        };
        let included = plan.included.contains_key(id);
        let steps = || self.steps().filter(|(step, _)| inside(step));
        included.then(|| steps().map(|(_, state)| &state.phase).collect())
    }

    /// A step of the plan by its id.
    pub fn plan_step_of(&self, step: &StepId) -> Option<&PlanStep> {
        self.graph.find(step).map(|step| self.plan_step(step))
    }

    /// Every step with its part of the plan, in the order of the document.
    pub fn steps(&self) -> impl Iterator<Item = (&PlanStep, &StepState)> {
        self.plan().into_iter().flat_map(|plan| plan.steps.iter()).zip(&self.steps)
    }

    /// Steps in which an attempt runs or is looked at.
    pub fn running(&self) -> impl Iterator<Item = &PlanStep> {
        self.sets.running.iter().map(|step| self.plan_step(*step))
    }

    /// Steps that ask a person.
    pub fn waiting(&self) -> impl Iterator<Item = &PlanStep> {
        self.sets.waiting.iter().map(|step| self.plan_step(*step))
    }

    /// Steps of which a person must say whether they happened.
    pub fn in_doubt(&self) -> impl Iterator<Item = &PlanStep> {
        self.sets.in_doubt.iter().map(|step| self.plan_step(*step))
    }

    /// What a step asks a person now.
    pub fn question(&self, step: &StepId) -> Option<&Question> {
        match &self.step(step)?.phase {
            Phase::Waiting(question) => Some(question),
            _ => None,
        }
    }

    /// What a step asks now, with all that decides who may answer.
    pub fn asked(&self, step: &StepId) -> Option<Asked<'_>> {
        self.asked_by(self.graph.find(step)?)
    }

    pub(super) fn asked_by(&self, step: usize) -> Option<Asked<'_>> {
        let (created, step_id) = (self.created.as_deref()?, &self.plan_step(step).id);
        let Phase::Waiting(question) = &self.steps[step].phase else { return None };
        Some(Asked {
            run: created.run,
            step: step_id,
            starter: &created.starter,
            people: created.approvers.as_ref(),
            question,
        })
    }

    /// The first step that failed.
    pub fn failed_step(&self) -> Option<&StepId> {
        self.failed.or(self.undo_failed).map(|step| &self.plan_step(step).id)
    }

    /// Why the first step that failed did.
    pub fn failed_reason(&self) -> Option<&StepError> {
        self.steps[self.failed.or(self.undo_failed)?].error.as_ref()
    }

    /// The cancellation of the stage that the run is in.
    pub fn cancel(&self) -> Option<Cancel> {
        match self.stage {
            Stage::Main => self.stops.main,
            Stage::Undo => self.stops.undo.or(self.stops.main),
            Stage::Handlers => self.stops.handlers.or(self.stops.main),
            Stage::Exit => self.stops.exit.or(self.stops.main),
        }
    }

    /// The run waits for the choice of somebody at the terminal.
    pub fn is_held(&self) -> bool {
        self.held
    }

    /// Why the run is paused.
    pub fn paused(&self) -> Option<&StepError> {
        self.paused.as_ref()
    }

    /// How the run ended.
    pub fn finished(&self) -> Option<FinalStatus> {
        self.finished
    }

    /// Where the run stands.
    pub fn status(&self) -> RunStatus {
        if let Some(finished) = self.finished {
            return finished.into();
        }
        let of_the_run = |step: &usize| !matches!(self.lane(*step), Lane::Handler(_));
        let busy = self.sets.running.iter().chain(&self.sets.undecided).any(of_the_run);
        match () {
            () if busy => RunStatus::Running,
            () if !self.sets.in_doubt.is_empty() => RunStatus::InDoubt,
            () if self.paused.is_some() => RunStatus::Paused,
            () if self.only_people_left() => RunStatus::WaitingForApproval,
            () => RunStatus::Running,
        }
    }

    fn only_people_left(&self) -> bool {
        let goes_on = |step: &usize| {
            let waits = matches!(self.steps[*step].phase, Phase::Waiting(_));
            !waits && !matches!(self.lane(*step), Lane::Handler(_))
        };
        !self.sets.waiting.is_empty()
            && self.sets.ready.is_empty()
            && !self.sets.due.iter().any(|(_, step)| goes_on(step))
    }

    /// Steps of handlers that are at work or may start.
    pub(super) fn handlers_work(&self) -> bool {
        let handler = |step: &usize| matches!(self.lane(*step), Lane::Handler(_));
        let sets = [&self.sets.running, &self.sets.undecided, &self.sets.beside];
        sets.into_iter().flatten().any(handler)
    }

    /// How the run ends when every step has ended as far as it has.
    pub fn outcome(&self) -> FinalStatus {
        match () {
            () if self.failed.is_some() || self.undo_failed.is_some() => FinalStatus::Failed,
            () if self.stopped > 0 => FinalStatus::Cancelled,
            () if self.warnings > 0 => FinalStatus::SucceededWithWarnings,
            () => FinalStatus::Succeeded,
        }
    }
}

impl Results for RunState {
    fn succeeded(&self, step: Option<&str>) -> bool {
        match step {
            None => self.failed.is_none(),
            Some(step) => self.phases(step).is_some_and(|phases| match phases.as_slice() {
                [one] => **one == Phase::Succeeded,
                all => all.iter().all(|phase| phase.satisfies()),
            }),
        }
    }

    fn failed(&self, step: Option<&str>) -> bool {
        match step {
            None => self.failed.is_some(),
            Some(step) => self.phases(step).is_some_and(|phases| {
                phases.iter().any(|phase| matches!(phase, Phase::Failed | Phase::TimedOut))
            }),
        }
    }
}

impl From<FinalStatus> for RunStatus {
    fn from(status: FinalStatus) -> Self {
        match status {
            FinalStatus::Succeeded => Self::Succeeded,
            FinalStatus::SucceededWithWarnings => Self::SucceededWithWarnings,
            FinalStatus::Failed => Self::Failed,
            FinalStatus::Cancelled => Self::Cancelled,
        }
    }
}

/// A step before the first event about it.
fn first((needs, place): (&usize, &Place)) -> StepState {
    let phase = match place.lane {
        Lane::Main if *needs == 0 => Phase::Ready,
        Lane::Main => Phase::Pending,
        _ => Phase::Dormant,
    };
    StepState::new(phase, *needs)
}
