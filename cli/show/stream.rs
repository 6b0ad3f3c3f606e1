//! Observers of a run: timestamped lines with bars on a terminal, or one JSON object a line.

use std::collections::HashMap;
use std::io::Write as _;

use engine::context::Progress;
use engine::driver::Observer;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use model::ids::StepId;
use model::journal::Record;
use model::run::event::Event;
use model::run::state::RunState;
use serde_json::json;

use crate::show::lines::{Line, Tone, line};
use crate::show::print;

/// Lines for people.
pub(crate) struct Lines {
    colour: bool,
    bars: Option<Bars>,
}

impl Lines {
    /// Lines on standard error; on a terminal with a bar for each step that runs.
    pub(crate) fn new(colour: bool, terminal: bool) -> Self {
        Self { colour, bars: terminal.then(Bars::default) }
    }

    fn print(&self, text: &str) {
        match &self.bars {
            Some(bars) => bars.above(text),
            None => print::message(text),
        }
    }
}

impl Observer for Lines {
    fn event(&mut self, record: &Record, _state: &RunState) {
        if let Some(bars) = &mut self.bars {
            bars.event(&record.event);
        }
        if let Some(line) = line(&record.event) {
            let at = record.stamp.at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
            self.print(&shown(&at, &line, self.colour));
        }
    }

    fn progress(&mut self, step: &StepId, progress: &Progress) {
        if let Some(bars) = &mut self.bars {
            bars.progress(step, progress);
        }
    }
}

fn shown(at: &str, line: &Line, colour: bool) -> String {
    let (on, off) = match (colour, line.tone) {
        (false, _) | (true, Tone::Plain) => ("", ""),
        (true, Tone::Good) => ("\x1b[32m", "\x1b[0m"),
        (true, Tone::Warn) => ("\x1b[33m", "\x1b[0m"),
        (true, Tone::Bad) => ("\x1b[1;31m", "\x1b[0m"),
    };
    let step = line.step.as_deref().unwrap_or("-");
    format!("{at}  {step:<12}  {on}{}{off}\n", print::clean(&line.text))
}

/// One bar for each step that shows progress.
#[derive(Default)]
struct Bars {
    all: MultiProgress,
    steps: HashMap<StepId, ProgressBar>,
}

impl Bars {
    /// Writes above the bars. The terminal may be gone; the run outlives it.
    fn above(&self, text: &str) {
        self.all.clear().ok();
        print::message(text);
        // One bar that is drawn draws all.
        if let Some(bar) = self.steps.values().next() {
            bar.tick();
        }
    }

    fn event(&mut self, event: &Event) {
        let ended = matches!(
            event,
            Event::StepSucceeded { .. }
                | Event::StepAttemptEnded { .. }
                | Event::StepCancelled { .. }
        );
        if let Some(bar) = event.step().filter(|_| ended).and_then(|step| self.steps.remove(step)) {
            bar.finish_and_clear();
        }
    }

    fn progress(&mut self, step: &StepId, progress: &Progress) {
        let all = &self.all;
        let bar = self.steps.entry(step.clone()).or_insert_with(|| {
            let bar = all.add(ProgressBar::no_length());
            bar.set_prefix(step.to_string());
            bar
        });
        bar.set_style(style(progress));
        bar.set_length(progress.total.unwrap_or_default());
        bar.set_position(progress.done);
        bar.set_message(print::clean(&progress.activity));
    }
}

fn style(progress: &Progress) -> ProgressStyle {
    let template = match (progress.bytes, progress.total.is_some()) {
        (true, true) => {
            "{prefix:>12} [{bar:10}] {bytes}/{total_bytes} {bytes_per_sec} eta {eta} {wide_msg}"
        }
        (true, false) => "{prefix:>12} {spinner} {bytes} {bytes_per_sec} {wide_msg}",
        (false, true) => "{prefix:>12} [{bar:10}] {pos}/{len} {wide_msg}",
        (false, false) => "{prefix:>12} {spinner} {elapsed} {wide_msg}",
    };
    ProgressStyle::with_template(template)
        .expect("the templates are constants")
        .progress_chars("=> ")
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
