//! `fence` on servers that stop, and on servers that do not.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::memory_host::MemoryHost;
use engine::step::Observation;
use lab::cluster::Cluster;
use model::step_error::{ErrorClass, StepError};
use serde_json::{Value, json};
use shown::case;
use tempfile::TempDir;

use crate::common::{Writer, attempt, host, observe, primary, run};

/// A primary, its standby, and a host that knows both.
pub(crate) struct Pair {
    pub(crate) primary: Cluster,
    pub(crate) standby: Cluster,
    pub(crate) host: Arc<MemoryHost>,
}

impl Pair {
    pub(crate) fn new() -> Self {
        let primary = primary();
        let standby = primary.standby("west").unwrap();
        let host = host(&primary, &[("standby", &standby.url("lms"))]);
        Self { primary, standby, host }
    }

    /// `pg_ctl`, as the account that owns the cluster.
    pub(crate) fn by_pg_ctl(&self) -> Value {
        let owner = std::fs::metadata(self.primary.data_dir()).unwrap();
        let is_root = std::os::unix::fs::MetadataExt::uid(&owner) != 0
            && rustix::process::geteuid().is_root();
        json!({"connection": "primary", "standby": "standby", "method": "pg_ctl",
               "data_directory": self.primary.data_dir(), "program": self.primary.program("pg_ctl"),
               "run_as": if is_root { "postgres" } else { "" }, "quiet": "1s", "wait": "2s"})
    }

    pub(crate) async fn fence(&self, with: Value) -> Result<Value, StepError> {
        run("fence", with, &attempt(&self.host, 1)).await
    }
}

/// A program of the test's own.
pub(crate) fn program(folder: &Path, name: &str, script: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&path, mode).unwrap();
    path
}

pub(crate) fn command(argv: &[&str]) -> Value {
    json!({"connection": "primary", "method": "command", "argv": argv, "quiet": "1s", "wait": "1s"})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_server_is_confirmed_and_nothing_is_lost() {
    let pair = Pair::new();
    let writer = Writer::start(&pair.primary);
    writer.wait();
    let ctx = attempt(&pair.host, 1);
    let output = run("fence", pair.by_pg_ctl(), &ctx).await.unwrap();
    let acknowledged = writer.stop();
    assert_eq!((&output["outcome"], &output["method"]), (&json!("confirmed"), &json!("pg_ctl")));
    assert_eq!(output["endpoint"], format!("127.0.0.1:{}", pair.primary.port()));
    assert_eq!(output["timeline"], 1);
    let proof = output["proof"].as_str().unwrap();
    assert!(proof.starts_with("no server runs on `"), "{proof}");
    assert!(proof.ends_with("its port refused connections for 1s"), "{proof}");
    let evidence = output["evidence"].to_string();
    assert!(evidence.contains("its receiver is not running"), "{evidence}");

    let identity = "SELECT system_identifier::text FROM pg_control_system()";
    let identity = pair.standby.query_one("postgres", identity).unwrap();
    assert_eq!(output["system_identifier"], identity);
    let lsn = output["last_lsn"].as_str().unwrap();
    let has_all = format!("SELECT pg_last_wal_receive_lsn() >= '{lsn}'::pg_lsn");
    assert_eq!(pair.standby.query_one("postgres", &has_all).unwrap(), "t");
    pair.standby.execute("postgres", "SELECT pg_promote()").unwrap();
    let rows = pair.standby.query_one("lms", "SELECT count(*) FROM ledger").unwrap();
    assert!(rows.parse::<u64>().unwrap() >= acknowledged, "{rows} of {acknowledged}");

    let Observation::Done(seen) = observe("fence", pair.by_pg_ctl(), &ctx).await else {
        panic!("a fenced server is fenced")
    };
    assert_eq!(seen["outcome"], "confirmed");
    assert_eq!(seen["last_lsn"], output["last_lsn"]);
    // Somebody starts it again: the proof is gone.
    pair.primary.start_again().unwrap();
    assert_eq!(observe("fence", pair.by_pg_ctl(), &ctx).await, Observation::NotDone);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_still_writes_stops_the_run() {
    let pair = Pair::new();
    let folder = TempDir::new().unwrap();
    let writer = Writer::start(&pair.primary);
    let error = pair.fence(command(&["true"])).await.unwrap_err();
    assert_eq!((error.code.as_str(), error.class), ("RB0580", ErrorClass::Permanent));
    assert!(
        error.causes.iter().any(|cause| cause.starts_with("it still writes: from")),
        "{error:?}"
    );
    writer.wait();
    writer.stop();
    // A `pg_ctl` that says it has stopped the server, and has not.
    let liar = program(folder.path(), "pg_ctl", "[ \"$1\" = status ] && exit 3; exit 0");
    let mut with = pair.by_pg_ctl();
    with["program"] = json!(liar);
    let error = pair.fence(with).await.unwrap_err();
    assert_eq!(error.code, "RB0580");
    let error = pair.fence(command(&["true"])).await.unwrap_err();
    let changing = regex::Regex::new(r"\b0/[0-9A-F]+\b").unwrap();
    let told = error.told().replace("1 sessions", "0 sessions");
    case("RB0580", changing.replace_all(&told, "0/3000148"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_port_alone_is_no_proof() {
    let pair = Pair::new();
    pair.primary.stop().unwrap();
    let error = pair.fence(command(&["false"])).await.unwrap_err();
    assert_eq!((error.code.as_str(), error.class), ("RB0581", ErrorClass::NeedsOperator));
    // With a program that looks, it is.
    let mut with = command(&["false"]);
    with["verify"] = json!(["true"]);
    let output = pair.fence(with.clone()).await.unwrap();
    assert_eq!(output["outcome"], "confirmed");
    with["verify"] = json!(["false"]);
    let error = pair.fence(with).await.unwrap_err();
    assert_eq!(error.code, "RB0580", "the program says that it runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_server_is_not_stopped() {
    let pair = Pair::new();
    let mut swapped = pair.by_pg_ctl();
    swapped["connection"] = json!("standby");
    swapped["standby"] = json!("primary");
    let error = pair.fence(swapped).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Permanent);
    case("RB0582", error.told());
    let other = lab::cluster::ClusterOptions::new().own_identity().start().unwrap();
    let host = host(&pair.primary, &[("standby", &other.url("postgres"))]);
    let error = run("fence", pair.by_pg_ctl(), &attempt(&host, 1)).await.unwrap_err();
    assert_eq!(error.code, "RB0582");
    assert!(error.message.contains("belongs to cluster"), "{error}");
    assert_eq!(pair.primary.query_one("lms", "SELECT 1").unwrap(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_that_was_cut_off_is_taken_up() {
    let pair = Pair::new();
    let folder = TempDir::new().unwrap();
    let begun = folder.path().join("begun");
    let slow = format!("touch {}; sleep 600", begun.display());
    let slow = program(folder.path(), "slow", &slow);
    let with = command(&[slow.to_str().unwrap()]);
    {
        let ctx = attempt(&pair.host, 1);
        let fencing = run("fence", with.clone(), &ctx);
        let started = async {
            while !begun.exists() {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            ended = fencing => panic!("{ended:?}"),
            () = started => {}
        }
    }
    assert_eq!(observe("fence", with, &attempt(&pair.host, 1)).await, Observation::NotDone);
    // The server went down meanwhile: what was read before is kept, and it is confirmed.
    pair.primary.stop().unwrap();
    let ctx = attempt(&pair.host, 2);
    let output = run("fence", command(&["true"]), &ctx).await.unwrap();
    assert_eq!(output["timeline"], 1);
    assert!(output["last_lsn"].is_string() && output["system_identifier"].is_string(), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demoted_server_takes_no_writes() {
    let pair = Pair::new();
    let data = pair.primary.data_dir();
    let signal = data.join("standby.signal");
    let folder = TempDir::new().unwrap();
    let as_owner =
        if rustix::process::geteuid().is_root() { "runuser -u postgres -- " } else { "" };
    let (pg_ctl, log) = (pair.primary.program("pg_ctl"), pair.primary.log());
    let demote = program(
        folder.path(),
        "demote",
        &format!(
            "cd /; {as_owner}touch {}; {as_owner}{} restart -w -D {} -l {} </dev/null >/dev/null 2>&1",
            signal.display(),
            pg_ctl.display(),
            data.display(),
            log.display()
        ),
    );
    let mut with = command(&[demote.to_str().unwrap()]);
    with["require"] = json!("no_writes");
    let output = pair.fence(with.clone()).await.unwrap();
    let proof = output["proof"].as_str().unwrap();
    assert!(proof.ends_with("the server is in recovery: it takes no writes"), "{proof}");
    with["require"] = json!("closed");
    let error = pair.fence(with).await.unwrap_err();
    assert_eq!(error.code, "RB0582", "it is a standby now");
}
