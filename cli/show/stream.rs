//! Observers of a run: timestamped lines for people, or one JSON object a line for programs.

use std::collections::HashMap;
use std::io::Write as _;

use engine::clock::{Clock as _, RealClock};
use engine::context::Progress;
use engine::driver::Observer;
use jiff::{SignedDuration, Timestamp};
use model::ids::StepId;
use model::journal::Record;
use model::run::event::{Event, FinalStatus};
use model::run::state::RunState;
use serde_json::json;

use crate::show::lines::{Line, Tone, line};
use crate::show::live::meter::Meter;
use crate::show::{contact, print};

/// Between two lines that tell how far a step is.
const EVERY: SignedDuration = SignedDuration::from_mins(1);

/// Lines for people on standard error.
pub(crate) struct Lines {
    colour: bool,
    running: HashMap<StepId, Told>,
    behind: Option<String>,
}

/// How far a step is, and when that was told last.
struct Told {
    meter: Meter,
    at: Timestamp,
}

impl Lines {
    /// Lines in colours, or without.
    pub(crate) fn new(colour: bool) -> Self {
        Self { colour, running: HashMap::new(), behind: None }
    }

    fn progress_at(&mut self, now: Timestamp, step: &StepId, progress: &Progress) -> Option<Line> {
        let told = self
            .running
            .entry(step.clone())
            .or_insert_with(|| Told { meter: Meter::new(now, progress.clone()), at: now });
        told.meter.update(now, progress.clone());
        if now.duration_since(told.at) < EVERY {
            return None;
        }
        told.at = now;
        let parts = told.meter.told(now).into_iter().chain([progress.activity.clone()]);
        let parts: Vec<String> = parts.filter(|part| !part.is_empty()).collect();
        Some(Line { step: Some(step.to_string()), tone: Tone::Plain, text: parts.join("  ") })
    }
}

impl Observer for Lines {
    fn event(&mut self, record: &Record, state: &RunState) {
        if let Event::StepStarted { step, .. } = &record.event {
            self.running.remove(step);
        }
        if let Some(mut line) = line(&record.event) {
            line.text += &called(&record.event, state);
            print::message(&shown(record.stamp.at, &line, self.colour));
        }
    }

    fn queued(&mut self, group: &str, behind: &str) {
        if let Some(line) = queued(&mut self.behind, group, behind) {
            print::message(&shown(RealClock.now(), &line, self.colour));
        }
    }

    fn progress(&mut self, step: &StepId, progress: &Progress) {
        let now = RealClock.now();
        if let Some(line) = self.progress_at(now, step, progress) {
            print::message(&shown(now, &line, self.colour));
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

/// The line of a run that waits for its turn, once for each run it waits for.
pub(crate) fn queued(said: &mut Option<String>, group: &str, behind: &str) -> Option<Line> {
    let text = format!("waits for its turn in the group `{group}`, behind {behind}");
    let new = said.as_ref() != Some(&text);
    *said = Some(text.clone());
    new.then_some(Line { step: None, tone: Tone::Warn, text })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_for_a_turn_is_told_once_for_each_run() {
        let mut said = None;
        let told = ["A", "A", "B"].map(|run| queued(&mut said, "app", run).map(|line| line.text));
        let line = |run| Some(format!("waits for its turn in the group `app`, behind {run}"));
        assert_eq!(told, [line("A"), None, line("B")]);
    }

    #[test]
    fn once_a_minute_a_line_tells_how_far_a_step_is() {
        let mut lines = Lines::new(false);
        let step: StepId = "dump".parse().unwrap();
        let told: Vec<String> = (0..=150_i64)
            .filter_map(|second| {
                let (activity, total) = ("copy public.orders".to_owned(), Some(1 << 30));
                let done = (second << 20).cast_unsigned();
                let progress = Progress { activity, done, total, bytes: true };
                let now = Timestamp::from_second(second).unwrap();
                lines.progress_at(now, &step, &progress).map(|line| line.text)
            })
            .collect();
        assert_eq!(
            told,
            [
                "60 MiB of 1.0 GiB  1.0 MiB/s  eta 16m 4s  copy public.orders",
                "120 MiB of 1.0 GiB  1.0 MiB/s  eta 15m 4s  copy public.orders",
            ]
        );
    }
}
