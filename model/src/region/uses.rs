//! What a step needs, and where that is.

use serde::Serialize;
use serde_json::Value;

use super::named_in;
use super::places::{Places, Server};
use crate::footprint::{AwsUse, Footprint, Plane};
use crate::plan::PlanStep;

/// Services that are the same from everywhere; what changes them answers in one region alone.
/// <https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/global-services.html>
const OF_THE_WORLD: &[&str] = &["route53", "iam", "cloudfront", "organizations"];

/// Where what changes them answers, in the partition of a region.
fn home(region: Option<&str>) -> &'static str {
    match region.unwrap_or_default() {
        region if region.starts_with("cn-") => "cn-northwest-1",
        region if region.starts_with("us-gov-") => "us-gov-west-1",
        _ => "us-east-1",
    }
}

/// Whether a service has no region of its own.
pub fn is_of_the_world(service: &str) -> bool {
    OF_THE_WORLD.contains(&service)
}

/// Something that a step needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RegionUse {
    /// The thing: ``connection `prod` ``, `rds`.
    pub what: String,
    /// Where it is; absent when only the environment of a run tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Which half of the service answers.
    pub plane: Plane,
    /// Who answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The actions of IAM that are asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<String>,
    /// The step copes when it does not answer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub may_be_away: bool,
}

impl RegionUse {
    fn new(what: String, region: Option<String>, plane: Plane) -> Self {
        Self { what, region, plane, endpoint: None, actions: Vec::new(), may_be_away: false }
    }

    /// Whether the step cannot do without that region.
    pub fn is_bound_to(&self, region: &str) -> bool {
        self.region.as_deref() == Some(region) && !self.may_be_away
    }
}

impl Places {
    /// What a step needs, as far as it is told where that is. `with` is its input, filled as far
    /// as that can be known.
    pub fn needs(&self, step: &PlanStep, with: &Value) -> Vec<RegionUse> {
        let footprint = &step.footprint;
        let mut needs = self.servers(footprint);
        needs.extend(self.buckets(footprint));
        needs.extend(step.secrets.iter().filter_map(|name| self.of_secret(name)));
        let endpoint = with.get("endpoint_url").and_then(Value::as_str);
        let endpoint = endpoint.filter(|url| url.starts_with("http") && !url.contains("{{"));
        needs.extend(footprint.aws.iter().map(|asked| of_aws(asked, endpoint)));
        needs.extend(footprint.endpoints.iter().filter_map(|url| of_endpoint(url)));
        needs
    }

    /// The connections of a step of which nothing tells where they are.
    pub(super) fn untold<'s>(&self, step: &'s PlanStep) -> impl Iterator<Item = &'s str> {
        let names = step.footprint.connections.iter().map(|used| used.name.as_str());
        names.filter(|name| self.connections.get(*name) == Some(&Server::Untold))
    }

    fn servers(&self, footprint: &Footprint) -> Vec<RegionUse> {
        let known = footprint.connections.iter().filter_map(|used| {
            let Server::In(region) = self.connections.get(&used.name)? else { return None };
            let what = format!("connection `{}`", used.name);
            let need = RegionUse::new(what, Some(region.clone()), Plane::Data);
            Some(RegionUse { may_be_away: used.may_be_away, ..need })
        });
        known.collect()
    }

    fn buckets(&self, footprint: &Footprint) -> Vec<RegionUse> {
        let on_s3 = footprint.stores.iter().filter_map(|name| {
            let bucket = self.stores.get(name)?;
            let host = || aws_host("s3", bucket.region.as_deref()?).into();
            let actions = s3_actions(footprint, name, bucket.locks);
            Some(RegionUse {
                endpoint: bucket.endpoint.clone().or_else(host),
                actions: actions.into_iter().map(str::to_owned).collect(),
                ..RegionUse::new(format!("store `{name}`"), bucket.region.clone(), Plane::Data)
            })
        });
        on_s3.collect()
    }

    fn of_secret(&self, name: &str) -> Option<RegionUse> {
        let vault = self.secrets.get(name)?;
        let host = || aws_host(vault.service, vault.region.as_deref()?).into();
        Some(RegionUse {
            endpoint: vault.endpoint.clone().or_else(host),
            actions: vec![vault.action.to_owned()],
            ..RegionUse::new(format!("secret `{name}`"), vault.region.clone(), Plane::Data)
        })
    }
}

fn of_aws(asked: &AwsUse, endpoint: Option<&str>) -> RegionUse {
    let AwsUse { service, region, plane, actions } = asked;
    let region = match (is_of_the_world(service), plane) {
        (true, Plane::Control) => Some(home(region.as_deref()).to_owned()),
        (true, Plane::Data) => None,
        (false, _) => region.clone(),
    };
    let host = match (&region, is_of_the_world(service)) {
        (_, true) => Some(format!("{service}.amazonaws.com")),
        (Some(region), false) => Some(aws_host(service, region)),
        (None, false) => None,
    };
    RegionUse {
        endpoint: endpoint.map(str::to_owned).or(host),
        actions: actions.clone(),
        ..RegionUse::new(service.clone(), region, *plane)
    }
}

fn of_endpoint(url: &str) -> Option<RegionUse> {
    let region = named_in(url)?;
    let need = RegionUse::new("endpoint".to_owned(), Some(region), Plane::Data);
    Some(RegionUse { endpoint: Some(url.to_owned()), ..need })
}

fn aws_host(service: &str, region: &str) -> String {
    let end = if region.starts_with("cn-") { ".cn" } else { "" };
    format!("{service}.{region}.amazonaws.com{end}")
}

/// What a step asks of the bucket of a store: a step that writes there says so in `writes`.
fn s3_actions(footprint: &Footprint, name: &str, locks: bool) -> Vec<&'static str> {
    let own = name.rsplit('.').next().unwrap_or(name);
    let named = format!("store `{own}`");
    let mut actions = vec!["s3:ListBucket", "s3:GetObject"];
    if footprint.writes.iter().any(|text| text.contains(&named)) {
        if footprint.is(crate::footprint::Part::Prune) {
            actions.extend(["s3:ListBucketVersions", "s3:DeleteObject", "s3:DeleteObjectVersion"]);
        } else {
            actions.extend(["s3:PutObject", "s3:AbortMultipartUpload"]);
            actions.extend(locks.then_some("s3:PutObjectRetention"));
        }
    }
    actions
}
