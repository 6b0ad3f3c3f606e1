//! Where the things lie that a runbook declares.

use std::collections::HashMap;

use super::named_in;
use crate::plan::{Connection, SecretSource, Store};
use crate::s3_url::SCHEME;

/// Where connections, stores and secrets lie, by the names that they have in a plan.
#[derive(Debug, Clone, Default)]
pub struct Places {
    pub(super) connections: HashMap<String, Server>,
    pub(super) stores: HashMap<String, Bucket>,
    pub(super) secrets: HashMap<String, Vault>,
}

/// Where a server of PostgreSQL stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Server {
    In(String),
    /// On the machine that runs the runbook.
    Here,
    /// Nothing tells.
    Untold,
}

/// A bucket, as far as the plan tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bucket {
    pub(super) region: Option<String>,
    pub(super) endpoint: Option<String>,
    pub(super) locks: bool,
}

/// A service that gives a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Vault {
    pub(super) service: &'static str,
    pub(super) action: &'static str,
    pub(super) region: Option<String>,
    pub(super) endpoint: Option<String>,
}

/// Fills a text, as far as that can be known now.
type Fill<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Places {
    /// Adds a connection. Its `region`, else the name of its host, tells where it is.
    pub fn connection(&mut self, name: String, declared: &Connection, fill: Fill<'_>) {
        let filled = |text: &Option<String>| fill(text.as_ref()?);
        let hosts = [filled(&declared.url), filled(&declared.host)];
        let hosts: Vec<&String> = hosts.iter().flatten().collect();
        let said = filled(&declared.region).filter(|region| !region.is_empty());
        let told = || hosts.iter().find_map(|host| named_in(host));
        let place = match said.or_else(told) {
            Some(region) => Server::In(region),
            None if declared.docker.is_some() => Server::Here,
            None if hosts.iter().any(|host| is_here(host)) => Server::Here,
            None => Server::Untold,
        };
        self.connections.insert(name, place);
    }

    /// Adds a store, when it lies on S3.
    pub fn store(&mut self, name: String, declared: &Store, fill: Fill<'_>) {
        if !fill(&declared.url).is_some_and(|url| url.starts_with(SCHEME)) {
            return;
        }
        let filled = |text: &Option<String>| fill(text.as_ref()?).filter(|text| !text.is_empty());
        let endpoint = filled(&declared.endpoint_url);
        let told = || endpoint.as_deref().and_then(named_in);
        let region = filled(&declared.region).or_else(told);
        let locks = declared.object_lock.is_some();
        self.stores.insert(name, Bucket { region, endpoint, locks });
    }

    /// Adds a secret, when a service gives it.
    pub fn secret(&mut self, name: String, source: &SecretSource, fill: Fill<'_>) {
        if let Some(vault) = vault(source, fill) {
            self.secrets.insert(name, vault);
        }
    }
}

/// The service that gives a secret, if one does.
fn vault(source: &SecretSource, fill: Fill<'_>) -> Option<Vault> {
    let (service, action, id, place) = match source {
        SecretSource::Env(_) | SecretSource::File(_) | SecretSource::Command(_) => return None,
        SecretSource::AwsSsm(one) => ("ssm", "ssm:GetParameter", &one.name, &one.place),
        SecretSource::AwsSecretsmanager(one) => {
            ("secretsmanager", "secretsmanager:GetSecretValue", &one.id, &one.place)
        }
    };
    let filled = |text: &Option<String>| fill(text.as_ref()?).filter(|text| !text.is_empty());
    let endpoint = filled(&place.endpoint_url);
    let told = || endpoint.as_deref().and_then(named_in);
    let region = fill(id).and_then(|id| of_arn(&id)).or_else(|| filled(&place.region));
    Some(Vault { service, action, region: region.or_else(told), endpoint })
}

/// The region that an ARN names: `arn:aws:secretsmanager:us-west-2:123456789012:secret:app`.
fn of_arn(id: &str) -> Option<String> {
    let region = id.strip_prefix("arn:")?.split(':').nth(2)?;
    (!region.is_empty()).then(|| region.to_owned())
}

/// Whether a URL or a host leads to this machine.
fn is_here(host: &str) -> bool {
    let rest = host.split_once("://").map_or(host, |(_, rest)| rest);
    let place = rest.split(['/', '?']).next().unwrap_or_default();
    let place = place.rsplit('@').next().unwrap_or_default();
    place.is_empty() || place.starts_with("localhost") || place.starts_with("127.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(text: &str) -> Option<String> {
        (!text.contains("{{")).then(|| text.to_owned())
    }

    #[test]
    fn a_connection_is_where_it_says_or_where_its_host_is() {
        let place = |connection: Connection| {
            let mut places = Places::default();
            places.connection("a".to_owned(), &connection, &known);
            places.connections["a"].clone()
        };
        let text = |text: &str| Some(text.to_owned());
        let of_url = |url: &str| place(Connection { url: text(url), ..Connection::default() });
        let of_host = |host: &str| place(Connection { host: text(host), ..Connection::default() });
        let west = || Server::In("eu-west-1".to_owned());
        assert_eq!(of_host("db.c9.eu-west-1.rds.amazonaws.com"), west());
        assert_eq!(of_url("postgresql://u@db.c9.eu-west-1.rds.amazonaws.com:5432/app"), west());
        assert_eq!(of_url("{{ secrets.url }}"), Server::Untold);
        assert_eq!(of_host("db.internal"), Server::Untold);
        assert_eq!(place(Connection::default()), Server::Untold);
        for here in ["/var/run/postgresql", "localhost", "127.0.0.1"] {
            assert_eq!(of_host(here), Server::Here, "{here}");
        }
        for here in ["postgresql:///app", "postgresql://u:p@127.0.0.1:5432/app"] {
            assert_eq!(of_url(here), Server::Here, "{here}");
        }
        let docker = Connection { docker: text("db"), ..Connection::default() };
        assert_eq!(place(docker), Server::Here);
        let said = Connection {
            url: text("{{ secrets.url }}"),
            region: text("eu-west-1"),
            ..Connection::default()
        };
        assert_eq!(place(said), west());
    }
}
