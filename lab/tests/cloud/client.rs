//! The clients.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;

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

/// The `aws` program, one command line for each line of standard input.
const SHELL: &str = r"
import contextlib, io, json, sys
from awscli.clidriver import create_clidriver
answers = sys.stdout
for line in sys.stdin:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = create_clidriver().main(json.loads(line))
        except SystemExit as end:
            status = end.code or 0
    print(json.dumps([status, out.getvalue(), err.getvalue()]), file=answers, flush=True)
";

type Lines = std::io::Lines<BufReader<ChildStdout>>;

fn prepared(cloud: &Cloud, program: &str) -> Command {
    let mut command = Command::new(lab::moto::program(program).unwrap());
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
    let waiting = SHELLS.lock().unwrap().pop();
    let mut shell = waiting.unwrap_or_else(|| Shell::start(cloud));
    let answered = shell.ask(&line(cloud, region, words));
    SHELLS.lock().unwrap().push(shell);
    answered
}

/// The same by a program of its own, in a changed environment.
pub(crate) fn aws_as(
    cloud: &Cloud,
    region: &str,
    words: &[&str],
    environment: &[(&str, &str)],
) -> Result<Value, String> {
    let line = line(cloud, region, words);
    let mut command = prepared(cloud, "aws");
    let done = command.envs(environment.iter().copied()).args(line).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    told(done.status.success(), &text(done.stdout), &text(done.stderr))
}

fn line(cloud: &Cloud, region: &str, words: &[&str]) -> Vec<String> {
    // The address is said on the line as well: for RDS in us-east-1 the first version of `aws`
    // puts one of its own above that of the environment.
    let url = cloud.url();
    let all = ["--region", region, "--output", "json", "--endpoint-url", &url].into_iter();
    all.chain(words.iter().copied()).map(str::to_owned).collect()
}

fn told(succeeded: bool, out: &str, err: &str) -> Result<Value, String> {
    if !succeeded {
        return Err(err.trim().to_owned());
    }
    if out.trim().is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_str(out).unwrap()) }
}

/// The `aws` program, loaded once for many command lines: loading it takes longer than all of them.
struct Shell {
    lines: Lines,
    writer: ChildStdin,
    // Ends when its standard input does.
    _child: Child,
}

static SHELLS: Mutex<Vec<Shell>> = Mutex::new(Vec::new());

impl Shell {
    fn start(cloud: &Cloud) -> Self {
        let mut command = prepared(cloud, "python");
        command.args(["-c", SHELL]).env_remove("AWS_ENDPOINT_URL").env("HOME", "/nonexistent");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { lines, writer: child.stdin.take().unwrap(), _child: child }
    }

    fn ask(&mut self, line: &[String]) -> Result<Value, String> {
        writeln!(self.writer, "{}", serde_json::to_string(line).unwrap()).unwrap();
        let answer = self.lines.next().unwrap().unwrap();
        let (status, out, err): (i32, String, String) = serde_json::from_str(&answer).unwrap();
        told(status == 0, &out, &err)
    }
}

/// One instance, as `aws` describes it.
pub(crate) fn described(cloud: &Cloud, region: &str, id: &str) -> Value {
    let words = ["rds", "describe-db-instances", "--db-instance-identifier", id];
    aws(cloud, region, &words).unwrap()["DBInstances"][0].clone()
}

/// A second client that watches an instance.
pub(crate) struct Watcher {
    child: Child,
    lines: Lines,
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
