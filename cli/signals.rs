//! Ctrl-C and SIGTERM become cancellations of the run; a terminal that is gone does not end it.

use engine::driver::CancelWish;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::show::live::Screen;
use crate::show::print;

/// `SIGCONT`: after Ctrl-Z and `fg` the shell has written where the picture was.
const SHOWN_AGAIN: i32 = 18;

const STOPPING: &str = "stopping; once more stops also what cannot be taken back";

const FORCED: &str = "stopping everything";

/// The first signal stops what can be taken back and waits for the rest; the second stops all.
pub(crate) fn cancels(screen: Option<Screen>) -> std::io::Result<UnboundedReceiver<CancelWish>> {
    let (sender, receiver) = unbounded_channel();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut shown_again = signal(SignalKind::from_raw(SHOWN_AGAIN))?;
    tokio::spawn(async move {
        let mut force = false;
        loop {
            let name = tokio::select! {
                _ = interrupt.recv() => "Ctrl-C",
                _ = terminate.recv() => "SIGTERM",
                _ = shown_again.recv() => {
                    screen.as_ref().inspect(|screen| screen.leave());
                    continue;
                }
                _ = hang_up.recv() => {
                    say(screen.as_ref(), "the terminal is gone; the run goes on");
                    continue;
                }
            };
            // A picture says it by itself, and of which steps it is true.
            if screen.is_none() {
                say(None, if force { FORCED } else { STOPPING });
            }
            let wish = CancelWish {
                by: engine::environment::login(),
                reason: Some(name.to_owned()),
                force,
                offer: name == "Ctrl-C",
            };
            if sender.send(wish).is_err() {
                return;
            }
            force = true;
        }
    });
    Ok(receiver)
}

fn say(screen: Option<&Screen>, text: &str) {
    match screen {
        Some(screen) => screen.say(&format!("{text}\n")),
        None => print::message(&format!("\n{text}\n")),
    }
}
