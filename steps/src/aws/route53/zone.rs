//! A hosted zone, and the records in it.

use aws_sdk_route53::Client;
use aws_sdk_route53::types::{ResourceRecordSet, RrType};
use model::step_error::StepError;

use super::super::classify::{AwsError, Kind};
use super::record::{Record, plain};

/// Records that one answer holds at most.
const PAGE: i32 = 100;

/// An id as Route 53 writes it before records: `/hostedzone/Z1` is `Z1`.
fn bare(id: &str) -> &str {
    let id = id.trim_start_matches('/');
    id.strip_prefix("hostedzone/").unwrap_or(id)
}

/// The id of a zone, unless the text is a name.
fn id_in(text: &str) -> Option<&str> {
    let id = bare(text);
    let is_id = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit();
    (!id.is_empty() && id.chars().all(is_id)).then_some(id)
}

/// The id of the zone that a runbook names by its id or its name.
pub(super) async fn find(client: &Client, zone: &str) -> Result<String, StepError> {
    if let Some(id) = id_in(zone) {
        return Ok(id.to_owned());
    }
    let asked = client.list_hosted_zones_by_name().dns_name(zone).send().await;
    let told = asked.map_err(|error| AwsError::of("ListHostedZonesByName", &error).looking())?;
    let named = told.hosted_zones().iter().filter(|one| plain(one.name()) == plain(zone));
    let ids: Vec<&str> = named.map(|one| bare(one.id())).collect();
    match ids.as_slice() {
        [id] => Ok((*id).to_owned()),
        [] => Err(StepError::permanent("RB0921", format!("there is no zone `{zone}`"))
            .hint("write the zone's id, or the name that `aws route53 list-hosted-zones` tells")),
        ids => {
            let message = format!("several zones are named `{zone}`: {}", ids.join(", "));
            Err(StepError::permanent("RB0921", message)
                .hint("write the id of the one that is meant"))
        }
    }
}

/// The record that is there in the place of `asked`.
pub(super) async fn read(
    client: &Client,
    zone: &str,
    asked: &Record,
) -> Result<Option<ResourceRecordSet>, StepError> {
    let kind = RrType::from(asked.kind.as_str());
    let (mut name, mut kind, mut id) = (asked.name.clone(), Some(kind), None);
    loop {
        let request = client.list_resource_record_sets().hosted_zone_id(zone).max_items(PAGE);
        let request = request.start_record_name(&name).set_start_record_type(kind.take());
        let page = request.set_start_record_identifier(id.take()).send().await;
        let page =
            page.map_err(|error| refused(zone, AwsError::of("ListResourceRecordSets", &error)))?;
        let sets = page.resource_record_sets();
        if let Some(found) = sets.iter().find(|set| asked.is_for(set)) {
            return Ok(Some(found.clone()));
        }
        let Some(next) = page.next_record_name().filter(|_| page.is_truncated()) else {
            return Ok(None);
        };
        if plain(next) != plain(&asked.name) {
            return Ok(None);
        }
        next.clone_into(&mut name);
        kind = page.next_record_type().cloned();
        id = page.next_record_identifier().map(str::to_owned);
    }
}

fn refused(zone: &str, error: AwsError) -> StepError {
    if error.kind == Kind::Missing {
        return StepError::permanent("RB0921", format!("there is no zone `{zone}`"))
            .hint("`aws route53 list-hosted-zones` tells the ids of all");
    }
    error.looking()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_told_from_a_name() {
        assert_eq!(id_in("/hostedzone/Z1D633PJN98FT9"), Some("Z1D633PJN98FT9"));
        assert_eq!(id_in("Z1D633PJN98FT9"), Some("Z1D633PJN98FT9"));
        assert_eq!(id_in("Zurich.example.com"), None);
        assert_eq!(id_in("example.com."), None);
    }
}
