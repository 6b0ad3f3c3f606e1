//! Observers of a run: timestamped lines for people, or one JSON object a line for programs.

use std::io::Write as _;

use engine::driver::Observer;
use jiff::Timestamp;
use model::journal::Record;
use model::run::event::{Event, FinalStatus};
use model::run::state::RunState;
use serde_json::json;

use crate::show::lines::{Line, Tone, line};
use crate::show::{contact, print};

/// Lines for people on standard error.
pub(crate) struct Lines {
    colour: bool,
}

impl Lines {
    /// Lines in colours, or without.
    pub(crate) fn new(colour: bool) -> Self {
        Self { colour }
    }
}

impl Observer for Lines {
    fn event(&mut self, record: &Record, state: &RunState) {
        if let Some(mut line) = line(&record.event) {
            line.text += &called(&record.event, state);
            print::message(&shown(record.stamp.at, &line, self.colour));
        }
    }
}

/// Whom to call when a person is waited for and when the run has failed.
fn called(event: &Event, state: &RunState) -> String {
    let failed = |status: &FinalStatus| *status == FinalStatus::Failed;
    let calls = match event {
        Event::ApprovalRequested { .. } | Event::StepInDoubt { .. } | Event::RunPaused { .. } => {
            true
        }
        Event::RunFinished { status, .. } => failed(status),
        _ => false,
    };
    let contacts = state.plan().filter(|_| calls).map_or(&[][..], |plan| plan.contacts.as_slice());
    contact::lines(contacts, "\n    call ")
}

/// A line with its time, as it stays on a terminal or in a file.
pub(crate) fn shown(at: Timestamp, line: &Line, colour: bool) -> String {
    let (on, off) = match (colour, line.tone) {
        (false, _) | (true, Tone::Plain) => ("", ""),
        (true, Tone::Good) => ("\x1b[32m", "\x1b[0m"),
        (true, Tone::Warn) => ("\x1b[33m", "\x1b[0m"),
        (true, Tone::Bad) => ("\x1b[1;31m", "\x1b[0m"),
    };
    let at = at.strftime("%Y-%m-%dT%H:%M:%SZ");
    let step = line.step.as_deref().unwrap_or("-");
    format!("{at}  {step:<12}  {on}{}{off}\n", print::clean(&line.text))
}

/// One JSON object a line on standard output: every durable event with its number and time.
pub(crate) struct JsonLines;

impl Observer for JsonLines {
    fn event(&mut self, record: &Record, _state: &RunState) {
        let mut object = json!({"seq": record.seq, "at": record.stamp.at});
        let event = serde_json::to_value(&record.event).expect("an event is plain data");
        let fields = event.as_object().into_iter().flatten();
        for (name, value) in fields {
            object[name] = value.clone();
        }
        // A reader that goes away does not change what becomes of the run.
        std::io::stdout().lock().write_all(format!("{object}\n").as_bytes()).ok();
    }
}
