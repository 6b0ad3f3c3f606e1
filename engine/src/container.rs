//! Whether a container runs, and where its PostgreSQL listens, as `docker inspect` tells it.
//! <https://docs.docker.com/reference/cli/docker/inspect/>

use std::time::Duration;

use model::step_error::StepError;
use serde_json::Value;

use crate::{environment, process};

/// `docker inspect` answers within this time.
const LIMIT: Duration = Duration::from_secs(30);

/// PostgreSQL's port inside.
const PORT: &str = "5432";

/// What a container says of its server; the image's variables are its defaults.
/// <https://hub.docker.com/_/postgres>
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: String,
    /// `POSTGRES_USER`, else `postgres`.
    pub user: String,
    /// `POSTGRES_DB`, else the user's name.
    pub database: String,
}

/// Asks where the server in `container` listens: at its published port, else at its address.
pub async fn address(container: &str) -> Result<Address, StepError> {
    let refused = |why: String| {
        let hint = "`docker ps` lists the containers that run; publish port 5432 of this one";
        refusal(container, &why).hint(hint)
    };
    let output = inspect(container).await.map_err(refused)?;
    let engine = environment::variable("DOCKER_HOST").and_then(|url| host_of(&url));
    read(&output, engine.as_deref()).map_err(refused)
}

/// Refuses a container that does not run.
pub async fn check_runs(container: &str) -> Result<(), StepError> {
    let found = inspect(container).await.and_then(|output| running(&output).map(drop));
    found.map_err(|why| refusal(container, &why).hint("`docker ps` lists the containers that run"))
}

fn refusal(container: &str, why: &str) -> StepError {
    let message = format!("the container `{container}` cannot be used: {why}");
    StepError::needs_operator("RB0421", message)
}

async fn inspect(container: &str) -> Result<Vec<u8>, String> {
    let argv = ["docker", "inspect", "--type", "container", "--", container].map(str::to_owned);
    process::output(&argv, LIMIT).await
}

/// The container that `docker inspect` described, when it runs.
fn running(output: &[u8]) -> Result<Value, String> {
    let mut all: Value =
        serde_json::from_slice(output).map_err(|_| "`docker` did not answer in JSON".to_owned())?;
    let container = all.get_mut(0).map(Value::take).unwrap_or_default();
    if container["State"]["Running"] != Value::Bool(true) {
        return Err("it does not run".to_owned());
    }
    Ok(container)
}

/// The host of a remote engine's address.
fn host_of(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?;
    let host = authority.rsplit('@').next()?.split(':').next()?;
    matches!(scheme, "tcp" | "ssh").then(|| host.to_owned())
}

fn read(output: &[u8], engine: Option<&str>) -> Result<Address, String> {
    let container = running(output)?;
    let network = &container["NetworkSettings"];
    let (host, port) = published(&network["Ports"][format!("{PORT}/tcp")], engine)
        .or_else(|| inside(&network["Networks"]).filter(|_| engine.is_none()))
        .ok_or("its port 5432 is not published")?;
    let variable = |name: &str| {
        let all = container["Config"]["Env"].as_array()?.iter().filter_map(Value::as_str);
        let mut values = all.filter_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        values.next().filter(|value| !value.is_empty()).map(str::to_owned)
    };
    let user = variable("POSTGRES_USER").unwrap_or_else(|| "postgres".to_owned());
    let database = variable("POSTGRES_DB").unwrap_or_else(|| user.clone());
    Ok(Address { host, port, user, database })
}

fn published(bindings: &Value, engine: Option<&str>) -> Option<(String, String)> {
    let binding = bindings.get(0)?;
    let host = binding["HostIp"].as_str()?;
    let any = matches!(host, "" | "0.0.0.0" | "::");
    let host = if any { engine.unwrap_or("127.0.0.1") } else { host };
    Some((host.to_owned(), binding["HostPort"].as_str()?.to_owned()))
}

fn inside(networks: &Value) -> Option<(String, String)> {
    let mut addresses = networks.as_object()?.values().filter_map(|one| one["IPAddress"].as_str());
    let address = addresses.find(|address| !address.is_empty())?;
    Some((address.to_owned(), PORT.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn container(ports: &Value, running: bool) -> Vec<u8> {
        let container = json!([{
            "State": {"Running": running},
            "Config": {"Env": ["PATH=/bin", "POSTGRES_USER=app", "POSTGRES_PASSWORD=canary"]},
            "NetworkSettings": {
                "Ports": {"5432/tcp": ports},
                "Networks": {"bridge": {"IPAddress": "172.17.0.2"}},
            },
        }]);
        container.to_string().into_bytes()
    }

    fn place(output: &[u8], engine: Option<&str>) -> Result<String, String> {
        read(output, engine)
            .map(|found| format!("{}@{}:{}/{}", found.user, found.host, found.port, found.database))
    }

    #[test]
    fn the_published_port_counts_before_the_address() {
        let everywhere = container(&json!([{"HostIp": "0.0.0.0", "HostPort": "54321"}]), true);
        assert_eq!(place(&everywhere, None).unwrap(), "app@127.0.0.1:54321/app");
        assert_eq!(place(&everywhere, Some("db1")).unwrap(), "app@db1:54321/app");
        let one = container(&json!([{"HostIp": "10.0.0.5", "HostPort": "6000"}]), true);
        assert_eq!(place(&one, Some("db1")).unwrap(), "app@10.0.0.5:6000/app");
        let hidden = container(&Value::Null, true);
        assert_eq!(place(&hidden, None).unwrap(), "app@172.17.0.2:5432/app");
        assert_eq!(place(&hidden, Some("db1")).unwrap_err(), "its port 5432 is not published");
    }

    #[test]
    fn a_container_that_does_not_run_is_refused() {
        assert_eq!(place(&container(&json!([]), false), None).unwrap_err(), "it does not run");
        assert_eq!(place(b"[]", None).unwrap_err(), "it does not run");
        assert_eq!(place(b"no", None).unwrap_err(), "`docker` did not answer in JSON");
    }

    #[test]
    fn a_remote_engine_is_where_its_ports_are() {
        assert_eq!(host_of("tcp://db1:2376").as_deref(), Some("db1"));
        assert_eq!(host_of("ssh://ops@db1").as_deref(), Some("db1"));
        assert_eq!(host_of("unix:///run/docker.sock"), None);
    }

    #[tokio::test]
    async fn a_container_that_is_not_there_is_said() {
        let error = address("runbook-no-such-container").await.unwrap_err();
        assert_eq!(error.code, "RB0421");
        assert!(error.message.starts_with("the container `runbook-no-such-container` cannot"));
    }
}
