//! Which event may follow which state, and what it changes. Every check stands before the first
//! change, so that a refused event leaves the state as it was.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::approval::{Answer, Escalation, Question, Request, plan_digest};
use crate::ids::StepId;
use crate::run::decide::later;
use crate::run::event::{AttemptEnd, Event, NotRun, Seen, Verdict};
use crate::run::graph::Lane;
use crate::run::stage::{Stage, Wait, WaitCause};
use crate::run::state::{IllegalEvent, RunState};
use crate::run::step_state::{Phase, Skip};
use crate::step_error::{ErrorClass, StepError};
use crate::units::Span;

/// A look that fails is repeated so often before the step is in doubt.
const FAILED_LOOKS: u32 = 5;

/// Between the first two looks; doubled each time, up to [`LONGEST_LOOK`].
const FIRST_LOOK: Duration = Duration::from_secs(1);
const LONGEST_LOOK: Duration = Duration::from_secs(30);

pub(super) type Applied = Result<(), IllegalEvent>;

pub(super) fn refuse(why: impl Into<String>) -> Applied {
    Err(IllegalEvent(why.into()))
}

pub(super) fn ensure(holds: bool, why: &str) -> Applied {
    if holds { Ok(()) } else { refuse(why) }
}

fn stopped() -> StepError {
    let message = "it was stopped, because the run was cancelled";
    StepError::new(ErrorClass::Cancelled, "RB0400", message)
}

impl RunState {
    pub(super) fn transition(&mut self, at: Timestamp, event: &Event) -> Applied {
        if let Event::RunCreated(created) = event {
            ensure(self.created.is_none(), "the run was created before")?;
            return self.begin(created);
        }
        ensure(self.created.is_some(), "the run was not created")?;
        if let Event::RunReopened { epoch, what, .. } = event {
            return self.reopen(*epoch, *what);
        }
        ensure(self.finished.is_none(), "the run is finished")?;
        match event.step().map(|step| self.find(step)).transpose()? {
            Some(step) if !matches!(event, Event::Warning { .. } | Event::RunPaused { .. }) => {
                self.step_transition(at, step, event)
            }
            step => self.run_transition(at, step, event),
        }
    }

    fn find(&self, step: &StepId) -> Result<usize, IllegalEvent> {
        self.graph.find(step).ok_or_else(|| IllegalEvent(format!("there is no step `{step}`")))
    }

    fn run_transition(&mut self, at: Timestamp, step: Option<usize>, event: &Event) -> Applied {
        match event {
            Event::RunResumed { epoch, .. } => self.resume(at, *epoch),
            Event::CancelRequested { force, .. } => {
                self.cancelled(*force);
                Ok(())
            }
            Event::RunPaused { error, .. } => self.pause(step, error),
            Event::RunHeld { .. } => {
                ensure(!self.held && self.stops.main.is_none(), "the run stops already")?;
                self.held = true;
                Ok(())
            }
            Event::RunContinued { .. } => {
                ensure(self.held, "the run is not held")?;
                self.held = false;
                Ok(())
            }
            Event::UndoStarted { cause, steps } => self.begin_undo(*cause, steps),
            Event::HandlersStarted { on, cause, step, reason } => {
                let (step, reason) = (step.clone(), reason.clone().unwrap_or_default());
                self.begin_handlers(*on, cause.map(|cause| Wait { cause, step, reason }))
            }
            Event::RunFinished { status, failed_step } => {
                self.finish(*status, failed_step.as_ref())
            }
            Event::Warning { .. } => {
                self.warnings += 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn resume(&mut self, at: Timestamp, epoch: u32) -> Applied {
        ensure(epoch == self.epoch + 1, "the epoch does not follow the one before")?;
        self.epoch = epoch;
        self.unpause();
        for step in self.sets.running.clone() {
            self.steps[step].looks = 0;
            self.enter(step, Phase::LookDue(at));
        }
        Ok(())
    }

    fn pause(&mut self, step: Option<usize>, error: &StepError) -> Applied {
        if let Some(step) = step {
            let phase = &self.steps[step].phase;
            let may = matches!(phase, Phase::Undecided(_) | Phase::Ready | Phase::Retrying(_));
            ensure(may, "the step does not hold the run up")?;
            self.enter(step, Phase::Ready);
        }
        self.paused = Some(error.clone());
        self.held = false;
        self.waits_for(WaitCause::Paused, step, &error.message);
        Ok(())
    }

    fn step_transition(&mut self, at: Timestamp, step: usize, event: &Event) -> Applied {
        match event {
            Event::StepStarted { attempt, .. } => self.start(at, step, *attempt),
            Event::StepFact { attempt, fact, .. } => {
                self.expect(step, *attempt, |phase| *phase == Phase::Running)?;
                self.steps[step].facts.push(fact.clone());
                Ok(())
            }
            Event::StepAttemptEnded { attempt, end, .. } => self.end(step, *attempt, end),
            Event::StepObserving { attempt, .. } => self.look(step, *attempt),
            Event::StepObserved { attempt, seen, .. } => self.seen(at, step, *attempt, seen),
            Event::StepRetryScheduled { attempt, at, .. } => self.retry(step, *attempt, *at),
            Event::StepResolved { attempt, verdict, output, .. } => {
                self.resolve(step, *attempt, *verdict, output.as_ref())
            }
            Event::StepSlow { attempt, .. } => {
                self.expect(step, *attempt, |phase| *phase == Phase::Running)?;
                self.slow(at, step)
            }
            Event::ApprovalRequested { request, until, plan, .. } => {
                self.ask(at, step, request, *until, plan.as_ref())
            }
            Event::ApprovalAnswered { answer, .. } => self.answer(at, step, answer),
            Event::ApprovalEscalated { contacts, until, break_glass, .. } => {
                let (contacts, break_glass) = (contacts.clone(), *break_glass);
                self.escalate(step, *until, Escalation { at, contacts, break_glass })
            }
            _ => self.conclude(step, event),
        }
    }

    fn ask(
        &mut self,
        at: Timestamp,
        step: usize,
        request: &Request,
        until: Option<Timestamp>,
        plan: Option<&String>,
    ) -> Applied {
        ensure(self.plan_step(step).footprint.waits_for_person, "the step asks nobody")?;
        let consent = self.lane(step) == Lane::Consent;
        let from = if consent { Phase::Dormant } else { Phase::Ready };
        self.expect(step, 0, |phase| *phase == from)?;
        ensure(self.may_start(step), "no step may start now")?;
        let same = |digest: &String| self.plan().is_some_and(|plan| plan_digest(plan) == *digest);
        ensure(plan.is_none_or(same), "the question is about another plan")?;
        if consent {
            ensure(!self.undoable().is_empty(), "there is nothing to undo")?;
            ensure(self.open[Lane::Main.index()] == 0, "steps have not ended")?;
            self.stage = Stage::Undo;
        }
        let question = Question::new(request.clone(), at, until);
        self.enter(step, Phase::Waiting(Box::new(Question { plan: plan.cloned(), ..question })));
        self.waits_for(WaitCause::Approval, Some(step), &request.prompt);
        Ok(())
    }

    fn answer(&mut self, at: Timestamp, step: usize, answer: &Answer) -> Applied {
        let asked = self.asked_by(step);
        let Some(asked) = asked else { return refuse("nobody is asked") };
        let checked = asked.question.plan.is_some();
        if let Some(refusal) = asked.refusal(at, answer).filter(|_| checked) {
            return refuse(format!("the answer does not count: {refusal}"));
        }
        if let Phase::Waiting(question) = &mut self.steps[step].phase {
            question.answers.push((at, answer.clone()));
        }
        Ok(())
    }

    fn escalate(
        &mut self,
        step: usize,
        until: Option<Timestamp>,
        escalation: Escalation,
    ) -> Applied {
        let Phase::Waiting(question) = &self.steps[step].phase else {
            return refuse("nobody is asked");
        };
        ensure(question.until.is_some_and(|until| until <= escalation.at), "there is time left")?;
        let mut question = question.clone();
        (question.until, question.escalation) = (until, Some(escalation));
        let prompt = question.request.prompt.clone();
        self.enter(step, Phase::Waiting(question));
        self.steps[step].asked = None;
        // Others are told now: it is another wait.
        self.waits_for(WaitCause::Approval, Some(step), &prompt);
        Ok(())
    }

    /// The attempt is the step's current one, and the step stands where the event may happen.
    fn expect(&self, step: usize, attempt: u32, place: impl Fn(&Phase) -> bool) -> Applied {
        let state = &self.steps[step];
        if attempt != state.attempt {
            return refuse(format!("the current attempt is {}, not {attempt}", state.attempt));
        }
        let status = state.status();
        if place(&state.phase) { Ok(()) } else { refuse(format!("the step is {status:?}")) }
    }

    fn start(&mut self, at: Timestamp, step: usize, attempt: u32) -> Applied {
        let startable = |phase: &Phase| matches!(phase, Phase::Ready | Phase::Retrying(_));
        self.expect(step, attempt.saturating_sub(1), startable)?;
        ensure(attempt > 0, "attempts count from 1")?;
        ensure(!self.plan_step(step).footprint.waits_for_person, "the step asks a person")?;
        ensure(self.may_start(step), "no step may start now")?;
        if self.lane(step) == Lane::Main {
            let room = self.sets.room(self.graph.places[step].group);
            ensure(self.free_slots() > 0 && room > 0, "as many steps run as may")?;
        }
        let slow = self.plan_step(step).slow_after.map(Span::duration);
        let state = &mut self.steps[step];
        state.attempt = attempt;
        state.slow_at = slow.map(|slow| later(at, slow));
        state.first_started.get_or_insert(at);
        (state.end, state.looks, state.error) = (None, 0, None);
        self.enter(step, Phase::Running);
        Ok(())
    }

    fn end(&mut self, step: usize, attempt: u32, end: &AttemptEnd) -> Applied {
        self.expect(step, attempt, |phase| *phase == Phase::Running)?;
        self.steps[step].end = Some(end.clone());
        self.enter(step, Phase::Undecided(None));
        Ok(())
    }

    fn look(&mut self, step: usize, attempt: u32) -> Applied {
        let may = |phase: &Phase| matches!(phase, Phase::LookDue(_) | Phase::Undecided(None));
        self.expect(step, attempt, may)?;
        self.enter(step, Phase::Looking);
        Ok(())
    }

    fn seen(&mut self, at: Timestamp, step: usize, attempt: u32, seen: &Seen) -> Applied {
        self.expect(step, attempt, |phase| *phase == Phase::Looking)?;
        let looks = self.steps[step].looks;
        let again = match seen {
            Seen::InProgress => true,
            Seen::Failed { error } => error.class == ErrorClass::Transient && looks < FAILED_LOOKS,
            _ => false,
        };
        if !again {
            self.enter(step, Phase::Undecided(Some(seen.clone())));
            return Ok(());
        }
        self.steps[step].looks += 1;
        let pause = FIRST_LOOK.saturating_mul(1 << looks.min(5)).min(LONGEST_LOOK);
        let pause = SignedDuration::try_from(pause).expect("a pause is short");
        self.enter(step, Phase::LookDue(at.saturating_add(pause).expect("a duration adds up")));
        Ok(())
    }

    fn retry(&mut self, step: usize, attempt: u32, at: Timestamp) -> Applied {
        self.expect(step, attempt, |phase| matches!(phase, Phase::Undecided(_)))?;
        let counts = self.steps[step].end.is_some();
        self.steps[step].retries += u32::from(counts);
        self.enter(step, Phase::Retrying(at));
        Ok(())
    }

    fn resolve(
        &mut self,
        step: usize,
        attempt: u32,
        verdict: Verdict,
        output: Option<&Value>,
    ) -> Applied {
        self.expect(step, attempt, |phase| *phase == Phase::InDoubt)?;
        self.steps[step].error = None;
        match verdict {
            Verdict::Applied => {
                self.steps[step].output = Some(output.cloned().unwrap_or_default());
                self.enter(step, Phase::Succeeded);
            }
            Verdict::NotApplied => self.enter(step, Phase::Ready),
        }
        Ok(())
    }

    /// Events that end a step.
    fn conclude(&mut self, step: usize, event: &Event) -> Applied {
        match event {
            Event::StepSucceeded { attempt, output, adopted, .. } => {
                self.expect(step, *attempt, |phase| match phase {
                    Phase::Running | Phase::Waiting(_) => !adopted,
                    Phase::Undecided(Some(Seen::Done { .. })) => *adopted,
                    _ => false,
                })?;
                self.steps[step].output = Some(output.clone());
                self.enter(step, Phase::Succeeded);
            }
            Event::StepFailed { attempt, error, .. } => {
                let may = |phase: &Phase| {
                    matches!(phase, Phase::Undecided(_) | Phase::Waiting(_) | Phase::Ready)
                };
                self.conclude_with(step, *attempt, error, may, Phase::Failed)?;
            }
            Event::StepTimedOut { attempt, error, .. } => {
                let may = |phase: &Phase| matches!(phase, Phase::Undecided(_) | Phase::Waiting(_));
                self.conclude_with(step, *attempt, error, may, Phase::TimedOut)?;
            }
            Event::StepInDoubt { attempt, error, .. } => {
                let may = |phase: &Phase| matches!(phase, Phase::Undecided(Some(_)));
                ensure(!self.only_tells(step), "what only tells is never in doubt")?;
                self.conclude_with(step, *attempt, error, may, Phase::InDoubt)?;
                self.waits_for(WaitCause::InDoubt, Some(step), &error.message);
            }
            Event::StepSkipped { left_out, by, reason, .. } => {
                let skip = match (left_out, reason) {
                    (Some(why), _) => Skip::LeftOut(*why),
                    (None, Some(reason)) => {
                        Skip::Decided { by: by.clone(), reason: reason.clone() }
                    }
                    (None, None) => Skip::Condition,
                };
                return self.skip(step, skip);
            }
            Event::StepNotRun { reason, .. } => return self.not_run(step, *reason),
            Event::StepCancelled { attempt, .. } => {
                self.stops(step)?;
                self.expect(step, *attempt, |phase| {
                    matches!(phase, Phase::Undecided(_) | Phase::Retrying(_))
                })?;
                self.count_stop(step);
                self.steps[step].error = Some(stopped());
                self.enter(step, Phase::Stopped);
            }
            _ => return refuse("the event is not about a step"),
        }
        Ok(())
    }

    fn conclude_with(
        &mut self,
        step: usize,
        attempt: u32,
        error: &StepError,
        may: impl Fn(&Phase) -> bool,
        phase: Phase,
    ) -> Applied {
        self.expect(step, attempt, may)?;
        self.steps[step].error = Some(error.clone());
        self.enter(step, phase);
        Ok(())
    }

    fn not_run(&mut self, step: usize, reason: NotRun) -> Applied {
        ensure(self.steps[step].phase.is_idle(), "the step has begun or ended")?;
        match reason {
            NotRun::RunFailed => {
                ensure(self.lane(step) == Lane::Main, "the step is told of failures")?;
                ensure(self.failed.is_some(), "no step failed")?;
                ensure(!self.graph.places[step].aware, "the step looks at failures")?;
            }
            NotRun::Cancelled => {
                self.stops(step)?;
                self.count_stop(step);
            }
            NotRun::UndoFailed => {
                let undoes = self.lane(step) == Lane::Undo;
                ensure(undoes && self.undo_failed.is_some(), "no undo step failed")?;
            }
            NotRun::NotNeeded => return refuse("the end of the run says so"),
        }
        self.enter(step, Phase::NotRun(reason));
        Ok(())
    }

    fn stops(&self, step: usize) -> Applied {
        ensure(self.stop_of(self.lane(step)).is_some(), "nobody cancelled the run")
    }

    /// A run is cancelled when one of its own steps was stopped.
    fn count_stop(&mut self, step: usize) {
        self.stopped += usize::from(matches!(self.lane(step), Lane::Main | Lane::Undo));
    }
}
