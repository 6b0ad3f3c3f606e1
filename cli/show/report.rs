//! A report as Markdown.

use std::fmt::{self, Write as _};

use jiff::Timestamp;
use model::approval::{Answer, Item};
use model::report::{Approval, Report, Step};
use model::run::event::NotRun;
use model::run::stage::Reopening;
use model::run::step_state::Skip;

use crate::show::plan::word;
use crate::show::{amount, contact, table};

/// The whole report.
pub(crate) fn markdown(report: &Report) -> String {
    let mut out = String::new();
    let sections =
        [head, objectives, phases, steps, critical_path, failures, people, warnings, logs];
    for section in sections {
        section(&mut out, report).expect("writing to a string does not fail");
    }
    out
}

fn head(out: &mut String, report: &Report) -> fmt::Result {
    writeln!(out, "# Report of `{}`: {}\n", report.name, word(&report.status))?;
    if let Some(description) = &report.description {
        writeln!(out, "{description}\n")?;
    }
    let params: Vec<String> =
        report.params.iter().map(|(name, value)| format!("`{name}`=`{value}`")).collect();
    let facts = [
        ("run", report.run.to_string()),
        ("runbook", format!("{}, sha256 `{}`", report.source.file, report.source.sha256)),
        (
            "started",
            format!("{} by {} on {}", report.started_at, report.starter, report.hosts.join(", ")),
        ),
        ("finished", moment(report.finished_at)),
        ("incident", moment(report.incident_at)),
        ("owner", report.owner.clone().unwrap_or_default()),
        ("parameters", params.join(", ")),
        ("tool", format!("runbook {}", report.tool)),
        ("journal", format!("{} records", report.records)),
    ];
    for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
        writeln!(out, "- {name}: {value}")?;
    }
    for resume in &report.resumes {
        let what = match resume.what {
            None => "resumed",
            Some(Reopening::Undo) => "opened again to undo",
            Some(Reopening::RetryFailed) => "opened again to retry",
        };
        writeln!(out, "- {what}: {} by {} on {}", resume.at, resume.by, resume.host)?;
    }
    let left: Vec<String> = report.left_standing.iter().map(|step| format!("`{step}`")).collect();
    if left.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "- left standing, because not every finished step was undone: {}",
        left.join(", ")
    )
}

fn moment(at: Option<Timestamp>) -> String {
    at.map(|at| at.to_string()).unwrap_or_default()
}

fn span(ms: Option<i64>) -> String {
    ms.map_or_else(|| "unknown".to_owned(), length)
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of a run are far below 2^52")]
fn length(ms: i64) -> String {
    let sign = if ms < 0 { "-" } else { "" };
    format!("{sign}{}", amount::duration(ms.unsigned_abs() as f64 / 1e3))
}

fn objectives(out: &mut String, report: &Report) -> fmt::Result {
    let rto = &report.rto;
    let by = rto.ended_by.as_ref().map(|step| format!(" (ended by `{step}`)")).unwrap_or_default();
    let from_incident = match report.incident_at {
        Some(_) => by.clone(),
        None => "nobody said when the incident was: `--incident-at`".to_owned(),
    };
    let point = moment(report.rpo.recovery_point);
    let point = if point.is_empty() {
        "no step reported a recovery point".to_owned()
    } else {
        format!("recovery point {point}")
    };
    let rows = [
        ("RTO from the incident", span(rto.from_incident_ms), from_incident),
        ("RTO from the start of the run", span(rto.from_start_ms), by),
        (
            "RTO, machine time",
            span(rto.machine_ms),
            format!("without {} of waiting for people", length(rto.people_ms)),
        ),
        ("RPO", span(report.rpo.loss_ms), point),
    ];
    writeln!(out, "\n## Objectives\n")?;
    let rows = rows.map(|(name, value, note)| vec![name.to_owned(), value, note.trim().to_owned()]);
    writeln!(out, "{}\n", table::markdown(&["measure", "value", "note"], rows))?;
    for objective in &report.objectives {
        let verdict = match objective.met {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "not known",
        };
        writeln!(
            out,
            "- {} objective {}: {verdict}",
            objective.name.to_uppercase(),
            length(objective.target_ms)
        )?;
    }
    Ok(())
}

fn phases(out: &mut String, report: &Report) -> fmt::Result {
    if report.phases.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n## Phases\n")?;
    let rows = report.phases.iter().map(|phase| {
        let whole = phase.ended_at.duration_since(phase.started_at).as_millis();
        vec![
            phase.name.clone(),
            length(i64::try_from(whole).unwrap_or(i64::MAX)),
            length(phase.busy_ms),
            phase.started_at.to_string(),
        ]
    });
    writeln!(
        out,
        "{}",
        table::markdown(&["phase", "first start to last end", "steps at work", "started"], rows)
    )
}

fn steps(out: &mut String, report: &Report) -> fmt::Result {
    writeln!(out, "\n## Steps\n")?;
    let called = report.steps.iter().filter(|step| step.not_run != Some(NotRun::NotNeeded));
    let rows = called.map(|step| {
        vec![
            format!("`{}`", step.id),
            format!("`{}`", step.uses),
            status(step),
            step.attempts.len().to_string(),
            step.ms.map(length).unwrap_or_default(),
            moment(step.started_at),
        ]
    });
    writeln!(
        out,
        "{}",
        table::markdown(&["step", "uses", "status", "attempts", "took", "started"], rows)
    )
}

fn status(step: &Step) -> String {
    let adopted = if step.adopted { " (found done)" } else { "" };
    let reason = step.not_run.map(|reason| format!(" ({})", word(&reason))).unwrap_or_default();
    let skipped = match &step.skipped {
        None | Some(Skip::Condition) => String::new(),
        Some(Skip::LeftOut(why)) => format!(" ({})", word(why)),
        Some(Skip::Decided { by: Some(by), reason }) => format!(" by {by}: {reason}"),
        Some(Skip::Decided { by: None, reason }) => format!(": {reason}"),
    };
    format!("{}{adopted}{reason}{skipped}", word(&step.status))
}

fn critical_path(out: &mut String, report: &Report) -> fmt::Result {
    if report.critical_path.is_empty() {
        return Ok(());
    }
    let path = report.critical_path.iter().map(|step| {
        let waited = if step.waited_ms > 0 {
            format!(" after waiting {}", length(step.waited_ms))
        } else {
            String::new()
        };
        format!("`{}` {}{waited}", step.step, length(step.ms))
    });
    writeln!(out, "\nCritical path: {}", path.collect::<Vec<_>>().join(", "))
}

fn failures(out: &mut String, report: &Report) -> fmt::Result {
    let failed: Vec<&Step> = report.steps.iter().filter(|step| step.error.is_some()).collect();
    if failed.is_empty() && report.paused.is_none() {
        return Ok(());
    }
    writeln!(out, "\n## What went wrong\n")?;
    let errors = failed.iter().filter_map(|step| Some((step.id.to_string(), step.error.as_ref()?)));
    let paused = report.paused.iter().map(|error| ("the run is paused".to_owned(), error));
    for (what, error) in errors.chain(paused) {
        writeln!(out, "- {what}: [{}] {}", error.code, error.message)?;
        for cause in &error.causes {
            writeln!(out, "  - {cause}")?;
        }
        if let Some(hint) = &error.hint {
            writeln!(out, "  - help: {hint}")?;
        }
    }
    Ok(())
}

/// A question, what became of it, and how each answer is known.
fn asked(out: &mut String, approval: &Approval) -> fmt::Result {
    writeln!(out, "- `{}` asked at {}: {}", approval.step, approval.asked_at, approval.prompt)?;
    for escalation in &approval.escalations {
        let glass = if escalation.break_glass { ", and the glass might be broken" } else { "" };
        let called: Vec<String> = escalation.contacts.iter().map(contact::line).collect();
        let called =
            if called.is_empty() { "nobody is named".to_owned() } else { called.join("; ") };
        writeln!(out, "  - nobody answered by {}{glass}; to call: {called}", escalation.at)?;
    }
    for (at, answer) in &approval.answers {
        writeln!(out, "  - {} at {at}", answered(answer, &approval.items))?;
    }
    Ok(())
}

/// `approved by dana, signed with SHA256:..., verified`.
fn answered(answer: &Answer, items: &[Item]) -> String {
    let item =
        answer.item.and_then(|item| Some((item, items.get((item as usize).checked_sub(1)?)?)));
    let what = item.map_or_else(
        || word(&answer.decision),
        |(number, item)| format!("item {number} (\"{}\") ticked", item.text),
    );
    let glass = if answer.break_glass { "**BREAK-GLASS** " } else { "" };
    let reason = answer.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let verified = if answer.signed.is_some() { ", verified" } else { "" };
    format!("{glass}{what} by {}{verified}{reason}", answer.who())
}

fn people(out: &mut String, report: &Report) -> fmt::Result {
    if report.approvals.is_empty() && report.resolutions.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n## People\n")?;
    for approval in &report.approvals {
        asked(out, approval)?;
    }
    for resolution in &report.resolutions {
        let verdict = word(&resolution.verdict);
        writeln!(
            out,
            "- `{}` resolved as {verdict} by {} at {}: {}",
            resolution.step, resolution.by, resolution.at, resolution.reason
        )?;
    }
    Ok(())
}

fn warnings(out: &mut String, report: &Report) -> fmt::Result {
    if report.warnings.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n## Warnings\n")?;
    for warning in &report.warnings {
        writeln!(out, "- {} [{}] {}", warning.at, warning.code, warning.message)?;
    }
    Ok(())
}

fn logs(out: &mut String, report: &Report) -> fmt::Result {
    let logs = report
        .steps
        .iter()
        .flat_map(|step| &step.attempts)
        .filter_map(|attempt| attempt.log.as_ref());
    let rows: Vec<Vec<String>> = logs
        .map(|log| {
            let cut = if log.truncated { " (cut)" } else { "" };
            vec![
                format!("`{}`", log.file),
                format!("{}{cut}", log.bytes),
                format!("`{}`", log.sha256),
            ]
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n## Logs\n\n{}", table::markdown(&["file", "bytes", "sha256"], rows))
}
