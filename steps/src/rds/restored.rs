//! What a restore of RDS gives.

use engine::step::Observation;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::instance::{Endpoint, Instance};
use super::making::Begun;

/// The restored instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// The instance.
    instance: String,
    /// Its ARN.
    arn: String,
    /// Its region.
    region: String,
    /// `DbiResourceId`.
    resource_id: String,
    /// Where it listens.
    endpoint: Option<Endpoint>,
    /// The moment that its data is of.
    #[schemars(with = "Option<String>")]
    recovery_point: Option<Timestamp>,
}

pub(super) fn output(found: Instance, moment: Option<Timestamp>) -> Output {
    let Instance { instance, arn, region, resource_id, endpoint, .. } = found;
    Output { instance, arn, region, resource_id, endpoint, recovery_point: moment }
}

pub(super) fn example() -> Output {
    output(Instance::example(), Some(Timestamp::UNIX_EPOCH))
}

pub(super) fn seen(seen: Observation<(Begun, Instance)>) -> Observation<Output> {
    seen.map(|(begun, found)| output(found, begun.moment))
}
