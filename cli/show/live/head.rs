//! The frame of a picture: what runs and since when, the times to be met, and below the steps
//! what a person is to know or to do.

use model::plan::Contact;
use model::run::stage::Stage;
use model::run::state::RunStatus;
use model::run::step_state::Phase;

use crate::show::amount::{self, whole};
use crate::show::live::row::Frame;
use crate::show::live::text::{Ink, Line, bar, cell, wrapped};
use crate::show::live::view::{Goal, Head, Row, View, between};
use crate::show::plan::word;

/// What the run is, where it stands, how long it has taken.
pub(super) fn title(view: &View, head: &Head, frame: &Frame) -> Line {
    let main = || view.rows.iter().filter(|row| row.role.is_main());
    let done = main().filter(|row| matches!(row.phase, Phase::Succeeded | Phase::Skipped)).count();
    let took = whole(between(head.started, head.ended.unwrap_or(frame.now)));
    let (stands, ink) = stands(head);
    let warned = match head.warnings {
        0 => String::new(),
        warnings => format!("  {}", amount::count(warnings, "warning")),
    };
    let line = Line::of(Ink::Strong, &head.name).with(ink, &format!("  {stands}"));
    let line = line.with(Ink::Warn, &warned);
    let counted = format!("  {done} of {} done", amount::count(main().count(), "step"));
    let short = format!("  {done}/{}", main().count());
    let tail =
        |parts: &[&str]| parts.iter().fold(line.clone(), |line, part| line.with(Ink::Plain, part));
    let took = format!("  {took}");
    let choices = [
        tail(&[&counted, &took]).with(Ink::Dim, &format!("  {}", head.run)),
        tail(&[&counted, &took]),
        tail(&[&short, &took]),
        tail(&[&took]),
    ];
    let fitting = choices.into_iter().find(|line| line.width() <= frame.width);
    fitting.unwrap_or_else(|| line.fit(frame.width, &frame.signs))
}

fn stands(head: &Head) -> (String, Ink) {
    let ink = match head.status {
        RunStatus::Running => Ink::Busy,
        RunStatus::Succeeded => Ink::Good,
        RunStatus::Failed | RunStatus::Cancelled | RunStatus::InDoubt => Ink::Bad,
        _ => Ink::Warn,
    };
    let text = match (head.status, head.stage) {
        (RunStatus::Running, _) if head.held => "held",
        (RunStatus::Running, Stage::Undo) => "undoing",
        (RunStatus::Running, Stage::Handlers | Stage::Exit) => "telling people",
        (RunStatus::Running, Stage::Main) if head.cancel.is_some() => "stopping",
        (status, _) => return (word(&status).replace('_', " "), ink),
    };
    (text.to_owned(), ink)
}

/// The times to be met, the most urgent first, as many as `most`.
pub(super) fn goals(head: &Head, frame: &Frame, most: usize) -> Vec<Line> {
    let mut goals: Vec<&Goal> = head.goals.iter().collect();
    if goals.len() > most {
        goals.sort_by_key(|goal| (goal.reached.is_some(), goal.limit));
    }
    goals.into_iter().take(most).map(|goal| line(goal, head, frame)).collect()
}

fn line(goal: &Goal, head: &Head, frame: &Frame) -> Line {
    let from = head.incident.unwrap_or(head.started);
    let took = between(from, goal.reached.or(head.ended).unwrap_or(frame.now));
    let label = format!("  {}  ", cell(&goal.name, frame.ids, &frame.signs));
    let line = Line::of(Ink::Plain, &label);
    let (ink, text) = verdict(goal, took, head.ended.is_some());
    let open = goal.reached.is_none() && head.ended.is_none();
    let line = match goal.limit.filter(|_| open && frame.width >= 60) {
        None => line,
        Some(limit) => {
            let (full, empty) = bar(took.as_millis(), limit.as_millis(), 24, &frame.signs);
            line.with(ink, &full).with(Ink::Dim, &empty).with(Ink::Plain, "  ")
        }
    };
    let since = if head.incident.is_some() { " from the incident" } else { "" };
    line.with(ink, &text).with(Ink::Dim, since).fit(frame.width, &frame.signs)
}

fn verdict(goal: &Goal, took: std::time::Duration, ended: bool) -> (Ink, String) {
    let passed = whole(took);
    let Some(limit) = goal.limit else {
        let reached = if goal.reached.is_some() { "reached after " } else { "" };
        return (Ink::Plain, format!("{reached}{passed}"));
    };
    let of = format!("{passed} of {}", whole(limit));
    match (goal.reached.is_some(), took > limit) {
        (true, false) => (Ink::Good, format!("reached: {of}")),
        (false, _) if ended => (Ink::Bad, format!("not reached: {of}")),
        (true, true) => (Ink::Bad, format!("missed: {of}")),
        (false, true) => (Ink::Bad, format!("{of}, over by {}", whole(took.saturating_sub(limit)))),
        (false, false) if took * 5 > limit * 4 => (Ink::Warn, of),
        (false, false) => (Ink::Plain, of),
    }
}

/// What a person is to know or to do.
pub(super) fn foot(view: &View, head: &Head, frame: &Frame) -> Vec<Line> {
    let stop = match head.cancel {
        _ if head.ended.is_some() => None,
        _ if head.held => Some(held(view)),
        cancel => cancel.map(|force| stopping(view, force)),
    };
    let paused = head.paused.as_ref();
    let why = paused.map(|error| format!("paused: [{}] {}", error.code, error.message));
    let help = paused.and_then(|error| error.hint.as_ref()).map(|hint| format!("help: {hint}"));
    let warn = stop.into_iter().chain(why).map(|text| (Ink::Warn, text));
    let texts = warn.chain(help.map(|text| (Ink::Plain, text)));
    let mut lines: Vec<Line> =
        texts.flat_map(|(ink, text)| wrapped(ink, &text, frame.width, &frame.signs)).collect();
    if wants_somebody(view, head) {
        lines.extend(contacts(&head.contacts, frame));
    }
    lines
}

fn held(view: &View) -> String {
    match awaited(view).as_slice() {
        [] => "choose how it goes on".to_owned(),
        awaited => format!(
            "{} cannot be taken back and is seen to its end; then you choose how it goes on. \
             Ctrl-C once more stops everything now",
            awaited.join(", ")
        ),
    }
}

fn stopping(view: &View, force: bool) -> String {
    match (force, awaited(view).as_slice()) {
        (true, _) => "stopping everything".to_owned(),
        (false, []) => "stopping".to_owned(),
        (false, awaited) => format!(
            "stopping after {}, which cannot be taken back; Ctrl-C once more stops it too",
            awaited.join(", ")
        ),
    }
}

/// The steps at work that cannot be taken back.
fn awaited(view: &View) -> Vec<&str> {
    let works = |row: &&Row| row.attempt > 0 && !row.phase.is_final() && !can_be_taken_back(row);
    view.rows.iter().filter(works).map(|row| row.id.as_str()).collect()
}

fn can_be_taken_back(row: &Row) -> bool {
    use model::effect::Effect;
    matches!(row.effect, Effect::Read | Effect::Reversible)
}

/// Somebody is waited for, or something went wrong.
fn wants_somebody(view: &View, head: &Head) -> bool {
    let wanted = |row: &Row| {
        matches!(row.phase, Phase::Waiting(_) | Phase::InDoubt | Phase::Failed | Phase::TimedOut)
    };
    head.paused.is_some() || view.rows.iter().any(wanted)
}

/// Whom to call, as many on a line as fit.
fn contacts(contacts: &[Contact], frame: &Frame) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for contact in contacts {
        let next =
            Line::of(Ink::Dim, &format!("{} ", contact.role)).with(Ink::Plain, &reached(contact));
        let joined = lines.pop().map_or_else(
            || vec![Line::of(Ink::Strong, "call  ").and(next.clone())],
            |line| {
                let longer = line.clone().with(Ink::Dim, frame.signs.between).and(next.clone());
                let below = Line::of(Ink::Plain, "      ").and(next.clone());
                if longer.width() <= frame.width { vec![longer] } else { vec![line, below] }
            },
        );
        lines.extend(joined);
    }
    lines.into_iter().map(|line| line.fit(frame.width, &frame.signs)).collect()
}

fn reached(contact: &Contact) -> String {
    let ways = [Some(&contact.name), contact.phone.as_ref(), contact.email.as_ref()];
    ways.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(" ")
}
