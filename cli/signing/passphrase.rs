//! Reads a passphrase from the terminal, without showing it.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;

use model::secret::SecretText;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::show::print;

/// What Ctrl-C types while signals are off.
const INTERRUPT: char = '\u{3}';

/// The terminal without echo; dropped, it is as it was.
struct Silent {
    terminal: File,
    before: Termios,
}

impl Silent {
    fn new() -> io::Result<Self> {
        let terminal = engine::files::open_existing(Path::new("/dev/tty"))?;
        let before = tcgetattr(&terminal)?;
        let mut silent = before.clone();
        // Without signals: a Ctrl-C must not leave a terminal that shows nothing.
        silent.local_modes -= LocalModes::ECHO | LocalModes::ISIG;
        tcsetattr(&terminal, OptionalActions::Flush, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        tcsetattr(&self.terminal, OptionalActions::Flush, &self.before).ok();
        print::message("\n");
    }
}

/// Asks for a passphrase on the terminal of this process.
pub(super) fn ask(prompt: &str) -> io::Result<SecretText> {
    let silent = Silent::new()?;
    print::message(prompt);
    let mut line = String::new();
    BufReader::new(&silent.terminal).read_line(&mut line)?;
    if line.is_empty() || line.contains(INTERRUPT) {
        return Err(io::Error::other("no passphrase was typed"));
    }
    Ok(SecretText::from(line.trim_end_matches(['\r', '\n']).to_owned()))
}
