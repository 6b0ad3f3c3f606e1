//! Walking over the records once.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::approval::Escalation;
use crate::ids::StepId;
use crate::journal::Record;
use crate::report::timing::{self, Stretch, ms, waits_for_people};
use crate::report::{Approval, Attempt, Report, Resolution, Resume, Step, Warning};
use crate::run::event::{AttemptEnd, Event, RunCreated};
use crate::run::stage::SLOW;
use crate::run::state::{IllegalEvent, RunState};
use crate::run::step_state::Phase;

/// What is gathered on the way.
#[derive(Default)]
struct Gathered {
    times: HashMap<StepId, Times>,
    resumes: Vec<Resume>,
    hosts: Vec<String>,
    checks: Vec<String>,
    approvals: Vec<Approval>,
    resolutions: Vec<Resolution>,
    warnings: Vec<Warning>,
    people: Vec<Stretch>,
    finished_at: Option<Timestamp>,
}

#[derive(Default)]
struct Times {
    started_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    attempts: Vec<Attempt>,
    adopted: bool,
}

/// The report of the run that `records` tell of; nothing before its first record.
pub fn report(records: &[Record]) -> Result<Option<Report>, IllegalEvent> {
    let (mut state, mut gathered) = (RunState::new(), Gathered::default());
    let mut last: Option<Timestamp> = None;
    for record in records {
        let at = record.stamp.at;
        if let Some(from) = last.filter(|_| waits_for_people(state.status())) {
            gathered.people.push((from, at));
        }
        state.apply(at, &record.event)?;
        gathered.record(record, &state);
        last = Some(at);
    }
    let newest = last.unwrap_or_default();
    Ok(state.created().map(|created| gathered.finish(created, &state, records.len(), newest)))
}

impl Gathered {
    fn record(&mut self, record: &Record, state: &RunState) {
        let (at, host) = (record.stamp.at, &record.stamp.host);
        if !self.hosts.contains(host) {
            self.hosts.push(host.clone());
        }
        match &record.event {
            Event::RunResumed { by, .. } => {
                let (by, host) = (by.clone(), host.clone());
                self.resumes.push(Resume { at, by, host, what: None });
            }
            Event::RunReopened { by, what, .. } => {
                let (by, host) = (by.clone(), host.clone());
                self.resumes.push(Resume { at, by, host, what: Some(*what) });
                self.finished_at = None;
            }
            Event::StepSlow { step, after, .. } => {
                let message = format!("`{step}` took longer than {after}");
                let (code, step) = (SLOW.to_owned(), Some(step.clone()));
                self.warnings.push(Warning { at, code, message, step });
            }
            Event::PreflightPassed { checks } => self.checks.clone_from(checks),
            Event::RunFinished { .. } => self.finished_at = Some(at),
            Event::Warning { code, message, step } => {
                let (code, message, step) = (code.clone(), message.clone(), step.clone());
                self.warnings.push(Warning { at, code, message, step });
            }
            event => {
                if let Some(step) = event.step() {
                    self.step_record(at, step, event);
                    let ended = state.step(step).is_some_and(|step| step.phase.is_final());
                    let times = self.times.entry(step.clone()).or_default();
                    times.ended_at = ended.then_some(at);
                }
            }
        }
    }

    fn step_record(&mut self, at: Timestamp, step: &StepId, event: &Event) {
        let times = self.times.entry(step.clone()).or_default();
        match event {
            Event::StepStarted { attempt, .. } => times.start(at, *attempt),
            Event::StepAttemptEnded { end, log, .. } => {
                let (word, error) = match end {
                    AttemptEnd::Failed { error } => ("failed", Some(error.clone())),
                    AttemptEnd::TimedOut { .. } => ("timed_out", None),
                    AttemptEnd::Stalled { .. } => ("stalled", None),
                };
                if let Some(attempt) = times.attempts.last_mut() {
                    attempt.ended_at = Some(at);
                    (attempt.end, attempt.error) = (Some(word), error);
                    attempt.log.clone_from(log);
                }
            }
            Event::StepSucceeded { adopted, log, .. } => {
                times.adopted = *adopted;
                if let Some(attempt) = times.attempts.last_mut().filter(|_| !adopted) {
                    (attempt.ended_at, attempt.end) = (Some(at), Some("succeeded"));
                    attempt.log.clone_from(log);
                }
            }
            Event::ApprovalRequested { request, .. } => {
                times.started_at = Some(at);
                self.approvals.push(Approval {
                    step: step.clone(),
                    prompt: request.prompt.clone(),
                    asked_at: at,
                    items: request.items.clone(),
                    answers: Vec::new(),
                    escalations: Vec::new(),
                });
            }
            Event::ApprovalEscalated { contacts, break_glass, .. } => {
                let (contacts, break_glass) = (contacts.clone(), *break_glass);
                let asked = self.approvals.iter_mut().rfind(|asked| asked.step == *step);
                if let Some(asked) = asked {
                    asked.escalations.push(Escalation { at, contacts, break_glass });
                }
            }
            Event::ApprovalAnswered { answer, .. } => {
                let asked = self.approvals.iter_mut().rfind(|asked| asked.step == *step);
                if let Some(asked) = asked {
                    asked.answers.push((at, answer.clone()));
                }
            }
            Event::StepResolved { verdict, by, reason, .. } => self.resolutions.push(Resolution {
                step: step.clone(),
                at,
                verdict: *verdict,
                by: by.clone(),
                reason: reason.clone(),
            }),
            _ => {}
        }
    }

    fn finish(
        mut self,
        created: &RunCreated,
        state: &RunState,
        records: usize,
        newest: Timestamp,
    ) -> Report {
        let steps = self.steps(state);
        let (plan, status) = (&created.plan, state.status());
        let rto = timing::rto(created, &steps, status, &self.people, newest);
        let rpo = timing::rpo(created.incident_at, &steps, &rto);
        Report {
            run: created.run,
            name: plan.name.clone(),
            description: plan.description.clone(),
            owner: plan.owner.clone(),
            labels: plan.labels.clone(),
            source: plan.source.clone(),
            params: plan.params.clone(),
            mode: created.mode,
            tool: created.tool.clone(),
            starter: created.starter.clone(),
            status,
            failed_step: state.failed_step().cloned(),
            left_standing: state.left_standing().into_iter().cloned().collect(),
            paused: state.paused().cloned(),
            started_at: created.started_at,
            finished_at: self.finished_at,
            incident_at: created.incident_at,
            hosts: self.hosts,
            resumes: self.resumes,
            checks: self.checks,
            objectives: timing::objectives(plan, &rto, &rpo),
            phases: timing::phases(&steps, newest),
            critical_path: timing::critical_path(created, &steps, &rto),
            rto,
            rpo,
            steps,
            approvals: self.approvals,
            resolutions: self.resolutions,
            warnings: self.warnings,
            records: records as u64,
        }
    }

    fn steps(&mut self, state: &RunState) -> Vec<Step> {
        let mut steps = Vec::new();
        for (plan, known) in state.steps() {
            let times = self.times.remove(&plan.id).unwrap_or_default();
            let ended_at = times.ended_at.filter(|_| times.started_at.is_some());
            steps.push(Step {
                id: plan.id.clone(),
                name: plan.name.clone(),
                phase: plan.phase.clone(),
                uses: plan.uses.clone(),
                role: plan.role.clone(),
                status: known.status(),
                skipped: known.skip.clone(),
                not_run: match known.phase {
                    Phase::NotRun(reason) => Some(reason),
                    _ => None,
                },
                started_at: times.started_at,
                ended_at,
                ms: times.started_at.zip(ended_at).map(|(from, to)| ms(from, to)),
                attempts: times.attempts,
                adopted: times.adopted,
                error: known.error.clone(),
                output: known.output.clone(),
            });
        }
        steps
    }
}

impl Times {
    fn start(&mut self, at: Timestamp, attempt: u32) {
        self.started_at.get_or_insert(at);
        let (ended_at, end, error, log) = (None, None, None, None);
        self.attempts.push(Attempt { attempt, started_at: at, ended_at, end, error, log });
    }
}
