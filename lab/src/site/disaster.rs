//! What can go wrong, by name.

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Site;
use crate::cloud::{Fault, FaultKind, PRIMARY_REGION, REPLICA_REGION};

/// The names of all disasters, with what each does.
pub const DISASTERS: &[(&str, &str)] = &[
    ("region", "a region is gone: its servers are killed, its endpoints do not answer"),
    ("primary-crash", "the primary is killed; the region goes on"),
    ("partition", "nothing is replicated between the regions"),
    ("lag", "the standby replays nothing, or so many `--seconds` late"),
    ("slow-promote", "a promotion takes so many `--seconds` longer"),
    ("throttle", "requests to AWS are throttled"),
    ("apply-then-drop", "a change takes effect and its answer is lost"),
    ("error-after-apply", "a change takes effect and is answered by an error"),
    ("error-before-apply", "a change is answered by an error and nothing is done"),
    ("dns-stale", "the name server goes on with the records of now"),
    ("credentials-expired", "the credentials have expired"),
    ("slack-down", "Slack does not take messages"),
    ("disk-full", "S3 takes no more bytes"),
];

/// A disaster that is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Its name.
    pub fault: String,
    /// Only in this region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Only requests of this service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Only this action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Only so many requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// By so many seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Ends by itself after so many seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_seconds: Option<f64>,
}

/// Something that can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disaster {
    /// In the cloud.
    Cloud(FaultKind),
    /// Slack does not take messages.
    SlackDown,
    /// S3 takes no more bytes.
    DiskFull,
}

impl Disaster {
    /// The disaster of that name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "slack-down" => Some(Self::SlackDown),
            "disk-full" => Some(Self::DiskFull),
            _ => FaultKind::named(name).map(Self::Cloud),
        }
    }
}

impl Asked {
    /// A disaster without limits.
    pub fn new(fault: &str) -> Self {
        Self {
            fault: fault.to_owned(),
            region: None,
            service: None,
            action: None,
            times: None,
            seconds: None,
            for_seconds: None,
        }
    }

    fn in_cloud(&self, kind: FaultKind) -> Fault {
        let mut fault = kind.fault();
        if let Some(region) = &self.region {
            fault = fault.region(region);
        }
        if let Some(service) = &self.service {
            fault = fault.service(service);
        }
        if let Some(action) = &self.action {
            fault = fault.action(action);
        }
        if let Some(times) = self.times {
            fault = fault.times(times);
        }
        if let Some(seconds) = self.seconds {
            fault = fault.seconds(seconds);
        }
        if let Some(seconds) = self.for_seconds {
            fault = fault.for_seconds(seconds);
        }
        fault
    }
}

impl Site {
    /// Lets a disaster begin. Blocks until servers that it kills are dead.
    pub fn begin(self: &std::sync::Arc<Self>, asked: &Asked) -> io::Result<()> {
        let disaster = known(&asked.fault)?;
        if let Some(region) = &asked.region
            && ![PRIMARY_REGION, REPLICA_REGION].contains(&region.as_str())
        {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "the laboratory has no region `{region}`: it has `{PRIMARY_REGION}` and \
                     `{REPLICA_REGION}`"
                ),
            ));
        }
        match disaster {
            Disaster::Cloud(kind) => return self.cloud.world().begin(asked.in_cloud(kind)),
            Disaster::SlackDown => self.sink.refuse("/slack", true),
            Disaster::DiskFull => self.s3.limit(Some(self.s3.used())),
        }
        if let Some(seconds) = asked.for_seconds {
            let (site, name) = (std::sync::Arc::downgrade(self), asked.fault.clone());
            let time = Duration::try_from_secs_f64(seconds).map_err(io::Error::other)?;
            std::thread::spawn(move || {
                std::thread::sleep(time);
                // A laboratory that has ended has no disasters.
                site.upgrade().map(|site| site.end(&name))
            });
        }
        Ok(())
    }

    /// Ends a disaster. Blocks until servers that come back are there.
    pub fn end(&self, name: &str) -> io::Result<()> {
        match known(name)? {
            Disaster::Cloud(kind) => self.cloud.world().end(kind)?,
            Disaster::SlackDown => self.sink.refuse("/slack", false),
            Disaster::DiskFull => self.s3.limit(None),
        }
        Ok(())
    }

    /// The disasters that go on.
    pub fn disasters(&self) -> Vec<Value> {
        let cloud = self.cloud.world().faults();
        let mut all: Vec<_> =
            cloud.iter().filter_map(|fault| serde_json::to_value(fault).ok()).collect();
        let own =
            [("slack-down", self.sink.refuses("/slack")), ("disk-full", self.s3.is_limited())];
        let going = own.into_iter().filter(|(_, going)| *going);
        all.extend(going.map(|(name, _)| serde_json::json!({"fault": name, "args": {}})));
        all
    }
}

fn known(name: &str) -> io::Result<Disaster> {
    Disaster::named(name).ok_or_else(|| {
        let names: Vec<_> = DISASTERS.iter().map(|(name, _)| format!("`{name}`")).collect();
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("there is no disaster `{name}`: there are {}", names.join(", ")),
        )
    })
}

/// The region that a fault is about.
pub(super) fn region_of(fault: &Fault) -> String {
    let told = serde_json::to_value(fault).unwrap_or_default();
    told["args"]["region"].as_str().unwrap_or(PRIMARY_REGION).to_owned()
}
