//! What is known of a run that is watched: a fold of its events, of its steps' progress and of
//! the last lines of their logs. How it looks at a moment is `picture`'s business.

use std::collections::HashMap;
use std::time::Duration;

use engine::context::Progress;
use jiff::Timestamp;
use model::effect::Effect;
use model::ids::{RunId, StepId};
use model::journal::Record;
use model::plan::{Contact, PlanStep, Role};
use model::run::event::Event;
use model::run::stage::Stage;
use model::run::state::{RunState, RunStatus};
use model::run::step_state::{Phase, StepState};
use model::step_error::StepError;
use serde_json::Value;

use crate::show::lines;
use crate::show::live::meter::Meter;

/// A run as it is seen.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub(super) head: Option<Head>,
    pub(super) rows: Vec<Row>,
    index: HashMap<StepId, usize>,
}

/// What concerns the run as a whole.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) run: RunId,
    pub(super) name: String,
    pub(super) started: Timestamp,
    pub(super) incident: Option<Timestamp>,
    pub(super) goals: Vec<Goal>,
    pub(super) contacts: Vec<Contact>,
    pub(super) status: RunStatus,
    pub(super) paused: Option<StepError>,
    pub(super) cancel: Option<bool>,
    /// Nothing starts until somebody has chosen how it goes on.
    pub(super) held: bool,
    pub(super) stage: Stage,
    pub(super) warnings: usize,
    pub(super) ended: Option<Timestamp>,
}

/// A time to be met.
#[derive(Debug)]
pub(super) struct Goal {
    pub(super) name: String,
    pub(super) limit: Option<Duration>,
    /// The steps whose success reaches it.
    pub(super) by: Vec<usize>,
    pub(super) reached: Option<Timestamp>,
}

/// One step.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) id: StepId,
    pub(super) what: String,
    pub(super) role: Role,
    pub(super) effect: Effect,
    pub(super) retries: u32,
    pub(super) needs: Vec<usize>,
    pub(super) phase: Phase,
    pub(super) attempt: u32,
    pub(super) error: Option<StepError>,
    pub(super) last_end: Option<String>,
    pub(super) output: Option<Value>,
    pub(super) first_started: Option<Timestamp>,
    pub(super) started: Option<Timestamp>,
    pub(super) ended: Option<Timestamp>,
    pub(super) meter: Option<Meter>,
    pub(super) log: Option<String>,
}

impl View {
    /// Takes what happened; `state` is the state after it.
    pub(crate) fn event(&mut self, record: &Record, state: &RunState) {
        if self.head.is_none() {
            self.begin(state);
        }
        let at = record.stamp.at;
        if let Some(step) = record.event.step().and_then(|step| self.index.get(step).copied()) {
            self.step(step, at, &record.event, state);
        }
        if moves_others(&record.event, state) {
            self.refresh(state);
        }
        let Some(head) = &mut self.head else { return };
        head.status = state.status();
        head.paused = state.paused().cloned();
        head.cancel = state.cancel().map(|cancel| cancel.force);
        (head.held, head.stage) = (state.is_held(), state.stage());
        match &record.event {
            Event::Warning { .. } => head.warnings += 1,
            Event::RunFinished { .. } => head.ended = Some(at),
            Event::RunResumed { .. } | Event::RunReopened { .. } => head.ended = None,
            _ => {}
        }
    }

    /// Takes what a step says of its progress.
    pub(crate) fn progress(&mut self, now: Timestamp, step: &StepId, progress: &Progress) {
        let Some(row) = self.index.get(step).map(|step| &mut self.rows[*step]) else { return };
        match &mut row.meter {
            Some(meter) => meter.update(now, progress.clone()),
            None => row.meter = Some(Meter::new(now, progress.clone())),
        }
    }

    /// Takes the newest line of a step's log.
    pub(crate) fn log(&mut self, step: &StepId, line: String) {
        if let Some(step) = self.index.get(step) {
            self.rows[*step].log = Some(line);
        }
    }

    /// The run, and the attempts that run, whose logs may have something new.
    pub(crate) fn open_logs(&self) -> Option<(RunId, Vec<(StepId, u32)>)> {
        let running = self.rows.iter().filter(|row| row.phase == Phase::Running);
        let logs = running.map(|row| (row.id.clone(), row.attempt)).collect();
        self.head.as_ref().map(|head| (head.run, logs))
    }

    fn begin(&mut self, state: &RunState) {
        let Some(created) = state.created() else { return };
        let plan = &created.plan;
        self.index =
            plan.steps.iter().enumerate().map(|(at, step)| (step.id.clone(), at)).collect();
        self.rows = state.steps().map(|(plan, step)| Row::new(plan, step, &self.index)).collect();
        self.head = Some(Head {
            run: created.run,
            name: plan.name.clone(),
            started: created.started_at,
            incident: created.incident_at,
            goals: goals(&plan.steps, plan.objectives.rto.map(model::units::Span::duration)),
            contacts: plan.contacts.clone(),
            status: state.status(),
            paused: None,
            cancel: None,
            held: false,
            stage: state.stage(),
            warnings: 0,
            ended: None,
        });
    }

    fn step(&mut self, step: usize, at: Timestamp, event: &Event, state: &RunState) {
        let row = &mut self.rows[step];
        let Some(known) = state.step(&row.id) else { return };
        row.take(known);
        match event {
            Event::StepStarted { .. } => {
                row.first_started.get_or_insert(at);
                (row.started, row.ended) = (Some(at), None);
                (row.meter, row.log) = (None, None);
            }
            Event::StepAttemptEnded { .. } | Event::StepInDoubt { .. } => row.meter = None,
            _ => {}
        }
        if row.phase.is_final() || row.phase == Phase::InDoubt {
            row.ended = Some(at);
            row.meter = None;
            self.reach(at);
        }
    }

    /// Sees whether a goal was reached at that time.
    fn reach(&mut self, at: Timestamp) {
        let Some(head) = &mut self.head else { return };
        for goal in head.goals.iter_mut().filter(|goal| goal.reached.is_none()) {
            let done =
                |step: &usize| matches!(self.rows[*step].phase, Phase::Succeeded | Phase::Skipped);
            if !goal.by.is_empty() && goal.by.iter().all(done) {
                goal.reached = Some(at);
            }
        }
    }

    /// Takes every step as it stands, for what events alone do not tell.
    fn refresh(&mut self, state: &RunState) {
        for (row, (_, known)) in self.rows.iter_mut().zip(state.steps()) {
            row.take(known);
            if !row.phase.is_final() {
                row.ended = None;
            }
        }
        let open = |step: &usize| !self.rows[*step].phase.is_final();
        for goal in self.head.iter_mut().flat_map(|head| &mut head.goals) {
            goal.reached = goal.reached.filter(|_| !goal.by.iter().any(open));
        }
    }
}

/// The milestones, then the recovery time objective: reached where service is restored, else
/// with the last main step.
fn goals(steps: &[PlanStep], rto: Option<Duration>) -> Vec<Goal> {
    let mut goals: Vec<Goal> = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        let Some(milestone) = &step.milestone else { continue };
        match goals.iter_mut().find(|goal| goal.name == milestone.name) {
            Some(goal) => goal.by.push(at),
            None => goals.push(Goal {
                name: milestone.name.clone(),
                limit: milestone.rto.map(model::units::Span::duration),
                by: vec![at],
                reached: None,
            }),
        }
    }
    let main = || steps.iter().enumerate().filter(|(_, step)| step.role.is_main());
    let restoring: Vec<usize> =
        main().filter(|(_, step)| step.restores_service).map(|(at, _)| at).collect();
    let by = if restoring.is_empty() { main().map(|(at, _)| at).collect() } else { restoring };
    goals.extend(rto.map(|limit| Goal {
        name: "RTO".to_owned(),
        limit: Some(limit),
        by,
        reached: None,
    }));
    goals
}

impl Row {
    fn new(plan: &PlanStep, step: &StepState, index: &HashMap<StepId, usize>) -> Self {
        Self {
            id: plan.id.clone(),
            what: plan.name.clone().unwrap_or_else(|| plan.uses.clone()),
            role: plan.role.clone(),
            effect: plan.footprint.effect,
            retries: plan.retry.limit,
            needs: plan.needs.iter().filter_map(|need| index.get(need).copied()).collect(),
            phase: step.phase.clone(),
            attempt: step.attempt,
            error: step.error.clone(),
            last_end: step.end.as_ref().map(lines::why),
            output: step.output.clone(),
            first_started: step.first_started,
            started: step.first_started,
            ended: None,
            meter: None,
            log: None,
        }
    }

    fn take(&mut self, step: &StepState) {
        self.phase = step.phase.clone();
        self.attempt = step.attempt;
        self.error.clone_from(&step.error);
        self.last_end = step.end.as_ref().map(lines::why);
        self.output.clone_from(&step.output);
    }

    /// It is part of the picture: handlers and undos are only when they are called for.
    pub(super) fn is_seen(&self) -> bool {
        let called = !matches!(self.phase, Phase::Dormant | Phase::NotRun(_) | Phase::Skipped);
        self.role.is_main() || called
    }

    /// How long its attempts took, or have taken so far.
    pub(super) fn took(&self, now: Timestamp) -> Option<Duration> {
        let until = self.ended.unwrap_or(now);
        self.first_started.map(|started| between(started, until))
    }

    /// How long the attempt that runs has taken.
    pub(super) fn runs_for(&self, now: Timestamp) -> Duration {
        self.started.map(|started| between(started, now)).unwrap_or_default()
    }
}

/// From one time to another; nothing when the clock went back.
pub(super) fn between(from: Timestamp, to: Timestamp) -> Duration {
    to.duration_since(from).try_into().unwrap_or_default()
}

/// Whether an event moves other steps than the one it is about.
fn moves_others(event: &Event, state: &RunState) -> bool {
    let undoes =
        |step| state.plan_step_of(step).is_some_and(|step| matches!(step.role, Role::Undo(_)));
    match event {
        Event::RunResumed { .. }
        | Event::RunReopened { .. }
        | Event::UndoStarted { .. }
        | Event::HandlersStarted { .. }
        | Event::RunFinished { .. } => true,
        event => event.step().is_some_and(undoes),
    }
}
