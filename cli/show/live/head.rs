//! The frame of a picture: what runs and since when, the times to be met, and below the steps
//! what a person is to know or to do.

use model::plan::Contact;
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
    let (stands, ink) = stands(view, head);
    let line = Line::of(Ink::Strong, &head.name).with(ink, &format!("  {stands}"));
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

fn stands(view: &View, head: &Head) -> (String, Ink) {
    let active = |wanted: fn(&Row) -> bool| {
        view.rows.iter().any(|row| wanted(row) && row.attempt > 0 && !row.phase.is_final())
    };
    let ink = match head.status {
        RunStatus::Running => Ink::Busy,
        RunStatus::Succeeded => Ink::Good,
        RunStatus::Failed | RunStatus::Cancelled | RunStatus::InDoubt => Ink::Bad,
        _ => Ink::Warn,
    };
    let text = match head.status {
        RunStatus::Running if head.cancel.is_some() => "stopping".to_owned(),
        RunStatus::Running if active(is_undo) => "undoing".to_owned(),
        RunStatus::Running if active(is_handler) => "telling people".to_owned(),
        status => word(&status).replace('_', " "),
    };
    (text, ink)
}

fn is_undo(row: &Row) -> bool {
    matches!(row.role, model::plan::Role::Undo(_))
}

fn is_handler(row: &Row) -> bool {
    matches!(row.role, model::plan::Role::Handler(_))
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
    let (ink, text) = verdict(goal, took);
    let line = match goal.limit.filter(|_| goal.reached.is_none() && frame.width >= 60) {
        None => line,
        Some(limit) => {
            let (full, empty) = bar(took.as_millis(), limit.as_millis(), 24, &frame.signs);
            line.with(ink, &full).with(Ink::Dim, &empty).with(Ink::Plain, "  ")
        }
    };
    let since = if head.incident.is_some() { " from the incident" } else { "" };
    line.with(ink, &text).with(Ink::Dim, since).fit(frame.width, &frame.signs)
}

fn verdict(goal: &Goal, took: std::time::Duration) -> (Ink, String) {
    let passed = whole(took);
    let Some(limit) = goal.limit else {
        let reached = if goal.reached.is_some() { "reached after " } else { "" };
        return (Ink::Plain, format!("{reached}{passed}"));
    };
    let of = format!("{passed} of {}", whole(limit));
    match (goal.reached.is_some(), took > limit) {
        (true, false) => (Ink::Good, format!("reached: {of}")),
        (true, true) => (Ink::Bad, format!("missed: {of}")),
        (false, true) => (Ink::Bad, format!("{of}, over by {}", whole(took.saturating_sub(limit)))),
        (false, false) if took * 5 > limit * 4 => (Ink::Warn, of),
        (false, false) => (Ink::Plain, of),
    }
}

/// What a person is to know or to do.
pub(super) fn foot(view: &View, head: &Head, frame: &Frame) -> Vec<Line> {
    let cancel = head.cancel.filter(|_| head.ended.is_none()).map(|force| stopping(view, force));
    let paused = head.paused.as_ref();
    let why = paused.map(|error| format!("paused: [{}] {}", error.code, error.message));
    let help = paused.and_then(|error| error.hint.as_ref()).map(|hint| format!("help: {hint}"));
    let warn = cancel.into_iter().chain(why).map(|text| (Ink::Warn, text));
    let texts = warn.chain(help.map(|text| (Ink::Plain, text)));
    let mut lines: Vec<Line> =
        texts.flat_map(|(ink, text)| wrapped(ink, &text, frame.width, &frame.signs)).collect();
    if wants_somebody(view, head) {
        lines.extend(contacts(&head.contacts, frame));
    }
    lines
}

fn stopping(view: &View, force: bool) -> String {
    let running = view.rows.iter().filter(|row| row.phase == Phase::Running);
    let kept: Vec<&str> =
        running.filter(|row| !can_be_taken_back(row)).map(|row| row.id.as_str()).collect();
    match (force, kept.as_slice()) {
        (true, _) => "stopping everything".to_owned(),
        (false, []) => "stopping".to_owned(),
        (false, kept) => format!(
            "stopping after {}, which cannot be taken back; Ctrl-C once more stops it too",
            kept.join(", ")
        ),
    }
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
