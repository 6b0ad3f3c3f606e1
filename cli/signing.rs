//! Signs the answers of people with their SSH keys: Ed25519 keys here, all others and those of an
//! ssh-agent by `ssh-keygen -Y sign`.

mod passphrase;

use std::path::{Path, PathBuf};

use model::approval::{Answer, Asked, NAMESPACE, Person, PublicKeyText, Signature, Signed};
use ssh_key::{Algorithm, HashAlg, LineEnding, PrivateKey};

use crate::exit::Exit;
use crate::failure::Failure;

/// A key that can sign.
enum Key {
    /// A private Ed25519 key, decrypted.
    Here(Box<PrivateKey>),
    /// A file that `ssh-keygen` signs with: a private key, or a public one whose private half an
    /// agent holds.
    File(PathBuf),
}

/// The answer, signed with the key in `file`, or with a key of the agent or of `~/.ssh` where the
/// question asks for one: that of the person who is `named`, else of anybody who is asked.
/// Without such a key the answer stays a claim.
pub(crate) fn sign(
    asked: &Asked<'_>,
    answer: Answer,
    file: Option<&Path>,
    named: Option<&str>,
) -> Result<Answer, Failure> {
    if let Some(file) = file {
        let (key, public) = read(file)?;
        let signer = asked.people.and_then(|people| {
            people.persons.iter().find(|person| person.public_key().as_ref() == Some(&public))
        });
        let by = signer.map_or_else(|| answer.by.clone(), |person| person.name.clone());
        return with_key(asked, Answer { by, ..answer }, &key);
    }
    if answer.break_glass {
        return Ok(answer);
    }
    let meant = |person: &&Person| named.is_none_or(|name| person.is(name));
    for person in asked.signers().into_iter().filter(meant) {
        if let Some(signed) = of_person(asked, &answer, person)? {
            return Ok(signed);
        }
    }
    Ok(answer)
}

/// Signs in the name of `person`, when their key is at hand.
fn of_person(
    asked: &Asked<'_>,
    answer: &Answer,
    person: &Person,
) -> Result<Option<Answer>, Failure> {
    let Some(public) = person.public_key() else { return Ok(None) };
    let answer = Answer { by: person.name.clone(), ..answer.clone() };
    if let Some(signed) = by_agent(asked, &answer, &public) {
        return Ok(Some(signed));
    }
    let Some(home) = engine::environment::variable("HOME") else { return Ok(None) };
    let file = Path::new(&home).join(".ssh/id_ed25519");
    let beside = file.with_extension("pub");
    let theirs = engine::files::read_text(&beside)
        .is_ok_and(|line| PublicKeyText::read(&line).is_ok_and(|key| key == public));
    if !theirs {
        return Ok(None);
    }
    let (key, _) = read(&file)?;
    with_key(asked, answer, &key).map(Some)
}

/// Signs with the agent, when there is one and it holds the key.
fn by_agent(asked: &Asked<'_>, answer: &Answer, public: &PublicKeyText) -> Option<Answer> {
    engine::environment::variable("SSH_AUTH_SOCK").filter(|socket| !socket.is_empty())?;
    let mut file = tempfile::NamedTempFile::new().ok()?;
    std::io::Write::write_all(&mut file, format!("{}\n", public.as_str()).as_bytes()).ok()?;
    with_key(asked, answer.clone(), &Key::File(file.path().to_owned())).ok()
}

/// Reads a key file, private or public, and its public half.
fn read(file: &Path) -> Result<(Key, PublicKeyText), Failure> {
    let name = file.display();
    let text = engine::files::read_text(file).map_err(|error| {
        Failure::new(Exit::Invalid, "RB0994", format!("the key `{name}` could not be read"))
            .why(error)
    })?;
    if let Ok(public) = PublicKeyText::read(&text) {
        return Ok((Key::File(file.to_owned()), public));
    }
    let private = PrivateKey::from_openssh(&text).map_err(|error| {
        Failure::new(Exit::Invalid, "RB0994", format!("`{name}` is not an OpenSSH key"))
            .why(error)
            .help(format!("`ssh-keygen -p -f {name}` writes an older key anew"))
    })?;
    let public = private.public_key().to_openssh().unwrap_or_default();
    let public = PublicKeyText::read(&public).map_err(|error| {
        Failure::new(Exit::Invalid, "RB0994", format!("`{name}` cannot sign")).why(error)
    })?;
    if private.algorithm() != Algorithm::Ed25519 {
        return Ok((Key::File(file.to_owned()), public));
    }
    let key = if private.is_encrypted() { unlocked(&private, file)? } else { private };
    Ok((Key::Here(Box::new(key)), public))
}

/// Asks for the passphrase, three times at most.
fn unlocked(key: &PrivateKey, file: &Path) -> Result<PrivateKey, Failure> {
    let refused = |message: String| {
        let help = "add the key to an ssh-agent with `ssh-add`, or answer at a terminal";
        Failure::new(Exit::Refused, "RB0995", message).help(help)
    };
    let name = file.display();
    for _ in 0..3 {
        let prompt = format!("passphrase of `{name}`: ");
        let passphrase = passphrase::ask(&prompt)
            .map_err(|error| refused(format!("`{name}` is encrypted")).why(error))?;
        if let Ok(key) = key.decrypt(passphrase.expose()) {
            return Ok(key);
        }
    }
    Err(refused(format!("that is not the passphrase of `{name}`")))
}

fn with_key(asked: &Asked<'_>, answer: Answer, key: &Key) -> Result<Answer, Failure> {
    let statement = asked.statement(&answer);
    let text = match key {
        Key::Here(key) => {
            let signature = key.sign(NAMESPACE, HashAlg::Sha512, statement.as_bytes());
            signature.and_then(|it| it.to_pem(LineEnding::LF)).map_err(|error| {
                Failure::new(Exit::Refused, "RB0994", "the key cannot sign").why(error)
            })?
        }
        Key::File(file) => by_program(file, &statement)?,
    };
    signed(answer, statement, text)
}

fn by_program(file: &Path, statement: &str) -> Result<String, Failure> {
    let file = file.display().to_string();
    let argv = ["ssh-keygen", "-Y", "sign", "-q", "-n", NAMESPACE, "-f", &file].map(str::to_owned);
    let output = engine::process::attended(&argv, statement.as_bytes()).map_err(|why| {
        Failure::new(Exit::Refused, "RB0996", format!("`ssh-keygen` did not sign with `{file}`"))
            .why(why)
            .help("unlock the key, or add it to the agent with `ssh-add`")
    })?;
    Ok(String::from_utf8_lossy(&output).into_owned())
}

/// The answer with what was signed, and by which key.
pub(crate) fn signed(
    answer: Answer,
    statement: String,
    signature: String,
) -> Result<Answer, Failure> {
    let read = Signature::read(&signature).map_err(|error| {
        Failure::new(Exit::Invalid, "RB0997", "the signature is not one of `ssh-keygen -Y sign`")
            .why(error)
            .help(format!("sign with `ssh-keygen -Y sign -n {NAMESPACE} -f KEY FILE`"))
    })?;
    let fingerprint = read.fingerprint();
    let proof = Signed { statement, signature, fingerprint };
    Ok(Answer { claimed: false, login: None, signed: Some(proof), ..answer })
}
