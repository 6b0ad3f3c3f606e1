//! Reading secrets: from the environment, a file, a command, or whoever else keeps them; per
//! attempt, never kept.

use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use model::plan::{ManagedSecret, Parameter, SecretSource};
use model::run::event::RunCreated;
use model::step_error::{ErrorClass, StepError};
use model::template;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::HostFuture;
use crate::redact::Redactor;
use crate::rendering::refused;
use crate::{environment, files, process, scope};

/// A command that gives a secret answers within this time.
const LIMIT: Duration = Duration::from_secs(30);

/// The secrets of one attempt, by name.
pub type Secrets = IndexMap<String, SecretString>;

/// Reads secrets that others keep; made by the crate that knows them.
pub trait SecretProvider: Send + Sync {
    /// The value of a parameter of Systems Manager.
    fn parameter<'a>(
        &'a self,
        asked: &'a Parameter,
    ) -> HostFuture<'a, Result<SecretString, StepError>>;
    /// The value of a secret of Secrets Manager, or what stands under its key.
    fn managed<'a>(
        &'a self,
        asked: &'a ManagedSecret,
    ) -> HostFuture<'a, Result<SecretString, StepError>>;
}

/// Reads the secrets of a run, and masks each from the moment it is read.
#[derive(Clone)]
pub struct SecretReader {
    provider: Arc<dyn SecretProvider>,
    redactor: Redactor,
}

impl SecretReader {
    /// Asks `provider` for what others keep, and tells `redactor` what to mask.
    pub fn new(provider: Arc<dyn SecretProvider>, redactor: Redactor) -> Self {
        Self { provider, redactor }
    }

    /// What masks the secrets that were read.
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// Reads the named secrets.
    pub async fn read_all(
        &self,
        created: &RunCreated,
        names: &[String],
    ) -> Result<Secrets, StepError> {
        let mut secrets = Secrets::new();
        for name in names {
            secrets.insert(name.clone(), self.read(created, name).await?);
        }
        Ok(secrets)
    }

    /// Reads one secret.
    pub async fn read(&self, created: &RunCreated, name: &str) -> Result<SecretString, StepError> {
        let source = created.plan.secrets.get(name).ok_or_else(|| {
            StepError::permanent("RB0402", format!("secret `{name}` is not defined"))
        })?;
        let secret = match source {
            SecretSource::AwsSsm(parameter) => {
                let parameter: Parameter = settled(created, name, parameter)?;
                self.provider.parameter(&parameter).await.map_err(|error| unread(name, error))?
            }
            SecretSource::AwsSecretsmanager(secret) => {
                let secret: ManagedSecret = settled(created, name, secret)?;
                self.provider.managed(&secret).await.map_err(|error| unread(name, error))?
            }
            SecretSource::Env(_) | SecretSource::File(_) | SecretSource::Command(_) => {
                read_here(source).await.map_err(|why| missing(name, &why))?
            }
        };
        if secret.expose_secret().is_empty() {
            return Err(missing(name, "it is empty"));
        }
        self.redactor.add(secret.expose_secret());
        Ok(secret)
    }
}

/// Where a secret is, with its templates filled in.
fn settled<T: Serialize + DeserializeOwned>(
    created: &RunCreated,
    name: &str,
    source: &T,
) -> Result<T, StepError> {
    let part = name.rsplit_once('.').map(|(part, _)| part);
    let value = serde_json::to_value(source).expect("a source is plain data");
    let rendered = template::render(&value, &scope::settled(created, part, None));
    let rendered = rendered.map_err(|error| refused(&format!("secret `{name}`"), &error))?;
    serde_json::from_value(rendered).map_err(|error| {
        let message = format!("secret `{name}` cannot be rendered: {error}");
        StepError::permanent("RB0406", message)
    })
}

/// Reads what this machine keeps.
async fn read_here(source: &SecretSource) -> Result<SecretString, String> {
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
        SecretSource::AwsSsm(_) | SecretSource::AwsSecretsmanager(_) => {
            return Err("it is kept elsewhere".to_owned());
        }
    };
    Ok(text.into())
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

/// Whoever keeps the secret did not give it. What may pass by itself is tried again.
fn unread(name: &str, error: StepError) -> StepError {
    let StepError { class, message, causes, hint, .. } = error;
    let hint = hint.unwrap_or_else(|| "provide it, then `runbook resume`".to_owned());
    let class = match class {
        ErrorClass::Transient => ErrorClass::Transient,
        _ => ErrorClass::NeedsOperator,
    };
    let message = format!("the secret `{name}` cannot be read: {message}");
    StepError { causes, ..StepError::new(class, "RB0420", message).hint(hint) }
}

fn missing(name: &str, why: &str) -> StepError {
    StepError::needs_operator("RB0420", format!("the secret `{name}` cannot be read: {why}"))
        .hint("provide it, then `runbook resume`")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn text(source: SecretSource) -> Result<String, String> {
        read_here(&source).await.map(|secret| secret.expose_secret().to_owned())
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
    async fn what_is_missing_is_an_error_without_output() {
        let error = text(SecretSource::Env("RUNBOOK_NOT_SET".to_owned())).await.unwrap_err();
        assert_eq!(error, "the environment variable `RUNBOOK_NOT_SET` is not set");
        let argv = |text: &[&str]| text.iter().map(|part| (*part).to_owned()).collect();
        let failing = text(SecretSource::Command(argv(&["sh", "-c", "echo x; exit 3"]))).await;
        assert_eq!(failing.unwrap_err(), "`sh` ended with exit status: 3");
        assert_eq!(text(SecretSource::Command(argv(&["true"]))).await.unwrap(), "");
    }
}
