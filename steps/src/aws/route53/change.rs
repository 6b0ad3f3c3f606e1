//! One change of records: what is there against what is asked for, and the request.

use aws_sdk_route53::Client;
use aws_sdk_route53::error::{BuildError, SdkError};
use aws_sdk_route53::operation::change_resource_record_sets::ChangeResourceRecordSetsError;
use aws_sdk_route53::types::{Change, ChangeAction, ChangeBatch, ResourceRecordSet};
use model::step_error::StepError;

use super::super::classify::{AwsError, Kind};
use super::record::Record;
use super::zone;

/// A record that is asked for, and what is there.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) asked: Record,
    pub(super) there: Option<Record>,
    /// What is there as Route 53 told it, which is how it wants to hear it again.
    set: Option<ResourceRecordSet>,
}

/// Why a change was not made.
pub(super) struct Refusal {
    /// Route 53 took the request and refused what it says.
    pub(super) as_a_whole: bool,
    pub(super) error: StepError,
}

/// The record that is there in the place of `asked`.
pub(super) async fn record(
    client: &Client,
    zone: &str,
    asked: &Record,
) -> Result<Option<Record>, StepError> {
    Ok(Found::read(client, zone, asked).await?.there)
}

impl Found {
    /// Reads what is there.
    pub(super) async fn read(
        client: &Client,
        zone: &str,
        asked: &Record,
    ) -> Result<Self, StepError> {
        let set = zone::read(client, zone, asked).await?;
        let there = set.as_ref().map(Record::of).transpose().map_err(|routing| {
            let message = format!("{asked} is chosen by {routing}, which could not be put back");
            StepError::permanent("RB0922", message)
                .hint("change this record by hand, or give the name a record without such routing")
        })?;
        Ok(Self { asked: asked.clone(), there, set })
    }

    /// With the time to live that it is going to have.
    pub(super) fn settled(self) -> Self {
        Self { asked: self.asked.settled(self.there.as_ref()), ..self }
    }

    pub(super) fn is_met(&self) -> bool {
        self.asked.is_met_by(self.there.as_ref())
    }

    /// Refuses a record that is not what was expected.
    pub(super) fn check(&self) -> Result<(), StepError> {
        if self.asked.expects(self.there.as_ref()) {
            return Ok(());
        }
        let expected = self.asked.expect.clone().unwrap_or_default();
        let expected = if expected.is_empty() { "nothing".to_owned() } else { expected.join(", ") };
        Err(surprise(self, &format!("`expect` says {expected}")))
    }
}

/// A record is not what it was taken for.
pub(super) fn surprise(now: &Found, why: &str) -> StepError {
    let answers = now.there.as_ref().map(Record::answers).unwrap_or_default();
    let says = if answers.is_empty() {
        "is not there".to_owned()
    } else {
        format!("says {}", answers.join(", "))
    };
    StepError::permanent("RB0920", format!("{} {says}, and {why}", now.asked))
        .hint("nothing was changed; see who changed it, then correct the runbook or the record")
}

/// The change that takes away what was read, and puts in its place what is asked for.
pub(super) fn batch(all: &[Found], comment: &str) -> Result<ChangeBatch, StepError> {
    let change = |action: &ChangeAction, set: ResourceRecordSet| {
        Change::builder().action(action.clone()).resource_record_set(set).build()
    };
    let built = || -> Result<ChangeBatch, BuildError> {
        let mut changes = Vec::new();
        for set in all.iter().filter_map(|one| one.set.clone()) {
            changes.push(change(&ChangeAction::Delete, set)?);
        }
        for one in all.iter().filter(|one| !one.asked.absent) {
            changes.push(change(&ChangeAction::Create, one.asked.to_set()?)?);
        }
        ChangeBatch::builder().set_changes(Some(changes)).comment(comment).build()
    };
    built().map_err(|error| AwsError::new(Kind::Refused, error.to_string()).changing())
}

/// Sends a change; its id.
pub(super) async fn send(
    client: &Client,
    zone: &str,
    batch: ChangeBatch,
) -> Result<String, Refusal> {
    let request = client.change_resource_record_sets().hosted_zone_id(zone).change_batch(batch);
    match request.send().await {
        Ok(told) => {
            let id = told.change_info().map(|change| change.id().to_owned());
            id.ok_or_else(|| Refusal {
                as_a_whole: false,
                error: AwsError::new(Kind::Lost, "ChangeResourceRecordSets: no change is told")
                    .changing(),
            })
        }
        Err(error) => {
            let mut told = AwsError::of("ChangeResourceRecordSets", &error);
            for message in messages(&error) {
                told.message = format!("{}: {message}", told.message);
            }
            Err(Refusal { as_a_whole: told.kind == Kind::Refused, error: told.changing() })
        }
    }
}

/// What Route 53 has against each record.
fn messages<R>(error: &SdkError<ChangeResourceRecordSetsError, R>) -> Vec<String> {
    match error.as_service_error() {
        Some(ChangeResourceRecordSetsError::InvalidChangeBatch(refused)) => {
            refused.messages().to_vec()
        }
        _ => Vec::new(),
    }
}
