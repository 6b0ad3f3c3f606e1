//! From settings to a configuration of the SDK: region, credentials, endpoint, limits of time.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_smithy_http_client::Builder as HttpClient;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use secrecy::{ExposeSecret, SecretString};

use super::classify::{AwsError, Kind};

/// A peer that does not answer within this is not there.
const CONNECT: Duration = Duration::from_secs(10);
/// A request that carries nothing has its answer by then.
const ANSWER: Duration = Duration::from_mins(1);
/// A transfer is given a second more for so many bytes. One that stands still is ended sooner, by
/// the SDK's own watch over streams.
const SLOWEST: u64 = 64 * 1024;
/// How often a request is made at most.
const ATTEMPTS: u32 = 5;
/// The region of whoever has none: stores that are not AWS.
const NOWHERE: &str = "us-east-1";

/// Which AWS, and as whom. What is absent comes from the environment and its files, as for every
/// program of AWS.
#[derive(Debug, Clone, Default)]
pub(super) struct Account {
    pub(super) region: Option<String>,
    pub(super) profile: Option<String>,
    pub(super) endpoint_url: Option<String>,
    pub(super) keys: Option<Keys>,
}

/// Credentials that are given by whoever opens a store, in place of the environment's.
#[derive(Debug, Clone)]
pub struct Keys {
    /// The id of the access key.
    pub id: String,
    /// The secret access key.
    pub secret: SecretString,
}

/// The limits of a request that carries so many bytes.
pub(super) fn limits(bytes: u64) -> TimeoutConfig {
    let answer = ANSWER + Duration::from_secs(bytes / SLOWEST);
    TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(answer).build()
}

impl Account {
    /// Reads what is not given from the environment and its files.
    pub(super) async fn load(&self) -> Result<SdkConfig, AwsError> {
        let client = HttpClient::new().tls_provider(Provider::Rustls(CryptoMode::Ring));
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(client.build_https())
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(limits(0));
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(profile) = &self.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(url) = &self.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        if let Some(Keys { id, secret }) = &self.keys {
            let (secret, name) = (secret.expose_secret(), "given");
            loader = loader.credentials_provider(Credentials::new(id, secret, None, None, name));
        }
        let config = loader.load().await;
        if config.region().is_some() {
            return Ok(config);
        }
        if config.endpoint_url().is_some() {
            return Ok(config.into_builder().region(Region::from_static(NOWHERE)).build());
        }
        let message = "no region is known: say `region`, or set `AWS_REGION`";
        Err(AwsError::new(Kind::Elsewhere, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_transfer_has_more_time_than_a_small_one() {
        let seconds = |bytes| limits(bytes).operation_attempt_timeout().unwrap().as_secs();
        assert_eq!(seconds(0), 60);
        assert_eq!(seconds(8 << 20), 60 + 128);
        assert_eq!(limits(1 << 30).connect_timeout(), Some(CONNECT));
    }
}
