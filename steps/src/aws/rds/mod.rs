//! RDS: what database instances and snapshots are, and what is asked of the service.

mod change;
mod describe;

use aws_sdk_rds::Client;
use model::step_error::StepError;

pub(crate) use self::change::{Copied, Sent, Tag};
use super::place::Place;

/// RDS in one region.
pub(crate) struct Rds {
    /// The SDK repeats its requests.
    looks: Client,
    /// Each of its requests is sent once.
    changes: Client,
    region: String,
}

impl Rds {
    /// RDS at `place`. Nothing is asked of it yet.
    pub(crate) async fn at(place: Place<'_>) -> Result<Self, StepError> {
        let (looks, changes) = (place.looks().await?, place.changes().await?);
        let region = looks.region().map_or_else(String::new, ToString::to_string);
        Ok(Self { looks: Client::new(&looks), changes: Client::new(&changes), region })
    }

    /// The region.
    pub(crate) fn region(&self) -> &str {
        &self.region
    }
}
