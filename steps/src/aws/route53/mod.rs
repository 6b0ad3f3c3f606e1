//! Route 53: the records of a zone, changed in one transaction that takes nothing else than what
//! was read.

mod change;
mod record;
pub mod update;
pub mod wait;
mod zone;

use aws_sdk_route53::Client;
use model::footprint::AwsUse;
use model::step_error::StepError;

use super::classify::AwsError;
use super::place::Place;

/// What is asked of Route 53 to look at records.
const LOOKS: [&str; 3] = ["ListHostedZonesByName", "ListResourceRecordSets", "GetChange"];

/// The region that takes changes to names, whatever region a step acts in.
/// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/disaster-recovery-resiliency.html>
fn home(region: &str) -> &'static str {
    match region {
        region if region.starts_with("cn-") => "cn-northwest-1",
        region if region.starts_with("us-gov-") => "us-gov-west-1",
        _ => "us-east-1",
    }
}

/// Where a step asks Route 53.
#[derive(Debug, Clone, Copy)]
struct Names<'a> {
    region: Option<&'a str>,
    profile: Option<&'a str>,
    endpoint_url: Option<&'a str>,
}

impl Names<'_> {
    fn home(&self) -> &'static str {
        home(self.region.unwrap_or_default())
    }

    fn place(&self) -> Place<'_> {
        let Self { profile, endpoint_url, .. } = *self;
        Place { region: Some(self.home()), profile, endpoint_url }
    }

    /// For requests that only look.
    async fn looks(&self) -> Result<Client, StepError> {
        Ok(Client::new(&self.place().looks().await?))
    }

    /// For the one request that changes records.
    async fn changes(&self) -> Result<Client, StepError> {
        Ok(Client::new(&self.place().changes().await?))
    }

    /// What is asked for, as a footprint says it.
    fn asked(&self, actions: &[&str]) -> AwsUse {
        AwsUse::control("route53", Some(self.home()), actions)
    }
}

/// Whether every server of the zone has a change.
async fn is_in_sync(client: &Client, change: &str) -> Result<bool, StepError> {
    use aws_sdk_route53::types::ChangeStatus;
    let told = client.get_change().id(change).send().await;
    let told = told.map_err(|error| AwsError::of("GetChange", &error).looking())?;
    Ok(told.change_info().is_some_and(|change| *change.status() == ChangeStatus::Insync))
}

#[cfg(test)]
mod tests {
    use super::home;

    #[test]
    fn names_are_changed_in_one_region_of_each_partition() {
        assert_eq!(home("eu-central-1"), "us-east-1");
        assert_eq!(home(""), "us-east-1");
        assert_eq!(home("cn-north-1"), "cn-northwest-1");
        assert_eq!(home("us-gov-east-1"), "us-gov-west-1");
    }
}
