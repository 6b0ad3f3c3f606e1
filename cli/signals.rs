//! Ctrl-C and SIGTERM become cancellations of the run; a terminal that is gone does not end it.

use engine::driver::CancelWish;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::show::live::Screen;
use crate::show::print;

/// `SIGCONT`: after Ctrl-Z and `fg` the shell has written where the picture was.
const SHOWN_AGAIN: i32 = 18;

/// The first signal stops what can be taken back and waits for the rest; the second stops all.
pub(crate) fn cancels(screen: Option<Screen>) -> std::io::Result<UnboundedReceiver<CancelWish>> {
    let (sender, receiver) = unbounded_channel();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let speaker = screen.clone();
    let say = move |text: &str| match &speaker {
        Some(screen) => screen.say(text.trim_start()),
        None => print::message(text),
    };
    let mut shown_again = signal(SignalKind::from_raw(SHOWN_AGAIN))?;
    tokio::spawn(async move {
        let mut force = false;
        loop {
            let name = tokio::select! {
                _ = interrupt.recv() => "Ctrl-C",
                _ = terminate.recv() => "SIGTERM",
                _ = shown_again.recv() => {
                    if let Some(screen) = &screen {
                        screen.leave();
                    }
                    continue;
                }
                _ = hang_up.recv() => {
                    say("\nthe terminal is gone; the run goes on\n");
                    continue;
                }
            };
            say(if force {
                "\nstopping everything\n"
            } else {
                "\nstopping; once more stops also what cannot be taken back\n"
            });
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
