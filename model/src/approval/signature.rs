//! SSH keys and signatures in the SSHSIG format of `ssh-keygen -Y sign`
//! (<https://cvsweb.openbsd.org/src/usr.bin/ssh/PROTOCOL.sshsig>). Only verified here.

use ssh_key::public::KeyData;
use ssh_key::{Algorithm, EcdsaCurve, HashAlg, PublicKey, SshSig};

/// What keeps these signatures apart from all others that a key makes.
pub const NAMESPACE: &str = "runbook-approval@v1";

/// The smallest RSA modulus, in bytes.
const RSA_BYTES: usize = 256;

/// Why a text is not a key that can answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It does not read.
    #[error("the key is not an SSH public key: {0}")]
    Malformed(String),
    /// It reads, and its signatures cannot be verified here.
    #[error("keys of the type `{0}` cannot be used")]
    Type(String),
}

/// An SSH public key: its type and its base64 text, without a comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKeyText {
    key: PublicKey,
    text: String,
}

impl PublicKeyText {
    /// Reads a line of an `id_*.pub` file.
    pub fn read(line: &str) -> Result<Self, KeyError> {
        let mut words = line.split_whitespace();
        let (kind, data) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if data.is_empty() {
            return Err(KeyError::Malformed("it is not `type base64`".to_owned()));
        }
        let text = format!("{kind} {data}");
        let key = PublicKey::from_openssh(&text);
        let key = key.map_err(|error| KeyError::Malformed(error.to_string()))?;
        if can_verify(&key) { Ok(Self { key, text }) } else { Err(KeyError::Type(kind.to_owned())) }
    }

    /// The key as `type base64`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The type: `ssh-ed25519`.
    pub fn kind(&self) -> &str {
        self.text.split(' ').next().unwrap_or_default()
    }

    /// The fingerprint, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        self.key.fingerprint(HashAlg::Sha256).to_string()
    }
}

fn can_verify(key: &PublicKey) -> bool {
    match key.key_data() {
        KeyData::Rsa(rsa) => rsa.n.as_positive_bytes().is_some_and(|n| n.len() >= RSA_BYTES),
        data => matches!(
            data.algorithm(),
            Algorithm::Ed25519
                | Algorithm::SkEd25519
                | Algorithm::SkEcdsaSha2NistP256
                | Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 | EcdsaCurve::NistP384 }
        ),
    }
}

/// A signature that was read, not yet verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature(SshSig);

impl Signature {
    /// Reads the armoured text that `ssh-keygen -Y sign` writes.
    pub fn read(text: &str) -> Result<Self, String> {
        let text = text.trim_start();
        SshSig::from_pem(text).map(Self).map_err(|error| error.to_string())
    }

    /// Whether the key inside made the signature over `statement`; why not.
    pub fn verify(&self, statement: &str) -> Result<(), String> {
        if self.0.namespace() != NAMESPACE {
            return Err(format!("its namespace is `{}`, not `{NAMESPACE}`", self.0.namespace()));
        }
        if matches!(self.0.algorithm(), Algorithm::Rsa { hash: None }) {
            return Err("it uses SHA-1".to_owned());
        }
        let key = PublicKey::from(self.0.public_key().clone());
        let verified = key.verify(NAMESPACE, statement.as_bytes(), &self.0);
        verified.map_err(|_| "it does not verify".to_owned())
    }

    /// The key that claims to have made it.
    pub fn is_by(&self, key: &PublicKeyText) -> bool {
        self.0.public_key() == key.key.key_data()
    }

    /// The fingerprint of that key.
    pub fn fingerprint(&self) -> String {
        self.0.public_key().fingerprint(HashAlg::Sha256).to_string()
    }
}
