//! The zone and its records as Route 53 tells them.

use super::number;
use super::record::{Record, full, labels};
use crate::cloud::call::Form;
use crate::cloud::world::World;
use crate::cloud::xml::{Element, maybe, text, tree};
use crate::cloud::{ZONE, ZONE_ID};

/// `HostedZone`.
fn hosted_zone(records: usize) -> Element {
    let config = [text("Comment", "the laboratory"), text("PrivateZone", false)];
    tree(
        "HostedZone",
        [
            text("Id", format!("/hostedzone/{ZONE_ID}")),
            text("Name", ZONE),
            text("CallerReference", "lab"),
            tree("Config", config),
            text("ResourceRecordSetCount", records),
        ],
    )
}

/// `ListHostedZones`.
pub(super) fn zones() -> Element {
    tree(
        "ListHostedZonesResponse",
        [tree("HostedZones", [hosted_zone(4)]), text("IsTruncated", false), text("MaxItems", 100)],
    )
}

/// `ListHostedZonesByName`: from the name on, in the order of names.
pub(super) fn zones_by_name(query: &Form) -> Element {
    let asked = query.get("dnsname");
    let shown = asked.is_none_or(|name| labels(ZONE) >= labels(&full(name)));
    let zones = shown.then(|| hosted_zone(4));
    let mut told = vec![tree("HostedZones", zones)];
    told.extend(maybe("DNSName", asked));
    told.extend([text("IsTruncated", false), text("MaxItems", 100)]);
    tree("ListHostedZonesByNameResponse", told)
}

/// `GetHostedZone`.
pub(super) fn zone(world: &World) -> Element {
    let state = world.lock();
    let servers = state.zone.records.iter().filter(|it| it.kind == "NS" && it.name == ZONE);
    let names = servers.flat_map(|it| &it.values);
    let names = names.map(|name| text("NameServer", name.trim_end_matches('.')));
    let delegation = tree("DelegationSet", [tree("NameServers", names)]);
    tree("GetHostedZoneResponse", [hosted_zone(state.zone.records.len()), delegation])
}

/// `ListResourceRecordSets`.
pub(super) fn records(world: &World, query: &Form) -> Element {
    let state = world.lock();
    let mut all: Vec<&Record> = state.zone.records.iter().collect();
    all.sort_by_key(|record| record.place());
    let start = query.get("name").map(full);
    let (kind, set) = (query.get("type").unwrap_or_default(), query.get("identifier"));
    if let Some(start) = &start {
        all.retain(|record| record.place() >= (labels(start), kind, set));
    }
    let most = number(query, "maxitems", 300);
    let next = all.get(most).copied();
    all.truncate(most);
    let mut told = vec![
        tree("ResourceRecordSets", all.into_iter().map(set_of)),
        text("IsTruncated", next.is_some()),
        text("MaxItems", most),
    ];
    if let Some(next) = next {
        told.extend([text("NextRecordName", &next.name), text("NextRecordType", &next.kind)]);
        told.extend(maybe("NextRecordIdentifier", next.set_identifier.as_ref()));
    }
    tree("ListResourceRecordSetsResponse", told)
}

fn set_of(record: &Record) -> Element {
    let mut told = vec![text("Name", &record.name), text("Type", &record.kind)];
    told.extend(maybe("SetIdentifier", record.set_identifier.as_ref()));
    told.extend(maybe("Weight", record.weight));
    told.extend(maybe("Region", record.region.as_ref()));
    told.extend(maybe("Failover", record.failover.as_ref()));
    told.extend(maybe("TTL", record.ttl));
    if !record.values.is_empty() {
        let values = record.values.iter().map(|it| tree("ResourceRecord", [text("Value", it)]));
        told.push(tree("ResourceRecords", values));
    }
    told.extend(record.alias.as_ref().map(|alias| {
        tree(
            "AliasTarget",
            [
                text("HostedZoneId", &alias.zone),
                text("DNSName", &alias.name),
                text("EvaluateTargetHealth", alias.evaluates),
            ],
        )
    }));
    told.extend(maybe("HealthCheckId", record.health_check.as_ref()));
    tree("ResourceRecordSet", told)
}
