//! A primary with a standby, and the application's way to them.

use std::path::PathBuf;
use std::process::Command;

use jiff::Timestamp;
use lab::cluster::Cluster;
use lab::route::Route;
use serde_json::Value;

use crate::bed::{Bed, Ended};

pub(super) struct Scene {
    pub(super) bed: Bed,
    pub(super) standby: Cluster,
    route: Route,
}

impl Scene {
    pub(super) fn new() -> Self {
        let bed = Bed::with("create table ledger (n int primary key); create table probe (n int)");
        for setting in ["synchronous_commit = on", "wal_log_hints = on", "full_page_writes = on"] {
            bed.cluster.execute("postgres", &format!("alter system set {setting}")).unwrap();
        }
        bed.cluster.stop().unwrap();
        bed.cluster.start_again().unwrap();
        let standby = bed.cluster.standby("west").unwrap();
        let target = bed.folder().join("target");
        std::fs::write(&target, bed.cluster.port().to_string()).unwrap();
        std::fs::write(bed.folder().join("new"), standby.port().to_string()).unwrap();
        let route = Route::start(&target).unwrap();
        Self { bed, standby, route }
    }

    /// The application's address: the route, which leads to the primary until it is switched.
    pub(super) fn service(&self) -> String {
        let url = self.bed.cluster.url("app");
        url.replace(&format!(":{}/", self.bed.cluster.port()), &format!(":{}/", self.route.port()))
    }

    fn path(&self, name: &str) -> String {
        self.bed.folder().join(name).display().to_string()
    }

    /// The parameters of `standby-failover` here, without the method of the fence.
    pub(super) fn switching(&self) -> Vec<String> {
        vec![
            format!("switch=cp,{},{}", self.path("new"), self.path("target")),
            "slack=true".to_owned(),
        ]
    }

    /// A fence that works: `pg_ctl` on this machine.
    pub(super) fn fencing(&self) -> Vec<String> {
        let cluster = &self.bed.cluster;
        let mut params = vec![
            "fence_method=pg_ctl".to_owned(),
            format!("fence_data_directory={}", cluster.data_dir().display()),
            format!("fence_program={}", cluster.program("pg_ctl").display()),
        ];
        params.extend(account().map(|name| format!("fence_run_as={name}")));
        params
    }

    /// The binary with both servers in its environment.
    pub(super) fn command(&self, args: &[&str], params: &[String]) -> Command {
        let mut all = args.to_vec();
        all.extend(params.iter().flat_map(|param| ["-p", param]));
        let mut command = self.bed.command(&all);
        command.env("PRIMARY_DATABASE_URL", self.bed.cluster.url("app"));
        command.env("STANDBY_DATABASE_URL", self.standby.url("app"));
        command.env("SERVICE_DATABASE_URL", self.service());
        command
    }

    pub(super) fn run(&self, args: &[&str], params: &[String]) -> Ended {
        Ended::of(self.command(args, params).output().unwrap())
    }

    /// Runs `standby-failover`; gives what came of it and the moment that is called the incident.
    pub(super) fn fail_over(&self, more: &[&str], params: &[String]) -> (Ended, Timestamp) {
        let incident = Timestamp::now();
        let at = incident.to_string();
        let mut args = vec!["run", "runbooks/standby-failover.yaml", "--yes", "--incident-at", &at];
        args.extend(more);
        let mut all = self.switching();
        all.extend(params.iter().cloned());
        (self.run(&args, &all), incident)
    }

    /// The newest run as `runbook report` tells it.
    pub(super) fn report(&self) -> Value {
        let run = self.bed.runs().pop().unwrap();
        let ended = self.bed.runbook(&["report", &run, "--format", "json"]);
        serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended:?}"))
    }

    pub(super) fn is_standby(&self) -> bool {
        self.standby.query_one("postgres", "select pg_is_in_recovery()").unwrap() == "t"
    }

    /// The timelines that the standby's own log says it chose.
    pub(super) fn timelines(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.standby.log()).unwrap();
        let chosen = log.lines().filter_map(|line| line.split_once("selected new timeline ID: "));
        chosen.map(|(_, id)| id.to_owned()).collect()
    }

    /// Ends the primary as a power cut would.
    pub(super) fn crash(&self) {
        let pid = self.bed.cluster.data_dir().join("postmaster.pid");
        let pid = std::fs::read_to_string(pid).unwrap();
        let pid = pid.lines().next().unwrap();
        let status = Command::new("kill").args(["-QUIT", pid]).status().unwrap();
        assert!(status.success());
    }

    pub(super) fn kept(&self) -> PathBuf {
        self.bed.folder().join("kept")
    }
}

/// The account of the laboratory's servers, when it is not this one.
pub(super) fn account() -> Option<&'static str> {
    rustix::process::geteuid().is_root().then_some("postgres")
}

/// The rows of the ledger that a server has.
pub(super) fn ledger(cluster: &Cluster) -> Vec<i32> {
    let rows = cluster.query("app", "select n from ledger order by n").unwrap();
    rows.iter().map(|row| row.parse().unwrap()).collect()
}
