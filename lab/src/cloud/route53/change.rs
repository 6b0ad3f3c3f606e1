//! `ChangeResourceRecordSets`: what it asks for, and whether that can be done.

use roxmltree::{Document, Node};
use serde_json::{Value, json};

use super::record::{Alias, Record, full};
use crate::cloud::ZONE;
use crate::cloud::refusal::Refusal;

/// What a request asks for, all or nothing.
pub(super) struct Batch {
    pub(super) comment: Option<String>,
    pub(super) changes: Vec<One>,
}

/// One change of a batch.
pub(super) struct One {
    action: Action,
    record: Record,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Create,
    Delete,
    Upsert,
}

impl One {
    /// For the effect log.
    pub(super) fn told(&self) -> Value {
        let action = match self.action {
            Action::Create => "CREATE",
            Action::Delete => "DELETE",
            Action::Upsert => "UPSERT",
        };
        json!({"action": action, "record": self.record})
    }
}

/// Reads the body of a request.
pub(super) fn read(body: &str) -> Result<Batch, Refusal> {
    let invalid = |message: &str| Refusal::new("InvalidInput", message);
    let document = Document::parse(body).map_err(|error| invalid(&error.to_string()))?;
    let batch = child(document.root_element(), "ChangeBatch")
        .ok_or_else(|| invalid("the request has no ChangeBatch"))?;
    let changes = child(batch, "Changes").into_iter().flat_map(|all| all.children());
    let changes = changes.filter(Node::is_element).map(one).collect::<Result<Vec<_>, _>>()?;
    if changes.is_empty() {
        return Err(invalid("the ChangeBatch has no changes"));
    }
    Ok(Batch { comment: said(batch, "Comment"), changes })
}

fn one(node: Node<'_, '_>) -> Result<One, Refusal> {
    let action = match said(node, "Action").as_deref() {
        Some("CREATE") => Action::Create,
        Some("DELETE") => Action::Delete,
        Some("UPSERT") => Action::Upsert,
        _ => return Err(Refusal::new("InvalidInput", "an Action is CREATE, DELETE or UPSERT")),
    };
    let set = child(node, "ResourceRecordSet")
        .ok_or_else(|| Refusal::new("InvalidInput", "a Change has no ResourceRecordSet"))?;
    Ok(One { action, record: record(set)? })
}

fn record(set: Node<'_, '_>) -> Result<Record, Refusal> {
    let lacks = |name: &str| Refusal::new("InvalidInput", format!("a record lacks its {name}"));
    let values = child(set, "ResourceRecords").into_iter().flat_map(|all| all.children());
    let record = Record {
        name: full(&said(set, "Name").ok_or_else(|| lacks("Name"))?),
        kind: said(set, "Type").ok_or_else(|| lacks("Type"))?,
        ttl: parsed(set, "TTL")?,
        values: values.filter_map(|node| said(node, "Value")).collect(),
        set_identifier: said(set, "SetIdentifier"),
        weight: parsed(set, "Weight")?,
        failover: said(set, "Failover"),
        region: said(set, "Region"),
        health_check: said(set, "HealthCheckId"),
        alias: child(set, "AliasTarget").map(alias),
    };
    let simple = record.alias.is_none();
    if simple == record.values.is_empty() || simple != record.ttl.is_some() {
        return Err(Refusal::new(
            "InvalidInput",
            "Invalid request: Expected exactly one of [AliasTarget, all of [TTL, and \
             ResourceRecords], or TrafficPolicyInstanceId]",
        ));
    }
    Ok(record)
}

fn alias(node: Node<'_, '_>) -> Alias {
    Alias {
        zone: said(node, "HostedZoneId").unwrap_or_default(),
        name: full(&said(node, "DNSName").unwrap_or_default()),
        evaluates: said(node, "EvaluateTargetHealth").as_deref() == Some("true"),
    }
}

fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|it| it.is_element() && it.tag_name().name() == name)
}

fn said(node: Node<'_, '_>, name: &str) -> Option<String> {
    let text = child(node, name)?.text().unwrap_or_default();
    Some(text.to_owned())
}

fn parsed<T: std::str::FromStr>(node: Node<'_, '_>, name: &str) -> Result<Option<T>, Refusal> {
    let Some(text) = said(node, name) else { return Ok(None) };
    let wrong = |_| Refusal::new("InvalidInput", format!("{name} is out of range: {text}"));
    text.trim().parse().map(Some).map_err(wrong)
}

/// Makes one change, if it can be made.
pub(super) fn apply(records: &mut Vec<Record>, one: &One) -> Result<(), Refusal> {
    let One { action, record } = one;
    let place = records.iter().position(|it| it.is_at(record));
    match (action, place) {
        (Action::Create, Some(_)) => Err(batch(record, "Tried to create", "it already exists")),
        (Action::Delete, None) => Err(batch(record, "Tried to delete", "it was not found")),
        (Action::Delete, Some(at)) if records[at] != *record => Err(batch(
            record,
            "Tried to delete",
            "the values provided do not match the current values",
        )),
        (Action::Delete, Some(at)) => {
            records.remove(at);
            Ok(())
        }
        (Action::Create | Action::Upsert, place) => {
            fits(records, record)?;
            match place {
                Some(at) => records[at] = record.clone(),
                None => records.push(record.clone()),
            }
            Ok(())
        }
    }
}

/// Whether a record may stand beside the others.
fn fits(records: &[Record], record: &Record) -> Result<(), Refusal> {
    let name = &record.name;
    let refused = |text: String| Err(Refusal::new("InvalidChangeBatch", format!("[{text}]")));
    if *name != *ZONE && !name.ends_with(&format!(".{ZONE}")) {
        return refused(format!("RRSet with DNS name {name} is not permitted in zone {ZONE}"));
    }
    let same = records.iter().filter(|it| it.name == *name);
    let conflicts = |it: &Record| {
        it.kind != record.kind && [&it.kind, &record.kind].contains(&&"CNAME".to_owned())
    };
    if same.clone().any(conflicts) {
        return refused(format!(
            "RRSet of type {} with DNS name {name} is not permitted as it conflicts with other \
             records with the same DNS name in zone {ZONE}",
            record.kind
        ));
    }
    let policy = |it: &Record| {
        (
            it.set_identifier.is_some(),
            it.weight.is_some(),
            it.failover.is_some(),
            it.region.is_some(),
        )
    };
    if same.clone().any(|it| it.is_beside(record) && policy(it) != policy(record)) {
        return refused(format!(
            "RRSet with DNS name {name}, type {} cannot be created as a non-simple or simple set \
             exists with the same name and type",
            record.kind
        ));
    }
    Ok(())
}

fn batch(record: &Record, tried: &str, but: &str) -> Refusal {
    let set = record.set_identifier.as_ref().map(|it| format!(", set identifier='{it}'"));
    let message = format!(
        "[{tried} resource record set [name='{}', type='{}'{}] but {but}]",
        record.name,
        record.kind,
        set.unwrap_or_default()
    );
    Refusal::new("InvalidChangeBatch", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(action: Action, value: &str, set: Option<&str>) -> One {
        let record = Record {
            name: format!("x.{ZONE}"),
            kind: "A".to_owned(),
            ttl: Some(1),
            values: vec![value.to_owned()],
            set_identifier: set.map(str::to_owned),
            weight: set.map(|_| 1),
            ..Record::default()
        };
        One { action, record }
    }

    #[test]
    fn a_record_is_made_once_and_deleted_only_as_it_is() {
        let mut records = Vec::new();
        apply(&mut records, &change(Action::Create, "1.1.1.1", None)).unwrap();
        for refused in [
            change(Action::Create, "1.1.1.1", None),
            change(Action::Delete, "2.2.2.2", None),
            change(Action::Delete, "1.1.1.1", Some("a")),
            change(Action::Upsert, "1.1.1.1", Some("a")),
        ] {
            assert_eq!(apply(&mut records, &refused).unwrap_err().code, "InvalidChangeBatch");
        }
        apply(&mut records, &change(Action::Upsert, "2.2.2.2", None)).unwrap();
        apply(&mut records, &change(Action::Delete, "2.2.2.2", None)).unwrap();
        assert!(records.is_empty());
    }
}
