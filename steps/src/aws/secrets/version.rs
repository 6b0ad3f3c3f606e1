//! The versions of a secret, and which of them is current.

use std::collections::HashMap;

use aws_sdk_secretsmanager::Client;
use model::step_error::StepError;
use secrecy::SecretString;

use super::super::classify::AwsError;

/// The stage of the version that applications read.
pub(super) const CURRENT: &str = "AWSCURRENT";

/// The versions that have a stage, and where the secret is at home.
pub(super) struct Stages {
    versions: HashMap<String, Vec<String>>,
    arn: String,
    primary_region: Option<String>,
}

impl Stages {
    /// The version that is current.
    pub(super) fn current(&self) -> Option<&str> {
        let is_current = |stages: &Vec<String>| stages.iter().any(|stage| stage == CURRENT);
        let current = self.versions.iter().find(|(_, stages)| is_current(stages));
        current.map(|(version, _)| version.as_str())
    }

    /// Whether a version is there and has any stage.
    pub(super) fn has(&self, version: &str) -> bool {
        self.versions.contains_key(version)
    }

    /// Refuses the replica of a secret of another region.
    pub(super) fn check_is_own(&self, id: &str) -> Result<(), StepError> {
        // arn:aws:secretsmanager:us-west-2:123456789012:secret:name
        let here = self.arn.split(':').nth(3).unwrap_or_default();
        match &self.primary_region {
            Some(home) if !here.is_empty() && home != here => {
                let message = format!("secret `{id}` is a replica of the one in `{home}`");
                Err(StepError::needs_operator("RB0927", message).hint(format!(
                    "change it there, or, when `{home}` is lost, make it one of its own: `aws \
                     secretsmanager stop-replication-to-replica --region {here}`"
                )))
            }
            _ => Ok(()),
        }
    }
}

/// The versions of a secret.
pub(super) async fn stages(client: &Client, id: &str) -> Result<Stages, StepError> {
    let told = client.describe_secret().secret_id(id).send().await;
    let told = told.map_err(|error| AwsError::of("DescribeSecret", &error).looking())?;
    Ok(Stages {
        versions: told.version_ids_to_stages.unwrap_or_default(),
        arn: told.arn.unwrap_or_default(),
        primary_region: told.primary_region,
    })
}

/// The current value; nothing when there is none yet.
pub(super) async fn value(client: &Client, id: &str) -> Result<Option<SecretString>, StepError> {
    match client.get_secret_value().secret_id(id).version_stage(CURRENT).send().await {
        Ok(told) => Ok(told.secret_string.map(Into::into)),
        Err(error) => match AwsError::of("GetSecretValue", &error) {
            error if error.code.as_deref() == Some("ResourceNotFoundException") => Ok(None),
            error => Err(error.looking()),
        },
    }
}

/// Puts a new version, which becomes the current one.
pub(super) async fn put(
    client: &Client,
    id: &str,
    version: &str,
    value: &str,
) -> Result<(), StepError> {
    let request = client.put_secret_value().secret_id(id).client_request_token(version);
    let put = request.secret_string(value).send().await;
    put.map_err(|error| AwsError::of("PutSecretValue", &error).changing())?;
    Ok(())
}

/// Makes another version the current one, if it is still `from` that is.
pub(super) async fn exchange(
    client: &Client,
    id: &str,
    from: &str,
    to: &str,
) -> Result<(), StepError> {
    let request = client.update_secret_version_stage().secret_id(id).version_stage(CURRENT);
    let moved = request.remove_from_version_id(from).move_to_version_id(to).send().await;
    moved.map_err(|error| AwsError::of("UpdateSecretVersionStage", &error).changing())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_is_told_from_a_secret_of_its_own() {
        let stages = |home: Option<&str>| Stages {
            versions: HashMap::new(),
            arn: "arn:aws:secretsmanager:us-west-2:123456789012:secret:app".to_owned(),
            primary_region: home.map(str::to_owned),
        };
        assert_eq!(stages(None).check_is_own("app"), Ok(()));
        assert_eq!(stages(Some("us-west-2")).check_is_own("app"), Ok(()));
        let error = stages(Some("us-east-1")).check_is_own("app").unwrap_err();
        shown::case("RB0927", error.told());
    }
}
