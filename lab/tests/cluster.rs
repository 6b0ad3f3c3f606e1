//! Private clusters: they start, answer, refuse, stop, come back and leave nothing behind.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests look at processes and files from outside"
)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lab::cluster::{Cluster, ClusterError, ClusterOptions};

fn cluster() -> Cluster {
    ClusterOptions::new().start().unwrap()
}

fn psql_by_url(cluster: &Cluster, url: &str) -> (Option<i32>, String) {
    let done = Command::new(cluster.program("psql"))
        .args(["-XAtc", "select current_database()", url])
        .output()
        .unwrap();
    let text = if done.status.success() { done.stdout } else { done.stderr };
    (done.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn it_answers_on_socket_and_tcp_and_refuses_a_wrong_password() {
    let cluster = cluster();
    let name = "läb/ \"50%\" 'x'";
    cluster.create_database(name).unwrap();

    let by_tcp = psql_by_url(&cluster, &cluster.url(name));
    assert_eq!(by_tcp, (Some(0), format!("{name}\n")));
    let by_socket = psql_by_url(&cluster, &cluster.socket_url(name));
    assert_eq!(by_socket, (Some(0), format!("{name}\n")));

    let wrong = cluster.url(name).replace(cluster.password(), "wrong");
    let (status, said) = psql_by_url(&cluster, &wrong);
    assert_eq!(status, Some(2));
    assert!(said.contains("password authentication failed for user \"postgres\""), "{said}");

    cluster.drop_database(name).unwrap();
    let again = cluster.drop_database(name).unwrap_err().to_string();
    assert!(again.contains("does not exist"), "{again}");
}

#[tokio::test]
async fn its_addresses_serve_an_asynchronous_client() {
    let cluster = cluster();
    let name = "läb/ \"50%\"";
    cluster.create_database(name).unwrap();
    for url in [cluster.url(name), cluster.socket_url(name)] {
        let (client, connection) =
            tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        let task = tokio::spawn(connection);
        let row = client.query_one("select current_database()::text", &[]).await.unwrap();
        assert_eq!(row.get::<_, String>(0), name);
        drop(client);
        task.await.unwrap().unwrap();
    }
}

#[test]
fn sql_runs_to_the_first_error() {
    let cluster = cluster();
    let failed = cluster.execute(
        "postgres",
        "create table t (a int, b text); insert into t values (1, E'x\\ny'), (2, null);
         select 1/0; drop table t;",
    );
    assert!(failed.unwrap_err().to_string().contains("division by zero"));
    let rows = cluster.query("postgres", "select * from t order by a").unwrap();
    assert_eq!(rows, ["1|x\ny", "2|"]);
    assert_eq!(cluster.query_one("postgres", "select count(*) from t").unwrap(), "2");
    let none = cluster.query_one("postgres", "select a from t where a = 3");
    assert!(matches!(none, Err(ClusterError::NotOneRow { rows: 0, .. })));
}

#[test]
fn it_stops_starts_again_and_goes_with_its_value() {
    let cluster = cluster();
    cluster.execute("postgres", "create table kept as select 7 as n").unwrap();
    cluster.stop().unwrap();
    let down = cluster.query_one("postgres", "select 1").unwrap_err().to_string();
    assert!(down.contains("No such file or directory"), "{down}");
    cluster.start_again().unwrap();
    assert_eq!(cluster.query_one("postgres", "select n from kept").unwrap(), "7");

    let (folder, url) = (cluster.host_dir().to_path_buf(), cluster.url("postgres"));
    let program = cluster.program("psql");
    drop(cluster);
    assert!(!folder.exists());
    let refused = Command::new(program).args(["-XAtc", "select 1", &url]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn a_panic_takes_the_server_along() {
    let (send, receive) = std::sync::mpsc::channel();
    let outcome = std::thread::spawn(move || {
        let cluster = cluster();
        send.send(cluster.host_dir().to_path_buf()).unwrap();
        panic!("as a failing test does");
    })
    .join();
    assert!(outcome.is_err());
    assert!(!receive.recv().unwrap().exists());
}

#[test]
fn a_detached_cluster_outlives_its_value_and_is_taken_up_again() {
    let folder = cluster().detach().unwrap();
    let again = Cluster::attach(&folder).unwrap();
    assert_eq!(again.query_one("postgres", "select 1").unwrap(), "1");
    drop(again);
    let again = Cluster::attach(&folder).unwrap();
    assert_eq!(again.query_one("postgres", "select 2").unwrap(), "2");
    again.destroy().unwrap();
    assert!(!folder.exists());
    let gone = Cluster::attach(&folder).unwrap_err();
    assert!(matches!(gone, ClusterError::NotACluster { .. }), "{gone}");
}

#[test]
fn identities_differ_only_when_asked_for() {
    let identity = |options: ClusterOptions| {
        let cluster = options.start().unwrap();
        cluster.query_one("postgres", "select system_identifier from pg_control_system()").unwrap()
    };
    let copied = identity(ClusterOptions::new());
    assert_eq!(copied, identity(ClusterOptions::new()));
    assert_ne!(copied, identity(ClusterOptions::new().own_identity()));
}

#[test]
fn a_server_that_cannot_start_says_where_its_log_is() {
    let refused = ClusterOptions::new().setting("work_mem", "a lot").start().unwrap_err();
    let ClusterError::Start { log, tail, .. } = refused else {
        panic!("{refused}");
    };
    assert!(tail.contains("invalid value for parameter \"work_mem\": \"a lot\""), "{tail}");
    assert!(log.is_file());
    std::fs::remove_dir_all(log.parent().unwrap()).unwrap();
}

#[test]
fn a_standby_streams_and_takes_over_when_it_is_promoted() {
    let primary = cluster();
    primary.execute("postgres", "CREATE TABLE ledger (n int)").unwrap();
    let standby = primary.standby("west").unwrap();
    primary.execute("postgres", "INSERT INTO ledger SELECT generate_series(1, 1000)").unwrap();
    standby.caught_up_with(&primary).unwrap();
    let rows = "SELECT count(*) FROM ledger";
    assert_eq!(standby.query_one("postgres", rows).unwrap(), "1000");
    let identity = "SELECT system_identifier FROM pg_control_system()";
    assert_eq!(
        standby.query_one("postgres", identity).unwrap(),
        primary.query_one("postgres", identity).unwrap()
    );
    let refused = standby.execute("postgres", "INSERT INTO ledger VALUES (1)").unwrap_err();
    assert!(refused.to_string().contains("read-only transaction"), "{refused}");
    assert_eq!(psql_by_url(&standby, &standby.url("postgres")).0, Some(0));
    drop(primary);
    assert_eq!(standby.query_one("postgres", "SELECT pg_promote()").unwrap(), "t");
    standby.execute("postgres", "INSERT INTO ledger VALUES (1)").unwrap();
    let timeline = "SELECT timeline_id FROM pg_control_checkpoint()";
    standby.execute("postgres", "CHECKPOINT").unwrap();
    assert_eq!(standby.query_one("postgres", timeline).unwrap(), "2");
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_mins(1), "{what} did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
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
