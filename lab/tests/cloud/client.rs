//! The clients.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use lab::cloud::Cloud;
use serde_json::Value;

/// Tells the state of an instance whenever it has changed, until it is a primary that is available.
const WATCH: &str = r#"
import json, sys, botocore.session
rds = botocore.session.get_session().create_client("rds", region_name=sys.argv[1])
last = None
print(json.dumps("ready"), flush=True)
while True:
    it = rds.describe_db_instances(DBInstanceIdentifier=sys.argv[2])["DBInstances"][0]
    now = [it["DBInstanceStatus"], "ReadReplicaSourceDBInstanceIdentifier" in it]
    if now != last:
        print(json.dumps(now), flush=True)
    last = now
    if now == ["available", False]:
        break
"#;

/// The folder that `scripts/install test` fills.
fn folder() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache =
        cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"));
    let folders = std::fs::read_dir(cache).unwrap().filter_map(Result::ok).map(|it| it.path());
    let has_aws = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("runbook-moto-") && path.join("bin/aws").exists()
    };
    folders.into_iter().find(has_aws).expect("`scripts/install test` has installed `aws`")
}

fn prepared(cloud: &Cloud, program: &str) -> Command {
    let mut command = Command::new(folder().join("bin").join(program));
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", cloud.folder())
        .env("AWS_MAX_ATTEMPTS", "1")
        .env("AWS_PAGER", "")
        .envs(cloud.environment());
    command
}

/// What `aws` answers; else what it says on standard error.
pub(crate) fn aws(cloud: &Cloud, region: &str, words: &[&str]) -> Result<Value, String> {
    aws_as(cloud, region, words, &[])
}

/// The same, in a changed environment.
pub(crate) fn aws_as(
    cloud: &Cloud,
    region: &str,
    words: &[&str],
    environment: &[(&str, &str)],
) -> Result<Value, String> {
    let done = prepared(cloud, "aws")
        .envs(environment.iter().copied())
        // Said on the line as well: for RDS in us-east-1 the first version of `aws` puts an address
        // of its own above that of the environment.
        .args(["--region", region, "--output", "json", "--endpoint-url", &cloud.url()])
        .args(words)
        .output()
        .unwrap();
    if !done.status.success() {
        return Err(String::from_utf8_lossy(&done.stderr).trim().to_owned());
    }
    if done.stdout.trim_ascii().is_empty() {
        return Ok(Value::Null);
    }
    Ok(serde_json::from_slice(&done.stdout).unwrap())
}

/// One instance, as `aws` describes it.
pub(crate) fn described(cloud: &Cloud, region: &str, id: &str) -> Value {
    let words = ["rds", "describe-db-instances", "--db-instance-identifier", id];
    aws(cloud, region, &words).unwrap()["DBInstances"][0].clone()
}

/// A second client that watches an instance.
pub(crate) struct Watcher {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Watcher {
    /// Begins to watch.
    pub(crate) fn of(cloud: &Cloud, region: &str, id: &str) -> Self {
        let mut child = prepared(cloud, "python")
            .args(["-c", WATCH, region, id])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "\"ready\"");
        Self { child, lines }
    }

    /// The status, and whether it is a replica, each time when that changed.
    pub(crate) fn states(mut self) -> Vec<(String, bool)> {
        let states = self.lines.by_ref().map(|line| serde_json::from_str(&line.unwrap()).unwrap());
        let states = states.collect();
        assert!(self.child.wait().unwrap().success());
        states
    }
}

/// What SQL gives through an endpoint; else what `psql` says.
pub(crate) fn sql(cloud: &Cloud, region: &str, id: &str, sql: &str) -> Result<String, String> {
    let world = cloud.world();
    let url = world.database_url(region, id, "postgres").unwrap();
    let psql = world.cluster(region, id).unwrap().program("psql");
    let done = Command::new(psql)
        .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql, &url])
        .env("PGCONNECT_TIMEOUT", "10")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if done.status.success() { Ok(text(&done.stdout)) } else { Err(text(&done.stderr)) }
}
