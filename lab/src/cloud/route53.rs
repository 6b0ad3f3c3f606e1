//! Route 53: one hosted zone, its records and its changes.
//! <https://docs.aws.amazon.com/Route53/latest/APIReference/>

mod change;
mod record;
mod told;

use std::collections::BTreeMap;

use axum::http::Method;
use jiff::Timestamp;
use serde_json::json;

pub use self::record::{Alias, Record};
use super::call::{Answer, Answered, Asked, Call, Form};
use super::refusal::Refusal;
use super::world::World;
use super::xml::{Element, text, tree};
use super::{PRIMARY, PRIMARY_REGION, ZONE, ZONE_ID, door, moment};

/// The hosted zone.
pub(super) struct Zone {
    /// What the API tells.
    records: Vec<Record>,
    /// What has reached the servers.
    synced: Vec<Record>,
    /// What the servers answer while they are stale.
    frozen: Option<Vec<Record>>,
    changes: BTreeMap<String, Change>,
}

/// A change of records that was accepted.
struct Change {
    in_sync: bool,
    submitted: Timestamp,
    comment: Option<String>,
}

impl Zone {
    /// The zone with its name server and the name of the database.
    pub(super) fn new() -> Self {
        let simple = |name: &str, kind: &str, ttl: u32, value: &str| Record {
            name: name.to_owned(),
            kind: kind.to_owned(),
            ttl: Some(ttl),
            values: vec![value.to_owned()],
            ..Record::default()
        };
        let soa = format!("ns1.{ZONE} hostmaster.{ZONE} 1 7200 900 1209600 60");
        let primary = super::rds::host_name(PRIMARY_REGION, PRIMARY);
        let records = vec![
            simple(ZONE, "NS", 172_800, &format!("ns1.{ZONE}")),
            simple(ZONE, "SOA", 900, &soa),
            simple(&format!("db.{ZONE}"), "CNAME", 5, primary.trim_end_matches('.')),
            simple(&format!("ns1.{ZONE}"), "A", 172_800, "127.0.0.1"),
        ];
        Self { synced: records.clone(), records, frozen: None, changes: BTreeMap::new() }
    }

    /// The servers go on with what they have.
    pub(super) fn freeze(&mut self) {
        self.frozen.get_or_insert_with(|| self.synced.clone());
    }

    /// The servers have what has been synced meanwhile.
    pub(super) fn thaw(&mut self) {
        self.frozen = None;
    }
}

impl World {
    /// What the DNS servers answer from now: the records that are in sync, and the names of the
    /// instances of RDS.
    pub fn records(&self) -> Vec<Record> {
        let mut records = {
            let zone = &self.lock().zone;
            zone.frozen.as_ref().unwrap_or(&zone.synced).clone()
        };
        let instances = self.instances().into_iter().filter_map(|it| {
            Some(Record {
                name: super::rds::host_name(&it.region, &it.id),
                kind: "A".to_owned(),
                ttl: Some(5),
                values: vec![it.address?],
                ..Record::default()
            })
        });
        records.extend(instances);
        records
    }
}

/// The name of the action behind a path.
pub(super) fn action_of(method: &Method, path: &[String]) -> &'static str {
    let words: Vec<&str> =
        path.iter().skip(1).map(String::as_str).filter(|word| !word.is_empty()).collect();
    match (method.as_str(), words.as_slice()) {
        ("GET", ["hostedzonesbyname"]) => "ListHostedZonesByName",
        ("GET", ["hostedzone"]) => "ListHostedZones",
        ("GET", ["hostedzone", _]) => "GetHostedZone",
        ("GET", ["hostedzone", _, "rrset"]) => "ListResourceRecordSets",
        ("POST", ["hostedzone", _, "rrset"]) => "ChangeResourceRecordSets",
        ("GET", ["change", _]) => "GetChange",
        _ => "Unknown",
    }
}

pub(super) fn answer(world: &World, call: &Call) -> Answered {
    let Asked::Rest { path, query, body } = &call.asked else {
        return Err(Refusal::unknown(&call.action));
    };
    let id = path.get(2).map_or("", String::as_str);
    let root = match call.action.as_str() {
        "ListHostedZonesByName" => told::zones_by_name(query),
        "ListHostedZones" => told::zones(),
        "GetHostedZone" => known(id).map(|()| told::zone(world))?,
        "ListResourceRecordSets" => known(id).map(|()| told::records(world, query))?,
        "ChangeResourceRecordSets" => {
            known(id)?;
            change_records(world, call, body)?
        }
        "GetChange" => get_change(world, id)?,
        other => return Err(Refusal::unknown(other)),
    };
    Ok(Answer::Xml(root))
}

fn known(id: &str) -> Result<(), Refusal> {
    if id == ZONE_ID {
        return Ok(());
    }
    Err(Refusal::missing("NoSuchHostedZone", format!("No hosted zone found with ID: {id}")))
}

/// Makes all changes of a batch, or none.
fn change_records(world: &World, call: &Call, body: &str) -> Result<Element, Refusal> {
    let batch = change::read(body)?;
    let id = format!("C{}", &door::request_id().replace('-', "").to_uppercase()[..13]);
    let state = &mut *world.lock();
    let mut records = state.zone.records.clone();
    for one in &batch.changes {
        change::apply(&mut records, one)?;
    }
    let told: Vec<_> = batch.changes.iter().map(change::One::told).collect();
    state.effects.record(
        ("route53", &call.region),
        "ChangeResourceRecordSets",
        &id,
        json!({"changes": told}),
    );
    state.zone.records.clone_from(&records);
    let accepted = Change { in_sync: false, submitted: moment::now(), comment: batch.comment };
    let answer = tree("ChangeResourceRecordSetsResponse", [info(&id, &accepted)]);
    state.zone.changes.insert(id.clone(), accepted);
    let region = call.region.clone();
    world.begin_task(move |world| {
        if world.pause(world.pace().pending).is_err() {
            return;
        }
        let state = &mut *world.lock();
        state.zone.synced = records;
        if let Some(change) = state.zone.changes.get_mut(&id) {
            change.in_sync = true;
        }
        state.effects.record(("route53", &region), "Insync", &id, json!({}));
    });
    Ok(answer)
}

fn get_change(world: &World, id: &str) -> Result<Element, Refusal> {
    let state = world.lock();
    let change = state.zone.changes.get(id).ok_or_else(|| {
        Refusal::missing("NoSuchChange", format!("Could not find resource with ID: {id}"))
    })?;
    Ok(tree("GetChangeResponse", [info(id, change)]))
}

fn info(id: &str, change: &Change) -> Element {
    let told = [
        text("Id", format!("/change/{id}")),
        text("Status", if change.in_sync { "INSYNC" } else { "PENDING" }),
        text("SubmittedAt", moment::told(change.submitted)),
    ];
    let comment = change.comment.as_ref().map(|it| text("Comment", it));
    tree("ChangeInfo", told.into_iter().chain(comment))
}

/// The value of a query as a number.
fn number(query: &Form, name: &str, usual: usize) -> usize {
    query.get(name).and_then(|text| text.parse().ok()).unwrap_or(usual)
}
