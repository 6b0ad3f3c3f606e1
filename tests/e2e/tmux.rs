//! A real terminal window, and what a person sees in it.

use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use regex::Regex;
use snapbox::{Assert, Data};

use crate::bed::Bed;

/// How long something may take to be seen.
const PATIENCE: Duration = Duration::from_secs(30);

/// Windows are opened one after the other, and have names of their own.
static WINDOWS: AtomicUsize = AtomicUsize::new(0);

/// A window of 80 by 24, which ends with the value.
pub(crate) struct Terminal<'a> {
    name: String,
    bed: &'a Bed,
}

impl<'a> Terminal<'a> {
    /// Starts `runbook args` in the window.
    pub(crate) fn start(bed: &'a Bed, args: &str) -> Self {
        Self::start_with(bed, "LC_ALL=C.UTF-8", args)
    }

    /// Starts it with a variable in its environment.
    pub(crate) fn start_with(bed: &'a Bed, variable: &str, args: &str) -> Self {
        let runbook = env!("CARGO_BIN_EXE_runbook");
        // The shell outlives the terminal, so that it can tell how the run ended.
        let command = format!(
            "trap : HUP; {variable} {runbook} {args}; code=$?; echo $code > ended; \
             echo ended=$code && sleep 60"
        );
        let window = WINDOWS.fetch_add(1, Ordering::Relaxed);
        let terminal = Self { name: format!("runbook-{}-{window}", bed.cluster.port()), bed };
        let state = format!("RUNBOOK_STATE={}", bed.state().display());
        let session = ["new-session", "-d", "-x", "80", "-y", "24", "-e", &state];
        // Everything that the window gets is kept, from the first byte.
        let begin = format!("tmux wait-for begin; {command}");
        terminal.tmux(&[&session[..], &["-e", "LC_ALL=C.UTF-8", &begin]].concat());
        terminal.tmux(&["pipe-pane", "-o", "cat > received"]);
        terminal.tmux(&["wait-for", "-S", "begin"]);
        terminal
    }

    fn tmux(&self, args: &[&str]) -> Output {
        let mut tmux = Command::new("tmux");
        tmux.args(["-u", "-L", &self.name]).args(args).current_dir(self.bed.folder());
        let output = tmux.output().expect("tmux runs; install it with `apt-get install tmux`");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// What is on the screen.
    pub(crate) fn screen(&self) -> String {
        String::from_utf8(self.tmux(&["capture-pane", "-p"]).stdout).unwrap()
    }

    /// What is on the screen and what was scrolled out of it.
    pub(crate) fn scrollback(&self) -> String {
        String::from_utf8(self.tmux(&["capture-pane", "-p", "-S", "-"]).stdout).unwrap()
    }

    /// Every byte that the window got.
    pub(crate) fn received(&self) -> String {
        let bytes = std::fs::read(self.bed.folder().join("received")).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// Waits until the text is on the screen.
    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str) {
        let begun = Instant::now();
        while !self.screen().contains(text) {
            assert!(begun.elapsed() < PATIENCE, "no `{text}` on:\n{}", self.screen());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Types a line.
    pub(crate) fn types(&self, text: &str) {
        self.tmux(&["send-keys", text, "Enter"]);
    }

    /// Presses a key, as tmux names it: `C-c`.
    pub(crate) fn key(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    /// Gives the window another size.
    pub(crate) fn resize(&self, width: u16, height: u16) {
        let (width, height) = (width.to_string(), height.to_string());
        self.tmux(&["resize-window", "-x", &width, "-y", &height]);
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        Command::new("tmux").args(["-L", &self.name, "kill-server"]).output().ok();
    }
}

/// The text is that of `tests/terminal/<name>.txt`, but for what differs each time. `SNAPSHOTS=
/// overwrite cargo test --test e2e terminal` renews it.
#[track_caller]
pub(crate) fn same(text: &str, name: &str) {
    let path = format!("{}/tests/terminal/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    let expected = Data::read_from(path.as_ref(), None).raw();
    Assert::new().action_env("SNAPSHOTS").eq(redacted(text), expected);
}

/// Times, durations, rates, bars and ids, and the spaces that keep them in columns.
fn redacted(text: &str) -> String {
    let rules = [
        (r"\d{4}-\d\d-\d\dT[\d:.]+(Z?…|Z)", "[time]"),
        (r"\b[0-9A-HJKMNP-TV-Z]{26}\b", "[run]"),
        (r"[━─]{4,}", "[bar]"),
        (r"\b\d+ of (\d+)\b", "[n] of $1"),
        (r"\b(\d+[dhm] )?\d+(\.\d)?[dhms]\b", "[took]"),
        (r"  eta \[took\]", ""),
        (r" {2,}", "  "),
        (r" +\n", "\n"),
        (r"\n+$", "\n"),
    ];
    rules.iter().fold(text.to_owned(), |text, (pattern, word)| {
        let pattern = Regex::new(pattern).expect("the rules are constants");
        pattern.replace_all(&text, *word).into_owned()
    })
}
