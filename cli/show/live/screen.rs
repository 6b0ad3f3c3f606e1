//! The terminal a run is watched on. It is drawn by a thread of its own: the run never waits for
//! a terminal that is stopped, slow or gone.

use std::io::Stderr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::clock::{Clock as _, RealClock};
use engine::context::Progress;
use engine::driver::Observer;
use engine::state_folder::StateFolder;
use model::ids::{RunId, StepId};
use model::journal::Record;
use model::run::state::RunState;

use crate::show::live::painter::Painter;
use crate::show::live::picture::Size;
use crate::show::live::text::Signs;
use crate::show::live::view::View;
use crate::show::{lines, stream};

/// Between two pictures.
const TICK: Duration = Duration::from_millis(250);

/// Pictures between two looks into the logs.
const LOGS: u32 = 4;

/// At the end, so long is waited for a terminal that takes nothing.
const PATIENCE: Duration = Duration::from_secs(2);

/// The size of a terminal that does not tell.
const UNKNOWN: Size = Size { width: 80, height: 24 };

/// A handle on the terminal.
#[derive(Clone)]
pub(crate) struct Screen {
    shared: Arc<Shared>,
}

struct Shared {
    watched: Mutex<Watched>,
    wake: Condvar,
    painter: Mutex<Painter<Stderr>>,
    state: StateFolder,
    colour: bool,
    signs: Signs,
}

/// What is to be shown; never locked while the terminal is written to.
#[derive(Default)]
struct Watched {
    view: View,
    above: String,
    /// Conversations that have the terminal to themselves.
    talks: usize,
    closing: bool,
    closed: bool,
}

/// Watches a run; when it goes, the run's summary stays on the terminal.
pub(crate) struct Live {
    screen: Screen,
    behind: Option<String>,
}

/// Somebody is asked on the terminal; until this goes, nothing is drawn over it.
pub(crate) struct Talk {
    screen: Screen,
}

impl Screen {
    /// A screen on standard error.
    pub(crate) fn new(colour: bool, unicode: bool, state: &StateFolder) -> Self {
        let signs = if unicode { Signs::UNICODE } else { Signs::ASCII };
        let shared = Arc::new(Shared {
            watched: Mutex::default(),
            wake: Condvar::new(),
            painter: Mutex::new(Painter::new(std::io::stderr(), colour)),
            state: state.clone(),
            colour,
            signs,
        });
        Self { shared }
    }

    /// Says something that stays above the picture.
    pub(crate) fn say(&self, text: &str) {
        self.shared.watched().above.push_str(text);
        self.shared.wake.notify_all();
    }

    /// Leaves the picture as it is and the terminal to a conversation; may wait for the terminal.
    pub(crate) fn talk(&self) -> Talk {
        let mut painter = self.shared.painter();
        self.shared.draw(&mut painter);
        self.shared.watched().talks += 1;
        painter.leave();
        Talk { screen: self.clone() }
    }

    /// Leaves what is on the terminal: the next picture comes below it.
    pub(crate) fn leave(&self) {
        self.shared.painter().leave();
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.screen.shared.watched().talks -= 1;
        self.screen.shared.wake.notify_all();
    }
}

impl Live {
    /// Watches a run on `screen`; `past` is what happened before, when it is taken over.
    pub(crate) fn new(screen: &Screen, past: &[Record]) -> Self {
        let mut state = RunState::new();
        for record in past {
            // A record that cannot follow the others is refused when the run is taken over.
            if state.apply(record.stamp.at, &record.event).is_ok() {
                screen.shared.watched().view.event(record, &state);
            }
        }
        let shared = Arc::clone(&screen.shared);
        std::thread::spawn(move || shared.keep_drawing());
        Self { screen: screen.clone(), behind: None }
    }
}

impl Observer for Live {
    fn event(&mut self, record: &Record, state: &RunState) {
        let mut watched = self.screen.shared.watched();
        watched.view.event(record, state);
        if let Some(news) = lines::news(&record.event) {
            let line = stream::shown(record.stamp.at, &news, self.screen.shared.colour);
            watched.above.push_str(&line);
        }
        self.screen.shared.wake.notify_all();
    }

    fn queued(&mut self, group: &str, behind: &str) {
        if let Some(line) = stream::queued(&mut self.behind, group, behind) {
            let line = stream::shown(RealClock.now(), &line, self.screen.shared.colour);
            self.screen.say(&line);
        }
    }

    fn progress(&mut self, step: &StepId, progress: &Progress) {
        self.screen.shared.watched().view.progress(RealClock.now(), step, progress);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let shared = &self.screen.shared;
        shared.watched().closing = true;
        shared.wake.notify_all();
        let wait = |watched: &mut Watched| !watched.closed;
        drop(shared.wake.wait_timeout_while(shared.watched(), PATIENCE, wait));
    }
}

impl Shared {
    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn painter(&self) -> MutexGuard<'_, Painter<Stderr>> {
        self.painter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep_drawing(&self) {
        for picture in 0_u32.. {
            let closing = self.next();
            if picture.is_multiple_of(LOGS) {
                self.read_logs();
            }
            self.draw(&mut self.painter());
            if closing {
                break;
            }
        }
        self.watched().closed = true;
        self.wake.notify_all();
    }

    /// Waits until a picture is due; whether it is the last.
    fn next(&self) -> bool {
        let wait = self.wake.wait_timeout_while(self.watched(), TICK, |watched| {
            !watched.closing && watched.above.is_empty()
        });
        wait.unwrap_or_else(PoisonError::into_inner).0.closing
    }

    fn draw(&self, painter: &mut Painter<Stderr>) {
        let size = size();
        let mut watched = self.watched();
        let mut above = std::mem::take(&mut watched.above);
        if watched.talks > 0 && !above.is_empty() {
            // The line on which an answer is typed is not written over.
            above.insert(0, '\n');
        }
        let now = RealClock.now();
        let lines = match (watched.talks, watched.closing) {
            (_, true) => watched.view.summary(now, size.width, &self.signs),
            (0, false) => watched.view.render(now, size, &self.signs),
            _ => Vec::new(),
        };
        drop(watched);
        painter.draw(&above, &lines, size);
    }

    fn read_logs(&self) {
        let Some((run, running)) = self.watched().view.open_logs() else { return };
        for (step, attempt) in running {
            if let Some(line) = self.last_line(run, &step, attempt) {
                self.watched().view.log(&step, line);
            }
        }
    }

    /// The last whole line of an attempt's log, which holds no secret.
    fn last_line(&self, run: RunId, step: &StepId, attempt: u32) -> Option<String> {
        let path = engine::log::path(&self.state.run_folder(run), step, attempt);
        let tail = engine::files::tail(&path, 4096).ok()?;
        let text = String::from_utf8_lossy(&tail);
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        // A progress meter writes over its own line.
        let line = whole.lines().rev().flat_map(|line| line.rsplit('\r'));
        line.map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
    }
}

fn size() -> Size {
    let size = terminal_size::terminal_size_of(std::io::stderr());
    size.map_or(UNKNOWN, |(width, height)| Size { width: width.0.into(), height: height.0.into() })
}
