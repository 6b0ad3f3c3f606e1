//! A record as a runbook writes it, and as Route 53 keeps it.

use std::fmt;
use std::time::Duration;

use aws_sdk_route53::error::BuildError;
use aws_sdk_route53::types::{
    AliasTarget, ResourceRecord, ResourceRecordSet, ResourceRecordSetFailover,
    ResourceRecordSetRegion, RrType,
};
use model::catalog::InputProblem;
use model::units::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The time to live of a new record that says none.
const NEW_TTL: Duration = Duration::from_mins(1);

/// A record of a zone: what its name answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    /// The name: `db.example.com`.
    pub(super) name: String,
    /// The type: `A`, `AAAA`, `CNAME`, `TXT`.
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// The time to live; without it, that of the record that is there, or a minute for a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ttl: Option<Span>,
    /// What the name answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) values: Vec<String>,
    /// Tells records of one name and type from each other, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) set_identifier: Option<String>,
    /// Of several records, the share of answers that this one has: from 0 to 255.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) weight: Option<u8>,
    /// Of two records, the one that answers as long as it is healthy, or the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failover: Option<Failover>,
    /// Of several records, the region for whose neighbours this one answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) latency_region: Option<String>,
    /// One of several records that all answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) multi_value: bool,
    /// The id of the health check without which it does not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) health_check: Option<String>,
    /// A resource of AWS in whose place the name stands; then it has no `values` and no `ttl`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) alias: Option<Alias>,
    /// There is to be no such record.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) absent: bool,
    /// What the name answers before, in any order; `[]` when there is no such record yet. Anything
    /// else is a surprise, and nothing is changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expect: Option<Vec<String>>,
}

/// Which of two records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Failover {
    /// It answers as long as it is healthy.
    Primary,
    /// It answers when the other does not.
    Secondary,
}

/// A resource of AWS that a name stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Alias {
    /// The name of the resource.
    pub(super) name: String,
    /// The id of the zone that the resource lies in.
    pub(super) zone: String,
    /// Whether the resource's health counts.
    #[serde(default)]
    pub(super) evaluate_health: bool,
}

/// A name as it is compared: lower-case, without the last dot, a star as a star.
pub(super) fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_lowercase().replace("\\052", "*")
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", plain(&self.name), self.kind)?;
        self.set_identifier.iter().try_for_each(|id| write!(f, " `{id}`"))
    }
}

impl Record {
    /// An alias of another name that is expected to say `expect`.
    pub(super) fn cname(name: &str, values: Vec<String>, expect: Vec<String>) -> Self {
        Self {
            name: name.to_owned(),
            kind: "CNAME".to_owned(),
            ttl: Some(Span::from(NEW_TTL)),
            values,
            expect: Some(expect),
            ..Self::default()
        }
    }

    /// What is wrong with it, at `place` of the input.
    pub(super) fn problem(&self, place: &str) -> Option<InputProblem> {
        let said = !self.values.is_empty() || self.alias.is_some();
        let routed = [
            self.weight.is_some(),
            self.failover.is_some(),
            self.latency_region.is_some(),
            self.multi_value,
        ];
        let routed = routed.into_iter().filter(|routed| *routed).count();
        let what = if self.absent && said {
            "a record that is to be `absent` answers nothing"
        } else if !self.absent && !said {
            "a record has `values`, or an `alias`, or is to be `absent`"
        } else if self.alias.is_some() && (!self.values.is_empty() || self.ttl.is_some()) {
            "a record with an `alias` has no `values` and no `ttl`"
        } else if routed > 1 {
            "a record is chosen in one way: by `weight`, `failover`, `latency_region` or `multi_value`"
        } else if routed == 1 && self.set_identifier.is_none() {
            "a record among others of its name needs a `set_identifier`"
        } else {
            return None;
        };
        Some(InputProblem::at(place, format!("{self}: {what}")))
    }

    /// Whether both are the same record, whatever they answer.
    pub(super) fn is_for(&self, other: &ResourceRecordSet) -> bool {
        plain(&self.name) == plain(other.name())
            && self.kind == other.r#type().as_str()
            && self.set_identifier.as_deref() == other.set_identifier()
    }

    /// The time to live settled: as it was, unless it is said.
    pub(super) fn settled(mut self, found: Option<&Self>) -> Self {
        if self.alias.is_none() && !self.absent {
            let former = found.and_then(|found| found.ttl);
            self.ttl = self.ttl.or(former).or(Some(Span::from(NEW_TTL)));
        }
        self
    }

    /// What it answers, as it is compared.
    pub(super) fn answers(&self) -> Vec<String> {
        let host = ["CNAME", "NS", "PTR"].contains(&self.kind.as_str());
        let value = |text: &String| if host { plain(text) } else { text.clone() };
        let alias = self.alias.iter().map(|alias| plain(&alias.name));
        let mut answers: Vec<_> = self.values.iter().map(value).chain(alias).collect();
        answers.sort();
        answers
    }

    /// Whether what was there is what was expected.
    pub(super) fn expects(&self, found: Option<&Self>) -> bool {
        let Some(expect) = &self.expect else { return true };
        let expected = Self { values: expect.clone(), alias: None, ..self.clone() }.answers();
        found.map(Self::answers).unwrap_or_default() == expected
    }

    /// Whether the record that is there is the one that is asked for.
    pub(super) fn is_met_by(&self, found: Option<&Self>) -> bool {
        let Some(found) = found else { return self.absent };
        let alias = |record: &Self| {
            let own = record.alias.as_ref();
            own.map(|alias| (plain(&alias.name), alias.zone.clone(), alias.evaluate_health))
        };
        let rest = |record: &Self| {
            let region = record.latency_region.clone();
            let check = record.health_check.clone();
            (record.weight, record.failover, region, record.multi_value, check)
        };
        !self.absent
            && self.answers() == found.answers()
            && self.ttl == found.ttl
            && alias(self) == alias(found)
            && rest(self) == rest(found)
    }

    /// The record to put back what was there, once this one has taken its place.
    pub(super) fn undone(&self, found: Option<&Self>) -> Self {
        let absent = || Self {
            name: self.name.clone(),
            kind: self.kind.clone(),
            set_identifier: self.set_identifier.clone(),
            absent: true,
            ..Self::default()
        };
        Self { expect: Some(self.answers()), ..found.cloned().unwrap_or_else(absent) }
    }

    /// As Route 53 tells it; the error names what a step cannot put back.
    pub(super) fn of(set: &ResourceRecordSet) -> Result<Self, &'static str> {
        for (there, what) in [
            (set.geo_location().is_some(), "geolocation"),
            (set.geo_proximity_location().is_some(), "geoproximity"),
            (set.cidr_routing_config().is_some(), "addresses of clients"),
            (set.traffic_policy_instance_id().is_some(), "a traffic policy"),
        ] {
            if there {
                return Err(what);
            }
        }
        let seconds = |ttl| Span::from(Duration::from_secs(u64::try_from(ttl).unwrap_or_default()));
        let alias = set.alias_target().map(|alias| Alias {
            name: alias.dns_name().to_owned(),
            zone: alias.hosted_zone_id().to_owned(),
            evaluate_health: alias.evaluate_target_health(),
        });
        Ok(Self {
            name: plain(set.name()),
            kind: set.r#type().as_str().to_owned(),
            ttl: set.ttl().map(seconds),
            values: set.resource_records().iter().map(|one| one.value().to_owned()).collect(),
            set_identifier: set.set_identifier().map(str::to_owned),
            weight: set.weight().and_then(|weight| u8::try_from(weight).ok()),
            failover: set.failover().and_then(Failover::of),
            latency_region: set.region().map(|region| region.as_str().to_owned()),
            multi_value: set.multi_value_answer().unwrap_or_default(),
            health_check: set.health_check_id().map(str::to_owned),
            alias,
            absent: false,
            expect: None,
        })
    }

    /// As Route 53 takes it.
    pub(super) fn to_set(&self) -> Result<ResourceRecordSet, BuildError> {
        let values = self.values.iter().map(|value| ResourceRecord::builder().value(value).build());
        let values = values.collect::<Result<Vec<_>, _>>()?;
        let alias = self.alias.as_ref().map(|alias| {
            let target = AliasTarget::builder().dns_name(&alias.name).hosted_zone_id(&alias.zone);
            target.evaluate_target_health(alias.evaluate_health).build()
        });
        let ttl = self.ttl.and_then(|ttl| i64::try_from(ttl.duration().as_secs()).ok());
        let region = self.latency_region.as_deref().map(ResourceRecordSetRegion::from);
        ResourceRecordSet::builder()
            .name(&self.name)
            .r#type(RrType::from(self.kind.as_str()))
            .set_ttl(ttl)
            .set_resource_records(Some(values).filter(|values| !values.is_empty()))
            .set_set_identifier(self.set_identifier.clone())
            .set_weight(self.weight.map(i64::from))
            .set_failover(self.failover.map(Failover::to_aws))
            .set_region(region)
            .set_multi_value_answer(self.multi_value.then_some(true))
            .set_health_check_id(self.health_check.clone())
            .set_alias_target(alias.transpose()?)
            .build()
    }
}

impl Failover {
    fn of(failover: &ResourceRecordSetFailover) -> Option<Self> {
        match failover {
            ResourceRecordSetFailover::Primary => Some(Self::Primary),
            ResourceRecordSetFailover::Secondary => Some(Self::Secondary),
            _ => None,
        }
    }

    fn to_aws(self) -> ResourceRecordSetFailover {
        match self {
            Self::Primary => ResourceRecordSetFailover::Primary,
            Self::Secondary => ResourceRecordSetFailover::Secondary,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn record(keys: &Value) -> Record {
        let mut record = json!({"name": "db.example.com", "type": "CNAME"});
        record.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        serde_json::from_value(record).unwrap()
    }

    #[test]
    fn a_record_survives_the_way_through_route_53() {
        for keys in [
            json!({"ttl": "1m", "values": ["a.example.com"]}),
            json!({"ttl": "1m", "values": ["a"], "set_identifier": "west", "weight": 255}),
            json!({"ttl": "5s", "values": ["a"], "set_identifier": "west", "failover": "primary",
                   "health_check": "abc"}),
            json!({"ttl": "5s", "values": ["a"], "set_identifier": "w",
                   "latency_region": "us-west-2"}),
            json!({"ttl": "5s", "values": ["a"], "set_identifier": "w", "multi_value": true}),
            json!({"alias": {"name": "lb.example.com", "zone": "Z1", "evaluate_health": true}}),
        ] {
            let record = record(&keys);
            assert_eq!(record.problem("changes[0]"), None);
            assert_eq!(Record::of(&record.to_set().unwrap()).unwrap(), record);
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for keys in [
            json!({}),
            json!({"absent": true, "values": ["a"]}),
            json!({"values": ["a"], "alias": {"name": "b", "zone": "Z1"}}),
            json!({"ttl": "1m", "alias": {"name": "b", "zone": "Z1"}}),
            json!({"values": ["a"], "weight": 1}),
            json!({"values": ["a"], "weight": 1, "failover": "primary", "set_identifier": "x"}),
        ] {
            assert!(record(&keys).problem("changes[0]").is_some(), "{keys}");
        }
    }

    #[test]
    fn records_are_compared_as_name_servers_do() {
        let asked = record(&json!({"ttl": "1m", "values": ["New.example.com."]}));
        let same = record(&json!({"ttl": "1m", "values": ["new.example.com"]}));
        assert!(asked.is_met_by(Some(&same)));
        assert!(!asked.is_met_by(None));
        for other in [
            json!({"ttl": "2m", "values": ["new.example.com"]}),
            json!({"ttl": "1m", "values": ["old.example.com"]}),
            json!({"ttl": "1m", "values": ["new.example.com"], "health_check": "x"}),
        ] {
            assert!(!asked.is_met_by(Some(&record(&other))), "{other}");
        }
        let text = |value: &str| record(&json!({"type": "TXT", "ttl": "1m", "values": [value]}));
        assert!(!text("\"A\"").is_met_by(Some(&text("\"a\""))), "texts differ by their case");
        assert!(record(&json!({"absent": true})).is_met_by(None));
        assert_eq!(plain("\\052.Example.com."), "*.example.com");
    }

    #[test]
    fn what_was_there_is_expected_or_a_surprise() {
        let asked = |expect: Value| record(&json!({"values": ["new"], "expect": expect}));
        let old = record(&json!({"ttl": "1m", "values": ["Old."]}));
        assert!(asked(json!(["old"])).expects(Some(&old)));
        assert!(!asked(json!(["older"])).expects(Some(&old)));
        assert!(!asked(json!([])).expects(Some(&old)));
        assert!(asked(json!([])).expects(None));
        let undone = asked(json!(["old"])).undone(Some(&old));
        assert_eq!((undone.values.clone(), undone.expect), (old.values, Some(vec!["new".into()])));
        assert!(asked(json!([])).undone(None).absent);
    }
}
