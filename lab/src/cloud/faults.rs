//! Faults on demand.

use serde::{Deserialize, Serialize};

use super::call::Protocol;
use super::refusal::Refusal;

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// A region is gone: its instances are killed, its endpoints refuse, its requests are cut.
    /// Route 53 and IAM, which have no region of their own, go on unless `globally` is set. Its end
    /// brings the old primary back, as a primary.
    Region,
    /// The instances of a region that are no replicas are killed; the region goes on.
    PrimaryCrash,
    /// Nothing is replicated between regions.
    Partition,
    /// The replicas of a region fall behind: by `seconds`, or for good.
    Lag,
    /// Promotions take `seconds` longer, or stay where they are until it ends.
    SlowPromote,
    /// Requests are throttled.
    Throttle,
    /// A change takes effect and its answer is lost.
    ApplyThenDrop,
    /// A change takes effect and is answered by an internal error.
    ErrorAfterApply,
    /// A request is answered by an internal error, or by `code` and `status`; nothing is done.
    ErrorBeforeApply,
    /// The DNS servers go on with the records of the moment when it begins.
    DnsStale,
    /// The credentials have expired.
    CredentialsExpired,
}

/// A fault, and what it is limited to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    pub(super) fault: FaultKind,
    #[serde(default)]
    pub(super) args: Limits,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) service: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) region: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) action: Option<String>,
    /// How many requests meet it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) times: Option<u32>,
    /// By how much: of `lag` and `slow-promote`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seconds: Option<f64>,
    /// The fault ends by itself after so long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) for_seconds: Option<f64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) globally: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<u16>,
}

impl FaultKind {
    /// The fault without limits.
    pub fn fault(self) -> Fault {
        Fault { fault: self, args: Limits::default() }
    }

    /// The kind of this name, such as `slow-promote`.
    pub fn named(name: &str) -> Option<Self> {
        serde_json::from_value(name.into()).ok()
    }

    /// Its name.
    pub fn name(self) -> String {
        let name = serde_json::to_value(self).expect("a kind is JSON");
        name.as_str().expect("a kind is a word").to_owned()
    }
}

impl Fault {
    /// Only requests of this service, as it is named in signatures.
    #[must_use]
    pub fn service(mut self, service: &str) -> Self {
        self.args.service = Some(service.to_owned());
        self
    }

    /// Only in this region.
    #[must_use]
    pub fn region(mut self, region: &str) -> Self {
        self.args.region = Some(region.to_owned());
        self
    }

    /// Only requests of this action.
    #[must_use]
    pub fn action(mut self, action: &str) -> Self {
        self.args.action = Some(action.to_owned());
        self
    }

    /// Only so many requests.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.args.times = Some(times);
        self
    }

    /// By so many seconds.
    #[must_use]
    pub fn seconds(mut self, seconds: f64) -> Self {
        self.args.seconds = Some(seconds);
        self
    }

    /// Ends by itself after so many seconds.
    #[must_use]
    pub fn for_seconds(mut self, seconds: f64) -> Self {
        self.args.for_seconds = Some(seconds);
        self
    }

    /// A lost region takes the global services with it.
    #[must_use]
    pub fn globally(mut self) -> Self {
        self.args.globally = true;
        self
    }

    /// The error that is answered instead of an internal one.
    #[must_use]
    pub fn saying(mut self, status: u16, code: &str) -> Self {
        self.args.status = Some(status);
        self.args.code = Some(code.to_owned());
        self
    }

    /// What it is.
    pub fn kind(&self) -> FaultKind {
        self.fault
    }
}

/// A request, for a fault to look at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Met<'a> {
    pub(super) service: &'a str,
    pub(super) region: &'a str,
    pub(super) action: &'a str,
}

impl Met<'_> {
    fn is_limited_to(&self, limits: &Limits) -> bool {
        let holds =
            |limit: &Option<String>, is: &str| limit.as_ref().is_none_or(|limit| limit == is);
        holds(&limits.service, self.service)
            && holds(&limits.region, self.region)
            && holds(&limits.action, self.action)
    }

    /// Whether the service has no region of its own.
    fn is_global(&self) -> bool {
        ["route53", "iam"].contains(&self.service)
    }
}

/// The faults that have begun and not ended.
#[derive(Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    /// What stands now.
    pub(super) fn standing(&self) -> &[Fault] {
        &self.0
    }

    pub(super) fn begin(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    /// Ends all of a kind and gives them back.
    pub(super) fn end(&mut self, kind: FaultKind) -> Vec<Fault> {
        self.0.extract_if(.., |fault| fault.fault == kind).collect()
    }

    /// Whether a fault of this kind stands.
    pub(super) fn stands(&self, kind: FaultKind) -> bool {
        self.0.iter().any(|fault| fault.fault == kind)
    }

    /// The seconds of a standing fault that concerns a region.
    pub(super) fn seconds(&self, kind: FaultKind, region: &str) -> f64 {
        let concerned = self.0.iter().filter(|fault| {
            fault.fault == kind && fault.args.region.as_ref().is_none_or(|it| it == region)
        });
        concerned.filter_map(|fault| fault.args.seconds).sum()
    }

    /// Whether a request reaches nobody, because its region is lost.
    pub(super) fn cuts(&self, met: Met<'_>) -> bool {
        self.0.iter().any(|fault| {
            fault.fault == FaultKind::Region
                && fault.region_or_primary() == met.region
                && (fault.args.globally || !met.is_global())
        })
    }

    /// What a request is answered instead of being served.
    pub(super) fn refuses(&mut self, met: Met<'_>, protocol: Protocol) -> Option<Refusal> {
        if self.meets(FaultKind::CredentialsExpired, met).is_some() {
            return Some(Refusal::expired(protocol));
        }
        if self.meets(FaultKind::Throttle, met).is_some() {
            return Some(Refusal::throttled(protocol));
        }
        let fault = self.meets(FaultKind::ErrorBeforeApply, met)?;
        let mut refusal = Refusal::internal();
        if let Some(code) = fault.args.code {
            refusal = Refusal::new(&code, "The laboratory was told to say so");
        }
        refusal.status = fault.args.status.unwrap_or(refusal.status);
        Some(refusal)
    }

    /// Whether a fault of this kind waits for this request; one that is counted is used up by it.
    pub(super) fn meets(&mut self, kind: FaultKind, met: Met<'_>) -> Option<Fault> {
        let place = self.0.iter().position(|fault| {
            fault.fault == kind && met.is_limited_to(&fault.args) && fault.args.times != Some(0)
        })?;
        if let Some(times) = &mut self.0[place].args.times {
            *times -= 1;
            if *times == 0 {
                return Some(self.0.remove(place));
            }
        }
        Some(self.0[place].clone())
    }
}

impl Fault {
    /// The region it is about.
    pub(super) fn region_or_primary(&self) -> &str {
        self.args.region.as_deref().unwrap_or(super::PRIMARY_REGION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(action: &'static str) -> Met<'static> {
        Met { service: "rds", region: "us-west-2", action }
    }

    #[test]
    fn a_counted_fault_is_used_up_by_the_requests_that_meet_it() {
        let mut faults = Faults::default();
        let limited = FaultKind::Throttle.fault().service("rds").action("Promote").times(1);
        faults.begin(limited);
        assert!(faults.refuses(met("Describe"), Protocol::Query).is_none());
        assert_eq!(faults.refuses(met("Promote"), Protocol::Query).unwrap().code, "Throttling");
        assert!(faults.refuses(met("Promote"), Protocol::Query).is_none());
    }

    #[test]
    fn kinds_have_the_names_of_the_command_line() {
        assert_eq!(FaultKind::named("apply-then-drop"), Some(FaultKind::ApplyThenDrop));
        assert_eq!(FaultKind::SlowPromote.name(), "slow-promote");
        let written = r#"{"fault": "region", "args": {"region": "us-east-1"}}"#;
        let read: Fault = serde_json::from_str(written).unwrap();
        assert_eq!(read, FaultKind::Region.fault().region("us-east-1"));
    }

    #[test]
    fn a_lost_region_leaves_the_global_services_unless_it_is_told_otherwise() {
        let names = Met { service: "route53", region: "us-east-1", action: "ListHostedZones" };
        let mut faults = Faults::default();
        faults.begin(FaultKind::Region.fault());
        assert!(!faults.cuts(names));
        assert!(faults.cuts(Met { service: "ssm", ..names }));
        faults.begin(FaultKind::Region.fault().globally());
        assert!(faults.cuts(names));
    }
}
