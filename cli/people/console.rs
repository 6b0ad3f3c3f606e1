//! Lines that a person types. One thread reads standard input, and only while a line is wanted,
//! so that a question may be dropped at any time and a passphrase is read by nobody else.

use std::io::BufRead as _;
use std::sync::{LazyLock, mpsc as wants};

use tokio::sync::{Mutex, MutexGuard, mpsc};

/// Whoever holds it asks; the others wait.
pub(crate) struct Console {
    want: wants::Sender<()>,
    lines: mpsc::UnboundedReceiver<String>,
    wanted: bool,
}

static CONSOLE: LazyLock<Mutex<Console>> = LazyLock::new(|| Mutex::new(Console::start()));

/// The console, when nobody else asks.
pub(crate) async fn console() -> MutexGuard<'static, Console> {
    CONSOLE.lock().await
}

impl Console {
    fn start() -> Self {
        let (want, wants) = wants::channel();
        let (sender, lines) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            while wants.recv().is_ok() {
                let mut line = String::new();
                let read = std::io::stdin().lock().read_line(&mut line);
                if !matches!(read, Ok(1..)) || sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { want, lines, wanted: false }
    }

    /// The next line; nothing at the end of input.
    pub(crate) async fn line(&mut self) -> Option<String> {
        if !self.wanted {
            self.want.send(()).ok()?;
            self.wanted = true;
        }
        let line = self.lines.recv().await;
        self.wanted = false;
        line
    }
}
