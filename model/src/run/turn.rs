//! The events that lead from one stage of a run to another, and what they change.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::ids::StepId;
use crate::plan::{Occasion, PlanStep};
use crate::run::event::{FinalStatus, NotRun};
use crate::run::graph::Lane;
use crate::run::stage::{Reopening, Stage, UndoCause, Wait, WaitCause};
use crate::run::state::{Cancel, RunState, Stops};
use crate::run::step_state::{Phase, Skip};
use crate::run::transition::{Applied, ensure, refuse};

impl RunState {
    /// A cancellation stops the stage that the run is in. What runs however the run ended is
    /// stopped by force only.
    pub(super) fn cancelled(&mut self, force: bool) {
        let stop = match self.stage {
            Stage::Main => &mut self.stops.main,
            Stage::Undo => &mut self.stops.undo,
            Stage::Handlers => &mut self.stops.handlers,
            Stage::Exit if !force => return,
            Stage::Exit => &mut self.stops.exit,
        };
        let force = force || stop.is_some_and(|cancel| cancel.force);
        *stop = Some(Cancel { force });
        self.held = false;
    }

    /// Keeps in mind that somebody is to be told of a wait.
    pub(super) fn waits_for(&mut self, cause: WaitCause, step: Option<usize>, reason: &str) {
        let listens = !self.graph.lane(Lane::Handler(Occasion::Waiting)).is_empty();
        let handler = step.is_some_and(|step| matches!(self.lane(step), Lane::Handler(_)));
        if listens && !handler {
            let step = step.map(|step| self.plan_step(step).id.clone());
            self.waits.push_back(Wait { cause, step, reason: reason.to_owned() });
        }
    }

    /// A wait that is over needs nobody told.
    pub(super) fn waits_no_more(&mut self, step: usize) {
        if !self.waits.is_empty() {
            let id = self.plan_step(step).id.clone();
            self.waits
                .retain(|wait| wait.step.as_ref() != Some(&id) || wait.cause == WaitCause::Paused);
        }
    }

    /// The run goes on.
    pub(super) fn unpause(&mut self) {
        (self.paused, self.held) = (None, false);
        self.waits.retain(|wait| wait.cause != WaitCause::Paused);
    }

    pub(super) fn begin_undo(&mut self, cause: UndoCause, steps: &[StepId]) -> Applied {
        ensure(self.open[Lane::Main.index()] == 0, "steps of the runbook have not ended")?;
        ensure(!self.undoes() && !self.undo_begun, "undo has begun before")?;
        let requested = cause == UndoCause::Requested;
        let ends = matches!(self.outcome(), FinalStatus::Failed | FinalStatus::Cancelled);
        ensure(requested == self.undo_requested && (requested || ends), "nothing calls for undo")?;
        ensure(!steps.is_empty() && steps == self.undoable(), "other steps are to be undone")?;
        (self.undo_begun, self.stage) = (true, Stage::Undo);
        let undo = |step: &StepId| {
            let target = self.graph.find(step).expect("the steps are those of the plan");
            self.graph.undo_of(target).expect("steps that can be undone have an undo step")
        };
        self.undo_queue = steps.iter().rev().map(undo).collect();
        for step in self.undo_queue.clone() {
            self.steps[step].forget(0);
            self.enter(step, Phase::Pending);
        }
        self.undo_next();
        Ok(())
    }

    fn undo_next(&mut self) {
        if let Some(next) = self.undo_queue.pop() {
            self.enter(next, Phase::Ready);
        }
    }

    /// An undo step ended: its step is undone, and the next one comes, unless it failed.
    pub(super) fn undo_ended(&mut self, step: usize, failed: bool) {
        if failed {
            self.undo_failed.get_or_insert(step);
            return;
        }
        let target = self.graph.target_of(step);
        match self.steps[step].phase {
            Phase::Succeeded => {
                self.enter(target.expect("an undo step has a target"), Phase::Undone);
                self.undo_next();
            }
            Phase::Skipped if self.undo_queue.contains(&step) => {
                self.undo_queue.retain(|queued| *queued != step);
            }
            Phase::Skipped => self.undo_next(),
            _ => {}
        }
    }

    pub(super) fn begin_handlers(&mut self, on: Occasion, wait: Option<Wait>) -> Applied {
        let lane = Lane::Handler(on);
        ensure(!self.graph.lane(lane).is_empty(), "there is no such handler")?;
        ensure(self.open[lane.index()] == 0, "the handler runs already")?;
        if on == Occasion::Waiting {
            ensure(wait.is_some() && self.waits.front() == wait.as_ref(), "nothing waits so")?;
            self.waits.pop_front();
            self.told = wait;
        } else {
            ensure(self.may_begin(on), "the run has not ended so")?;
            self.stage = if on == Occasion::Exit { Stage::Exit } else { Stage::Handlers };
            self.begun.insert(on);
        }
        self.arm(lane);
        Ok(())
    }

    fn may_begin(&self, on: Occasion) -> bool {
        let ends = match self.outcome() {
            FinalStatus::Succeeded | FinalStatus::SucceededWithWarnings => Occasion::Success,
            FinalStatus::Failed => Occasion::Failure,
            FinalStatus::Cancelled => Occasion::Abort,
        };
        let over = self.open[Lane::Main.index()] == 0 && !self.undoes();
        over && (on == ends || on == Occasion::Exit) && !self.begun.contains(&on)
    }

    /// Lets the steps of a handler begin, once more when they ran before.
    fn arm(&mut self, lane: Lane) {
        let steps = self.graph.lane(lane).to_vec();
        for step in &steps {
            self.steps[*step].forget(self.graph.needs[*step]);
            self.enter(*step, Phase::Pending);
        }
        for step in steps {
            if self.graph.needs[step] == 0 {
                self.enter(step, Phase::Ready);
            }
        }
    }

    pub(super) fn finish(&mut self, status: FinalStatus, failed: Option<&StepId>) -> Applied {
        ensure(self.open.iter().all(|open| *open == 0), "steps have not ended")?;
        ensure(status == self.outcome(), "the steps ended otherwise")?;
        ensure(failed == self.failed_step(), "another step failed first")?;
        self.finished = Some(status);
        self.waits.clear();
        self.change_all(&Phase::Dormant, &Phase::NotRun(NotRun::NotNeeded));
        Ok(())
    }

    /// Moves every step of undo and handlers from one phase to another, both of them closed.
    fn change_all(&mut self, from: &Phase, to: &Phase) {
        let main = self.graph.lane(Lane::Main).len();
        if main == self.steps.len() {
            return;
        }
        for step in 0..self.steps.len() {
            if self.lane(step) != Lane::Main && self.steps[step].phase == *from {
                self.enter(step, to.clone());
            }
        }
    }

    pub(super) fn reopen(&mut self, epoch: u32, what: Reopening) -> Applied {
        ensure(self.finished.is_some(), "the run is not finished")?;
        ensure(epoch == self.epoch + 1, "the epoch does not follow the one before")?;
        match what {
            Reopening::Undo => {
                ensure(!self.undoable().is_empty(), "no finished step can be undone")?;
                (self.stage, self.undo_requested) = (Stage::Undo, true);
                self.change_all(&Phase::NotRun(NotRun::NotNeeded), &Phase::Dormant);
            }
            Reopening::RetryFailed => {
                ensure(self.has_failed_steps(), "no step failed or was left undone")?;
                (self.stage, self.undo_requested) = (Stage::Main, false);
                (self.failed, self.stopped) = (None, 0);
                self.begun.clear();
                self.run_again();
            }
        }
        (self.undo_begun, self.undo_failed) = (false, None);
        (self.stops, self.finished, self.epoch) = (Stops::default(), None, epoch);
        self.unpause();
        Ok(())
    }

    /// Steps that ended otherwise than well run again, and with them those that were left out
    /// because of an `if` behind them; undo and handlers wait for their stage.
    fn run_again(&mut self) {
        for step in 0..self.steps.len() {
            if self.lane(step) != Lane::Main {
                self.enter(step, Phase::Dormant);
            }
        }
        let main = self.graph.lane(Lane::Main).iter().copied();
        let mut found: Vec<usize> =
            main.filter(|step| self.steps[*step].phase.may_run_again()).collect();
        let mut again: BTreeSet<usize> = BTreeSet::new();
        while let Some(step) = found.pop() {
            if again.insert(step) {
                let behind = self.graph.dependents[step].iter().copied();
                found.extend(behind.filter(|step| self.steps[*step].skip == Some(Skip::Condition)));
            }
        }
        let mut unmet = self.graph.needs.clone();
        for step in (0..self.steps.len()).filter(|step| !again.contains(step)) {
            for dependent in &self.graph.dependents[step] {
                unmet[*dependent] -= 1;
            }
        }
        for step in again {
            self.steps[step].forget(unmet[step]);
            self.enter(step, if unmet[step] == 0 { Phase::Ready } else { Phase::Pending });
        }
    }

    /// Why nobody may skip a step: it asks people, whom a skip would go around, or another step
    /// needs its outputs.
    pub fn never_skipped(&self, id: &StepId) -> Option<String> {
        let step = self.plan_step_of(id)?;
        if step.footprint.waits_for_person {
            return Some("it asks people, who approve or reject it".to_owned());
        }
        // With an `if` or `continue_on` of its own, validation made sure of a `default(...)`.
        if step.condition.is_some() || step.continue_on_failure {
            return None;
        }
        let group = step.item.as_ref().map(|item| &item.group);
        let reads = |other: &PlanStep| {
            let read = |one: &StepId| one == id || Some(one) == group;
            other.role.is_main() && other.references.iter().any(read)
        };
        let mut open = self.steps().filter(|(_, state)| !state.phase.is_final());
        let (reader, _) = open.find(|(other, _)| reads(other))?;
        Some(format!("`{}` reads its outputs", reader.id))
    }

    pub(super) fn skip(&mut self, step: usize, skip: Skip) -> Applied {
        let phase = &self.steps[step].phase;
        match &skip {
            Skip::Condition => {
                ensure(*phase == Phase::Ready, "the step is not about to start")?;
                ensure(self.steps[step].first_started.is_none(), "the step has begun")?;
                ensure(self.plan_step(step).condition.is_some(), "the step has no `if`")?;
            }
            Skip::LeftOut(why) => {
                ensure(*phase == Phase::Ready, "the step is not about to start")?;
                ensure(
                    self.plan_step(step).left_out == Some(*why),
                    "the run does not leave it out",
                )?;
            }
            Skip::Decided { by: None, .. } => {
                let asks = self.lane(step) == Lane::Consent && *phase == Phase::Dormant;
                ensure(asks, "nobody skipped it")?;
            }
            Skip::Decided { by: Some(_), .. } => {
                let may = phase.is_idle() || matches!(phase, Phase::Retrying(_));
                if !may {
                    return refuse("only a step that has not begun, or waits, can be skipped");
                }
                let id = &self.plan_step(step).id;
                if let Some(why) = self.never_skipped(id) {
                    return refuse(format!("`{id}` cannot be skipped: {why}"));
                }
            }
        }
        if *phase == Phase::Dormant {
            self.stage = Stage::Undo;
        }
        self.steps[step].skip = Some(skip);
        self.enter(step, Phase::Skipped);
        Ok(())
    }

    /// The attempt takes longer than it should; it goes on.
    pub(super) fn slow(&mut self, at: Timestamp, step: usize) -> Applied {
        let limit = self.plan_step(step).slow_after;
        let due = self.steps[step].slow_at.is_some_and(|slow| slow <= at);
        let Some(limit) = limit.filter(|_| due) else { return refuse("the step is not slow") };
        self.steps[step].slow_at = None;
        self.enter(step, Phase::Running);
        self.waits_for(WaitCause::Slow, Some(step), &format!("it takes longer than {limit}"));
        Ok(())
    }
}
