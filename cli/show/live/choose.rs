//! Which steps a picture has room for.

use std::cmp::Reverse;

use model::run::step_state::Phase;

use crate::show::live::row::Frame;
use crate::show::live::text::{Ink, Line};
use crate::show::live::view::Row;

/// Steps that come next, and steps that ended last, that are shown before anything of less
/// interest.
const NEAR: usize = 3;

/// What is shown first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Asks,
    Runs,
    Retries,
    Fails,
    Near,
    Explains,
    Far,
    NotRun,
}

/// A step's own line, or the lines below it.
struct Piece {
    rank: Rank,
    /// How far from what happens now, among those of its rank.
    distance: usize,
    row: usize,
    below: bool,
}

/// For each step the lines below its own, as many as there is room for; nothing for a step that
/// is not shown.
pub(super) fn choose(
    rows: &[&Row],
    mut room: usize,
    below: impl Fn(&Row) -> Vec<Line>,
) -> Vec<Option<Vec<Line>>> {
    let mut pieces = pieces(rows);
    pieces.sort_by_key(|piece| (piece.rank, piece.distance));
    let mut chosen: Vec<Option<Vec<Line>>> = vec![None; rows.len()];
    for piece in pieces {
        if room == 0 {
            break;
        }
        match &mut chosen[piece.row] {
            Some(lines) if piece.below => {
                lines.extend(below(rows[piece.row]).into_iter().take(room));
                room -= lines.len();
            }
            None if !piece.below => {
                chosen[piece.row] = Some(Vec::new());
                room -= 1;
            }
            _ => {}
        }
    }
    chosen
}

fn pieces(rows: &[&Row]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let (mut idle, mut over) = (Vec::new(), Vec::new());
    for (row, step) in rows.iter().enumerate() {
        let rank = match step.phase {
            Phase::Waiting(_) | Phase::InDoubt => Rank::Asks,
            Phase::Running | Phase::Undecided(_) | Phase::LookDue(_) | Phase::Looking => Rank::Runs,
            Phase::Retrying(_) => Rank::Retries,
            Phase::Failed | Phase::TimedOut | Phase::Stopped => Rank::Fails,
            Phase::NotRun(_) => Rank::NotRun,
            Phase::Dormant | Phase::Pending | Phase::Ready => {
                idle.push(row);
                continue;
            }
            Phase::Succeeded | Phase::Skipped | Phase::Undone => {
                over.push(row);
                continue;
            }
        };
        pieces.push(Piece { rank, distance: row, row, below: false });
        pieces.push(Piece { rank: Rank::Explains, distance: row, row, below: true });
    }
    over.sort_by_key(|row| Reverse((rows[*row].ended, *row)));
    let near = |(distance, row)| {
        let rank = if distance < NEAR { Rank::Near } else { Rank::Far };
        Piece { rank, distance, row, below: false }
    };
    pieces.extend(idle.into_iter().enumerate().map(near));
    pieces.extend(over.into_iter().enumerate().map(near));
    pieces
}

/// The steps there is no room for.
#[derive(Debug, Default)]
pub(super) struct Left {
    done: usize,
    skipped: usize,
    undone: usize,
    failed: usize,
    active: usize,
    to_come: usize,
    not_run: usize,
}

impl Left {
    pub(super) fn count(&mut self, row: &Row) {
        let count = match row.phase {
            Phase::Succeeded => &mut self.done,
            Phase::Skipped => &mut self.skipped,
            Phase::Undone => &mut self.undone,
            Phase::Failed | Phase::TimedOut | Phase::Stopped => &mut self.failed,
            Phase::Dormant | Phase::Pending | Phase::Ready => &mut self.to_come,
            Phase::NotRun(_) => &mut self.not_run,
            _ => &mut self.active,
        };
        *count += 1;
    }

    /// What ended, above the steps.
    pub(super) fn before(&self, frame: &Frame) -> Option<Line> {
        let parts = [
            (self.done, "done"),
            (self.skipped, "skipped"),
            (self.undone, "undone"),
            (self.failed, "did not succeed"),
        ];
        counts(frame.signs.done, Ink::Good, &parts, frame)
    }

    /// What has not ended, below them.
    pub(super) fn after(&self, frame: &Frame) -> Option<Line> {
        let parts =
            [(self.active, "in progress"), (self.to_come, "to come"), (self.not_run, "not run")];
        counts(frame.signs.pending, Ink::Dim, &parts, frame)
    }
}

fn counts(sign: &str, ink: Ink, parts: &[(usize, &str)], frame: &Frame) -> Option<Line> {
    let said = parts.iter().filter(|(count, _)| *count > 0);
    let said: Vec<String> = said.map(|(count, what)| format!("{count} more {what}")).collect();
    let text = said.join(", ");
    let line = Line::of(ink, sign).with(Ink::Dim, &format!(" {text}"));
    (!text.is_empty()).then(|| line.fit(frame.width, &frame.signs))
}
