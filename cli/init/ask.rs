//! Questions on the terminal.

use std::io::{BufRead as _, IsTerminal as _};

use crate::show::print;

/// Asks a person, or nobody.
pub(crate) struct Asks {
    somebody: bool,
}

impl Asks {
    /// Asks on the terminal, if there is one and the person did not say `--yes`.
    pub(crate) fn new(yes: bool) -> Self {
        let terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        Self { somebody: terminal && !yes }
    }

    /// The answer, or `default` when the person only presses Enter; nothing when nobody is there.
    pub(crate) fn text(&mut self, question: &str, default: Option<&str>) -> Option<String> {
        if !self.somebody {
            return None;
        }
        let shown = default.map(|default| format!(" [{default}]")).unwrap_or_default();
        print::message(&format!("{question}{shown}: "));
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line);
        self.somebody = read.is_ok_and(|bytes| bytes > 0);
        let answer = Some(line.trim()).filter(|answer| !answer.is_empty());
        answer.or(default).map(str::to_owned)
    }

    /// Whether the person says yes; no when nobody is there.
    pub(crate) fn yes_or_no(&mut self, question: &str) -> bool {
        let answer = self.text(question, Some("no"));
        answer.is_some_and(|answer| ["y", "yes"].contains(&answer.to_lowercase().as_str()))
    }
}
