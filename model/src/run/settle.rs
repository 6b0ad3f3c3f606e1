//! What follows from an attempt that ended without success, or whose effect was looked for.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::plan::{PlanStep, Retry};
use crate::run::decide::Command;
use crate::run::event::{AttemptEnd, Event, Seen};
use crate::run::graph::Lane;
use crate::run::state::RunState;
use crate::run::step_state::StepState;
use crate::step_error::{ErrorClass, StepError};

/// Another version of a step, a secret that cannot be read: what a process has or has not.
const LACKS_OF_A_PROCESS: [&str; 2] = ["RB0409", "RB0420"];

/// What only tells people something is tried once more in a handler.
const NOTICE_RETRIES: u32 = 1;

/// Decides on a step whose attempt ended or was looked at.
pub(super) fn settle(
    run: &RunState,
    number: usize,
    seen: Option<&Seen>,
    now: Timestamp,
) -> Command {
    let lane = run.lane(number);
    let case = Case {
        run,
        plan: run.plan_step(number),
        state: &run.steps[number],
        cancelled: run.stop_of(lane).is_some(),
        handler: matches!(lane, Lane::Handler(_)),
        only_tells: run.only_tells(number),
        now,
    };
    match seen {
        None => case.after_end(),
        Some(Seen::Done { output }) => Command::Record(Event::StepSucceeded {
            step: case.plan.id.clone(),
            attempt: case.state.attempt,
            output: output.clone(),
            adopted: true,
            log: None,
        }),
        Some(Seen::NotDone) => case.after_not_done(),
        Some(Seen::Failed { error }) => case.in_doubt(error.clone()),
        Some(Seen::Unknown | Seen::InProgress) => case.in_doubt(case.unknown()),
    }
}

struct Case<'a> {
    run: &'a RunState,
    plan: &'a PlanStep,
    state: &'a StepState,
    cancelled: bool,
    handler: bool,
    only_tells: bool,
    now: Timestamp,
}

impl Case<'_> {
    fn after_end(&self) -> Command {
        let Some(AttemptEnd::Failed { error }) = &self.state.end else { return self.observe() };
        let reads = self.plan.footprint.effect == crate::effect::Effect::Read;
        match error.class {
            ErrorClass::Transient => self.retry_or(self.failed(error)),
            ErrorClass::Permanent => Command::Record(self.failed(error)),
            ErrorClass::NeedsOperator if !self.waits_for_operator(error) => {
                Command::Record(self.failed(&for_an_ended_run(error)))
            }
            ErrorClass::NeedsOperator => Command::Record(Event::RunPaused {
                step: Some(self.plan.id.clone()),
                error: error.clone(),
            }),
            ErrorClass::Cancelled if reads && self.cancelled => self.cancelled(),
            ErrorClass::Cancelled | ErrorClass::Ambiguous => self.observe(),
        }
    }

    /// Whether a person is there, or comes back, to put right what the step needs. What a process
    /// lacks that somebody resumed by hand is for that person to provide.
    fn waits_for_operator(&self, error: &StepError) -> bool {
        if self.handler {
            return false;
        }
        let unattended = self.run.created().is_some_and(|created| created.unattended);
        let of_the_resume = LACKS_OF_A_PROCESS.contains(&error.code.as_str());
        !unattended || (self.run.epoch() > 1 && of_the_resume)
    }

    fn after_not_done(&self) -> Command {
        if self.cancelled {
            return self.cancelled();
        }
        match &self.state.end {
            None if self.past_deadline(Duration::ZERO) => {
                Command::Record(self.timed_out("deadline", self.plan.deadline.unwrap_or_default()))
            }
            None => Command::Record(Event::StepRetryScheduled {
                step: self.plan.id.clone(),
                attempt: self.state.attempt,
                at: self.now,
            }),
            Some(AttemptEnd::Failed { error }) => self.retry_or(self.failed(error)),
            Some(AttemptEnd::TimedOut { limit }) => {
                self.retry_or(self.timed_out("timeout", *limit))
            }
            Some(AttemptEnd::Stalled { limit }) => {
                self.retry_or(self.timed_out("stall_timeout", *limit))
            }
        }
    }

    /// Another attempt when the plan allows one, else `end`.
    fn retry_or(&self, end: Event) -> Command {
        if self.cancelled {
            return self.cancelled();
        }
        let retry = &self.plan.retry;
        let base = interval(retry, self.state.retries);
        let limit = if self.only_tells { NOTICE_RETRIES } else { retry.limit };
        if self.state.retries >= limit || self.past_deadline(base) {
            return Command::Record(end);
        }
        Command::DrawRetry {
            step: self.plan.id.clone(),
            attempt: self.state.attempt,
            base,
            jitter: retry.jitter,
        }
    }

    fn past_deadline(&self, after: Duration) -> bool {
        time_left(self.plan, self.state, self.now).is_some_and(|left| left <= after)
    }

    fn observe(&self) -> Command {
        Command::Observe { step: self.plan.id.clone(), attempt: self.state.attempt }
    }

    fn failed(&self, error: &StepError) -> Event {
        let (step, attempt) = (self.plan.id.clone(), self.state.attempt);
        Event::StepFailed { step, attempt, error: error.clone() }
    }

    fn timed_out(&self, limit: &str, span: crate::units::Span) -> Event {
        let (step, attempt) = (self.plan.id.clone(), self.state.attempt);
        let error =
            StepError::permanent("RB0404", format!("the step's `{limit}` of {span} passed"))
                .hint(format!("raise `{limit}`, or see in the step's log what it waited for"));
        Event::StepTimedOut { step, attempt, error }
    }

    fn cancelled(&self) -> Command {
        let (step, attempt) = (self.plan.id.clone(), self.state.attempt);
        Command::Record(Event::StepCancelled { step, attempt })
    }

    fn in_doubt(&self, error: StepError) -> Command {
        if self.only_tells {
            return Command::Record(self.failed(&error));
        }
        let (step, attempt) = (self.plan.id.clone(), self.state.attempt);
        Command::Record(Event::StepInDoubt { step, attempt, error })
    }

    fn unknown(&self) -> StepError {
        let how = match &self.state.end {
            None => "the process died while it ran".to_owned(),
            Some(AttemptEnd::Failed { error }) => error.message.clone(),
            Some(AttemptEnd::TimedOut { limit }) => format!("its `timeout` of {limit} passed"),
            Some(AttemptEnd::Stalled { limit }) => format!("it made no progress for {limit}"),
        };
        let message = format!("nothing can tell whether it happened: {how}");
        StepError::ambiguous("RB0405", message).hint(format!(
            "find out, then `runbook resolve RUN {} --applied` or `--not-applied`",
            self.plan.id
        ))
    }
}

/// The run ends where another one would pause: a plain `resume` would only tell how it ended.
fn for_an_ended_run(error: &StepError) -> StepError {
    let again = |hint: &String| hint.replace("`runbook resume`", "`runbook resume --retry-failed`");
    StepError { hint: error.hint.as_ref().map(again), ..error.clone() }
}

/// What `deadline` leaves at `now`; nothing when there is none, or no attempt was started.
pub(super) fn time_left(plan: &PlanStep, state: &StepState, now: Timestamp) -> Option<Duration> {
    let limit = SignedDuration::try_from(plan.deadline?.duration()).unwrap_or(SignedDuration::MAX);
    let passed = now.duration_since(state.first_started?);
    Some(limit.saturating_sub(passed).try_into().unwrap_or(Duration::ZERO))
}

/// The interval before retry number `retries + 1`, without jitter.
fn interval(retry: &Retry, retries: u32) -> Duration {
    let longest = retry.max_interval.duration().as_secs_f64();
    let factor = retry.backoff.max(1.0).powi(i32::try_from(retries).unwrap_or(i32::MAX));
    let seconds = (retry.interval.duration().as_secs_f64() * factor).min(longest);
    Duration::try_from_secs_f64(seconds).unwrap_or(retry.max_interval.duration())
}
