//! `file.decrypt`: an encrypted file becomes what it was.

use engine::context::StepContext;
use engine::step::{Observation, Step};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::secret::SecretText;
use model::step_error::StepError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::local::{compare, path_problem, sha256_problem};
use super::sealed::{self, Sealed};
use crate::seal::{Keys, Unopened};

/// Decrypts a file that age or gpg encrypted.
///
/// ## What it does
/// Reads the file `from` and writes what was encrypted to `to`, readable by this account alone. The
/// file appears when all of it was decrypted and found whole, and is the one that `sha256` expects;
/// never in part. A file that is there is never overwritten.
///
/// ## When to use it
/// After `store.get` of something that `file.encrypt` made. The sets of a store are decrypted where
/// they are restored, by `decrypt` of the store.
///
/// ## What it changes
/// One file is added to this machine, in the clear.
///
/// ## How it can fail
/// When the file cannot be read, when the key does not fit, when the file is damaged or cut, when
/// there is a file at `to`, when the disk is full.
///
/// ## Example
/// ```yaml
/// - id: open
///   uses: file.decrypt
///   with:
///     from: /srv/restore/users.csv.age
///     to: /srv/restore/users.csv
///     identity: "{{ secrets.key }}"
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The absolute path of the encrypted file.
    from: String,
    /// The absolute path of the file to write; its folder exists.
    to: String,
    /// The identity of age: the text that `age-keygen` writes.
    #[serde(default)]
    identity: Option<SecretText>,
    /// The passphrase: of the file, by age, or with `gpg` of its private key.
    #[serde(default)]
    passphrase: Option<SecretText>,
    /// The file was encrypted by gpg.
    #[serde(default)]
    gpg: bool,
    /// The folder of gpg's keyring; without it, the account's own.
    #[serde(default)]
    gpg_home: Option<String>,
    /// The expected SHA-256 of what was encrypted, 64 hexadecimal digits.
    #[serde(default)]
    sha256: Option<String>,
}

/// The file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// Its path.
    path: String,
    /// Its size in bytes.
    bytes: u64,
    /// Its SHA-256, lower-case hexadecimal digits.
    sha256: String,
}

/// The step kind.
pub struct Decrypt;

impl Input {
    fn keys(&self) -> Result<Keys, StepError> {
        let passphrase = || self.passphrase.as_ref().map(|text| text.expose().to_owned().into());
        match (&self.identity, passphrase()) {
            (_, passphrase) if self.gpg => Ok(Keys::Gpg(self.gpg_home.clone(), passphrase)),
            (Some(identity), _) => Keys::identities(&identity.expose().to_owned().into()),
            (None, Some(passphrase)) => Ok(Keys::Passphrase(passphrase)),
            (None, None) => Err(StepError::needs_operator("RB0641", "there is no key")),
        }
    }
}

fn output(sealed: Sealed) -> Output {
    Output { path: sealed.path, bytes: sealed.written.bytes, sha256: sealed.written.sha256 }
}

impl Step for Decrypt {
    const KIND: &'static str = "file.decrypt";
    const SUMMARY: &'static str = "decrypts a file that age or gpg encrypted";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let paths = [path_problem("from", &input.from), path_problem("to", &input.to)];
        let mut problems: Vec<_> = paths.into_iter().flatten().collect();
        problems.extend(sha256_problem(input.sha256.as_ref()));
        let by_age = input.identity.is_some() != input.passphrase.is_some();
        if !(if input.gpg { input.identity.is_none() } else { by_age }) {
            let message = "one of `identity`, `passphrase` and `gpg: true` is needed";
            problems.push(InputProblem::at("identity", message).help(
                "write `identity: \"{{ secrets.key }}\"`; `passphrase` may stand beside `gpg`",
            ));
        }
        if input.gpg_home.is_some() && !input.gpg {
            problems.push(InputProblem::at("gpg_home", "a keyring is for `gpg: true`"));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        let footprint = Footprint::new(Effect::Reversible, Repeat::Observable)
            .reads(format!("file `{}`", input.from))
            .writes(format!("file `{}`", input.to));
        if input.gpg { footprint.tool("gpg") } else { footprint }
    }

    fn example() -> Output {
        let path = "/srv/restore/users.csv".to_owned();
        Output { path, bytes: 1 << 20, sha256: "0".repeat(64) }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        let seen = sealed::seen(&input.to, ctx).await?;
        Ok(seen.map_or(Observation::NotDone, |sealed| Observation::Done(output(sealed))))
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let (keys, from) = (input.keys()?, input.from.as_str());
        let decrypt = async |sealed, text| {
            keys.decrypt(ctx, sealed, text).await.map_err(|why| refused(from, why))
        };
        let check = |opened: &Sealed| {
            compare(&format!("what `{from}` holds"), input.sha256.as_ref(), &opened.written)
        };
        sealed::write((from, &input.to), ctx, decrypt, check).await.map(output)
    }
}

fn refused(from: &str, why: Unopened) -> StepError {
    match why {
        Unopened::Key(why) => {
            let mut error =
                StepError::needs_operator("RB0642", format!("the key does not open `{from}`"))
                    .hint("give the key of one of its recipients; nothing was written");
            error.causes.push(why);
            error
        }
        Unopened::Damaged(why) => {
            let mut error = StepError::permanent("RB0645", format!("`{from}` is damaged"))
                .hint("fetch it again, or restore it from another copy; nothing was written");
            error.causes.push(why);
            error
        }
        Unopened::NotTaken => StepError::transient("RB0607", "the decrypted bytes were not taken"),
        Unopened::Failed(error) => error,
    }
}
