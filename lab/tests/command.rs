//! The `lab` command as the demo uses it, and what happens to clusters of a killed process.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests run the command and kill it"
)]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use lab::cluster::{Cluster, ClusterOptions};

fn lab(args: &[&str], dir: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lab")).args(args).arg("--dir").arg(dir).output().unwrap()
}

fn stdout(done: &Output) -> String {
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout.clone()).unwrap()
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_mins(1), "{what} did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn up_prints_the_environment_and_down_removes_everything() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("new/lab");
    let printed = stdout(&lab(&["up", "--sample", "1000"], &dir));
    let environment: BTreeMap<&str, &str> =
        printed.lines().map(|line| line.split_once('=').unwrap()).collect();
    let names: Vec<_> = environment.keys().copied().collect();
    let expected = [
        "DATABASE_URL",
        "PGDATABASE",
        "PGHOST",
        "PGPASSWORD",
        "PGPORT",
        "PGUSER",
        "SCRATCH_DATABASE_URL",
    ];
    assert_eq!(names, expected);

    let cluster = PathBuf::from(std::fs::read_to_string(dir.join("cluster")).unwrap());
    let psql = Cluster::attach(&cluster).unwrap().program("psql");
    let ask = |arguments: &[&str]| {
        let sql = "select current_database(), (select count(*) from lms.users)";
        let mut command = Command::new(&psql);
        command.args(["-XAtc", sql]).args(arguments).env_clear();
        stdout(
            &command
                .envs(environment.iter().filter(|(n, _)| n.starts_with("PG")))
                .output()
                .unwrap(),
        )
    };
    assert_eq!(ask(&[]), "lms|66\n");
    assert_eq!(ask(&[environment["DATABASE_URL"]]), "lms|66\n");

    let twice = lab(&["up"], &dir);
    assert_eq!(twice.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&twice.stderr).contains("is up: `lab down` ends it first"));

    stdout(&lab(&["down"], &dir));
    assert!(!cluster.exists());
    let again = lab(&["down"], &dir);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("nothing is up in"));
}

#[test]
fn the_sink_runs_in_the_foreground_until_it_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let port_file = folder.path().join("sink.port");
    let mut sink = Command::new(env!("CARGO_BIN_EXE_lab"))
        .arg("sink")
        .args([Path::new("--dir"), folder.path(), Path::new("--port-file"), &port_file])
        .spawn()
        .unwrap();
    wait_until("the port", || port_file.exists());
    let port: u16 = std::fs::read_to_string(&port_file).unwrap().parse().unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream
        .write_all(b"POST /slack HTTP/1.0\r\nContent-Length: 12\r\n\r\n{\"text\":\"x\"}")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    sink.kill().unwrap();
    sink.wait().unwrap();
    assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
    let log = std::fs::read_to_string(folder.path().join("sink.jsonl")).unwrap();
    assert!(log.contains(r#""body":{"text":"x"}"#), "{log}");
    assert_eq!(log.lines().count(), 1);
}

/// Starts this test program again, as a process that holds a cluster until it is killed.
fn holder(report: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_killed_process_leaves_nothing_for_long", "--nocapture"])
        .env("LAB_TEST_REPORT", report)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_killed_process_leaves_nothing_for_long() {
    if let Some(report) = std::env::var_os("LAB_TEST_REPORT") {
        let cluster = ClusterOptions::new().start().unwrap();
        std::fs::write(report, cluster.host_dir().as_os_str().as_encoded_bytes()).unwrap();
        std::thread::sleep(Duration::from_mins(5));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report");
    let mut killed = holder(&report);
    let read = |report: &Path| std::fs::read_to_string(report).unwrap_or_default();
    wait_until("the first cluster", || !read(&report).is_empty());
    let orphan = PathBuf::from(read(&report));
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(orphan.join("data/postmaster.pid").exists(), "the server outlives its process");

    let report = folder.path().join("second");
    let mut second = holder(&report);
    wait_until("the second cluster", || !read(&report).is_empty());
    let living = PathBuf::from(read(&report));
    assert!(!orphan.exists(), "the next process sweeps it");
    let own = ClusterOptions::new().start().unwrap();
    assert!(living.exists(), "a living process keeps its own");
    second.kill().unwrap();
    second.wait().unwrap();
    Cluster::attach(&living).unwrap().destroy().unwrap();
    drop(own);
}
