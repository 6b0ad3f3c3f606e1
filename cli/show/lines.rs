//! One line of text for each event of a run: one small renderer a family.

use jiff::Timestamp;
use model::approval::Answer;
use model::plan::Contact;
use model::run::event::{AttemptEnd, Event, NotRun, Seen, Verdict};
use model::step_error::ErrorClass;
use serde_json::Value;

use crate::show::contact;
use crate::show::plan::word;
use crate::show::stages::of_stage;

/// How a line is to be looked at; a terminal colours it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// It goes on.
    Plain,
    /// Something is done.
    Good,
    /// Something wants a look.
    Warn,
    /// Something failed.
    Bad,
}

/// A line about a step, or about the run when `step` is absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) step: Option<String>,
    pub(crate) tone: Tone,
    pub(crate) text: String,
}

/// The line of an event; events of no interest to a person have none.
pub(crate) fn line(event: &Event) -> Option<Line> {
    let (tone, text) = of_run(event)
        .or_else(|| of_attempt(event))
        .or_else(|| of_step_end(event))
        .or_else(|| of_people(event))
        .or_else(|| of_stage(event))?;
    Some(Line { step: event.step().map(ToString::to_string), tone, text })
}

/// The line of an event that is worth more than what the picture of a live view shows of it: what
/// went wrong, what people said.
pub(crate) fn news(event: &Event) -> Option<Line> {
    let wanted = match event {
        Event::ApprovalAnswered { .. } | Event::StepResolved { .. } => true,
        Event::ApprovalRequested { .. } | Event::RunFinished { .. } => false,
        Event::StepAttemptEnded { end: AttemptEnd::Failed { error }, .. }
            if error.class == ErrorClass::Cancelled =>
        {
            false
        }
        _ => line(event).is_some_and(|line| matches!(line.tone, Tone::Warn | Tone::Bad)),
    };
    line(event).filter(|_| wanted)
}

fn of_run(event: &Event) -> Option<(Tone, String)> {
    Some(match event {
        Event::RunCreated(created) => {
            (Tone::Plain, format!("run {} of {}", created.run, created.plan.name))
        }
        Event::RunResumed { epoch, by } => (Tone::Plain, format!("resumed by {by}, epoch {epoch}")),
        Event::PreflightPassed { checks } => {
            let checks = checks.len();
            let noun = if checks == 1 { "check" } else { "checks" };
            (Tone::Plain, format!("preflight passed: {checks} {noun}"))
        }
        Event::RunPaused { error, .. } => (Tone::Warn, format!("paused: {}", error.told())),
        Event::RunFinished { status, .. } => {
            let status = word(status);
            let tone = if status.starts_with("succeeded") { Tone::Good } else { Tone::Bad };
            (tone, status)
        }
        Event::CancelRequested { by, reason, .. } => {
            let reason = reason.as_deref().unwrap_or("no reason given");
            (Tone::Warn, format!("cancel requested by {by}: {reason}"))
        }
        Event::JournalRepaired { cut_bytes, kept_as } => (
            Tone::Warn,
            format!("the journal's torn tail was cut: {cut_bytes} bytes kept as {kept_as}"),
        ),
        Event::Warning { code, message, .. } => (Tone::Warn, format!("warning[{code}]: {message}")),
        _ => return None,
    })
}

fn of_attempt(event: &Event) -> Option<(Tone, String)> {
    Some(match event {
        Event::StepStarted { attempt: 1, .. } => (Tone::Plain, "started".to_owned()),
        Event::StepStarted { attempt, .. } => (Tone::Plain, format!("started, attempt {attempt}")),
        Event::StepAttemptEnded { end, .. } => (Tone::Warn, ended(end)),
        Event::StepObserving { .. } => (Tone::Plain, "looking whether it happened".to_owned()),
        Event::StepObserved { seen, .. } => (Tone::Plain, observed(seen)),
        Event::StepRetryScheduled { at, .. } => (Tone::Warn, format!("next attempt at {at:.0}")),
        _ => return None,
    })
}

fn ended(end: &AttemptEnd) -> String {
    match end {
        AttemptEnd::Failed { .. } => format!("attempt failed: {}", why(end)),
        _ => why(end),
    }
}

/// Why an attempt ended without success; the whole error follows when the step has failed for good.
pub(crate) fn why(end: &AttemptEnd) -> String {
    match end {
        AttemptEnd::Failed { error } => format!("[{}] {}", error.code, short(&error.message)),
        AttemptEnd::TimedOut { limit } => format!("no answer within {limit}"),
        AttemptEnd::Stalled { limit } => format!("no progress for {limit}"),
    }
}

/// The beginning of a long message.
fn short(message: &str) -> String {
    const LONGEST: usize = 100;
    if message.chars().count() <= LONGEST {
        return message.to_owned();
    }
    message.chars().take(LONGEST).chain("...".chars()).collect()
}

fn observed(seen: &Seen) -> String {
    match seen {
        Seen::NotDone => "not found done; the step may be repeated".to_owned(),
        Seen::InProgress => "it is still happening".to_owned(),
        Seen::Done { .. } => "it happened".to_owned(),
        Seen::Unknown => "nothing can tell whether it happened".to_owned(),
        Seen::Failed { error } => format!("could not look: {}", error.told()),
    }
}

fn of_step_end(event: &Event) -> Option<(Tone, String)> {
    Some(match event {
        Event::StepSucceeded { output, adopted, .. } => {
            let how = if *adopted { "done (found done)" } else { "done" };
            (Tone::Good, format!("{how}{}", summary(output)))
        }
        Event::StepFailed { error, .. } => (Tone::Bad, format!("FAILED {}", error.told())),
        Event::StepTimedOut { error, .. } => (Tone::Bad, format!("TIMED OUT {}", error.told())),
        Event::StepInDoubt { error, .. } => (Tone::Bad, format!("IN DOUBT {}", error.told())),
        Event::StepNotRun { reason, .. } => (Tone::Plain, format!("not run: {}", not_run(*reason))),
        Event::StepCancelled { .. } => {
            (Tone::Warn, "stopped, because the run was cancelled".to_owned())
        }
        _ => return None,
    })
}

fn not_run(reason: NotRun) -> &'static str {
    match reason {
        NotRun::RunFailed => "a step failed before it",
        NotRun::Cancelled => "the run was cancelled",
        NotRun::UndoFailed => "an undo step failed before it",
        NotRun::NotNeeded => "the run ended without a need for it",
    }
}

fn answered(answer: &Answer) -> String {
    let what = match (answer.item, answer.break_glass) {
        (Some(item), false) => format!("item {item} ticked"),
        (Some(item), true) => format!("BREAK-GLASS: item {item} ticked"),
        (None, false) => answer.decision.word().to_owned(),
        (None, true) => "BREAK-GLASS: approved".to_owned(),
    };
    let reason = answer.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{what} by {}{reason}", answer.who())
}

fn escalated(contacts: &[Contact], until: Option<Timestamp>, break_glass: bool) -> String {
    let what = match until {
        _ if break_glass => "nobody answered; whoever is there may break the glass".to_owned(),
        Some(until) => format!("nobody answered; the question stays open until {until:.0}"),
        None => "nobody answered; the question stays open".to_owned(),
    };
    format!("{what}{}", contact::lines(contacts, "\n    call "))
}

fn of_people(event: &Event) -> Option<(Tone, String)> {
    Some(match event {
        Event::ApprovalRequested { request, .. } => {
            (Tone::Warn, format!("waits for a person: {}", request.prompt))
        }
        Event::ApprovalAnswered { answer, .. } => (Tone::Plain, answered(answer)),
        Event::ApprovalEscalated { contacts, until, break_glass, .. } => {
            (Tone::Bad, escalated(contacts, *until, *break_glass))
        }
        Event::StepResolved { verdict, by, reason, .. } => {
            let verdict = match verdict {
                Verdict::Applied => "applied",
                Verdict::NotApplied => "not applied",
            };
            (Tone::Warn, format!("resolved by {by}: {verdict}: {reason}"))
        }
        _ => return None,
    })
}

fn summary(output: &Value) -> String {
    let scalars = scalars(output);
    if scalars.is_empty() { scalars } else { format!(": {scalars}") }
}

/// The first scalar outputs on one line: `set=... rows=3`.
pub(crate) fn scalars(output: &Value) -> String {
    let Some(map) = output.as_object() else { return String::new() };
    let scalar = |value: &Value| value.is_string() || value.is_number() || value.is_boolean();
    let short =
        map.iter().filter(|(_, value)| scalar(value) && value.to_string().len() <= 80).take(5);
    let pairs: Vec<String> =
        short.map(|(name, value)| format!("{name}={}", unquoted(value))).collect();
    pairs.join(" ")
}

fn unquoted(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_found_done_is_not_said_never_to_have_happened() {
        let step: model::ids::StepId = "stop".parse().unwrap();
        let seen = Event::StepObserved { step: step.clone(), attempt: 1, seen: Seen::NotDone };
        assert_eq!(line(&seen).unwrap().text, "not found done; the step may be repeated");
        let stopped = Event::StepCancelled { step, attempt: 1 };
        assert_eq!(line(&stopped).unwrap().text, "stopped, because the run was cancelled");
    }

    #[test]
    fn one_check_is_not_several() {
        let said = |checks: &[&str]| {
            let checks = checks.iter().map(|check| (*check).to_owned()).collect();
            line(&Event::PreflightPassed { checks }).unwrap().text
        };
        assert_eq!(said(&["a"]), "preflight passed: 1 check");
        assert_eq!(said(&["a", "b"]), "preflight passed: 2 checks");
        assert_eq!(said(&[]), "preflight passed: 0 checks");
    }
}
