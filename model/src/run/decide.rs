//! What to do next. Pure: the driver turns every command into events before it acts.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::approval::Decision;
use crate::effect::Effect;
use crate::ids::StepId;
use crate::run::event::{Event, FinalStatus, NotRun};
use crate::run::settle::{settle, time_left};
use crate::run::state::{RunState, RunStatus};
use crate::run::step_state::{Phase, Question};
use crate::step_error::StepError;
use crate::units::Span;

/// One thing to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Begin an attempt: check `if` on the first one, render, record `step_started`, run.
    Start {
        /// The step.
        step: StepId,
        /// The attempt.
        attempt: u32,
        /// What `timeout` and `deadline` leave it.
        limit: Option<Duration>,
    },
    /// Put the step's question: check `if`, render, record `approval_requested`, ask.
    Ask {
        /// The step.
        step: StepId,
    },
    /// Record `step_observing` and look for the attempt's effect.
    Observe {
        /// The step.
        step: StepId,
        /// The attempt.
        attempt: u32,
    },
    /// Draw the jitter and record `step_retry_scheduled`.
    DrawRetry {
        /// The step.
        step: StepId,
        /// The attempt that had no effect.
        attempt: u32,
        /// The interval without jitter.
        base: Duration,
        /// At most this share is added or taken away.
        jitter: f64,
    },
    /// Record that.
    Record(Event),
    /// Decide again at that time, if nothing happens before.
    WaitUntil(Timestamp),
    /// Nothing goes on without a person; the process may end with that status.
    Rest(RunStatus),
    /// Record `run_finished`.
    Finish {
        /// How it ended.
        status: FinalStatus,
        /// The first step that failed.
        failed_step: Option<StepId>,
    },
}

/// What to do next in `state` at `now`. The events of the commands are applied in order before
/// the next call; `WaitUntil` and `Rest` have none. When a step fails before its start, because
/// its `if` or its input cannot be rendered, the commands behind it are void.
pub fn decide(state: &RunState, now: Timestamp) -> Vec<Command> {
    if state.created.is_none() || state.finished.is_some() {
        return Vec::new();
    }
    let mut commands = Vec::new();
    settle_ended(state, now, &mut commands);
    stop_idle(state, &mut commands);
    close_questions(state, now, &mut commands);
    // What ended may forbid a start: it is applied first.
    if commands.is_empty() {
        start_due(state, now, &mut commands);
    }
    if !commands.is_empty() {
        return commands;
    }
    if state.open == 0 {
        let failed_step = state.failed_step().cloned();
        return vec![Command::Finish { status: state.outcome(), failed_step }];
    }
    wait(state, now)
}

/// Steps that a cancellation stops: those that can be taken back, and with `force` all.
pub fn stoppable(state: &RunState) -> Vec<StepId> {
    let Some(cancel) = state.cancel else { return Vec::new() };
    let may = |effect| cancel.force || matches!(effect, Effect::Read | Effect::Reversible);
    let running = state.running().filter(|step| may(step.footprint.effect));
    running.map(|step| step.id.clone()).collect()
}

fn settle_ended(state: &RunState, now: Timestamp, commands: &mut Vec<Command>) {
    for step in &state.sets.undecided {
        if let Phase::Undecided(seen) = &state.steps[*step].phase {
            commands.push(settle(state, *step, seen.as_ref(), now));
        }
    }
}

/// After a failure or a cancellation, what has not begun will not.
fn stop_idle(state: &RunState, commands: &mut Vec<Command>) {
    let [plain, aware] = &state.sets.idle;
    let not_run = |reason| {
        move |step: &usize| {
            let step = state.plan_step(*step).id.clone();
            Command::Record(Event::StepNotRun { step, reason })
        }
    };
    if state.cancel.is_some() {
        commands.extend(plain.iter().chain(aware).map(not_run(NotRun::Cancelled)));
        commands.extend(state.sets.due.iter().filter_map(|(_, step)| {
            let retrying = matches!(state.steps[*step].phase, Phase::Retrying(_));
            let (id, attempt) = (&state.plan_step(*step).id, state.steps[*step].attempt);
            let event = Event::StepCancelled { step: id.clone(), attempt };
            retrying.then_some(Command::Record(event))
        }));
    } else if state.failed.is_some() {
        commands.extend(plain.iter().map(not_run(NotRun::RunFailed)));
    }
}

fn close_questions(state: &RunState, now: Timestamp, commands: &mut Vec<Command>) {
    let stops = |step: &usize| {
        state.cancel.is_some() || (state.failed.is_some() && !state.graph.aware[*step])
    };
    for step in state.sets.waiting.iter().filter(|step| !stops(step)) {
        if let Phase::Waiting(question) = &state.steps[*step].phase {
            commands.extend(close(&state.plan_step(*step).id, question, now).map(Command::Record));
        }
    }
}

fn close(step: &StepId, question: &Question, now: Timestamp) -> Option<Event> {
    if let Some(answer) = question.rejection() {
        let why = answer.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let message = format!("`{}` rejected it{why}", answer.by);
        let error = StepError::permanent("RB0450", message);
        return Some(Event::StepFailed { step: step.clone(), attempt: 0, error });
    }
    if !question.is_open() {
        let (at, _) = question.answers.last()?;
        let claimed = question.answers.iter().any(|(_, answer)| answer.claimed);
        let output = json!({
            "decision": Decision::Approved,
            "by": question.names().join(", "),
            "at": at,
            "claimed": claimed,
        });
        let (step, adopted, log) = (step.clone(), false, None);
        return Some(Event::StepSucceeded { step, attempt: 0, output, adopted, log });
    }
    if question.until.is_some_and(|until| until <= now) {
        let error = StepError::permanent("RB0451", "nobody answered in time")
            .hint("raise `timeout`, or name more `approvers`");
        return Some(Event::StepTimedOut { step: step.clone(), attempt: 0, error });
    }
    None
}

fn start_due(state: &RunState, now: Timestamp, commands: &mut Vec<Command>) {
    let mut slots = state.free_slots();
    for (_, step) in state.sets.due.iter().take_while(|(at, _)| *at <= now) {
        let id = &state.plan_step(*step).id;
        match state.steps[*step].phase {
            Phase::LookDue(_) => {
                let attempt = state.steps[*step].attempt;
                commands.push(Command::Observe { step: id.clone(), attempt });
            }
            Phase::Retrying(_) if slots > 0 && state.may_start(*step) => {
                commands.push(start(state, *step, now));
                slots -= 1;
            }
            _ => {}
        }
    }
    for step in &state.sets.ready {
        if slots == 0 {
            break;
        }
        if state.may_start(*step) {
            if state.plan_step(*step).footprint.waits_for_person {
                commands.push(Command::Ask { step: state.plan_step(*step).id.clone() });
                continue;
            }
            commands.push(start(state, *step, now));
            slots -= 1;
        }
    }
}

fn start(state: &RunState, number: usize, now: Timestamp) -> Command {
    let (plan, step) = (state.plan_step(number), &state.steps[number]);
    let timeout = plan.timeout.map(Span::duration);
    let deadline = time_left(plan, step, now).or(plan.deadline.map(Span::duration));
    let limit = timeout.into_iter().chain(deadline).min();
    Command::Start { step: plan.id.clone(), attempt: step.attempt + 1, limit }
}

/// Nothing can be done now: until when, and whether only people can change that.
fn wait(state: &RunState, now: Timestamp) -> Vec<Command> {
    let mut commands = Vec::new();
    let blocked = state.paused.is_some() || !state.sets.in_doubt.is_empty();
    let counts = |step: usize| !(blocked && matches!(state.steps[step].phase, Phase::Retrying(_)));
    let next = state.sets.due.iter().find(|(at, step)| *at > now && counts(*step));
    if let Some((at, _)) = next {
        commands.push(Command::WaitUntil(*at));
    }
    let status = state.status();
    if status != RunStatus::Running {
        commands.push(Command::Rest(status));
    }
    commands
}

/// The instant `after` `now`, as far as time can be told.
pub fn later(now: Timestamp, after: Duration) -> Timestamp {
    let after = SignedDuration::try_from(after).unwrap_or(SignedDuration::MAX);
    now.saturating_add(after).unwrap_or(Timestamp::MAX)
}
