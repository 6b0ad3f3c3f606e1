//! The stages of a run after its main steps, and what leads from one to the next: undo, then the
//! handlers of how it ended, then those of its exit.

use serde::{Deserialize, Serialize};

use crate::effect::Effect;
use crate::ids::StepId;
use crate::plan::{Occasion, PlanStep, Rollback};
use crate::run::decide::Command;
use crate::run::event::{Event, FinalStatus};
use crate::run::graph::Lane;
use crate::run::state::RunState;
use crate::run::step_state::Phase;

/// The code under which a slow step is warned of.
pub const SLOW: &str = "RB0460";

/// Where a run is in its course.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The steps of the runbook.
    #[default]
    Main,
    /// Finished steps are undone, or a person is asked whether they shall be.
    Undo,
    /// The handlers of how the run ended.
    Handlers,
    /// The handlers that run however it ended.
    Exit,
}

/// Why the `waiting` handlers run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitCause {
    /// A person is asked.
    Approval,
    /// A person must say whether a step happened.
    InDoubt,
    /// Nothing starts until somebody resumes the run.
    Paused,
    /// A step takes longer than its `slow_after`.
    Slow,
}

/// Something that a person is to know of while the run goes on or stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Wait {
    /// What kind of wait.
    pub cause: WaitCause,
    /// The step that waits.
    pub step: Option<StepId>,
    /// What is asked, or why it waits.
    pub reason: String,
}

/// Why steps are undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UndoCause {
    /// The runbook's `rollback`.
    Rollback,
    /// A person said `runbook undo`.
    Requested,
}

/// What a finished run is opened again for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reopening {
    /// To undo its finished steps.
    Undo,
    /// To run what failed, was cancelled, was undone or did not run.
    RetryFailed,
}

/// The word for a handler's occasion when a run ends so.
fn occasion(outcome: FinalStatus) -> Occasion {
    match outcome {
        FinalStatus::Succeeded | FinalStatus::SucceededWithWarnings => Occasion::Success,
        FinalStatus::Failed => Occasion::Failure,
        FinalStatus::Cancelled => Occasion::Abort,
    }
}

/// The first command of the next stage when the one before is over; nothing while it is not.
pub(super) fn advance(state: &RunState) -> Vec<Command> {
    if state.open[Lane::Main.index()] > 0 || state.undoes() {
        return Vec::new();
    }
    let undo = undo(state);
    if !undo.is_empty() {
        return undo;
    }
    for on in [occasion(state.outcome()), Occasion::Exit] {
        let lane = Lane::Handler(on);
        if state.open[lane.index()] > 0 {
            return Vec::new();
        }
        if !state.graph.lane(lane).is_empty() && !state.begun.contains(&on) {
            return vec![Command::Record(started(on))];
        }
    }
    if state.open.iter().any(|open| *open > 0) {
        return Vec::new();
    }
    let failed_step = state.failed_step().cloned();
    vec![Command::Finish { status: state.outcome(), failed_step }]
}

fn started(on: Occasion) -> Event {
    Event::HandlersStarted { on, cause: None, step: None, reason: None }
}

/// Tells of the oldest wait that nobody was told of.
pub(super) fn tell(state: &RunState) -> Option<Command> {
    let wait = state.waits.front()?;
    let free = state.open[Lane::Handler(Occasion::Waiting).index()] == 0;
    free.then(|| {
        Command::Record(Event::HandlersStarted {
            on: Occasion::Waiting,
            cause: Some(wait.cause),
            step: wait.step.clone(),
            reason: Some(wait.reason.clone()),
        })
    })
}

fn undo(state: &RunState) -> Vec<Command> {
    let failed = state.outcome() == FinalStatus::Failed;
    if state.undo_begun || !(state.undo_requested || failed) {
        return Vec::new();
    }
    let steps = state.undoable();
    let rollback = state.plan().map(|plan| plan.rollback).unwrap_or_default();
    if steps.is_empty() || (rollback == Rollback::Never && !state.undo_requested) {
        return Vec::new();
    }
    let begin = |cause| vec![Command::Record(Event::UndoStarted { cause, steps: steps.clone() })];
    match rollback {
        _ if state.undo_requested => begin(UndoCause::Requested),
        Rollback::Never => Vec::new(),
        Rollback::OnFailure => begin(UndoCause::Rollback),
        Rollback::Ask => match state.graph.lane(Lane::Consent) {
            [question] => ask(state, *question, || begin(UndoCause::Rollback)),
            _ => Vec::new(),
        },
    }
}

/// What follows from where the question stands.
fn ask(state: &RunState, question: usize, begin: impl Fn() -> Vec<Command>) -> Vec<Command> {
    let step = state.plan_step(question).id.clone();
    let unattended = state.created().is_some_and(|created| created.unattended);
    match state.steps[question].phase {
        Phase::Succeeded => begin(),
        Phase::Dormant if unattended => {
            let reason = "nobody is there to be asked whether finished steps are undone";
            let (code, message) = ("RB0461".to_owned(), format!("nothing was undone: {reason}"));
            let (left_out, by, id) = (None, None, step.clone());
            let skipped =
                Event::StepSkipped { step: id, left_out, by, reason: Some(reason.to_owned()) };
            let warning = Event::Warning { code, message, step: Some(step) };
            vec![Command::Record(skipped), Command::Record(warning)]
        }
        Phase::Dormant => vec![Command::Ask { step }],
        _ => Vec::new(),
    }
}

impl RunState {
    /// Undo goes on, or a person is asked about it.
    pub(super) fn undoes(&self) -> bool {
        self.open[Lane::Undo.index()] > 0 || self.open[Lane::Consent.index()] > 0
    }

    /// Where the run is in its course.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// The finished steps that have an `undo` which has not been done, newest first.
    pub fn undoable(&self) -> Vec<StepId> {
        let main = self.graph.lane(Lane::Main).iter().copied();
        let mut steps: Vec<usize> = main
            .filter(|step| self.steps[*step].phase == Phase::Succeeded)
            .filter(|step| self.graph.undo_of(*step).is_some())
            .collect();
        steps.sort_by_key(|step| std::cmp::Reverse(self.steps[*step].ended));
        steps.into_iter().map(|step| self.plan_step(step).id.clone()).collect()
    }

    /// The finished steps whose effect stands, in the order of the document.
    pub fn standing(&self) -> impl Iterator<Item = &PlanStep> {
        let stands = |step: &&usize| {
            self.steps[**step].phase == Phase::Succeeded
                && self.plan_step(**step).footprint.effect != Effect::Read
                && !self.plan_step(**step).footprint.waits_for_person
        };
        self.graph.lane(Lane::Main).iter().filter(stands).map(|step| self.plan_step(*step))
    }

    /// Finished steps were, or were to be, undone, and this is what was left.
    pub fn left_standing(&self) -> Vec<&StepId> {
        let asked = self.graph.lane(Lane::Consent).iter();
        let refused = asked.clone().any(|step| self.steps[*step].phase.is_final());
        let begun = self.undo_begun || refused;
        let failing = self
            .finished
            .is_some_and(|status| matches!(status, FinalStatus::Failed | FinalStatus::Cancelled));
        let all = self.standing().map(|step| &step.id);
        if begun && failing { all.collect() } else { Vec::new() }
    }

    /// Whether a finished run has anything to run again.
    pub fn has_failed_steps(&self) -> bool {
        let again = |step: &usize| self.steps[*step].phase.may_run_again();
        self.graph.lane(Lane::Main).iter().any(again)
    }

    /// What the `waiting` handlers tell of, or told of last.
    pub fn told(&self) -> Option<&Wait> {
        self.told.as_ref()
    }
}
