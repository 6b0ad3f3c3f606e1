//! From the plan's templates to what a step gets: its input, and its connections and stores with
//! their secrets.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::node::Node;
use model::plan::{PlanStep, qualified};
use model::run::event::RunCreated;
use model::step_error::StepError;
use model::template::{self, TemplateError};
use percent_encoding::percent_decode_str;
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::container::{self, Address};
use crate::scope;
use crate::secrets::{SecretReader, Secrets};
use crate::settings::{ConnectionSettings, S3Settings, StoreKeys, StoreSettings};

/// Renders for one attempt.
#[derive(Clone)]
pub struct Renderer {
    created: Arc<RunCreated>,
    reader: SecretReader,
    /// The included runbook whose names it reads.
    part: Option<String>,
    scope: Value,
    secrets: Secrets,
}

impl Renderer {
    /// Reads the secrets of a step, by their names in the plan; rendering adds those that a
    /// connection or store needs besides.
    pub async fn new(
        created: Arc<RunCreated>,
        scope: Value,
        step: &PlanStep,
        reader: SecretReader,
    ) -> Result<Self, StepError> {
        let secrets = reader.read_all(&created, &step.secrets).await?;
        Ok(Self { created, reader, part: step.scope.clone(), scope, secrets })
    }

    /// Renders what a part of the plan is given before its first step; no secret is read yet.
    pub fn settled(created: Arc<RunCreated>, part: Option<&str>, reader: SecretReader) -> Self {
        let scope = scope::settled(&created, part, None);
        let part = part.map(str::to_owned);
        Self { created, reader, part, scope, secrets: Secrets::new() }
    }

    /// The name in the plan of something that this part declares.
    fn qualified(&self, name: &str) -> String {
        qualified(self.part.as_deref(), name)
    }

    /// A step's input.
    pub async fn input(&self, step: &PlanStep) -> Result<Node, StepError> {
        let value = self.value("`with`", &step.with).await?;
        Ok(Node::from_json(&value))
    }

    /// A named connection.
    pub async fn connection(&self, name: &str) -> Result<ConnectionSettings, StepError> {
        let name = &self.qualified(name);
        let connection = self.created.plan.connections.get(name);
        let connection = connection.ok_or_else(|| undefined("connection", name))?;
        let fields = self.fields(&format!("connection `{name}`"), connection).await?;
        let text = |key: &str| fields.get(key).and_then(Value::as_str).map(str::to_owned);
        let url = text("url");
        for password in url.as_deref().and_then(password_of).into_iter().chain(text("password")) {
            self.reader.redactor().add(&password);
            self.reader.redactor().add(&percent_decoded(&password));
        }
        let docker = text("docker");
        let container = match &docker {
            Some(container) => Some(container::address(container).await?),
            None => None,
        };
        let or = |key, of: fn(Address) -> String| text(key).or_else(|| container.clone().map(of));
        Ok(ConnectionSettings {
            name: name.to_owned(),
            url: url.map(Into::into),
            host: or("host", |container| container.host),
            port: or("port", |container| container.port),
            dbname: or("dbname", |container| container.database),
            user: or("user", |container| container.user),
            password: text("password").map(Into::into),
            service: text("service"),
            sslmode: text("sslmode"),
            sslrootcert: text("sslrootcert"),
            sslcert: text("sslcert"),
            sslkey: text("sslkey"),
            docker,
            protected: connection.protected,
        })
    }

    /// A named store.
    pub async fn store(&self, name: &str) -> Result<StoreSettings, StepError> {
        let name = &self.qualified(name);
        let store = self.created.plan.stores.get(name).ok_or_else(|| undefined("store", name))?;
        // Most steps need no key: whoever does asks for it.
        let open = model::plan::Store { decrypt: None, ..store.clone() };
        let fields = self.fields(&format!("store `{name}`"), &open).await?;
        let url = fields.get("url").and_then(Value::as_str).unwrap_or_default().to_owned();
        let encrypt = fields.get("encrypt").cloned().map(serde_json::from_value).transpose();
        let encrypt = encrypt.map_err(|error| {
            let message = format!("`encrypt` of store `{name}` cannot be rendered: {error}");
            StepError::permanent("RB0406", message)
        })?;
        let s3 = s3_settings(store, &fields);
        Ok(StoreSettings { name: name.to_owned(), url, min_proof: store.min_proof, encrypt, s3 })
    }

    /// What opens the sets of a named store.
    pub async fn store_keys(&self, name: &str) -> Result<Option<StoreKeys>, StepError> {
        let name = &self.qualified(name);
        let store = self.created.plan.stores.get(name).ok_or_else(|| undefined("store", name))?;
        let Some(decrypt) = &store.decrypt else { return Ok(None) };
        let fields = self.fields(&format!("`decrypt` of store `{name}`"), decrypt).await?;
        let text = |key: &str| fields.get(key).and_then(Value::as_str).map(str::to_owned);
        // A secret is masked as a whole; a line of it alone must not get through either.
        let identity = text("identity");
        for line in identity.iter().flat_map(|identity| identity.lines()) {
            if !line.is_empty() && !line.starts_with('#') {
                self.reader.redactor().add(line.trim());
            }
        }
        Ok(Some(StoreKeys {
            identity: identity.map(Into::into),
            gpg_home: text("gpg_home"),
            passphrase: text("passphrase").map(Into::into),
        }))
    }

    async fn fields<T: Serialize>(
        &self,
        what: &str,
        settings: &T,
    ) -> Result<Map<String, Value>, StepError> {
        let value = serde_json::to_value(settings).expect("settings are plain data");
        let rendered = self.value(what, &value).await?;
        let fields = rendered.as_object().cloned().unwrap_or_default();
        let as_text = |value: Value| match value {
            Value::Number(number) => Value::String(number.to_string()),
            other => other,
        };
        Ok(fields.into_iter().map(|(key, value)| (key, as_text(value))).collect())
    }

    async fn value(&self, what: &str, value: &Value) -> Result<Value, StepError> {
        let mut names = BTreeSet::new();
        secret_names(value, &mut names);
        let mut secrets = Map::new();
        for name in names {
            let in_plan = self.qualified(&name);
            let secret = match self.secrets.get(&in_plan) {
                Some(secret) => secret.clone(),
                None => self.reader.read(&self.created, &in_plan).await?,
            };
            secrets.insert(name, Value::String(secret.expose_secret().to_owned()));
        }
        let mut scope = self.scope.clone();
        scope["secrets"] = Value::Object(secrets);
        template::render(value, &scope).map_err(|error| refused(what, &error))
    }
}

fn s3_settings(store: &model::plan::Store, fields: &Map<String, Value>) -> S3Settings {
    // A parameter that is empty says as little as a key that is absent.
    let text = |key: &str| {
        let text = fields.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        text.map(str::to_owned)
    };
    S3Settings {
        region: text("region"),
        endpoint_url: text("endpoint_url"),
        profile: text("profile"),
        storage_class: text("storage_class"),
        kms_key: text("kms_key"),
        object_lock: store.object_lock.clone(),
        path_style: store.path_style,
        compatible: store.compatible,
    }
}

/// The secrets that the templates inside `value` read.
fn secret_names(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            let references = template::references(text).unwrap_or_default();
            let secrets = references.into_iter().filter(|reference| reference.root == "secrets");
            names.extend(secrets.filter_map(|reference| reference.path.first().cloned()));
        }
        Value::Array(items) => items.iter().for_each(|item| secret_names(item, names)),
        Value::Object(entries) => entries.values().for_each(|item| secret_names(item, names)),
        _ => {}
    }
}

/// The password inside a connection URL, as it is written.
fn password_of(url: &str) -> Option<String> {
    let authority = url.split_once("://")?.1;
    let authority = authority.split(['/', '?']).next()?;
    let (_, password) = authority.rsplit_once('@')?.0.split_once(':')?;
    Some(password.to_owned()).filter(|password| !password.is_empty())
}

fn percent_decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn undefined(what: &str, name: &str) -> StepError {
    StepError::permanent("RB0402", format!("{what} `{name}` is not defined"))
}

/// A template that `validate` could not see fail.
pub(crate) fn refused(what: &str, error: &TemplateError) -> StepError {
    StepError::permanent("RB0406", format!("{what} cannot be rendered: {error}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_password_of_a_url_is_found_and_decoded() {
        let password = |url| password_of(url).map(|password| percent_decoded(&password));
        assert_eq!(password("postgresql://a:p%40ss@h:5432/db").as_deref(), Some("p@ss"));
        assert_eq!(password("postgresql://a:b:c@h1,h2/db?x=@").as_deref(), Some("b:c"));
        assert_eq!(password("postgresql://a@h/db"), None);
        assert_eq!(password("postgresql:///db"), None);
        assert_eq!(percent_decoded("100%"), "100%");
    }

    #[test]
    fn the_secrets_that_a_value_reads_are_found_at_any_depth() {
        let mut names = BTreeSet::new();
        let value =
            json!({"a": ["x {{ secrets.one }}", {"b": "{{ secrets.two }}"}], "c": "secrets.no"});
        secret_names(&value, &mut names);
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["one", "two"]);
    }
}
