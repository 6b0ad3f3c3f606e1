//! The state of a run: what its events add up to. The sets that decisions are taken from are
//! kept up to date by every event, so that a decision never walks over all steps.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::StepId;
use crate::plan::{Plan, PlanStep};
use crate::run::event::{Event, FinalStatus, RunCreated};
use crate::run::graph::Graph;
use crate::run::step_state::{Phase, Question, StepState};
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
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunState {
    pub(super) created: Option<Arc<RunCreated>>,
    pub(super) graph: Graph,
    pub(super) steps: Vec<StepState>,
    pub(super) sets: Sets,
    pub(super) epoch: u32,
    pub(super) open: usize,
    pub(super) failed: Option<usize>,
    pub(super) stopped: usize,
    pub(super) cancel: Option<Cancel>,
    pub(super) paused: Option<StepError>,
    pub(super) finished: Option<FinalStatus>,
    pub(super) warnings: usize,
}

/// Steps by where they stand, each set in the order of the document or of time.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Sets {
    pub(super) ready: BTreeSet<usize>,
    pub(super) running: BTreeSet<usize>,
    pub(super) undecided: BTreeSet<usize>,
    pub(super) waiting: BTreeSet<usize>,
    pub(super) in_doubt: BTreeSet<usize>,
    pub(super) due: BTreeSet<(Timestamp, usize)>,
    /// Not begun: first those that stop at a failure, then those that look at failures.
    pub(super) idle: [BTreeSet<usize>; 2],
}

impl Sets {
    fn of(&mut self, phase: &Phase) -> Option<&mut BTreeSet<usize>> {
        match phase {
            Phase::Ready => Some(&mut self.ready),
            Phase::Waiting(_) => Some(&mut self.waiting),
            Phase::Running | Phase::Looking | Phase::LookDue(_) => Some(&mut self.running),
            Phase::Undecided(_) => Some(&mut self.undecided),
            Phase::InDoubt => Some(&mut self.in_doubt),
            _ => None,
        }
    }

    fn add(&mut self, step: usize, aware: bool, phase: &Phase) {
        if let Some(set) = self.of(phase) {
            set.insert(step);
        }
        if let Some(at) = phase.due() {
            self.due.insert((at, step));
        }
        if phase.is_idle() {
            self.idle[usize::from(aware)].insert(step);
        }
    }

    fn remove(&mut self, step: usize, aware: bool, phase: &Phase) {
        if let Some(set) = self.of(phase) {
            set.remove(&step);
        }
        if let Some(at) = phase.due() {
            self.due.remove(&(at, step));
        }
        self.idle[usize::from(aware)].remove(&step);
    }
}

impl RunState {
    /// The state before the first event.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an event that happened at `at`; a refused event changes nothing.
    pub fn apply(&mut self, at: Timestamp, event: &Event) -> Result<(), IllegalEvent> {
        self.transition(at, event)
    }

    pub(super) fn begin(&mut self, created: &RunCreated) -> Result<(), IllegalEvent> {
        let graph = Graph::new(&created.plan).map_err(IllegalEvent)?;
        self.steps = graph.needs.iter().map(|needs| StepState::new(*needs)).collect();
        for (step, state) in self.steps.iter().enumerate() {
            self.sets.add(step, graph.aware[step], &state.phase);
        }
        self.open = self.steps.len();
        self.graph = graph;
        self.epoch = 1;
        self.created = Some(Arc::new(created.clone()));
        Ok(())
    }

    /// Moves a step and keeps the sets and the counters of its dependents right.
    pub(super) fn enter(&mut self, step: usize, phase: Phase) {
        let aware = self.graph.aware[step];
        self.sets.remove(step, aware, &self.steps[step].phase);
        self.sets.add(step, aware, &phase);
        let ended = phase.is_final();
        let satisfies = phase.satisfies();
        if matches!(phase, Phase::Failed | Phase::TimedOut) {
            self.failed.get_or_insert(step);
        }
        self.steps[step].phase = phase;
        if !ended {
            return;
        }
        self.open -= 1;
        for number in 0..self.graph.dependents[step].len() {
            let dependent = self.graph.dependents[step][number];
            if satisfies || self.graph.aware[dependent] {
                self.meet(dependent);
            }
        }
    }

    fn meet(&mut self, dependent: usize) {
        self.steps[dependent].unmet -= 1;
        if self.steps[dependent].unmet == 0 && self.steps[dependent].phase == Phase::Pending {
            self.enter(dependent, Phase::Ready);
        }
    }

    /// Whether `step` may start now, a free slot aside.
    pub(super) fn may_start(&self, step: usize) -> bool {
        let phase = &self.steps[step].phase;
        let goes_on = matches!(phase, Phase::Retrying(_));
        self.paused.is_none()
            && self.cancel.is_none()
            && self.sets.in_doubt.is_empty()
            && (self.failed.is_none() || self.graph.aware[step] || goes_on)
    }

    /// How many more steps may run at once.
    pub(super) fn free_slots(&self) -> usize {
        let limit = self.created.as_ref().map_or(0, |created| created.plan.max_parallel.max(1));
        limit.saturating_sub(self.sets.running.len())
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

    /// The first step that failed.
    pub fn failed_step(&self) -> Option<&StepId> {
        self.failed.map(|step| &self.plan_step(step).id)
    }

    /// The cancellation that was asked for.
    pub fn cancel(&self) -> Option<Cancel> {
        self.cancel
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
        let busy = !self.sets.running.is_empty() || !self.sets.undecided.is_empty();
        match () {
            () if busy => RunStatus::Running,
            () if !self.sets.in_doubt.is_empty() => RunStatus::InDoubt,
            () if self.paused.is_some() => RunStatus::Paused,
            () if self.only_people_left() => RunStatus::WaitingForApproval,
            () => RunStatus::Running,
        }
    }

    fn only_people_left(&self) -> bool {
        let waits = |step: &usize| matches!(self.steps[*step].phase, Phase::Waiting(_));
        !self.sets.waiting.is_empty()
            && self.sets.ready.is_empty()
            && self.sets.due.iter().all(|(_, step)| waits(step))
    }

    /// How the run ends when every step has ended.
    pub(super) fn outcome(&self) -> FinalStatus {
        match () {
            () if self.failed.is_some() => FinalStatus::Failed,
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
