//! From a question to its answer.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, SOA, TXT};
use hickory_proto::rr::{Name, RData, Record as Told, RecordType};

use super::Record;

/// A chain of names is followed so far.
const LONGEST: usize = 8;

/// The answer of the authority of `zone`.
pub(super) fn answer(zone: &str, records: &[Record], question: &Message) -> Message {
    let mut reply = question.clone().into_response();
    reply.metadata.recursion_available = false;
    let Some(query) = question.queries.first() else {
        reply.metadata.response_code = ResponseCode::FormErr;
        return reply;
    };
    if question.metadata.op_code != OpCode::Query {
        reply.metadata.response_code = ResponseCode::NotImp;
        return reply;
    }
    let name = plain(query.name());
    if !lies_in(&name, zone) {
        reply.metadata.response_code = ResponseCode::Refused;
        return reply;
    }
    reply.metadata.authoritative = true;
    let found = Search { zone, records }.follow(&name, query.query_type());
    if found.told.is_empty() {
        reply.add_authorities(soa(zone, records));
    }
    if !found.known {
        reply.metadata.response_code = ResponseCode::NXDomain;
    }
    reply.add_answers(found.told);
    reply
}

/// A name in lower case with a dot at its end.
fn plain(name: &Name) -> String {
    let text = name.to_utf8().to_lowercase();
    if text.ends_with('.') { text } else { text + "." }
}

fn lies_in(name: &str, zone: &str) -> bool {
    name == zone || name.strip_suffix(zone).is_some_and(|rest| rest.ends_with('.'))
}

struct Search<'a> {
    zone: &'a str,
    records: &'a [Record],
}

#[derive(Default)]
struct Found {
    told: Vec<Told>,
    /// There is such a name.
    known: bool,
}

impl Search<'_> {
    /// What is told of a name, and of the names it leads to inside the zone.
    fn follow(&self, name: &str, kind: RecordType) -> Found {
        let mut found = Found::default();
        let mut name = name.to_owned();
        for _ in 0..LONGEST {
            found.known |= self.is_known(&name);
            let direct = self.told(&name, &kind.to_string());
            if !direct.is_empty() || kind == RecordType::CNAME {
                found.told.extend(direct);
                return found;
            }
            let links = self.told(&name, "CNAME");
            let Some(RData::CNAME(CNAME(target))) = links.first().map(|told| told.data.clone())
            else {
                return found;
            };
            found.told.extend(links);
            name = plain(&target);
            if !lies_in(&name, self.zone) {
                return found;
            }
        }
        found
    }

    /// A name is known when it has a record, or one below it has.
    fn is_known(&self, name: &str) -> bool {
        self.records.iter().any(|record| lies_in(&record.name.to_lowercase(), name))
    }

    fn told(&self, name: &str, kind: &str) -> Vec<Told> {
        let same = |record: &&Record| {
            record.name.eq_ignore_ascii_case(name) && record.kind.eq_ignore_ascii_case(kind)
        };
        let all: Vec<_> = self.records.iter().filter(same).collect();
        let chosen = if all.iter().any(|record| record.failover.is_some()) {
            failover(&all)
        } else if all.iter().any(|record| record.weight.is_some()) {
            weighted(&all).into_iter().collect()
        } else {
            all
        };
        chosen.into_iter().flat_map(|record| self.values(name, record)).collect()
    }

    fn values(&self, name: &str, record: &Record) -> Vec<Told> {
        let Ok(owner) = Name::from_utf8(name) else { return Vec::new() };
        if let Some(target) = &record.alias {
            let target = self.told(&target.to_lowercase(), &record.kind);
            let renamed = |told: Told| Told::from_rdata(owner.clone(), told.ttl, told.data);
            return target.into_iter().map(renamed).collect();
        }
        let values = record.values.iter().filter_map(|value| data(&record.kind, value));
        values.map(|data| Told::from_rdata(owner.clone(), record.ttl, data)).collect()
    }
}

/// The healthy primary, else the secondary: Route 53 rather answers with a sick one than not.
fn failover<'a>(all: &[&'a Record]) -> Vec<&'a Record> {
    let of = |role: &str| all.iter().copied().find(|it| it.failover.as_deref() == Some(role));
    let (primary, secondary) = (of("PRIMARY"), of("SECONDARY"));
    let primary_serves = primary.is_some_and(|it| it.healthy);
    let secondary_serves = secondary.is_some_and(|it| it.healthy);
    let chosen = if primary_serves || !secondary_serves { primary } else { secondary };
    chosen.or(secondary).into_iter().collect()
}

/// One of the healthy, as often as its weight says.
fn weighted<'a>(all: &[&'a Record]) -> Option<&'a Record> {
    let healthy: Vec<_> = all.iter().copied().filter(|record| record.healthy).collect();
    let all = if healthy.is_empty() { all.to_vec() } else { healthy };
    let weight = |record: &Record| u64::from(record.weight.unwrap_or_default());
    let sum: u64 = all.iter().map(|record| weight(record)).sum();
    let mut drawn = [0; 8];
    // Without chance it is the first.
    getrandom::fill(&mut drawn).ok();
    let drawn = u64::from_ne_bytes(drawn);
    if sum == 0 {
        let at = usize::try_from(drawn % all.len().max(1) as u64).unwrap_or_default();
        return all.get(at).copied();
    }
    let mut left = drawn % sum;
    all.into_iter().find(|record| {
        let mine = weight(record);
        let hit = left < mine;
        left = left.saturating_sub(mine);
        hit
    })
}

fn soa(zone: &str, records: &[Record]) -> Vec<Told> {
    Search { zone, records }.told(zone, "SOA")
}

/// What a record says.
fn data(kind: &str, value: &str) -> Option<RData> {
    let name = |text: &str| {
        let text = text.trim_end_matches('.');
        Name::from_utf8(format!("{text}.")).ok()
    };
    match kind.to_ascii_uppercase().as_str() {
        "A" => Ipv4Addr::from_str(value).ok().map(|address| RData::A(A(address))),
        "AAAA" => Ipv6Addr::from_str(value).ok().map(|address| RData::AAAA(AAAA(address))),
        "CNAME" => Some(RData::CNAME(CNAME(name(value)?))),
        "NS" => Some(RData::NS(NS(name(value)?))),
        "TXT" => Some(RData::TXT(TXT::new(vec![value.trim_matches('"').to_owned()]))),
        "SOA" => {
            let words: Vec<_> = value.split_whitespace().collect();
            let [server, mail, serial, refresh, retry, expire, least] = words[..] else {
                return None;
            };
            Some(RData::SOA(SOA::new(
                name(server)?,
                name(mail)?,
                serial.parse().ok()?,
                refresh.parse().ok()?,
                retry.parse().ok()?,
                expire.parse().ok()?,
                least.parse().ok()?,
            )))
        }
        _ => None,
    }
}
