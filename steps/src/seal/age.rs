//! age: <https://age-encryption.org/v1>

use std::io::{self, Write};

use age::{DecryptError, Decryptor, Encryptor};
use bytes::Bytes;
use model::step_error::StepError;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::Unopened;
use super::pipe::{Sink, Source};

/// Reads a recipient.
pub(super) fn recipient(text: &str) -> Result<age::x25519::Recipient, StepError> {
    text.parse().map_err(|why: &str| {
        StepError::permanent("RB0640", format!("`{text}` is not a recipient of age: {why}"))
            .hint("`age-keygen -y` prints the recipient of an identity: `age1...`")
    })
}

/// Reads an identity file: one identity in a line, comments after `#`.
pub(super) fn identities(text: &SecretString) -> Result<Vec<age::x25519::Identity>, StepError> {
    let lines = text.expose_secret().lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let read: Result<Vec<_>, _> = lines.map(str::parse).collect();
    let read = read.map_err(|_: &str| ()).unwrap_or_default();
    if read.is_empty() {
        let message = "the `identity` is no identity of age";
        return Err(StepError::needs_operator("RB0641", message)
            .hint("it is the text that `age-keygen` writes: `AGE-SECRET-KEY-1...`"));
    }
    Ok(read)
}

pub(super) async fn encrypt_for(
    recipients: &[age::x25519::Recipient],
    text: mpsc::Receiver<Bytes>,
    sealed: mpsc::Sender<Bytes>,
) -> Result<(), StepError> {
    let recipients = recipients.iter().map(|one| one as &dyn age::Recipient);
    let encryptor = Encryptor::with_recipients(recipients).map_err(|error| {
        StepError::permanent("RB0640", "age cannot encrypt for these recipients").caused_by(&error)
    })?;
    encrypt(encryptor, text, sealed).await
}

pub(super) async fn encrypt_with(
    passphrase: &SecretString,
    text: mpsc::Receiver<Bytes>,
    sealed: mpsc::Sender<Bytes>,
) -> Result<(), StepError> {
    encrypt(Encryptor::with_user_passphrase(passphrase.clone()), text, sealed).await
}

async fn encrypt(
    encryptor: Encryptor,
    text: mpsc::Receiver<Bytes>,
    sealed: mpsc::Sender<Bytes>,
) -> Result<(), StepError> {
    let encrypted = spawn_blocking(move || {
        let mut writer = encryptor.wrap_output(Sink::new(sealed))?;
        io::copy(&mut Source::new(text), &mut writer)?;
        writer.finish()?.flush()
    });
    encrypted.await.expect("encryption does not panic").map_err(|error| {
        StepError::transient("RB0607", "the encrypted bytes were not taken").caused_by(&error)
    })
}

/// What finds the key of a file.
type Stream = age::stream::StreamReader<Source>;

pub(super) async fn decrypt(
    sealed: mpsc::Receiver<Bytes>,
    text: mpsc::Sender<Bytes>,
    open: impl FnOnce(Decryptor<Source>) -> Result<Stream, DecryptError> + Send + 'static,
) -> Result<(), Unopened> {
    let decrypted = spawn_blocking(move || {
        let decryptor = Decryptor::new(Source::new(sealed)).map_err(unopened)?;
        let mut reader = open(decryptor).map_err(unopened)?;
        let mut sink = Sink::new(text);
        io::copy(&mut reader, &mut sink).and_then(|_| sink.flush()).map_err(|error| {
            match error.kind() {
                io::ErrorKind::BrokenPipe => Unopened::NotTaken,
                _ => Unopened::Damaged(error.to_string()),
            }
        })
    });
    decrypted.await.expect("decryption does not panic")
}

fn unopened(error: DecryptError) -> Unopened {
    match error {
        DecryptError::NoMatchingKeys => {
            Unopened::Key("it was not encrypted for this identity".to_owned())
        }
        // Only a passphrase fails that way: an identity finds a header that is for it, or none.
        DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed => {
            Unopened::Key("the passphrase is wrong".to_owned())
        }
        DecryptError::ExcessiveWork { .. } => Unopened::Key(error.to_string()),
        other => Unopened::Damaged(other.to_string()),
    }
}
