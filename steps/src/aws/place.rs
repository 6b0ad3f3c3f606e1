//! Where a step asks AWS.

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use model::step_error::StepError;

use super::classify::AwsError;
use super::config::Account;

/// Which region, whose credentials, and which endpoint. What is absent, or empty, comes from the
/// environment and the files that every program of AWS reads.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Place<'a> {
    pub(crate) region: Option<&'a str>,
    pub(crate) profile: Option<&'a str>,
    pub(crate) endpoint_url: Option<&'a str>,
}

impl Place<'_> {
    /// For requests that only look: the SDK repeats them when their answer is lost.
    pub(crate) async fn looks(&self) -> Result<SdkConfig, StepError> {
        let said = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        let (region, profile) = (said(self.region), said(self.profile));
        let account =
            Account { region, profile, endpoint_url: said(self.endpoint_url), keys: None };
        account.load().await.map_err(AwsError::looking)
    }

    /// For requests that change something: each is sent once, and whether another may be is
    /// decided by a look.
    pub(crate) async fn changes(&self) -> Result<SdkConfig, StepError> {
        let shared = self.looks().await?;
        Ok(shared.into_builder().retry_config(RetryConfig::disabled()).build())
    }
}
