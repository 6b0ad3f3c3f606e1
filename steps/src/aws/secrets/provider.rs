//! Secrets of a runbook that AWS keeps, read when a step needs them.

use aws_sdk_secretsmanager::Client as SecretsManager;
use aws_sdk_ssm::Client as SystemsManager;
use engine::context::HostFuture;
use engine::secrets::SecretProvider;
use model::plan::{Aws, ManagedSecret, Parameter};
use model::step_error::StepError;
use secrecy::SecretString;
use serde_json::Value;

use super::super::classify::AwsError;
use super::super::place::Place;
use super::version::CURRENT;

/// Reads secrets of Systems Manager and of Secrets Manager.
#[derive(Debug, Clone, Copy, Default)]
pub struct Provider;

impl SecretProvider for Provider {
    fn parameter<'a>(
        &'a self,
        asked: &'a Parameter,
    ) -> HostFuture<'a, Result<SecretString, StepError>> {
        Box::pin(async move {
            let client = SystemsManager::new(&place(&asked.place).looks().await?);
            let told = client.get_parameter().name(&asked.name).with_decryption(true).send().await;
            let told = told.map_err(|error| AwsError::of("GetParameter", &error).looking())?;
            let value = told.parameter.and_then(|parameter| parameter.value);
            Ok(value.unwrap_or_default().into())
        })
    }

    fn managed<'a>(
        &'a self,
        asked: &'a ManagedSecret,
    ) -> HostFuture<'a, Result<SecretString, StepError>> {
        Box::pin(async move {
            let client = SecretsManager::new(&place(&asked.place).looks().await?);
            let request = client.get_secret_value().secret_id(&asked.id);
            let told =
                request.version_stage(asked.stage.as_deref().unwrap_or(CURRENT)).send().await;
            let told = told.map_err(|error| AwsError::of("GetSecretValue", &error).looking())?;
            let binary =
                told.secret_binary.map(aws_sdk_secretsmanager::primitives::Blob::into_inner);
            let text = told.secret_string.or_else(|| String::from_utf8(binary?).ok());
            let text = text.ok_or_else(|| shapeless("its value is no text".to_owned()))?;
            match &asked.key {
                None => Ok(text.into()),
                Some(key) => under(key, &text).map(Into::into).map_err(shapeless),
            }
        })
    }
}

fn place(place: &Aws) -> Place<'_> {
    Place {
        region: place.region.as_deref(),
        profile: place.profile.as_deref(),
        endpoint_url: place.endpoint_url.as_deref(),
    }
}

/// The value is there, and is not what the runbook takes it for.
fn shapeless(message: String) -> StepError {
    StepError::needs_operator("RB0420", message)
}

/// What stands under a key of the JSON object that a secret is. No error holds any of it.
fn under(key: &str, text: &str) -> Result<String, String> {
    let Ok(Value::Object(keys)) = serde_json::from_str(text) else {
        return Err(format!("it is no JSON object, and its key `{key}` is asked for"));
    };
    match keys.get(key) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Number(number)) => Ok(number.to_string()),
        Some(_) => Err(format!("its key `{key}` is neither a text nor a number")),
        None => Err(format!("it has no key `{key}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::under;

    #[test]
    fn a_key_is_read_and_nothing_of_the_rest_is_told() {
        let text = r#"{"password": "canary-1", "port": 5432, "tags": ["canary-2"]}"#;
        assert_eq!(under("password", text).unwrap(), "canary-1");
        assert_eq!(under("port", text).unwrap(), "5432");
        for (key, text) in [("user", text), ("tags", text), ("x", "canary-3"), ("x", "[1]")] {
            let error = under(key, text).unwrap_err();
            assert!(error.contains(key) && !error.contains("canary"), "{error}");
        }
    }
}
