//! Systems Manager: parameters that applications read.

pub mod put_parameter;

use aws_sdk_ssm::Client;
use aws_sdk_ssm::types::{Parameter, ParameterType};
use model::step_error::StepError;

use super::classify::{AwsError, Kind};

/// A parameter as it is, or nothing. `name` may end with `:` and the number of a version.
async fn read(client: &Client, name: &str) -> Result<Option<Parameter>, AwsError> {
    match client.get_parameter().name(name).with_decryption(true).send().await {
        Ok(told) => Ok(told.parameter),
        Err(error) => match AwsError::of("GetParameter", &error) {
            AwsError { kind: Kind::Missing, .. } => Ok(None),
            error if error.code.as_deref() == Some("ParameterVersionNotFound") => Ok(None),
            error => Err(error),
        },
    }
}

/// Whether its value may be told to nobody.
fn is_sealed(parameter: &Parameter) -> bool {
    parameter.r#type() == Some(&ParameterType::SecureString)
}

fn looked(error: AwsError) -> StepError {
    error.looking()
}
