//! Encryption of files and of the objects of sets, by age or by the external `gpg`; what is in
//! memory does not grow with what passes.

mod age;
mod gpg;
mod pipe;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use engine::context::StepContext;
use engine::settings::StoreKeys;
use model::plan;
use model::step_error::StepError;
use secrecy::SecretString;
use tokio::sync::mpsc;

/// The most work that a passphrase may cost, as a power of two: a file that was encrypted on a fast
/// machine opens on a slow one, and a hostile one does not keep it busy for hours.
const MOST_WORK: u8 = 22;

/// For whom something is encrypted.
#[derive(Clone)]
pub(crate) enum Seal {
    /// Recipients of age.
    Age(Vec<::age::x25519::Recipient>),
    /// Whoever knows the passphrase, by age.
    Passphrase(SecretString),
    /// Recipients of gpg, and the folder of its keyring.
    Gpg(Vec<String>, Option<String>),
}

/// What opens it again.
#[derive(Clone)]
pub(crate) enum Keys {
    /// Identities of age.
    Age(Vec<::age::x25519::Identity>),
    /// The passphrase, of age.
    Passphrase(SecretString),
    /// A keyring of gpg: its folder, and the passphrase of the private key.
    Gpg(Option<String>, Option<SecretString>),
}

/// Why something was not opened.
#[derive(Debug)]
pub(crate) enum Unopened {
    /// The key does not fit, in words.
    Key(String),
    /// It is not what was encrypted, in words.
    Damaged(String),
    /// Whoever took the text went away.
    NotTaken,
    /// Something else failed.
    Failed(StepError),
}

/// Refuses what is no recipient of age.
pub(crate) fn check_recipient(text: &str) -> Result<(), StepError> {
    age::recipient(text).map(drop)
}

impl Seal {
    /// The recipients that a runbook names.
    pub(crate) fn new(encrypt: &plan::Encrypt) -> Result<Self, StepError> {
        if encrypt.age.is_empty() {
            return Ok(Self::Gpg(encrypt.gpg.clone(), encrypt.gpg_home.clone()));
        }
        encrypt.age.iter().map(|text| age::recipient(text)).collect::<Result<_, _>>().map(Self::Age)
    }

    /// What the names of encrypted files end with.
    pub(crate) fn suffix(&self) -> &'static str {
        match self {
            Self::Age(_) | Self::Passphrase(_) => ".age",
            Self::Gpg(..) => ".gpg",
        }
    }

    /// Encrypts what comes until there is no more.
    pub(crate) async fn encrypt(
        &self,
        ctx: &StepContext,
        text: mpsc::Receiver<Bytes>,
        sealed: mpsc::Sender<Bytes>,
    ) -> Result<(), StepError> {
        match self {
            Self::Age(recipients) => age::encrypt_for(recipients, text, sealed).await,
            Self::Passphrase(passphrase) => age::encrypt_with(passphrase, text, sealed).await,
            Self::Gpg(recipients, home) => {
                gpg::encrypt(ctx, recipients, home.as_deref(), text, sealed).await
            }
        }
    }
}

impl Keys {
    /// The identities of age in a text, one in a line, as `age-keygen` writes them.
    pub(crate) fn identities(text: &SecretString) -> Result<Self, StepError> {
        age::identities(text).map(Self::Age)
    }

    /// The keys of a store for sets that gpg encrypted, or age.
    pub(crate) fn of_store(
        keys: Option<&StoreKeys>,
        by_gpg: bool,
    ) -> Result<Option<Self>, StepError> {
        match (keys, by_gpg) {
            (None, true) => Ok(Some(Self::Gpg(None, None))),
            (Some(keys), true) => {
                Ok(Some(Self::Gpg(keys.gpg_home.clone(), keys.passphrase.clone())))
            }
            (keys, false) => {
                keys.and_then(|keys| keys.identity.as_ref()).map(Self::identities).transpose()
            }
        }
    }

    /// Decrypts what comes until there is no more. Nothing of a damaged file can be taken for the
    /// whole: who takes the text waits for this to end.
    pub(crate) async fn decrypt(
        &self,
        ctx: &StepContext,
        sealed: mpsc::Receiver<Bytes>,
        text: mpsc::Sender<Bytes>,
    ) -> Result<(), Unopened> {
        match self {
            Self::Age(identities) => {
                let identities = identities.clone();
                age::decrypt(sealed, text, move |decryptor| {
                    decryptor.decrypt(identities.iter().map(|one| one as &dyn ::age::Identity))
                })
                .await
            }
            Self::Passphrase(passphrase) => {
                let mut identity = ::age::scrypt::Identity::new(passphrase.clone());
                identity.set_max_work_factor(MOST_WORK);
                age::decrypt(sealed, text, move |decryptor| {
                    decryptor.decrypt(std::iter::once(&identity as &dyn ::age::Identity))
                })
                .await
            }
            Self::Gpg(home, passphrase) => {
                gpg::decrypt(ctx, home.as_deref(), passphrase.as_ref(), sealed, text).await
            }
        }
    }
}
