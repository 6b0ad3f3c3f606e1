//! Lines of styled text that know how wide they are on a terminal.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::show::print;

/// How a piece of text is to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ink {
    /// As it is.
    Plain,
    /// Of less interest.
    Dim,
    /// A heading.
    Strong,
    /// It goes on.
    Busy,
    /// Something is done.
    Good,
    /// Something wants a look.
    Warn,
    /// Something failed.
    Bad,
}

impl Ink {
    fn escape(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Dim => "\x1b[2m",
            Self::Strong => "\x1b[1m",
            Self::Busy => "\x1b[36m",
            Self::Good => "\x1b[32m",
            Self::Warn => "\x1b[33m",
            Self::Bad => "\x1b[1;31m",
        }
    }
}

/// The signs a view is drawn with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signs {
    pub(crate) done: &'static str,
    pub(crate) failed: &'static str,
    pub(crate) running: &'static str,
    pub(crate) pending: &'static str,
    pub(crate) asked: &'static str,
    pub(crate) retry: &'static str,
    pub(crate) left_out: &'static str,
    pub(crate) full: &'static str,
    pub(crate) empty: &'static str,
    pub(crate) log: &'static str,
    pub(crate) more: &'static str,
    pub(crate) between: &'static str,
}

impl Signs {
    /// For terminals that show UTF-8.
    pub(crate) const UNICODE: Self = Self {
        done: "✓",
        failed: "✗",
        running: "●",
        pending: "·",
        asked: "?",
        retry: "↻",
        left_out: "-",
        full: "━",
        empty: "─",
        log: "│",
        more: "…",
        between: " · ",
    };

    /// For terminals that may show nothing else.
    pub(crate) const ASCII: Self = Self {
        done: "+",
        failed: "x",
        running: "*",
        pending: ".",
        asked: "?",
        retry: "~",
        left_out: "-",
        full: "=",
        empty: "-",
        log: "|",
        more: "...",
        between: ", ",
    };
}

/// One line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Line {
    pieces: Vec<(Ink, String)>,
}

impl Line {
    /// A line of one piece.
    pub(crate) fn of(ink: Ink, text: &str) -> Self {
        Self::default().with(ink, text)
    }

    /// Adds a piece. Whatever a terminal would obey is written out, and a line stays one line.
    pub(crate) fn with(mut self, ink: Ink, text: &str) -> Self {
        let flat: String =
            text.chars().map(|c| if c == '\n' || c == '\t' { ' ' } else { c }).collect();
        let flat = print::clean(&flat);
        if !flat.is_empty() {
            self.pieces.push((ink, flat));
        }
        self
    }

    /// Adds the pieces of another line.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.pieces.extend(other.pieces);
        self
    }

    /// Columns on a terminal.
    pub(crate) fn width(&self) -> usize {
        self.pieces.iter().map(|(_, text)| columns(text)).sum()
    }

    /// The line, or as much of it as `width` columns hold, the last of which says that there
    /// is more.
    pub(crate) fn fit(self, width: usize, signs: &Signs) -> Self {
        if self.width() <= width {
            return self;
        }
        let mut room = width.saturating_sub(columns(signs.more));
        let mut fitted = Self::default();
        for (ink, text) in self.pieces {
            let piece = prefix(&text, room);
            room -= columns(piece);
            let all = piece.len() == text.len();
            let cut = if all { text } else { format!("{piece}{}", prefix(signs.more, width)) };
            fitted.pieces.push((ink, cut));
            if !all {
                break;
            }
        }
        fitted
    }

    /// The text alone.
    pub(crate) fn plain(&self) -> String {
        self.pieces.iter().map(|(_, text)| text.as_str()).collect()
    }

    /// The text as a terminal gets it.
    pub(crate) fn shown(&self, colour: bool) -> String {
        if !colour {
            return self.plain();
        }
        let piece = |(ink, text): &(Ink, String)| match ink {
            Ink::Plain => text.clone(),
            ink => format!("{}{text}\x1b[0m", ink.escape()),
        };
        self.pieces.iter().map(piece).collect()
    }
}

/// Columns that a text takes on a terminal; where terminals differ, the larger number.
pub(crate) fn columns(text: &str) -> usize {
    let each: usize = text.chars().map(|c| c.width().unwrap_or_default()).sum();
    each.max(text.width())
}

/// As much of the beginning as `width` columns hold.
fn prefix(text: &str, width: usize) -> &str {
    let mut end = 0;
    for (at, c) in text.char_indices() {
        let next = at + c.len_utf8();
        if columns(&text[..next]) > width {
            break;
        }
        end = next;
    }
    &text[..end]
}

/// A text over as many lines as it takes, broken between words where it can be, at most three.
pub(crate) fn wrapped(ink: Ink, text: &str, width: usize, signs: &Signs) -> Vec<Line> {
    const MOST: usize = 3;
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split_whitespace() {
        let full = lines.len() == MOST;
        let last = lines.last_mut().expect("there is always a line");
        let longer = columns(last) + 1 + columns(word);
        match () {
            () if last.is_empty() => last.push_str(word),
            () if longer > width && !full => lines.push(word.to_owned()),
            () => last.extend([" ", word]),
        }
    }
    lines.iter().map(|line| Line::of(ink, line).fit(width, signs)).collect()
}

/// The text, cut to `width` columns and filled up with spaces.
pub(crate) fn cell(text: &str, width: usize, signs: &Signs) -> String {
    let cut = Line::of(Ink::Plain, text).fit(width, signs).plain();
    let missing = width.saturating_sub(columns(&cut));
    cut + &" ".repeat(missing)
}

/// A bar of `width` columns, of which `done` of `total` are full.
pub(crate) fn bar(done: u128, total: u128, width: usize, signs: &Signs) -> (String, String) {
    let full = (done.min(total) * width as u128).checked_div(total).unwrap_or_default();
    let full = usize::try_from(full).unwrap_or(width);
    (signs.full.repeat(full), signs.empty.repeat(width - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str, width: usize) -> String {
        Line::of(Ink::Plain, text).fit(width, &Signs::UNICODE).plain()
    }

    #[test]
    fn a_line_is_cut_by_columns_not_by_letters() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdef", 5), "abcd…");
        assert_eq!(cut("注文を復元", 10), "注文を復元");
        assert_eq!(cut("注文を復元", 9), "注文を復…");
        assert_eq!(cut("注文を復元", 8), "注文を…");
        assert_eq!(cut("🚚 orders", 4), "🚚 …");
        assert_eq!(cut("abc", 0), "");
        assert_eq!(columns("❤\u{fe0f}"), 2);
    }

    #[test]
    fn a_line_stays_one_line_and_obeys_nothing() {
        let line = Line::of(Ink::Bad, "a\nb\tc\u{1b}[2J");
        assert_eq!(line.plain(), "a b c\\u{1b}[2J");
        assert_eq!(line.shown(true), "\x1b[1;31ma b c\\u{1b}[2J\x1b[0m");
    }

    #[test]
    fn a_long_text_is_broken_between_words() {
        let broken = |text| {
            let lines = wrapped(Ink::Plain, text, 10, &Signs::ASCII);
            lines.iter().map(Line::plain).collect::<Vec<_>>()
        };
        assert_eq!(broken(""), [""]);
        assert_eq!(broken("one two three four"), ["one two", "three four"]);
        assert_eq!(broken("a_word_that_is_long b"), ["a_word_...", "b"]);
        assert_eq!(
            broken("aaaaaaaa bbbbbbbb cccccccc dddddddd"),
            ["aaaaaaaa", "bbbbbbbb", "ccccccc..."]
        );
    }

    #[test]
    fn a_cell_is_as_wide_as_it_is_said_to_be() {
        for text in ["", "id", "注文を復元する", "a_very_long_step_id"] {
            assert_eq!(columns(&cell(text, 7, &Signs::UNICODE)), 7, "{text}");
            assert_eq!(columns(&cell(text, 7, &Signs::ASCII)), 7, "{text}");
        }
    }

    #[test]
    fn a_bar_is_full_when_all_is_done_and_not_before() {
        let drawn = |done, total| {
            let (full, empty) = bar(done, total, 4, &Signs::ASCII);
            full + &empty
        };
        assert_eq!(drawn(0, 10), "----");
        assert_eq!(drawn(9, 10), "===-");
        assert_eq!(drawn(10, 10), "====");
        assert_eq!(drawn(11, 10), "====");
        assert_eq!(drawn(0, 0), "----");
    }
}
