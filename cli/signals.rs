//! Ctrl-C and SIGTERM become cancellations of the run; a terminal that is gone does not end it.

use engine::driver::CancelWish;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::show::print;

/// The first signal stops what can be taken back and waits for the rest; the second stops all.
pub(crate) fn cancels() -> std::io::Result<UnboundedReceiver<CancelWish>> {
    let (sender, receiver) = unbounded_channel();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        let mut force = false;
        loop {
            let name = tokio::select! {
                _ = interrupt.recv() => "Ctrl-C",
                _ = terminate.recv() => "SIGTERM",
                _ = hang_up.recv() => {
                    print::message("\nthe terminal is gone; the run goes on\n");
                    continue;
                }
            };
            print::message(if force {
                "\nstopping everything\n"
            } else {
                "\nstopping; once more stops also what cannot be taken back\n"
            });
            let wish = CancelWish {
                by: engine::environment::login(),
                reason: Some(name.to_owned()),
                force,
            };
            if sender.send(wish).is_err() {
                return;
            }
            force = true;
        }
    });
    Ok(receiver)
}
