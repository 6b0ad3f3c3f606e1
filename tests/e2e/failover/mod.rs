//! `standby-failover`, `standby-failback` and `create-standby` with an application that writes:
//! judged by what it kept, by a probe of both servers, and by the servers' own logs.

mod kill;
mod scene;

use jiff::Timestamp;
use lab::cluster::{Cluster, ClusterOptions};
use serde_json::Value;

use self::scene::{Scene, account, ledger};
use crate::watch::{Acknowledged, Writer};

/// The difference that is allowed between what the report and what the outside measured, for both
/// look at intervals.
const TOLERANCE_MS: i64 = 1_000;

fn ms(from: Timestamp, to: Timestamp) -> i64 {
    i64::try_from(to.duration_since(from).as_millis()).unwrap()
}

fn numbers(acknowledged: &[Acknowledged]) -> Vec<i32> {
    acknowledged.iter().map(|write| write.number).collect()
}

/// Nobody saw the old server take a write once the new one had taken its first.
#[track_caller]
fn never_both(old: &[Acknowledged], new: &[Acknowledged]) {
    let (last, first) = (old.last().expect("it wrote"), new.first().expect("it writes"));
    assert!(last.ended < first.begun, "two primaries: {last:?} and {first:?}");
}

fn number(report: &Value, pointer: &str) -> i64 {
    report.pointer(pointer).and_then(Value::as_i64).unwrap_or_else(|| panic!("{pointer}: {report}"))
}

#[test]
fn a_graceful_failover_loses_no_acknowledged_write() {
    let scene = Scene::new();
    let (old_url, new_url) = (scene.bed.cluster.url("app"), scene.standby.url("app"));
    let writer = Writer::start(&scene.service(), "ledger");
    let (old, new) = (Writer::start(&old_url, "probe"), Writer::start(&new_url, "probe"));
    let params = [scene.fencing(), vec!["check=select count(*) from ledger".to_owned()]].concat();
    std::thread::sleep(std::time::Duration::from_secs(1));
    let (ended, incident) = scene.fail_over(&[], &params);
    std::thread::sleep(std::time::Duration::from_millis(500));
    let (written, old, new) = (writer.stop(), old.stop(), new.stop());
    ended.expect(0);
    never_both(&old, &new);
    let there = ledger(&scene.standby);
    let lost: Vec<_> = numbers(&written).into_iter().filter(|n| !there.contains(n)).collect();
    assert_eq!(lost, Vec::<i32>::new(), "acknowledged and lost");
    assert_eq!(scene.timelines(), ["2"]);
    assert_eq!(scene.bed.output("promote")["lost_bytes"], 0);

    // The report tells what the application and the probe saw.
    let report = scene.report();
    let first = new.first().unwrap().begun;
    let back = written.iter().find(|write| write.begun >= first).expect("the writer came back");
    let rto = number(&report, "/rto/from_incident_ms");
    let seen = ms(incident, back.ended);
    assert!((rto - seen).abs() <= TOLERANCE_MS, "RTO {rto} ms, the writer saw {seen} ms");
    assert_eq!(number(&report, "/rpo/loss_ms"), 0, "nothing was lost");
    assert_eq!(report.pointer("/rpo/reported_by").unwrap(), "promote");
    assert_eq!(scene.bed.sets().len(), 1, "the new primary is backed up");
    assert!(scene.bed.texts()[0].contains("is the primary, timeline 2, 0 bytes lost"));

    fail_back(&scene);
}

/// The old primary, as it was left, becomes a standby of the new one.
fn fail_back(scene: &Scene) {
    let old = &scene.bed.cluster;
    let mut params = vec![
        format!("data_directory={}", old.data_dir().display()),
        "name=east".to_owned(),
        "slot=east".to_owned(),
        format!("save={}", scene.kept().display()),
        "slack=true".to_owned(),
    ];
    params.extend(account().map(|name| format!("run_as={name}")));
    let args = ["run", "runbooks/standby-failback.yaml", "--yes"];
    let mut command = scene.command(&args, &params);
    command.env("PRIMARY_DATABASE_URL", scene.standby.url("app"));
    crate::bed::Ended::of(command.output().unwrap()).expect(0);
    old.caught_up_with(&scene.standby).unwrap();
    assert_eq!(old.query_one("postgres", "select pg_is_in_recovery()").unwrap(), "t");
    assert_eq!(ledger(old), ledger(&scene.standby));
    assert_eq!(scene.bed.output("rejoin")["lost_transactions"], 0);
}

#[test]
fn an_ungraceful_failover_shows_what_is_lost() {
    let scene = Scene::new();
    let writer = Writer::start(&scene.service(), "ledger");
    std::thread::sleep(std::time::Duration::from_secs(1));
    // The network between the servers fails first; the primary goes on for a while.
    let cut = "alter system set primary_conninfo = ''";
    scene.standby.execute("postgres", cut).unwrap();
    scene.standby.execute("postgres", "select pg_reload_conf()").unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    scene.crash();
    let (ended, incident) = scene.fail_over(&["--ungraceful"], &scene.fencing());
    std::thread::sleep(std::time::Duration::from_millis(500));
    let written = writer.stop();
    ended.expect(0);
    let there = ledger(&scene.standby);
    let before = written.iter().filter(|write| write.ended < incident);
    let (kept, lost): (Vec<&Acknowledged>, Vec<&Acknowledged>) =
        before.partition(|write| there.contains(&write.number));
    assert!(!lost.is_empty(), "the standby had not heard of the last writes");
    let report = scene.report();
    let rpo = number(&report, "/rpo/loss_ms");
    let newest = kept.last().unwrap().ended;
    let seen = ms(newest, incident);
    assert!((rpo - seen).abs() <= TOLERANCE_MS, "RPO {rpo} ms, the writer lost {seen} ms");
    let told = scene.bed.output("promote");
    let shown = told["lost_seconds"].as_f64().unwrap();
    assert!(shown >= incident.duration_since(newest).as_secs_f64() - 0.1, "{told}");
    assert_eq!(scene.timelines(), ["2"]);
}

#[test]
fn a_fence_that_does_not_hold_ends_the_failover() {
    let scene = Scene::new();
    let fence = ["fence_method=command".to_owned(), "fence_command=true".to_owned()];
    let (ended, _) = scene.fail_over(&[], &fence);
    let ended = ended.expect(1);
    assert!(scene.is_standby(), "{}", ended.stderr);
    assert!(scene.bed.texts()[0].contains("standby-failover FAILED at fence"));
    // Nothing was switched: the way still leads to the old primary.
    let port = std::fs::read_to_string(scene.bed.folder().join("target")).unwrap();
    assert_eq!(port, scene.bed.cluster.port().to_string());
}

#[test]
fn a_standby_behind_the_gate_is_not_promoted_and_the_application_writes_again() {
    let scene = Scene::new();
    scene.standby.execute("postgres", "select pg_wal_replay_pause()").unwrap();
    scene.bed.cluster.execute("app", "insert into ledger select generate_series(1, 9)").unwrap();
    let params = [scene.fencing(), vec!["catch_up=2s".to_owned()]].concat();
    let (ended, _) = scene.fail_over(&[], &params);
    let ended = ended.expect(1);
    assert!(ended.stderr.contains("RB0526"), "{}", ended.stderr);
    assert!(scene.is_standby());
    scene.bed.cluster.execute("app", "insert into ledger values (10)").unwrap();
}

#[test]
fn what_is_no_streaming_standby_of_the_primary_is_refused_before_anything_happens() {
    let mut scene = Scene::new();
    let cut = "alter system set primary_conninfo = ''";
    scene.standby.execute("postgres", cut).unwrap();
    scene.standby.execute("postgres", "select pg_reload_conf()").unwrap();
    std::thread::sleep(std::time::Duration::from_secs(1));
    let (ended, _) = scene.fail_over(&[], &scene.fencing());
    let ended = ended.expect(1);
    assert!(ended.stderr.contains("it does not stream"), "{}", ended.stderr);

    let other = Cluster::start(&ClusterOptions::new().own_identity()).unwrap();
    other.create_database("app").unwrap();
    scene.standby = other.standby("west").unwrap();
    let (ended, _) = scene.fail_over(&[], &scene.fencing());
    let ended = ended.expect(1);
    assert!(ended.stderr.contains("RB0525"), "{}", ended.stderr);
    assert!(scene.is_standby());
    scene.bed.cluster.execute("app", "insert into ledger values (1)").unwrap();
}

#[test]
fn a_new_standby_is_made_and_streams() {
    let scene = Scene::new();
    let folder = scene.bed.folder().join("servers");
    std::fs::create_dir(&folder).unwrap();
    if let Some(name) = account() {
        let done = std::process::Command::new("chown").arg(name).arg(&folder).status().unwrap();
        assert!(done.success());
        // The account of the server has to get there.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(scene.bed.folder(), open).unwrap();
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let data = folder.join("north");
    let mut params = vec![
        format!("data_directory={}", data.display()),
        "name=north".to_owned(),
        "slot=north".to_owned(),
        format!("port={port}"),
    ];
    params.extend(account().map(|name| format!("run_as={name}")));
    let ended = scene.run(&["run", "runbooks/create-standby.yaml", "--yes"], &params);
    let stop = || {
        let mut command = std::process::Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(scene.bed.cluster.program("pg_ctl"));
        command.args(["stop", "--mode=immediate", "--silent", "--pgdata"]).arg(&data);
        command.output().unwrap();
    };
    let streaming = "select count(*) from pg_stat_replication where state = 'streaming'";
    let streams = scene.bed.cluster.query_one("postgres", streaming).unwrap();
    stop();
    ended.expect(0);
    assert_eq!(streams, "2");
    assert_eq!(scene.bed.output("protected")["value"], 1);
}
