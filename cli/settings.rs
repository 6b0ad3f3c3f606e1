//! What the flags, the environment and the terminal add up to.

use std::io::IsTerminal as _;

use engine::state_folder::StateFolder;

use crate::cli::{Color, Global};
use crate::failure::Failure;

/// Resolved once, at the start.
pub(crate) struct Settings {
    /// Standard error gets colours.
    pub(crate) colour: bool,
    /// Standard error is a terminal: progress may be redrawn.
    pub(crate) terminal: bool,
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
        Self { colour, terminal: terminal && !dumb, state: global.state.clone() }
    }

    /// The folder of journals; nothing is created.
    pub(crate) fn state(&self) -> Result<StateFolder, Failure> {
        StateFolder::locate(self.state.as_deref()).map_err(Failure::from)
    }
}
