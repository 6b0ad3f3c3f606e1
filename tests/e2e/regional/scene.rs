//! A laboratory with two regions and an application, and the runbooks that move it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use jiff::Timestamp;
use lab::site::{Asked, Site, SiteOptions};
use serde_json::Value;
use tempfile::TempDir;

use crate::bed::Ended;

/// The region that is left, and the one that takes over.
pub(super) const EAST: &str = "us-east-1";
pub(super) const WEST: &str = "us-west-2";

pub(super) struct Scene {
    pub(super) site: Arc<Site>,
    folder: TempDir,
}

impl Scene {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = SiteOptions::new(folder.path().join("lab")).rows(500);
        let scene = Self { site: Arc::new(Site::start(&options).unwrap()), folder };
        scene.sql("PRIMARY_DATABASE_URL", "CREATE TABLE probe (n int)");
        scene
    }

    /// A value of the laboratory's environment.
    pub(super) fn value(&self, name: &str) -> String {
        let all = self.site.environment();
        all.into_iter().find(|(known, _)| *known == name).expect("the laboratory has it").1
    }

    /// The first value of an answer of the server at the URL of that name.
    pub(super) fn sql(&self, url: &str, sql: &str) -> String {
        let mut psql = Command::new("psql");
        psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql, &self.value(url)]);
        let ended = Ended::of(psql.output().unwrap()).expect(0);
        ended.stdout.trim().to_owned()
    }

    pub(super) fn disaster(&self, name: &str, region: &str) {
        self.site.begin(&Asked { region: Some(region.to_owned()), ..Asked::new(name) }).unwrap();
    }

    /// The parameters of `dr-failover` here.
    fn params(&self) -> Vec<String> {
        let said = [
            ("primary", "app-primary".to_owned()),
            ("primary_region", EAST.to_owned()),
            ("replica", "app-replica".to_owned()),
            ("replica_region", WEST.to_owned()),
            ("isolation_groups", "sg-isolated".to_owned()),
            ("parameter", lab::site::HOST_PARAMETER.to_owned()),
            ("one_person", "true".to_owned()),
            ("settle", "3s".to_owned()),
            ("catch_up", "20s".to_owned()),
        ];
        let said = said.map(|(name, value)| format!("{name}={value}"));
        said.into_iter().chain(self.moving()).collect()
    }

    /// The parameters that both runbooks have.
    pub(super) fn moving(&self) -> Vec<String> {
        let said = [
            ("zone", "lab.internal".to_owned()),
            ("record", lab::site::DATABASE_HOST.to_owned()),
            ("ttl", "5s".to_owned()),
            ("name_servers", self.value("LAB_DNS")),
            ("health", format!("{}/health", self.value("LAB_APP_URL"))),
            ("interval", "200ms".to_owned()),
            ("slack", "true".to_owned()),
        ];
        said.map(|(name, value)| format!("{name}={value}")).into()
    }

    /// A folder of this scene's own.
    pub(super) fn folder(&self, name: &str) -> PathBuf {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// The binary in the laboratory's environment.
    pub(super) fn command(&self, args: &[&str], params: &[String]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runbook"));
        command.args(args).args(params.iter().flat_map(|param| ["-p", param]));
        command.current_dir(env!("CARGO_MANIFEST_DIR")).envs(self.site.environment());
        command.env("RUNBOOK_STATE", self.folder.path().join("state")).env("NO_COLOR", "1");
        command
    }

    pub(super) fn run(&self, args: &[&str], params: &[String]) -> Ended {
        Ended::of(self.command(args, params).output().unwrap())
    }

    /// Runs `dr-failover`.
    pub(super) fn fail_over(&self, incident: Timestamp, more: &[&str], params: &[&str]) -> Ended {
        let at = incident.to_string();
        let mut args = vec!["run", "runbooks/dr-failover.yaml", "--yes", "--incident-at", &at];
        args.extend(more);
        let mut all = self.params();
        all.extend(params.iter().map(|&param| param.to_owned()));
        self.run(&args, &all)
    }

    /// The plan of `dr-failover`.
    pub(super) fn planned(&self, more: &[&str]) -> Ended {
        self.run(&[&["plan", "runbooks/dr-failover.yaml"], more].concat(), &self.params())
    }

    /// Runs `failback`, the old primary being there again.
    pub(super) fn fail_back(&self) -> Ended {
        let said = [
            "current=app-replica".to_owned(),
            format!("current_region={WEST}"),
            format!("home_region={EAST}"),
            "old=app-primary".to_owned(),
            "rebuilt=app-home".to_owned(),
            "home_groups=sg-app".to_owned(),
            "home_isolation_groups=sg-isolated".to_owned(),
            "home_subnets=default".to_owned(),
            "home_parameters=default.postgres15".to_owned(),
            "next_replica=app-away".to_owned(),
            "next_groups=sg-app".to_owned(),
            "next_subnets=default".to_owned(),
            "next_parameters=default.postgres15".to_owned(),
            "isolation_groups=sg-isolated".to_owned(),
        ];
        let params: Vec<String> = said.into_iter().chain(self.moving()).collect();
        self.run_home(&["run", "runbooks/failback.yaml", "--yes"], &params)
    }

    /// Runs a drill with a test suite: a program and its arguments, commas between them.
    pub(super) fn drill(&self, runbook: &str, suite: &str, more: &[&str]) -> Ended {
        let said = [
            "primary=app-primary".to_owned(),
            format!("primary_region={EAST}"),
            "replica=app-replica".to_owned(),
            format!("replica_region={WEST}"),
            "rebuilt=app-home".to_owned(),
            "next_replica=app-away".to_owned(),
            "home_groups=sg-app".to_owned(),
            "home_subnets=default".to_owned(),
            "home_parameters=default.postgres15".to_owned(),
            "home_isolation_groups=sg-isolated".to_owned(),
            "away_groups=sg-app".to_owned(),
            "away_subnets=default".to_owned(),
            "away_parameters=default.postgres15".to_owned(),
            "away_isolation_groups=sg-isolated".to_owned(),
            format!("suite={suite}"),
            "attended=false".to_owned(),
        ];
        let mut params: Vec<String> = said.into_iter().chain(self.moving()).collect();
        params.extend(more.iter().map(|&param| param.to_owned()));
        let now = Timestamp::now().to_string();
        self.run_home(&["run", runbook, "--yes", "--incident-at", &now], &params)
    }

    /// A runbook that goes home knows the instances of the way.
    fn run_home(&self, args: &[&str], params: &[String]) -> Ended {
        let (old, current) =
            (self.value("PRIMARY_DATABASE_URL"), self.value("STANDBY_DATABASE_URL"));
        // The second instance of a region has the second address.
        let rebuilt = old.replace("127.0.1.1", "127.0.1.2");
        let mut command = self.command(args, params);
        command.env("OLD_DATABASE_URL", old).env("REBUILT_DATABASE_URL", rebuilt);
        command.env("CURRENT_DATABASE_URL", current);
        Ended::of(command.output().unwrap())
    }

    /// What the official command line of AWS says, in a region.
    pub(super) fn aws(&self, region: &str, args: &[&str]) -> String {
        let mut aws = Command::new(lab::moto::program("aws").unwrap());
        aws.args(["--region", region, "--endpoint-url", &self.site.cloud().url()]).args(args);
        aws.envs(self.site.environment());
        Ended::of(aws.output().unwrap()).expect(0).stdout
    }

    /// The newest run.
    pub(super) fn newest(&self) -> String {
        let mut runs: Vec<_> = std::fs::read_dir(self.folder.path().join("state/runs"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        runs.sort();
        runs.pop().unwrap()
    }

    /// The newest run as `runbook report` tells it.
    pub(super) fn report(&self) -> Value {
        let ended = self.run(&["report", &self.newest(), "--format", "json"], &[]);
        serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended:?}"))
    }

    /// What the application says of its own writes.
    pub(super) fn account(&self) -> Value {
        let url = self.value("LAB_APP_URL");
        let address = url.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET /account HTTP/1.0\r\nHost: {address}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}"))
    }

    /// The numbers of the effects of an action in the laboratory's own log.
    pub(super) fn effects_of(&self, action: &str) -> Vec<usize> {
        let effects = self.site.cloud().world().effects();
        let of_action = effects.iter().enumerate().filter(|(_, effect)| effect.action == action);
        of_action.map(|(number, _)| number).collect()
    }
}
