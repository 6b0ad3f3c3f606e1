//! Each fault does what it says, and no more.

use std::io::{Read, Write};
use std::net::TcpStream;

use lab::cloud::{Cloud, FaultKind, PRIMARY, PRIMARY_REGION, REPLICA, REPLICA_REGION};
use serde_json::Value;

use crate::client::{aws, described, sql};
use crate::{bare, cloud, status, until};

fn put(cloud: &Cloud, name: &str) -> Result<Value, String> {
    let words = ["ssm", "put-parameter", "--name", name, "--value", "x", "--type", "String"];
    aws(cloud, REPLICA_REGION, &words)
}

fn get(cloud: &Cloud, name: &str) -> Result<Value, String> {
    aws(cloud, REPLICA_REGION, &["ssm", "get-parameter", "--name", name])
}

#[test]
fn a_change_may_take_effect_although_its_answer_is_lost_or_an_error() {
    let cloud = bare();
    let world = cloud.world();
    let once = |kind: FaultKind| kind.fault().service("ssm").action("PutParameter").times(1);

    world.begin(once(FaultKind::ApplyThenDrop)).unwrap();
    let lost = put(&cloud, "lost").unwrap_err();
    assert!(lost.contains("Connection was closed") || lost.contains("connection"), "{lost}");
    world.begin(once(FaultKind::ErrorAfterApply)).unwrap();
    let failed = put(&cloud, "failed").unwrap_err();
    assert!(failed.contains("(InternalFailure)"), "{failed}");
    world.begin(once(FaultKind::ErrorBeforeApply)).unwrap();
    let refused = put(&cloud, "refused").unwrap_err();
    assert!(refused.contains("(InternalFailure)"), "{refused}");
    world.begin(once(FaultKind::Throttle)).unwrap();
    let throttled = put(&cloud, "throttled").unwrap_err();
    assert!(throttled.contains("(ThrottlingException)"), "{throttled}");
    put(&cloud, "done").unwrap();

    let effects: Vec<_> =
        world.effects_of("PutParameter").into_iter().map(|it| it.resource).collect();
    assert_eq!(effects, ["lost", "failed", "done"]);
    for (name, there) in
        [("lost", true), ("failed", true), ("refused", false), ("throttled", false)]
    {
        assert_eq!(get(&cloud, name).is_ok(), there, "{name}");
    }
}

#[test]
fn a_fault_says_what_it_is_told_and_stands_until_it_is_ended() {
    let cloud = bare();
    let world = cloud.world();
    let prior = FaultKind::ErrorBeforeApply.fault().service("route53");
    world.begin(prior.saying(400, "PriorRequestNotComplete")).unwrap();
    let list = ["route53", "list-hosted-zones"];
    for _ in 0..2 {
        let refused = aws(&cloud, PRIMARY_REGION, &list).unwrap_err();
        assert!(refused.contains("(PriorRequestNotComplete)"), "{refused}");
    }
    world.end(FaultKind::ErrorBeforeApply).unwrap();
    aws(&cloud, PRIMARY_REGION, &list).unwrap();
    world.begin(FaultKind::CredentialsExpired.fault()).unwrap();
    let expired = aws(&cloud, PRIMARY_REGION, &list).unwrap_err();
    assert!(expired.contains("(ExpiredToken)"), "{expired}");
    world.end(FaultKind::CredentialsExpired).unwrap();
    aws(&cloud, PRIMARY_REGION, &list).unwrap();
}

#[test]
fn a_lost_region_is_gone_and_comes_back_with_its_old_primary() {
    let cloud = cloud();
    let world = cloud.world();
    world.begin(FaultKind::Region.fault().region(PRIMARY_REGION)).unwrap();
    let refused = sql(&cloud, PRIMARY_REGION, PRIMARY, "select 1").unwrap_err();
    assert!(refused.contains("Connection refused"), "{refused}");
    assert!(world.cluster(PRIMARY_REGION, PRIMARY).unwrap().query("postgres", "select 1").is_err());
    let cut = aws(&cloud, PRIMARY_REGION, &["rds", "describe-db-instances"]).unwrap_err();
    assert!(!cut.contains("An error occurred"), "{cut}");
    // Names go on, and so does the other region, which still names its source.
    aws(&cloud, PRIMARY_REGION, &["route53", "list-hosted-zones"]).unwrap();
    let replica = described(&cloud, REPLICA_REGION, REPLICA);
    assert!(replica["ReadReplicaSourceDBInstanceIdentifier"].as_str().unwrap().contains(PRIMARY));
    let recovers = |region, id| sql(&cloud, region, id, "select pg_is_in_recovery()").unwrap();
    assert_eq!(recovers(REPLICA_REGION, REPLICA), "t");

    let promote = ["rds", "promote-read-replica", "--db-instance-identifier", REPLICA];
    aws(&cloud, REPLICA_REGION, &promote).unwrap();
    until("it is promoted", || {
        status(&cloud, REPLICA_REGION, REPLICA) == "available"
            && !world.effects_of("Promoted").is_empty()
    });
    world.end(FaultKind::Region).unwrap();
    assert_eq!(recovers(PRIMARY_REGION, PRIMARY), "f");
    assert_eq!(recovers(REPLICA_REGION, REPLICA), "f");
    aws(&cloud, PRIMARY_REGION, &["rds", "describe-db-instances"]).unwrap();
}

#[test]
fn a_crashed_primary_leaves_its_region() {
    let cloud = cloud();
    let world = cloud.world();
    world.begin(FaultKind::PrimaryCrash.fault()).unwrap();
    assert!(sql(&cloud, PRIMARY_REGION, PRIMARY, "select 1").is_err());
    assert_eq!(described(&cloud, PRIMARY_REGION, PRIMARY)["DBInstanceStatus"], "available");
    world.end(FaultKind::PrimaryCrash).unwrap();
    sql(&cloud, PRIMARY_REGION, PRIMARY, "create table back as select 1").unwrap();
    until("its replica follows again", || {
        sql(&cloud, REPLICA_REGION, REPLICA, "select * from back").as_deref() == Ok("1")
    });
}

#[test]
fn replication_stops_at_a_partition_and_replay_at_a_lag() {
    let cloud = cloud();
    let world = cloud.world();
    sql(&cloud, PRIMARY_REGION, PRIMARY, "create table t (a int)").unwrap();
    let rows =
        || sql(&cloud, REPLICA_REGION, REPLICA, "select count(*) from t").unwrap_or_default();
    let insert = || sql(&cloud, PRIMARY_REGION, PRIMARY, "insert into t values (1)").unwrap();
    let received = || {
        let sql_text = "select pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()";
        sql(&cloud, REPLICA_REGION, REPLICA, sql_text).unwrap()
    };
    let streams = || {
        sql(&cloud, PRIMARY_REGION, PRIMARY, "select count(*) from pg_stat_replication").unwrap()
    };
    until("the table is there", || rows() == "0");

    world.begin(FaultKind::Partition.fault()).unwrap();
    until("nothing streams", || streams() == "0");
    insert();
    assert_eq!(rows(), "0");
    world.end(FaultKind::Partition).unwrap();
    until("the row has come", || rows() == "1");

    world.begin(FaultKind::Lag.fault()).unwrap();
    insert();
    until("it is received and not replayed", || received() == "f");
    assert_eq!(rows(), "1");
    world.end(FaultKind::Lag).unwrap();
    until("the row is replayed", || rows() == "2");

    world.begin(FaultKind::Lag.fault().seconds(3600.0)).unwrap();
    insert();
    until("it is received and not replayed", || received() == "f");
    world.end(FaultKind::Lag).unwrap();
    until("the row is replayed", || rows() == "3");
}

#[test]
fn a_slow_promotion_goes_on_when_it_may() {
    let cloud = cloud();
    cloud.world().begin(FaultKind::SlowPromote.fault()).unwrap();
    let promote = ["rds", "promote-read-replica", "--db-instance-identifier", REPLICA];
    aws(&cloud, REPLICA_REGION, &promote).unwrap();
    until("it is modifying", || status(&cloud, REPLICA_REGION, REPLICA) == "modifying");
    let recovers = sql(&cloud, REPLICA_REGION, REPLICA, "select pg_is_in_recovery()");
    assert_eq!(recovers.as_deref(), Ok("t"));
    cloud.world().end(FaultKind::SlowPromote).unwrap();
    until("it is available", || status(&cloud, REPLICA_REGION, REPLICA) == "available");
    assert_eq!(cloud.world().effects_of("Promoted").len(), 1);
}

/// One request to the laboratory's own paths: its status and its body.
fn ask(cloud: &Cloud, method: &str, path: &str, body: &str) -> (u16, String) {
    let host = cloud.url();
    let host = host.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[test]
fn faults_begin_and_end_over_http_as_well() {
    let cloud = bare();
    let fault = r#"{"fault": "throttle", "args": {"service": "ssm", "for_seconds": 600}}"#;
    assert_eq!(ask(&cloud, "POST", "/_lab/faults", fault).0, 204);
    assert!(put(&cloud, "x").unwrap_err().contains("ThrottlingException"));
    let status: Value = serde_json::from_str(&ask(&cloud, "GET", "/_lab/status", "").1).unwrap();
    assert_eq!(status["faults"][0]["fault"], "throttle");
    assert_eq!(ask(&cloud, "DELETE", "/_lab/faults/throttle", "").0, 204);
    put(&cloud, "x").unwrap();
    let effects: Value = serde_json::from_str(&ask(&cloud, "GET", "/_lab/effects", "").1).unwrap();
    let actions: Vec<_> = effects.as_array().unwrap().iter().map(|it| &it["action"]).collect();
    assert_eq!(actions, ["FaultBegan", "FaultEnded", "PutParameter"]);
    assert_eq!(ask(&cloud, "DELETE", "/_lab/faults/weather", "").0, 404);
    assert_eq!(ask(&cloud, "POST", "/_lab/faults", r#"{"fault": "weather"}"#).0, 422);
}
