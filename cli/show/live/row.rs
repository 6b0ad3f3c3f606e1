//! One step of the picture: a line of its own, and what else there is to say of it.

use std::collections::BTreeSet;
use std::time::Duration;

use engine::context::Progress;
use jiff::Timestamp;
use model::approval::Question;
use model::run::event::NotRun;
use model::run::step_state::Phase;
use model::step_error::StepError;

use crate::show::amount::{self, whole};
use crate::show::lines;
use crate::show::live::meter::Meter;
use crate::show::live::text::{Ink, Line, Signs, bar, cell, columns, wrapped};
use crate::show::live::view::{Row, View, between};

/// Columns of a bar beside other things.
const BAR: usize = 12;

/// Columns of a time: `12m 30s`.
const TIME: usize = 7;

/// How the lines of one picture are laid out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub(super) now: Timestamp,
    pub(super) width: usize,
    /// Columns of the ids.
    pub(super) ids: usize,
    pub(super) signs: Signs,
}

impl Frame {
    /// Columns that are left beside the sign, the id and the time.
    fn room(&self) -> usize {
        self.width.saturating_sub(4 + self.ids + self.gap())
    }

    /// Narrow terminals have no column of times.
    fn gap(&self) -> usize {
        if self.width < 60 { 0 } else { TIME + 2 }
    }
}

/// The line of a step.
pub(super) fn line(view: &View, row: &Row, frame: &Frame) -> Line {
    let (sign, ink) = sign(&row.phase, &frame.signs);
    let id = cell(row.id.as_str(), frame.ids, &frame.signs);
    let strong = if quiet(&row.phase) { Ink::Dim } else { Ink::Plain };
    let head = Line::of(ink, sign).with(Ink::Plain, " ").with(strong, &id);
    let time = time(row, frame).map_or_else(String::new, |time| format!("{time:>TIME$}"));
    let time = match frame.gap() {
        0 => String::new(),
        _ => format!("  {time:TIME$}"),
    };
    head.with(Ink::Dim, &time)
        .with(Ink::Plain, "  ")
        .and(said(view, row, frame))
        .fit(frame.width, &frame.signs)
}

/// What else there is to say of it, below its line.
pub(super) fn more(view: &View, row: &Row, frame: &Frame) -> Vec<Line> {
    let margin = Line::of(Ink::Dim, &format!("  {} ", frame.signs.log));
    let below = |line: Line| margin.clone().and(line).fit(frame.width, &frame.signs);
    let width = frame.width.saturating_sub(margin.width());
    let whole = |text: &str| -> Vec<Line> {
        wrapped(Ink::Plain, text, width, &frame.signs).into_iter().map(below).collect()
    };
    match &row.phase {
        Phase::Running => {
            let activity = row.meter.as_ref().map(|meter| meter.newest().activity.as_str());
            let activity = activity.filter(|text| !text.is_empty() && !beside(frame));
            let said = activity.into_iter().chain(row.log.as_deref());
            said.map(|text| below(Line::of(Ink::Dim, text))).collect()
        }
        Phase::Waiting(question) => whole(&question.request.prompt),
        Phase::Failed | Phase::TimedOut => {
            let hint = row.error.as_ref().and_then(|error| error.hint.as_deref());
            hint.map(|hint| whole(&format!("help: {hint}"))).unwrap_or_default()
        }
        Phase::InDoubt => {
            let run = view.head.as_ref().map(|head| head.run.to_string()).unwrap_or_default();
            let id = &row.id;
            whole(&format!("runbook resolve {run} {id} --applied | --not-applied --reason \"...\""))
        }
        _ => Vec::new(),
    }
}

fn sign(phase: &Phase, signs: &Signs) -> (&'static str, Ink) {
    match phase {
        Phase::Dormant | Phase::Pending | Phase::Ready => (signs.pending, Ink::Dim),
        Phase::Waiting(_) => (signs.asked, Ink::Warn),
        Phase::Running | Phase::Undecided(_) | Phase::LookDue(_) | Phase::Looking => {
            (signs.running, Ink::Busy)
        }
        Phase::Retrying(_) => (signs.retry, Ink::Warn),
        Phase::Succeeded => (signs.done, Ink::Good),
        Phase::Skipped | Phase::NotRun(_) | Phase::Undone => (signs.left_out, Ink::Dim),
        Phase::InDoubt => ("!", Ink::Bad),
        _ => (signs.failed, Ink::Bad),
    }
}

/// Of less interest than what runs or needs somebody.
fn quiet(phase: &Phase) -> bool {
    matches!(
        phase,
        Phase::Dormant | Phase::Pending | Phase::Ready | Phase::Skipped | Phase::NotRun(_)
    )
}

fn time(row: &Row, frame: &Frame) -> Option<String> {
    match &row.phase {
        Phase::Running | Phase::Undecided(_) | Phase::LookDue(_) | Phase::Looking => {
            Some(whole(row.runs_for(frame.now)))
        }
        phase if phase.is_final() => {
            row.ended.and(row.took(frame.now)).map(|took| amount::duration(took.as_secs_f64()))
        }
        _ => None,
    }
}

/// What a step says right of its id.
fn said(view: &View, row: &Row, frame: &Frame) -> Line {
    let dim = |text: &str| Line::of(Ink::Dim, text);
    match &row.phase {
        Phase::Dormant => dim("not called for so far"),
        Phase::Pending => dim(&after(view, row)),
        Phase::Ready => dim("ready"),
        Phase::Waiting(question) => asks(question, frame.now),
        Phase::Running | Phase::Undecided(None) => runs(row, frame),
        Phase::Undecided(_) | Phase::LookDue(_) | Phase::Looking => {
            Line::of(Ink::Warn, "looking whether it happened")
        }
        Phase::Retrying(at) => retries(row, between(frame.now, *at)),
        Phase::Succeeded => {
            dim(row.output.as_ref().map(lines::scalars).unwrap_or_default().as_str())
        }
        Phase::Skipped => dim("skipped"),
        Phase::NotRun(NotRun::RunFailed) => dim("not run: a step failed before it"),
        Phase::Undone => dim("undone"),
        Phase::NotRun(NotRun::Cancelled) => dim("not run: the run was cancelled"),
        Phase::NotRun(NotRun::UndoFailed) => dim("not run: an undo step failed before it"),
        Phase::NotRun(NotRun::NotNeeded) => dim("not called for"),
        Phase::Stopped => Line::of(Ink::Warn, "stopped, because the run was cancelled"),
        Phase::InDoubt => Line::of(Ink::Bad, "in doubt: ").and(wrong(row.error.as_ref())),
        Phase::TimedOut => Line::of(Ink::Bad, "out of time: ").and(wrong(row.error.as_ref())),
        Phase::Failed => wrong(row.error.as_ref()),
    }
}

fn wrong(error: Option<&StepError>) -> Line {
    let said = |error: &StepError| format!("[{}] {}", error.code, error.message);
    Line::of(Ink::Bad, &error.map(said).unwrap_or_default())
}

/// `after dump, verify and 3 more`: the steps that are still to end, but for those that others of
/// them wait for.
fn after(view: &View, row: &Row) -> String {
    const NAMED: usize = 3;
    let is_open = |need: &&usize| !view.rows[**need].phase.is_final();
    let open: BTreeSet<usize> = row.needs.iter().filter(is_open).copied().collect();
    let before: BTreeSet<usize> =
        open.iter().flat_map(|need| &view.rows[*need].needs).copied().collect();
    let open: Vec<&str> =
        open.difference(&before).map(|need| view.rows[*need].id.as_str()).collect();
    match open.len() {
        0 => "ready".to_owned(),
        count @ 1..=NAMED => format!("after {}", open[..count].join(", ")),
        count => format!("after {} and {} more", open[..NAMED - 1].join(", "), count - NAMED + 1),
    }
}

fn asks(question: &Question, now: Timestamp) -> Line {
    let request = &question.request;
    let who = match request.approvers.as_slice() {
        [] => "a person".to_owned(),
        approvers => approvers.join(" or "),
    };
    let answered = match request.required {
        1 => String::new(),
        required => format!(", {} of {required} answered", question.names().len()),
    };
    let open = question.until.map(|until| format!(", open for {}", whole(between(now, until))));
    Line::of(Ink::Warn, &format!("waits for {who}{answered}{}", open.unwrap_or_default()))
}

fn retries(row: &Row, rest: Duration) -> Line {
    let next = format!("attempt {} of {} in {}: ", row.attempt + 1, row.retries + 1, whole(rest));
    Line::of(Ink::Warn, &next).with(Ink::Plain, row.last_end.as_deref().unwrap_or_default())
}

fn runs(row: &Row, frame: &Frame) -> Line {
    let attempt = match row.attempt {
        0 | 1 => String::new(),
        attempt => format!("attempt {attempt}  "),
    };
    let Some(meter) = &row.meter else {
        let narrow = frame.gap() == 0;
        let time = if narrow { whole(row.runs_for(frame.now)) + "  " } else { String::new() };
        return Line::of(Ink::Warn, &attempt).with(Ink::Plain, &time).with(Ink::Dim, &row.what);
    };
    let measured = Line::of(Ink::Warn, &attempt).and(measured(meter, frame));
    if !beside(frame) {
        return measured;
    }
    let gap = if measured.width() == 0 { "" } else { "  " };
    measured.with(Ink::Plain, gap).with(Ink::Dim, &meter.newest().activity)
}

/// There is room for what is done now beside what is measured.
fn beside(frame: &Frame) -> bool {
    frame.width >= 110
}

/// Bar, amounts, rate and time left, as much of it as there is room for.
fn measured(meter: &Meter, frame: &Frame) -> Line {
    let [amounts, rate, eta] = meter.told(frame.now);
    let percent = meter.percent().unwrap_or_default();
    let choices = [
        (true, [&amounts, &rate, &eta]),
        (false, [&amounts, &rate, &eta]),
        (false, [&amounts, &eta, &String::new()]),
        (false, [&percent, &eta, &String::new()]),
        (false, [&percent, &String::new(), &String::new()]),
    ];
    let drawn = choices.into_iter().map(|(bar, parts)| {
        let bar = bar.then(|| drawn(meter.newest(), frame)).flatten().unwrap_or_default();
        joined(bar, &parts.map(String::as_str))
    });
    let mut drawn: Vec<Line> = drawn.collect();
    let fitting = drawn.iter().position(|line| line.width() <= frame.room());
    drawn.swap_remove(fitting.unwrap_or(drawn.len() - 1))
}

fn joined(line: Line, parts: &[&str]) -> Line {
    parts.iter().filter(|part| !part.is_empty()).fold(line, |line, part| {
        let gap = if line.width() == 0 { "" } else { "  " };
        line.with(Ink::Plain, gap).with(Ink::Plain, part)
    })
}

fn drawn(progress: &Progress, frame: &Frame) -> Option<Line> {
    let total = progress.total.filter(|total| *total > 0)?;
    let (full, empty) = bar(progress.done.into(), total.into(), BAR, &frame.signs);
    Some(Line::of(Ink::Busy, &full).with(Ink::Dim, &empty))
}

/// Columns that the ids of these steps want.
pub(super) fn id_columns<'a>(rows: impl Iterator<Item = &'a Row>, width: usize) -> usize {
    let longest = rows.map(|row| columns(row.id.as_str())).max().unwrap_or_default();
    longest.clamp(6, (width / 3).clamp(6, 32))
}
