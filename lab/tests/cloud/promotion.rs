//! A promotion takes its time, is real, and happens once.

use std::time::Duration;

use lab::cloud::{
    Cloud, CloudOptions, FaultKind, PRIMARY, PRIMARY_REGION, Pace, REPLICA, REPLICA_REGION,
};

use crate::client::{Watcher, aws, described, sql};
use crate::{cloud, status, until};

const PROMOTE: [&str; 4] = ["rds", "promote-read-replica", "--db-instance-identifier", REPLICA];

/// The replica is one: by what AWS says of it, and by what SQL says.
fn replicates(cloud: &Cloud) {
    sql(cloud, PRIMARY_REGION, PRIMARY, "create table t as select 1 as a").unwrap();
    let replica = described(cloud, REPLICA_REGION, REPLICA);
    let primary = described(cloud, PRIMARY_REGION, PRIMARY);
    let source = &replica["ReadReplicaSourceDBInstanceIdentifier"];
    assert_eq!(*source, primary["DBInstanceArn"]);
    assert_eq!(primary["ReadReplicaDBInstanceIdentifiers"][0], replica["DBInstanceArn"]);
    assert_eq!(replica["Endpoint"]["Address"], "app-replica.us-west-2.rds.lab.internal");
    assert_eq!(primary["Endpoint"]["Address"], "app-primary.us-east-1.rds.lab.internal");
    assert_eq!(primary["Endpoint"]["Port"], replica["Endpoint"]["Port"]);
    until("the row is replicated", || {
        sql(cloud, REPLICA_REGION, REPLICA, "select count(*) from t").as_deref() == Ok("1")
    });
    let refused = sql(cloud, REPLICA_REGION, REPLICA, "insert into t values (2)").unwrap_err();
    assert!(refused.contains("read-only transaction"), "{refused}");
}

#[test]
fn a_second_client_sees_every_state_of_a_promotion_that_is_real_and_happens_once() {
    // Slow enough for a client on a busy machine to see them all.
    let [unnoticed, modifying, rebooting, backing_up] = [Duration::from_millis(1500); 4];
    let pace = Pace { unnoticed, modifying, rebooting, backing_up, ..Pace::QUICK };
    let cloud = CloudOptions::new().pace(pace).start().unwrap();
    replicates(&cloud);

    let watcher = Watcher::of(&cloud, REPLICA_REGION, REPLICA);
    let told = aws(&cloud, REPLICA_REGION, &PROMOTE).unwrap();
    assert_eq!(told["DBInstance"]["DBInstanceStatus"], "available");
    // Accepted, not begun: it is refused a second time all the same.
    let again = aws(&cloud, REPLICA_REGION, &PROMOTE).unwrap_err();
    assert!(again.contains("(InvalidDBInstanceState)"), "{again}");
    let states = watcher.states();
    let seen: Vec<_> = states.iter().map(|(status, replica)| (status.as_str(), *replica)).collect();
    assert_eq!(
        seen,
        [
            ("available", true),
            ("modifying", true),
            ("rebooting", true),
            ("backing-up", false),
            ("available", false)
        ]
    );

    sql(&cloud, REPLICA_REGION, REPLICA, "insert into t values (2)").unwrap();
    let recovers = sql(&cloud, REPLICA_REGION, REPLICA, "select pg_is_in_recovery()");
    assert_eq!(recovers.as_deref(), Ok("f"));
    let again = aws(&cloud, REPLICA_REGION, &PROMOTE).unwrap_err();
    assert!(again.contains("is not a read replica"), "{again}");
    let world = cloud.world();
    assert_eq!(world.effects_of("PromoteReadReplica").len(), 1);
    let promoted = world.effects_of("Promoted");
    assert_eq!(promoted.len(), 1);
    assert_eq!(promoted[0].detail["timeline"], "2");
    let written = std::fs::read_to_string(cloud.folder().join("effects.jsonl")).unwrap();
    assert_eq!(written.lines().count(), world.effects().len());
}

#[test]
fn what_is_no_replica_or_not_there_or_backing_up_is_not_promoted() {
    // Backing up does not end before the test does.
    let pace = Pace { backing_up: Duration::from_hours(1), ..Pace::QUICK };
    let cloud = CloudOptions::new().pace(pace).start().unwrap();
    let promote = |region: &str, id: &str| {
        let words = ["rds", "promote-read-replica", "--db-instance-identifier", id];
        aws(&cloud, region, &words).unwrap_err()
    };
    let primary = promote(PRIMARY_REGION, PRIMARY);
    assert!(primary.contains("(InvalidDBInstanceState)"), "{primary}");
    let absent = promote(PRIMARY_REGION, REPLICA);
    assert!(absent.contains("(DBInstanceNotFound)"), "{absent}");

    let snapshot = ["rds", "create-db-snapshot", "--db-instance-identifier", REPLICA];
    let snapshot = [snapshot.as_slice(), &["--db-snapshot-identifier", "before"]].concat();
    aws(&cloud, REPLICA_REGION, &snapshot).unwrap();
    assert_eq!(described(&cloud, REPLICA_REGION, REPLICA)["DBInstanceStatus"], "backing-up");
    let refused = promote(REPLICA_REGION, REPLICA);
    assert!(refused.contains("not currently in the available state"), "{refused}");
    assert!(cloud.world().effects_of("PromoteReadReplica").is_empty());
    let restore = [
        "rds",
        "restore-db-instance-from-db-snapshot",
        "--db-instance-identifier",
        "early",
        "--db-snapshot-identifier",
        "before",
    ];
    let early = aws(&cloud, REPLICA_REGION, &restore).unwrap_err();
    assert!(early.contains("(InvalidDBSnapshotState)"), "{early}");
}

#[test]
fn a_promotion_whose_answer_is_lost_has_happened_all_the_same_and_once() {
    let cloud = cloud();
    let world = cloud.world();
    let lost = FaultKind::ApplyThenDrop.fault().action("PromoteReadReplica");
    world.begin(lost).unwrap();
    for said in ["closed", "(InvalidDBInstanceState)"] {
        let told = aws(&cloud, REPLICA_REGION, &PROMOTE).unwrap_err();
        assert!(told.contains(said), "{told}");
    }
    until("it is promoted", || {
        status(&cloud, REPLICA_REGION, REPLICA) == "available"
            && !world.effects_of("Promoted").is_empty()
    });
    let recovers = sql(&cloud, REPLICA_REGION, REPLICA, "select pg_is_in_recovery()");
    assert_eq!(recovers.as_deref(), Ok("f"));
    let actions = world.effects().into_iter().filter(|it| it.service == "rds");
    let actions: Vec<_> = actions.map(|it| it.action).collect();
    assert_eq!(actions, ["PromoteReadReplica", "Promoted"]);
}
