//! What the flags, the environment and the terminal add up to.

use std::io::IsTerminal as _;

use engine::state_folder::StateFolder;

use crate::cli::{Color, Global};
use crate::failure::Failure;

/// Resolved once, at the start.
pub(crate) struct Settings {
    /// Standard error gets colours.
    pub(crate) colour: bool,
    /// Standard error is a terminal on which a picture may be redrawn.
    pub(crate) terminal: bool,
    /// The terminal shows more than ASCII.
    pub(crate) unicode: bool,
    state: Option<std::path::PathBuf>,
}

impl Settings {
    pub(crate) fn resolve(global: &Global) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let unwanted =
            engine::environment::variable("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = engine::environment::variable("TERM").is_some_and(|term| term == "dumb");
        let colour = match global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && !unwanted && !dumb,
        };
        let choice =
            if colour { anstream::ColorChoice::Always } else { anstream::ColorChoice::Never };
        choice.write_global();
        let state = global.state.clone();
        Self { colour, terminal: terminal && !dumb, unicode: is_utf8(), state }
    }

    /// The folder of journals; nothing is created.
    pub(crate) fn state(&self) -> Result<StateFolder, Failure> {
        StateFolder::locate(self.state.as_deref()).map_err(Failure::from)
    }
}

/// The locale says UTF-8; of the three variables the first that is set counts.
fn is_utf8() -> bool {
    let set = |name| engine::environment::variable(name).filter(|locale| !locale.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
    let locale = locale.unwrap_or_default().to_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}
