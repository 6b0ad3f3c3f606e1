//! The external `gpg`: <https://www.gnupg.org/documentation/manuals/gnupg/>
//! The passphrase goes ahead of the bytes through a pipe, never into an argument.

use bytes::Bytes;
use engine::context::StepContext;
use engine::process::{Exit, Program};
use model::step_error::StepError;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::Unopened;

/// Bytes read at once.
const CHUNK: usize = 256 * 1024;

fn gpg(home: Option<&str>) -> Program {
    let program = Program::new("gpg").args(["--batch", "--no-tty", "--quiet"]);
    // Messages in English: failures are told apart by their words.
    let program = program.env("LC_ALL", "C");
    match home {
        Some(home) => program.env("GNUPGHOME", home),
        None => program,
    }
}

pub(super) async fn encrypt(
    ctx: &StepContext,
    recipients: &[String],
    home: Option<&str>,
    text: mpsc::Receiver<Bytes>,
    sealed: mpsc::Sender<Bytes>,
) -> Result<(), StepError> {
    // Keys are looked for in the keyring, never on a network; who is in the runbook is trusted by
    // who reviewed it; what is compressed already stays so.
    let mut program = gpg(home).args(["--no-auto-key-locate", "--trust-model", "always"]);
    program = program.args(["--compress-algo", "none"]);
    for recipient in recipients {
        program = program.arg("--recipient").arg(recipient.as_str());
    }
    let (exit, taken) = filter(ctx, program.arg("--encrypt"), None, text, sealed).await?;
    if exit.status.success() && taken {
        return Ok(());
    }
    if !taken {
        return Err(StepError::transient("RB0607", "the encrypted bytes were not taken"));
    }
    let message = format!("`gpg` could not encrypt ({})", exit.status);
    let mut error = StepError::needs_operator("RB0643", message)
        .hint("`gpg --list-keys` shows the keys it has; import the public key of each recipient");
    error.causes.extend(exit.stderr.lines().map(str::to_owned));
    Err(error)
}

pub(super) async fn decrypt(
    ctx: &StepContext,
    home: Option<&str>,
    passphrase: Option<&SecretString>,
    sealed: mpsc::Receiver<Bytes>,
    text: mpsc::Sender<Bytes>,
) -> Result<(), Unopened> {
    let mut program = gpg(home).args(["--pinentry-mode", "loopback"]);
    if passphrase.is_some() {
        program = program.args(["--passphrase-fd", "0"]);
    }
    let first = passphrase.map(|text| Bytes::from(format!("{}\n", text.expose_secret())));
    let filtered = filter(ctx, program.arg("--decrypt"), first, sealed, text).await;
    let (exit, taken) = filtered.map_err(Unopened::Failed)?;
    if !taken {
        return Err(Unopened::NotTaken);
    }
    if exit.status.success() { Ok(()) } else { Err(unopened(&exit)) }
}

fn unopened(exit: &Exit) -> Unopened {
    let said = exit.stderr.as_str();
    let words = || said.lines().last().unwrap_or("`gpg` says nothing").to_owned();
    let keys = [
        "No secret key",
        "Bad passphrase",
        "No passphrase given",
        "No pinentry",
        "Inappropriate ioctl",
    ];
    if keys.iter().any(|word| said.contains(word)) {
        Unopened::Key(words())
    } else {
        Unopened::Damaged(words())
    }
}

/// Runs a program between two channels; gives how it ended, and whether its output was taken.
async fn filter(
    ctx: &StepContext,
    program: Program,
    first: Option<Bytes>,
    mut input: mpsc::Receiver<Bytes>,
    output: mpsc::Sender<Bytes>,
) -> Result<(Exit, bool), StepError> {
    let mut child = program.with_stdin().with_stdout().start(ctx).await?;
    let mut stdin = child.stdin().expect("the input was asked for");
    let mut stdout = child.stdout().expect("the output was asked for");
    let feeding = async move {
        if let Some(first) = first
            && stdin.write_all(&first).await.is_err()
        {
            return;
        }
        while let Some(chunk) = input.recv().await {
            // A program that ended early says why when it is waited for.
            if stdin.write_all(&chunk).await.is_err() {
                return;
            }
        }
        stdin.shutdown().await.ok();
    };
    let taking = async move {
        loop {
            let mut chunk = bytes::BytesMut::with_capacity(CHUNK);
            match stdout.read_buf(&mut chunk).await {
                Ok(1..) => {
                    if output.send(chunk.freeze()).await.is_err() {
                        return false;
                    }
                }
                Ok(0) | Err(_) => return true,
            }
        }
    };
    let ((), taken, exit) = tokio::join!(feeding, taking, child.wait());
    Ok((exit?, taken))
}
