//! New instances from snapshots and from moments, whose rows say that they are what they claim.

use lab::cloud::{Cloud, FaultKind, PRIMARY, PRIMARY_REGION, REPLICA, REPLICA_REGION};
use serde_json::{Value, json};

use crate::client::{aws, described, sql};
use crate::{cloud, status, until, words};

fn available(cloud: &Cloud, id: &str) {
    until(&format!("`{id}` is available"), || {
        let status = status(cloud, PRIMARY_REGION, id);
        assert_ne!(status, "failed");
        status == "available"
    });
}

fn primary(cloud: &Cloud, text: &str) -> String {
    sql(cloud, PRIMARY_REGION, PRIMARY, text).unwrap()
}

#[test]
fn a_snapshot_is_restored_as_it_was_into_default_groups() {
    let cloud = cloud();
    primary(&cloud, "create table t as select 1 as a");
    let take = words(
        "rds create-db-snapshot --db-instance-identifier app-primary --db-snapshot-identifier one",
    );
    let told = aws(&cloud, PRIMARY_REGION, &take).unwrap();
    assert_eq!(told["DBSnapshot"]["Status"], "creating");
    let restore = words(
        "rds restore-db-instance-from-db-snapshot --db-instance-identifier restored \
         --db-snapshot-identifier one",
    );
    let list = words("rds describe-db-snapshots --db-snapshot-identifier one");
    until("the snapshot is there", || {
        aws(&cloud, PRIMARY_REGION, &list).unwrap()["DBSnapshots"][0]["Status"] == "available"
    });
    available(&cloud, PRIMARY);
    primary(&cloud, "insert into t values (2)");

    let told = aws(&cloud, PRIMARY_REGION, &restore).unwrap();
    assert_eq!(told["DBInstance"]["DBInstanceStatus"], "creating");
    available(&cloud, "restored");
    let rows = "select count(*) from t";
    assert_eq!(sql(&cloud, PRIMARY_REGION, "restored", rows).as_deref(), Ok("1"));
    assert_eq!(primary(&cloud, rows), "2");
    let restored = described(&cloud, PRIMARY_REGION, "restored");
    assert_eq!(restored["VpcSecurityGroups"][0]["VpcSecurityGroupId"], "sg-default");
    let original = described(&cloud, PRIMARY_REGION, PRIMARY);
    assert_ne!(restored["DbiResourceId"], original["DbiResourceId"]);
    let again = aws(&cloud, PRIMARY_REGION, &take).unwrap_err();
    assert!(again.contains("(DBSnapshotAlreadyExists)"), "{again}");
    let absent = words("rds describe-db-snapshots --db-snapshot-identifier none");
    let absent = aws(&cloud, PRIMARY_REGION, &absent).unwrap_err();
    assert!(absent.contains("(DBSnapshotNotFound)"), "{absent}");
}

fn to_time(cloud: &Cloud, id: &str, more: &[&str]) -> Result<Value, String> {
    let words = [
        "rds",
        "restore-db-instance-to-point-in-time",
        "--source-db-instance-identifier",
        PRIMARY,
        "--target-db-instance-identifier",
        id,
    ];
    aws(cloud, PRIMARY_REGION, &[words.as_slice(), more].concat())
}

/// Waits until the primary can be brought back to a moment.
fn restorable(cloud: &Cloud, moment: &str) {
    let moment = moment.parse::<jiff::Timestamp>().unwrap();
    until("the moment is restorable", || {
        let told = described(cloud, PRIMARY_REGION, PRIMARY)["LatestRestorableTime"].clone();
        told.as_str().is_some_and(|it| it.parse::<jiff::Timestamp>().unwrap() > moment)
    });
}

const NOW: &str =
    r#"select to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"#;

#[test]
fn an_instance_is_brought_back_to_a_moment_and_no_further() {
    let cloud = cloud();
    restorable(&cloud, &primary(&cloud, NOW));
    primary(&cloud, "create table t as select 1 as a");
    let moment = primary(&cloud, NOW);
    primary(&cloud, "insert into t values (2)");
    let future = to_time(&cloud, "early", &["--restore-time", "2999-01-01T00:00:00Z"]).unwrap_err();
    assert!(future.contains("(InvalidRestoreFault)"), "{future}");
    let neither = to_time(&cloud, "early", &[]).unwrap_err();
    assert!(neither.contains("(InvalidParameterCombination)"), "{neither}");
    restorable(&cloud, &primary(&cloud, NOW));

    to_time(&cloud, "moment", &["--restore-time", &moment]).unwrap();
    to_time(&cloud, "latest", &["--use-latest-restorable-time"]).unwrap();
    for (id, rows) in [("moment", "1"), ("latest", "2")] {
        available(&cloud, id);
        let found = sql(&cloud, PRIMARY_REGION, id, "select count(*) from t");
        assert_eq!(found.as_deref(), Ok(rows), "{id}");
    }
    let without = [
        "rds",
        "restore-db-instance-to-point-in-time",
        "--source-db-instance-identifier",
        REPLICA,
        "--target-db-instance-identifier",
        "x",
        "--use-latest-restorable-time",
    ];
    let without = aws(&cloud, REPLICA_REGION, &without).unwrap_err();
    assert!(without.contains("(PointInTimeRestoreNotEnabled)"), "{without}");
    let actions: Vec<_> = cloud.world().effects_of("Created").into_iter().collect();
    assert_eq!(actions.len(), 2);
    assert_eq!(json!(actions[0].detail), json!({}));
}

#[test]
fn a_dead_primary_is_restored_with_all_that_was_committed() {
    let cloud = cloud();
    restorable(&cloud, &primary(&cloud, NOW));
    primary(&cloud, "create table t as select 1 as a");
    let moment = primary(&cloud, NOW);
    restorable(&cloud, &moment);
    primary(&cloud, "insert into t values (2)");
    cloud.world().begin(FaultKind::PrimaryCrash.fault()).unwrap();
    to_time(&cloud, "latest", &["--use-latest-restorable-time"]).unwrap();
    to_time(&cloud, "moment", &["--restore-time", &moment]).unwrap();
    for (id, rows) in [("latest", "2"), ("moment", "1")] {
        available(&cloud, id);
        let found = sql(&cloud, PRIMARY_REGION, id, "select count(*) from t");
        assert_eq!(found.as_deref(), Ok(rows), "{id}");
    }
}
