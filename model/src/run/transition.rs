//! Which event may follow which state, and what it changes. Every check stands before the first
//! change, so that a refused event leaves the state as it was.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::ids::StepId;
use crate::run::event::{AttemptEnd, Event, FinalStatus, NotRun, Seen, Verdict};
use crate::run::state::{Cancel, IllegalEvent, RunState};
use crate::run::step_state::{Phase, Question};
use crate::step_error::{ErrorClass, StepError};

/// A look that fails is repeated so often before the step is in doubt.
const FAILED_LOOKS: u32 = 5;

/// Between the first two looks; doubled each time, up to [`LONGEST_LOOK`].
const FIRST_LOOK: Duration = Duration::from_secs(1);
const LONGEST_LOOK: Duration = Duration::from_secs(30);

type Applied = Result<(), IllegalEvent>;

fn refuse(why: impl Into<String>) -> Applied {
    Err(IllegalEvent(why.into()))
}

fn ensure(holds: bool, why: &str) -> Applied {
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
                let force = *force || self.cancel.is_some_and(|cancel| cancel.force);
                self.cancel = Some(Cancel { force });
                Ok(())
            }
            Event::RunPaused { error, .. } => self.pause(step, error),
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
        self.paused = None;
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
        Ok(())
    }

    fn finish(&mut self, status: FinalStatus, failed: Option<&StepId>) -> Applied {
        ensure(self.open == 0, "steps have not ended")?;
        ensure(status == self.outcome(), "the steps ended otherwise")?;
        ensure(failed == self.failed_step(), "another step failed first")?;
        self.finished = Some(status);
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
            Event::ApprovalRequested { request, until, .. } => {
                let asks = self.plan_step(step).footprint.waits_for_person;
                ensure(asks, "the step asks nobody")?;
                self.expect(step, 0, |phase| *phase == Phase::Ready)?;
                ensure(self.may_start(step), "no step may start now")?;
                let (request, until, answers) = (request.clone(), *until, Vec::new());
                self.enter(step, Phase::Waiting(Box::new(Question { request, until, answers })));
                Ok(())
            }
            Event::ApprovalAnswered { answer, .. } => match &mut self.steps[step].phase {
                Phase::Waiting(question) => {
                    question.answers.push((at, answer.clone()));
                    Ok(())
                }
                _ => refuse("nobody is asked"),
            },
            _ => self.conclude(step, event),
        }
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
        ensure(self.free_slots() > 0, "as many steps run as may")?;
        let state = &mut self.steps[step];
        state.attempt = attempt;
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
                self.conclude_with(step, *attempt, error, may, Phase::InDoubt)?;
            }
            Event::StepSkipped { .. } => {
                self.expect(step, 0, |phase| *phase == Phase::Ready)?;
                ensure(self.plan_step(step).condition.is_some(), "the step has no `if`")?;
                self.enter(step, Phase::Skipped);
            }
            Event::StepNotRun { reason, .. } => return self.not_run(step, *reason),
            Event::StepCancelled { attempt, .. } => {
                ensure(self.cancel.is_some(), "nobody cancelled the run")?;
                self.expect(step, *attempt, |phase| {
                    matches!(phase, Phase::Undecided(_) | Phase::Retrying(_))
                })?;
                self.stopped += 1;
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
                ensure(self.failed.is_some(), "no step failed")?;
                ensure(!self.graph.aware[step], "the step looks at failures")?;
            }
            NotRun::Cancelled => {
                ensure(self.cancel.is_some(), "nobody cancelled the run")?;
                self.stopped += 1;
            }
        }
        self.enter(step, Phase::NotRun(reason));
        Ok(())
    }
}
