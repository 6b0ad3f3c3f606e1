//! What to do next. Pure: the driver turns every command into events before it acts.

use std::collections::HashMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::approval::{OnTimeout, Question};
use crate::effect::Effect;
use crate::ids::StepId;
use crate::plan::{Contact, Occasion, PlanStep};
use crate::run::event::{Event, FinalStatus, NotRun};
use crate::run::graph::Lane;
use crate::run::settle::{settle, time_left};
use crate::run::stage::{advance, tell};
use crate::run::state::{RunState, RunStatus};
use crate::run::step_state::Phase;
use crate::step_error::StepError;
use crate::units::Span;

/// The longest an attempt to tell people something takes in a handler.
const NOTICE: Duration = Duration::from_secs(10);

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
    stop_beside(state, &mut commands);
    close_questions(state, now, &mut commands);
    // What ended may forbid a start: it is applied first.
    if commands.is_empty() {
        start_due(state, now, &mut commands);
    }
    if commands.is_empty() {
        commands.extend(tell(state));
    }
    if commands.is_empty() {
        commands = advance(state);
    }
    if !commands.is_empty() {
        return commands;
    }
    wait(state, now)
}

/// Steps that a cancellation stops: those that can be taken back, and with `force` all.
pub fn stoppable(state: &RunState) -> Vec<StepId> {
    let may = |step: &&usize| {
        let (lane, effect) = (state.lane(**step), state.plan_step(**step).footprint.effect);
        let gentle = matches!(effect, Effect::Read | Effect::Reversible);
        state.stop_of(lane).is_some_and(|cancel| cancel.force || gentle)
    };
    let running = state.sets.running.iter().filter(may);
    running.map(|step| state.plan_step(*step).id.clone()).collect()
}

/// Steps that run and that a polite cancellation waits for.
pub fn awaited(state: &RunState) -> impl Iterator<Item = &PlanStep> {
    state
        .running()
        .filter(|step| !matches!(step.footprint.effect, Effect::Read | Effect::Reversible))
}

fn settle_ended(state: &RunState, now: Timestamp, commands: &mut Vec<Command>) {
    for step in &state.sets.undecided {
        if let Phase::Undecided(seen) = &state.steps[*step].phase {
            commands.push(settle(state, *step, seen.as_ref(), now));
        }
    }
}

fn not_run(state: &RunState, reason: NotRun) -> impl Fn(&usize) -> Command {
    move |step| {
        let step = state.plan_step(*step).id.clone();
        Command::Record(Event::StepNotRun { step, reason })
    }
}

/// The event that ends a step which waits for its next attempt.
fn stop_retry(state: &RunState, step: usize) -> Option<Command> {
    let retrying = matches!(state.steps[step].phase, Phase::Retrying(_));
    let (id, attempt) = (&state.plan_step(step).id, state.steps[step].attempt);
    let event = Event::StepCancelled { step: id.clone(), attempt };
    retrying.then_some(Command::Record(event))
}

/// After a failure or a cancellation, what has not begun will not.
fn stop_idle(state: &RunState, commands: &mut Vec<Command>) {
    let [plain, aware] = &state.sets.idle;
    if state.stops.main.is_some() {
        commands.extend(plain.iter().chain(aware).map(not_run(state, NotRun::Cancelled)));
        let retrying = state.sets.due.iter().map(|(_, step)| *step);
        let retrying = retrying.filter(|step| state.lane(*step) == Lane::Main);
        commands.extend(retrying.filter_map(|step| stop_retry(state, step)));
    } else if state.failed.is_some() {
        commands.extend(plain.iter().map(not_run(state, NotRun::RunFailed)));
    }
}

/// The same for undo and handlers.
fn stop_beside(state: &RunState, commands: &mut Vec<Command>) {
    let ends = [Occasion::Success, Occasion::Failure, Occasion::Abort, Occasion::Exit];
    let lanes = ends.map(Lane::Handler).into_iter().chain([Lane::Consent, Lane::Undo]);
    for lane in lanes.filter(|lane| state.open[lane.index()] > 0) {
        let reason = match lane {
            _ if state.stop_of(lane).is_some() => NotRun::Cancelled,
            Lane::Undo if state.undo_failed.is_some() => NotRun::UndoFailed,
            _ => continue,
        };
        let steps = state.graph.lane(lane);
        let idle = steps.iter().filter(|step| state.steps[**step].phase.is_idle());
        commands.extend(idle.map(not_run(state, reason)));
        commands.extend(steps.iter().filter_map(|step| stop_retry(state, *step)));
    }
}

fn close_questions(state: &RunState, now: Timestamp, commands: &mut Vec<Command>) {
    let stops = |step: &usize| {
        let place = state.graph.places[*step];
        let failed = place.lane == Lane::Main && state.failed.is_some() && !place.aware;
        state.stop_of(place.lane).is_some() || failed
    };
    for step in state.sets.waiting.iter().filter(|step| !stops(step)) {
        if let Phase::Waiting(question) = &state.steps[*step].phase {
            let contacts = &state.plan().expect("a step is one of a plan").contacts;
            let event = close(&state.plan_step(*step).id, question, contacts, now);
            commands.extend(event.map(Command::Record));
        }
    }
}

fn close(
    step: &StepId,
    question: &Question,
    contacts: &[Contact],
    now: Timestamp,
) -> Option<Event> {
    if let Some(answer) = question.rejection() {
        let why = answer.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let message = format!("`{}` rejected it{why}", answer.by);
        let error = StepError::permanent("RB0450", message);
        return Some(Event::StepFailed { step: step.clone(), attempt: 0, error });
    }
    if question.is_granted() {
        let (step, output) = (step.clone(), question.output());
        return Some(Event::StepSucceeded { step, attempt: 0, output, adopted: false, log: None });
    }
    let is_late = question.until.is_some_and(|until| until <= now);
    is_late.then(|| match question.request.on_timeout {
        OnTimeout::Fail => {
            let error = StepError::permanent("RB0451", "nobody answered in time")
                .hint("raise `timeout`, or name more `approvers`");
            Event::StepTimedOut { step: step.clone(), attempt: 0, error }
        }
        OnTimeout::Escalate => escalate(step, question, contacts, now),
    })
}

/// First those contacts are called who were not asked yet, for another period; then all of them,
/// and whoever is there may break the glass. The period follows the one before, whenever somebody
/// comes to notice: a run without a process does not make anyone wait longer.
fn escalate(step: &StepId, question: &Question, contacts: &[Contact], now: Timestamp) -> Event {
    let break_glass = question.escalation.is_some();
    let was_asked = |contact: &&Contact| {
        let names = [&contact.role, &contact.name].map(|name| name.to_lowercase());
        question.request.approvers.iter().any(|entry| names.contains(&entry.to_lowercase()))
    };
    let next: Vec<Contact> = contacts.iter().filter(|it| !was_asked(it)).cloned().collect();
    let all = break_glass || next.is_empty();
    let period = question.request.timeout.filter(|_| !break_glass);
    Event::ApprovalEscalated {
        step: step.clone(),
        contacts: if all { contacts.to_vec() } else { next },
        until: period.map(|period| later(question.until.unwrap_or(now), period.duration())),
        break_glass,
    }
}

/// What may start in one decision.
struct Room<'a> {
    state: &'a RunState,
    slots: usize,
    groups: HashMap<usize, usize>,
}

impl Room<'_> {
    /// Takes room for a step; whether there is some.
    fn take(&mut self, step: usize) -> bool {
        let place = self.state.graph.places[step];
        if place.lane != Lane::Main {
            return true;
        }
        if self.slots == 0 {
            return false;
        }
        if let Some(group) = place.group {
            let taken = self.groups.entry(group).or_default();
            if *taken >= self.state.sets.room(place.group) {
                return false;
            }
            *taken += 1;
        }
        self.slots -= 1;
        true
    }
}

fn start_due(state: &RunState, now: Timestamp, commands: &mut Vec<Command>) {
    let mut room = Room { state, slots: state.free_slots(), groups: HashMap::new() };
    for (_, step) in state.sets.due.iter().take_while(|(at, _)| *at <= now) {
        let (id, attempt) = (&state.plan_step(*step).id, state.steps[*step].attempt);
        match state.steps[*step].phase {
            Phase::LookDue(_) => commands.push(Command::Observe { step: id.clone(), attempt }),
            Phase::Running => {
                let after = state.plan_step(*step).slow_after.unwrap_or_default();
                let (step, after) = (id.clone(), after);
                commands.push(Command::Record(Event::StepSlow { step, attempt, after }));
            }
            Phase::Retrying(_) if state.may_start(*step) && room.take(*step) => {
                commands.push(start(state, *step, now));
            }
            _ => {}
        }
    }
    for step in state.sets.beside.iter().filter(|step| state.may_start(**step)) {
        commands.push(begin(state, *step, now));
    }
    for step in &state.sets.ready {
        if room.slots == 0 {
            break;
        }
        if state.may_start(*step) && (needs_no_room(state, *step) || room.take(*step)) {
            commands.push(begin(state, *step, now));
        }
    }
}

fn needs_no_room(state: &RunState, step: usize) -> bool {
    let plan = state.plan_step(step);
    plan.left_out.is_some() || plan.footprint.waits_for_person
}

/// A step's turn has come: it is left out, asks, or starts.
fn begin(state: &RunState, number: usize, now: Timestamp) -> Command {
    let plan = state.plan_step(number);
    let step = plan.id.clone();
    if plan.left_out.is_some() {
        let (left_out, by, reason) = (plan.left_out, None, None);
        return Command::Record(Event::StepSkipped { step, left_out, by, reason });
    }
    if plan.footprint.waits_for_person {
        return Command::Ask { step };
    }
    start(state, number, now)
}

fn start(state: &RunState, number: usize, now: Timestamp) -> Command {
    let (plan, step) = (state.plan_step(number), &state.steps[number]);
    let timeout = plan.timeout.map(Span::duration);
    let deadline = time_left(plan, step, now).or(plan.deadline.map(Span::duration));
    let notice = state.only_tells(number).then_some(NOTICE);
    let limit = timeout.into_iter().chain(deadline).chain(notice).min();
    Command::Start { step: plan.id.clone(), attempt: step.attempt + 1, limit }
}

/// Nothing can be done now: until when, and whether only people can change that.
fn wait(state: &RunState, now: Timestamp) -> Vec<Command> {
    let mut commands = Vec::new();
    let counts = |step: usize| {
        !matches!(state.steps[step].phase, Phase::Retrying(_)) || state.may_start(step)
    };
    let next = state.sets.due.iter().find(|(at, step)| *at > now && counts(*step));
    if let Some((at, _)) = next {
        commands.push(Command::WaitUntil(*at));
    }
    let status = state.status();
    if status != RunStatus::Running && !state.handlers_work() {
        commands.push(Command::Rest(status));
    }
    commands
}

/// The instant `after` `now`, as far as time can be told.
pub fn later(now: Timestamp, after: Duration) -> Timestamp {
    let after = SignedDuration::try_from(after).unwrap_or(SignedDuration::MAX);
    now.saturating_add(after).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::approval::Request;

    #[test]
    fn the_periods_of_an_escalation_follow_each_other_however_late_it_is_noticed() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let request: Request = serde_json::from_value(json!({
            "prompt": "Go?", "timeout": "15s", "on_timeout": "escalate",
        }))
        .unwrap();
        let question = Question::new(request, at(100), Some(at(115)));
        let step: StepId = "confirm".parse().unwrap();
        for noticed in [115, 118, 4_000] {
            let escalated = escalate(&step, &question, &[], at(noticed));
            let Event::ApprovalEscalated { until, break_glass, .. } = escalated else { panic!() };
            assert_eq!((until, break_glass), (Some(at(130)), false), "noticed at {noticed}");
        }
    }
}
