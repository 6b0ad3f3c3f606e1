//! Lines of the events that lead a run through its stages.

use model::plan::{LeftOut, Occasion};
use model::run::event::{ClockJump, Event};
use model::run::stage::{Reopening, SLOW, UndoCause};

use crate::show::lines::Tone;

/// The line of an event about the course of a run.
pub(super) fn of_stage(event: &Event) -> Option<(Tone, String)> {
    Some(match event {
        Event::UndoStarted { cause, steps } => {
            let steps: Vec<String> = steps.iter().map(|step| format!("`{step}`")).collect();
            let why = match cause {
                UndoCause::Rollback => "rolling back",
                UndoCause::Requested => "undoing",
            };
            (Tone::Warn, format!("{why}: {}", steps.join(", ")))
        }
        Event::HandlersStarted { on, reason, .. } => handlers(*on, reason.as_deref()),
        Event::RunReopened { by, what, .. } => {
            let what = match what {
                Reopening::Undo => "to undo its finished steps",
                Reopening::RetryFailed => "to run again what failed or did not run",
            };
            (Tone::Warn, format!("opened again by {by} {what}"))
        }
        Event::RunHeld { by } => {
            (Tone::Warn, format!("held by {by}: nothing starts until they have chosen"))
        }
        Event::RunContinued { by } => (Tone::Plain, format!("{by} lets it go on")),
        Event::ClockJumped { how, ms } => (Tone::Warn, jump(*how, *ms)),
        Event::GroupTaken { group, from: Some(from) } => {
            (Tone::Warn, format!("took the group `{group}` over from run {from}, which had died"))
        }
        Event::GroupLost { group, to } => {
            (Tone::Warn, format!("the group `{group}` was taken over by run {to}"))
        }
        Event::StepSlow { after, .. } => {
            (Tone::Warn, format!("warning[{SLOW}]: it takes longer than {after}; it goes on"))
        }
        Event::StepSkipped { left_out, by, reason, .. } => {
            (Tone::Plain, skipped(*left_out, by.as_deref(), reason.as_deref()))
        }
        _ => return None,
    })
}

fn handlers(on: Occasion, reason: Option<&str>) -> (Tone, String) {
    let word = crate::show::plan::word(&on);
    let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    (Tone::Plain, format!("handlers of `{word}`{reason}"))
}

fn jump(how: ClockJump, ms: i64) -> String {
    let seconds = ms / 1000;
    let what = match how {
        ClockJump::Slept => "the machine slept for",
        ClockJump::Set => "the clock was set by",
        ClockJump::Stopped => "the program was stopped for",
    };
    format!("{what} {seconds} s; what was running is looked at")
}

fn skipped(left_out: Option<LeftOut>, by: Option<&str>, reason: Option<&str>) -> String {
    match (left_out, by, reason) {
        (Some(LeftOut::Ungraceful), ..) => "skipped: the run is ungraceful".to_owned(),
        (Some(LeftOut::Drill), ..) => "skipped: the run is a drill".to_owned(),
        (None, Some(by), reason) => format!("skipped by {by}: {}", reason.unwrap_or_default()),
        (None, None, Some(reason)) => format!("skipped: {reason}"),
        (None, None, None) => "skipped: its `if` does not hold".to_owned(),
    }
}
