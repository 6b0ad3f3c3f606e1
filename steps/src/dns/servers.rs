//! Which name servers are asked.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use engine::files;
use hickory_proto::rr::{Name, RecordType};
use tokio::net::lookup_host;

use super::ask::ask;

/// The port of name servers.
const PORT: u16 = 53;

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// A name server: what it is called, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NameServer {
    pub(super) shown: String,
    pub(super) address: SocketAddr,
}

impl NameServer {
    fn at(address: SocketAddr) -> Self {
        Self { shown: address.to_string(), address }
    }
}

/// The servers that `resolv.conf` names.
fn system() -> Result<Vec<NameServer>, String> {
    let text = files::read_text(Path::new(RESOLV_CONF));
    let text = text.map_err(|error| format!("`{RESOLV_CONF}` cannot be read: {error}"))?;
    let named = text.lines().filter_map(|line| {
        let address: IpAddr = line.trim().strip_prefix("nameserver")?.trim().parse().ok()?;
        Some(NameServer::at(SocketAddr::from((address, PORT))))
    });
    let named: Vec<_> = named.collect();
    if named.is_empty() { Err(format!("`{RESOLV_CONF}` names no server")) } else { Ok(named) }
}

/// A server by its address or name, with or without a port.
async fn named(text: &str) -> Result<Vec<NameServer>, String> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(vec![NameServer::at(address)]);
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(vec![NameServer::at(SocketAddr::from((address, PORT)))]);
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().map_err(|_| format!("`{port}` is no port"))?),
        None => (text, PORT),
    };
    let mut found =
        lookup_host((host, port)).await.map_err(|error| format!("`{host}`: {error}"))?;
    let address = found.next().ok_or_else(|| format!("`{host}` has no address"))?;
    Ok(vec![NameServer { shown: format!("{text} ({address})"), address }])
}

/// The servers of the zone that the name lies in: the nearest name above that has any.
async fn of_the_zone(name: &Name, resolver: SocketAddr) -> Result<Vec<NameServer>, String> {
    let mut zone = name.clone();
    while !zone.is_root() {
        let hosts = ask(resolver, &zone, RecordType::NS).await?.values;
        if !hosts.is_empty() {
            return addresses(&hosts, resolver).await;
        }
        zone = zone.base_name();
    }
    Err(format!("no zone above `{name}` names its servers"))
}

async fn addresses(hosts: &[String], resolver: SocketAddr) -> Result<Vec<NameServer>, String> {
    let mut servers = Vec::new();
    for host in hosts {
        let name = Name::from_utf8(format!("{host}.")).map_err(|error| error.to_string())?;
        let mut values = ask(resolver, &name, RecordType::A).await?.values;
        if values.is_empty() {
            values = ask(resolver, &name, RecordType::AAAA).await?.values;
        }
        let address = values.first().and_then(|text| text.parse::<IpAddr>().ok());
        let address = address.ok_or_else(|| format!("name server `{host}` has no address"))?;
        let address = SocketAddr::from((address, PORT));
        servers.push(NameServer { shown: format!("{host} ({address})"), address });
    }
    Ok(servers)
}

/// The servers that `text` stands for: `authoritative`, `system`, or one by name or address.
pub(super) async fn find(
    text: &str,
    name: &Name,
    resolver: Option<&str>,
) -> Result<Vec<NameServer>, String> {
    match text {
        "system" => system(),
        "authoritative" => {
            let resolver = match resolver {
                Some(resolver) => named(resolver).await?,
                None => system()?,
            };
            of_the_zone(name, resolver[0].address).await
        }
        server => named(server).await,
    }
}
