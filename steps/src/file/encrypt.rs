//! `file.encrypt`: a file becomes an encrypted one.

use engine::context::StepContext;
use engine::step::{Observation, Step};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::plan::Encrypt as Recipients;
use model::secret::SecretText;
use model::step_error::StepError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::local::path_problem;
use super::sealed::{self, Sealed};
use crate::seal::Seal;

/// Encrypts a file, for recipients of age or gpg, or with a passphrase.
///
/// ## What it does
/// Reads the file `from` and writes what only the recipients can read to `to`, by age or by the
/// external `gpg`, in a form that the programs `age` and `gpg` open. The file appears whole or not
/// at all, readable by this account alone. A file that is there is never overwritten.
///
/// ## When to use it
/// Before something leaves the machine that is not part of a backup set. The sets of a store are
/// encrypted by `encrypt` of the store.
///
/// ## What it changes
/// One file is added to this machine; `from` stays as it is.
///
/// ## How it can fail
/// When the file cannot be read, when a recipient is none, when `gpg` is missing or does not have
/// the public key of a recipient, when there is a file at `to`, when the disk is full.
///
/// ## Example
/// ```yaml
/// - id: seal
///   uses: file.encrypt
///   with:
///     from: /srv/exports/users.csv
///     to: /srv/exports/users.csv.age
///     age: [age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p]
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The absolute path of the file.
    from: String,
    /// The absolute path of the encrypted file; its folder exists.
    to: String,
    /// Recipients of age: `age1...`.
    #[serde(default)]
    age: Vec<String>,
    /// A passphrase, by age. Recipients are safer: whoever encrypts need not know how to decrypt.
    #[serde(default)]
    passphrase: Option<SecretText>,
    /// Recipients of gpg, by fingerprint.
    #[serde(default)]
    gpg: Vec<String>,
    /// The folder of gpg's keyring; without it, the account's own.
    #[serde(default)]
    gpg_home: Option<String>,
}

/// The encrypted file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// Its path.
    path: String,
    /// Its size in bytes.
    bytes: u64,
    /// Its SHA-256, lower-case hexadecimal digits.
    sha256: String,
    /// The size of the file that was encrypted.
    plain_bytes: u64,
    /// The SHA-256 of the file that was encrypted.
    plain_sha256: String,
}

/// The step kind.
pub struct Encrypt;

impl Input {
    fn seal(&self) -> Result<Seal, StepError> {
        match &self.passphrase {
            Some(passphrase) => Ok(Seal::Passphrase(passphrase.expose().to_owned().into())),
            None => Seal::new(&Recipients {
                age: self.age.clone(),
                gpg: self.gpg.clone(),
                gpg_home: self.gpg_home.clone(),
            }),
        }
    }
}

fn output(sealed: Sealed) -> Output {
    Output {
        path: sealed.path,
        bytes: sealed.written.bytes,
        sha256: sealed.written.sha256,
        plain_bytes: sealed.read.bytes,
        plain_sha256: sealed.read.sha256,
    }
}

impl Step for Encrypt {
    const KIND: &'static str = "file.encrypt";
    const SUMMARY: &'static str = "encrypts a file by age or gpg";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let paths = [path_problem("from", &input.from), path_problem("to", &input.to)];
        let mut problems: Vec<_> = paths.into_iter().flatten().collect();
        let ways = [!input.age.is_empty(), input.passphrase.is_some(), !input.gpg.is_empty()];
        if ways.into_iter().filter(|given| *given).count() != 1 {
            let problem = InputProblem::at("age", "one of `age`, `passphrase` and `gpg` is needed");
            problems.push(problem.help("write `age: [age1...]`"));
        }
        for (index, recipient) in input.age.iter().enumerate() {
            if let Err(error) = crate::seal::check_recipient(recipient) {
                let path = vec!["age".to_owned(), index.to_string()];
                problems.push(InputProblem { path, message: error.message, help: error.hint });
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        let footprint = Footprint::new(Effect::Reversible, Repeat::Observable)
            .reads(format!("file `{}`", input.from))
            .writes(format!("file `{}`", input.to));
        if input.gpg.is_empty() { footprint } else { footprint.tool("gpg") }
    }

    fn example() -> Output {
        Output {
            path: "/srv/exports/users.csv.age".to_owned(),
            bytes: 1_048_776,
            sha256: "0".repeat(64),
            plain_bytes: 1 << 20,
            plain_sha256: "1".repeat(64),
        }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        let seen = sealed::seen(&input.to, ctx).await?;
        Ok(seen.map_or(Observation::NotDone, |sealed| Observation::Done(output(sealed))))
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let (seal, paths) = (input.seal()?, (input.from.as_str(), input.to.as_str()));
        let encrypt = async |text, sealed| seal.encrypt(ctx, text, sealed).await;
        sealed::write(paths, ctx, encrypt, |_| Ok(())).await.map(output)
    }
}
