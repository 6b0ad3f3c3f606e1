//! Reading secrets: from the environment, a file, or a command; per attempt, never kept.

use std::time::Duration;

use indexmap::IndexMap;
use model::plan::{Plan, SecretSource};
use model::step_error::StepError;
use secrecy::{ExposeSecret, SecretString};

use crate::redact::Redactor;
use crate::{environment, files, process};

/// A command that gives a secret answers within this time.
const LIMIT: Duration = Duration::from_secs(30);

/// The secrets of one attempt, by name.
pub type Secrets = IndexMap<String, SecretString>;

/// Reads the named secrets, and masks them from now on.
pub async fn read_all(
    plan: &Plan,
    names: &[String],
    redactor: &Redactor,
) -> Result<Secrets, StepError> {
    let mut secrets = Secrets::new();
    for name in names {
        secrets.insert(name.clone(), read(plan, name, redactor).await?);
    }
    Ok(secrets)
}

/// Reads one secret, and masks it from now on.
pub async fn read(plan: &Plan, name: &str, redactor: &Redactor) -> Result<SecretString, StepError> {
    let source = plan
        .secrets
        .get(name)
        .ok_or_else(|| StepError::permanent("RB0402", format!("secret `{name}` is not defined")))?;
    let secret = read_source(source).await.map_err(|why| missing(name, &why))?;
    redactor.add(secret.expose_secret());
    Ok(secret)
}

async fn read_source(source: &SecretSource) -> Result<SecretString, String> {
    let text = match source {
        SecretSource::Env(name) => environment::variable(name)
            .ok_or_else(|| format!("the environment variable `{name}` is not set"))?,
        SecretSource::File(path) => {
            let text = files::read_text(path.as_ref());
            one_line_less(text.map_err(|error| format!("the file `{path}`: {error}"))?)
        }
        SecretSource::Command(argv) => {
            let output = process::output(argv, LIMIT).await?;
            let text = String::from_utf8(output);
            one_line_less(text.map_err(|_| format!("`{}` gave no text", argv[0]))?)
        }
    };
    if text.is_empty() { Err("it is empty".to_owned()) } else { Ok(text.into()) }
}

/// One trailing newline belongs to the file, not to the secret.
fn one_line_less(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

fn missing(name: &str, why: &str) -> StepError {
    StepError::needs_operator("RB0420", format!("the secret `{name}` cannot be read: {why}"))
        .hint("provide it, then `runbook resume`")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn text(source: SecretSource) -> Result<String, String> {
        read_source(&source).await.map(|secret| secret.expose_secret().to_owned())
    }

    #[tokio::test]
    async fn a_secret_is_read_from_each_source_without_its_last_newline() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        files::write_durably(&path, b"one\ntwo\r\n").unwrap();
        let path = path.to_str().unwrap().to_owned();
        assert_eq!(text(SecretSource::File(path)).await.unwrap(), "one\ntwo");
        let echo = ["printf", "x\\n\\n"].map(str::to_owned).to_vec();
        assert_eq!(text(SecretSource::Command(echo)).await.unwrap(), "x\n");
        let home = environment::variable("PATH").unwrap();
        assert_eq!(text(SecretSource::Env("PATH".to_owned())).await.unwrap(), home);
    }

    #[tokio::test]
    async fn what_is_missing_or_empty_is_an_error_without_output() {
        let error = text(SecretSource::Env("RUNBOOK_NOT_SET".to_owned())).await.unwrap_err();
        assert_eq!(error, "the environment variable `RUNBOOK_NOT_SET` is not set");
        let argv = |text: &[&str]| text.iter().map(|part| (*part).to_owned()).collect();
        let failing = text(SecretSource::Command(argv(&["sh", "-c", "echo x; exit 3"]))).await;
        assert_eq!(failing.unwrap_err(), "`sh` ended with exit status: 3");
        assert_eq!(text(SecretSource::Command(argv(&["true"]))).await.unwrap_err(), "it is empty");
    }
}
