//! Draws a picture in place, below what stays on the terminal.

use std::io::Write;

use crate::show::live::picture::Size;
use crate::show::live::text::Line;

/// Draws on a terminal.
pub(super) struct Painter<W> {
    out: W,
    colour: bool,
    /// The widths of the lines of the picture that is on the terminal.
    drawn: Vec<usize>,
    shown: (String, usize),
    lost: bool,
}

impl<W: Write> Painter<W> {
    pub(super) fn new(out: W, colour: bool) -> Self {
        Self { out, colour, drawn: Vec::new(), shown: (String::new(), 0), lost: false }
    }

    /// Writes text that stays above the picture, and the picture in the place of the one before.
    /// Nothing is written when nothing is new.
    pub(super) fn draw(&mut self, above: &str, lines: &[Line], size: Size) {
        let picture: String =
            lines.iter().map(|line| line.shown(self.colour) + "\x1b[K\n").collect();
        let shown = (picture, size.width);
        if above.is_empty() && shown == self.shown {
            return;
        }
        let up = self.height(size);
        let wiped = if above.is_empty() { String::new() } else { wipe(up) };
        let out = format!("{}{wiped}{above}{}\x1b[J", raise(up), shown.0);
        self.write(&out);
        self.drawn = lines.iter().map(Line::width).collect();
        self.shown = shown;
    }

    /// Leaves the picture where it is; the next one comes below whatever is written meanwhile.
    pub(super) fn leave(&mut self) {
        self.drawn.clear();
        self.shown.0.clear();
    }

    /// Rows that the picture takes: a terminal that became narrower has broken its lines.
    fn height(&self, size: Size) -> usize {
        let rows = self.drawn.iter().map(|width| width.div_ceil(size.width.max(1)).max(1));
        rows.sum::<usize>().min(size.height.saturating_sub(1))
    }

    /// A terminal that went away is not written to again.
    fn write(&mut self, text: &str) {
        if !self.lost {
            let written = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
            self.lost = written.is_err();
        }
    }
}

/// To the beginning of the line that is so many rows up.
fn raise(rows: usize) -> String {
    if rows == 0 { String::new() } else { format!("\x1b[{rows}A\r") }
}

/// Clears so many rows and the one below, and goes back. Row by row: some terminals keep in their
/// history what is cleared as a whole.
fn wipe(rows: usize) -> String {
    if rows == 0 {
        return String::new();
    }
    "\x1b[2K\n".repeat(rows) + "\x1b[2K\r" + &raise(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::live::text::Ink;

    const SIZE: Size = Size { width: 20, height: 10 };

    fn lines(texts: &[&str]) -> Vec<Line> {
        texts.iter().map(|text| Line::of(Ink::Good, text)).collect()
    }

    fn drawn(draw: impl FnOnce(&mut Painter<&mut Vec<u8>>)) -> String {
        let mut out = Vec::new();
        draw(&mut Painter::new(&mut out, false));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_picture_takes_the_place_of_the_one_before() {
        let out = drawn(|painter| {
            painter.draw("", &lines(&["a", "b"]), SIZE);
            painter.draw("", &lines(&["a", "b"]), SIZE);
            painter.draw("news\n", &lines(&["c"]), SIZE);
        });
        assert_eq!(
            out,
            "a\x1b[K\nb\x1b[K\n\x1b[J\x1b[2A\r\x1b[2K\n\x1b[2K\n\x1b[2K\r\x1b[2A\rnews\nc\x1b[K\n\x1b[J"
        );
    }

    #[test]
    fn lines_that_a_narrower_terminal_broke_are_taken_back() {
        let out = drawn(|painter| {
            painter.draw("", &lines(&["123456789012345", ""]), SIZE);
            painter.draw("", &lines(&["1"]), Size { width: 10, height: 10 });
        });
        assert!(out.ends_with("\x1b[3A\r1\x1b[K\n\x1b[J"), "{out:?}");
    }

    #[test]
    fn what_was_left_stays() {
        let out = drawn(|painter| {
            painter.draw("", &lines(&["a"]), SIZE);
            painter.leave();
            painter.draw("", &lines(&["a"]), SIZE);
        });
        assert_eq!(out, "a\x1b[K\n\x1b[Ja\x1b[K\n\x1b[J");
    }

    #[test]
    fn a_terminal_that_is_gone_is_written_to_once() {
        struct Gone(usize);
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                self.0 += 1;
                Err(std::io::Error::from_raw_os_error(5))
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let mut painter = Painter::new(Gone(0), true);
        painter.draw("", &lines(&["a"]), SIZE);
        painter.draw("", &lines(&["b"]), SIZE);
        assert_eq!(painter.out.0, 1);
    }
}
