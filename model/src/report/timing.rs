//! How long: people's time, phases, the critical path, RTO and RPO.

use jiff::Timestamp;
use serde_json::Value;

use crate::plan::Plan;
use crate::report::{CriticalStep, Objective, Phase, Rpo, Rto, Step};
use crate::run::event::RunCreated;
use crate::run::state::RunStatus;
use crate::run::step_state::StepStatus;
use crate::units::Span;

/// Milliseconds from `from` to `to`.
pub(super) fn ms(from: Timestamp, to: Timestamp) -> i64 {
    i64::try_from(to.duration_since(from).as_millis()).unwrap_or(i64::MAX)
}

/// A stretch of time.
pub(super) type Stretch = (Timestamp, Timestamp);

/// Whether a run in that status waits for people only.
pub(super) fn waits_for_people(status: RunStatus) -> bool {
    matches!(status, RunStatus::WaitingForApproval | RunStatus::InDoubt | RunStatus::Paused)
}

fn overlap(stretches: &[Stretch], until: Timestamp) -> i64 {
    let clipped = stretches.iter().filter(|(from, _)| *from < until);
    clipped.map(|(from, to)| ms(*from, (*to).min(until))).sum()
}

/// The time that at least one of the stretches covers.
fn union(mut stretches: Vec<Stretch>) -> i64 {
    stretches.sort_unstable();
    let (mut total, mut reached) = (0, None);
    for (from, to) in stretches {
        let from = reached.map_or(from, |reached: Timestamp| reached.max(from));
        if to > from {
            total += ms(from, to);
            reached = Some(to);
        }
    }
    total
}

pub(super) fn rto(
    created: &RunCreated,
    steps: &[Step],
    status: RunStatus,
    people: &[Stretch],
    newest: Timestamp,
) -> Rto {
    let end = service_back(&created.plan, steps, status);
    let ended_at = end.and_then(|step| step.ended_at);
    let start = created.started_at;
    let people_ms = overlap(people, ended_at.unwrap_or(newest));
    let from_start_ms = ended_at.map(|at| ms(start, at));
    Rto {
        ended_at,
        ended_by: end.map(|step| step.id.clone()),
        from_incident_ms: created.incident_at.zip(ended_at).map(|(from, to)| ms(from, to)),
        from_start_ms,
        machine_ms: from_start_ms.map(|total| total - people_ms),
        people_ms,
    }
}

/// The step that brought the service back: the last to end of those that say so; without any,
/// the last step of a run that succeeded.
fn service_back<'a>(plan: &Plan, steps: &'a [Step], status: RunStatus) -> Option<&'a Step> {
    let says = |(_, step): &(&Step, &crate::plan::PlanStep)| step.restores_service;
    let restoring: Vec<&Step> =
        steps.iter().zip(&plan.steps).filter(says).map(|(step, _)| step).collect();
    let done = |step: &&Step| step.status == StepStatus::Succeeded;
    if !restoring.is_empty() {
        let skipped = |step: &&&Step| step.status == StepStatus::Skipped || done(step);
        let all = restoring.iter().filter(skipped).count() == restoring.len();
        let last = restoring.into_iter().filter(done).max_by_key(|step| step.ended_at);
        return last.filter(|_| all);
    }
    let succeeded = matches!(status, RunStatus::Succeeded | RunStatus::SucceededWithWarnings);
    let main = steps.iter().filter(|step| step.role.is_main());
    main.filter(done).max_by_key(|step| step.ended_at).filter(|_| succeeded)
}

/// What counts is what the service came back with: the last point that was reported until then.
/// A set that was taken on the way, to be safe or as evidence, is newer than that, and so is the
/// first backup afterwards.
pub(super) fn rpo(incident_at: Option<Timestamp>, steps: &[Step], rto: &Rto) -> Rpo {
    let point = |step: &Step| {
        let text = step.output.as_ref()?.get("recovery_point").and_then(Value::as_str)?;
        Some((step.ended_at, text.parse::<Timestamp>().ok()?, step.id.clone()))
    };
    let in_time = |step: &&Step| {
        step.status == StepStatus::Succeeded
            && rto.ended_at.is_none_or(|back| step.ended_at.is_some_and(|ended| ended <= back))
    };
    let points = steps.iter().filter(in_time).filter_map(point);
    let last = points.max_by_key(|(ended_at, ..)| *ended_at);
    let recovery_point = last.as_ref().map(|(_, at, _)| *at);
    let loss_ms = recovery_point.zip(incident_at).map(|(point, at)| ms(point, at).max(0));
    Rpo { recovery_point, reported_by: last.map(|(.., step)| step), loss_ms }
}

pub(super) fn objectives(plan: &Plan, rto: &Rto, rpo: &Rpo) -> Vec<Objective> {
    let objective = |name, target: Option<Span>, actual_ms: Option<i64>| {
        let target_ms = i64::try_from(target?.duration().as_millis()).unwrap_or(i64::MAX);
        let met = actual_ms.map(|actual| actual <= target_ms);
        Some(Objective { name, target_ms, actual_ms, met })
    };
    let measured = rto.from_incident_ms.or(rto.from_start_ms);
    let rto = objective("rto", plan.objectives.rto, measured);
    rto.into_iter().chain(objective("rpo", plan.objectives.rpo, rpo.loss_ms)).collect()
}

pub(super) fn phases(steps: &[Step], newest: Timestamp) -> Vec<Phase> {
    let mut names: Vec<&str> = Vec::new();
    for name in steps.iter().filter_map(|step| step.phase.as_deref()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let phase = |name: &str| {
        let of_phase = steps.iter().filter(|step| step.phase.as_deref() == Some(name));
        let stretch = |step: &Step| Some((step.started_at?, step.ended_at.unwrap_or(newest)));
        let stretches: Vec<Stretch> = of_phase.filter_map(stretch).collect();
        Some(Phase {
            name: name.to_owned(),
            started_at: stretches.iter().map(|(from, _)| *from).min()?,
            ended_at: stretches.iter().map(|(_, to)| *to).max()?,
            busy_ms: union(stretches),
        })
    };
    names.into_iter().filter_map(phase).collect()
}

/// Back from the step that ended last, each time over the needed step that ended last.
pub(super) fn critical_path(created: &RunCreated, steps: &[Step], end: &Rto) -> Vec<CriticalStep> {
    let index = |id: &crate::ids::StepId| steps.iter().position(|step| step.id == *id);
    let main = (0..steps.len()).filter(|step| steps[*step].role.is_main());
    let last = main.filter(|step| stretch(&steps[*step]).is_some());
    let last = last.max_by_key(|step| steps[*step].ended_at);
    let mut next = end.ended_by.as_ref().and_then(index).or(last);
    let mut path = Vec::new();
    while let Some((number, (from, to))) = next.and_then(|n| Some((n, stretch(&steps[n])?))) {
        let needs = created.plan.steps[number].needs.iter().filter_map(index);
        let needs = needs.filter(|need| stretch(&steps[*need]).is_some());
        next = needs.max_by_key(|need| steps[*need].ended_at);
        let ready = next.and_then(|need| steps[need].ended_at).unwrap_or(created.started_at);
        let (step, waited_ms) = (steps[number].id.clone(), ms(ready, from));
        path.push(CriticalStep { step, ms: ms(from, to), waited_ms });
    }
    path.reverse();
    path
}

fn stretch(step: &Step) -> Option<Stretch> {
    Some((step.started_at?, step.ended_at?))
}
