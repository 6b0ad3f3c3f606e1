//! The picture of a run at a moment, for a terminal of some size: what needs somebody first, then
//! what runs, then what comes next and what was done last; the rest is counted.

use jiff::Timestamp;

use crate::show::live::choose::{Left, choose};
use crate::show::live::head;
use crate::show::live::row::{self, Frame};
use crate::show::live::text::{Line, Signs};
use crate::show::live::view::{Head, Row, View};

/// Columns and rows of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) width: usize,
    pub(crate) height: usize,
}

impl View {
    /// The run as it looks at `now`: at most as many lines as the terminal has rows, but one for
    /// the cursor, each of them shorter than a row.
    pub(crate) fn render(&self, now: Timestamp, size: Size, signs: &Signs) -> Vec<Line> {
        let Some(head) = &self.head else { return Vec::new() };
        let seen: Vec<&Row> = self.rows.iter().filter(|row| row.is_seen()).collect();
        let frame = frame(now, size.width, &seen, signs);
        let room = size.height.saturating_sub(1);
        let mut lines = vec![head::title(self, head, &frame)];
        lines.extend(head::goals(head, &frame, most_goals(size.height)));
        lines.truncate(room);
        let mut foot = head::foot(self, head, &frame);
        foot.truncate(room.saturating_sub(lines.len()) / 2);
        lines.extend(steps(self, &seen, &frame, room - lines.len() - foot.len()));
        lines.extend(foot);
        lines
    }

    /// What stays on the terminal when nothing goes on: every step, or those that did not go well
    /// and a count of the others.
    pub(crate) fn summary(&self, now: Timestamp, width: usize, signs: &Signs) -> Vec<Line> {
        const MOST: usize = 60;
        let Some(head) = &self.head else { return Vec::new() };
        let seen: Vec<&Row> = self.rows.iter().filter(|row| row.is_seen()).collect();
        let frame = frame(now, width, &seen, signs);
        let mut lines = vec![head::title(self, head, &frame)];
        lines.extend(goals(head, &frame));
        lines.extend(steps(self, &seen, &frame, MOST));
        lines.extend(head::foot(self, head, &frame));
        lines
    }
}

fn goals(head: &Head, frame: &Frame) -> Vec<Line> {
    head::goals(head, frame, usize::MAX)
}

fn frame(now: Timestamp, width: usize, seen: &[&Row], signs: &Signs) -> Frame {
    // The last column stays free: a terminal that is one short would break the line.
    let width = width.saturating_sub(1).max(1);
    let ids = row::id_columns(seen.iter().copied(), width);
    Frame { now, width, ids, signs: *signs }
}

fn most_goals(height: usize) -> usize {
    match height {
        0..12 => 1,
        12..20 => 2,
        _ => 5,
    }
}

/// The steps in the order of the plan, as many of their lines as there is room for.
fn steps(view: &View, seen: &[&Row], frame: &Frame, room: usize) -> Vec<Line> {
    let fits = seen.len() <= room;
    let counted = if fits { 0 } else { 2 };
    let chosen = choose(seen, room.saturating_sub(counted), |row| row::more(view, row, frame));
    let mut lines = Vec::new();
    let mut left = Left::default();
    for (row, chosen) in seen.iter().zip(chosen) {
        match chosen {
            Some(more) => {
                lines.push(row::line(view, row, frame));
                lines.extend(more);
            }
            None => left.count(row),
        }
    }
    if !fits {
        lines.splice(0..0, left.before(frame));
        lines.extend(left.after(frame));
    }
    lines.truncate(room);
    lines
}
