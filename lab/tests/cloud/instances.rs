//! What happens to instances besides promotions.

use lab::cloud::{Cloud, CloudOptions, PRIMARY, PRIMARY_REGION, REPLICA, REPLICA_REGION};
use lab::sample;
use serde_json::{Value, json};

use crate::client::{aws, described, sql};
use crate::{cloud, status, until};

fn rds(
    cloud: &Cloud,
    region: &str,
    action: &str,
    id: &str,
    more: &[&str],
) -> Result<Value, String> {
    let words = ["rds", action, "--db-instance-identifier", id];
    aws(cloud, region, &[words.as_slice(), more].concat())
}

fn available(cloud: &Cloud, region: &str, id: &str) {
    until(&format!("`{id}` is available"), || status(cloud, region, id) == "available");
}

#[test]
fn a_security_group_refuses_new_connections_and_keeps_the_established() {
    let cloud = cloud();
    let world = cloud.world();
    let url = world.database_url(PRIMARY_REGION, PRIMARY, "postgres").unwrap();
    let psql = world.cluster(PRIMARY_REGION, PRIMARY).unwrap().program("psql");
    let mut inside = std::process::Command::new(psql)
        .args(["-XAtq", "-c", "select 'in'", "-c", "select pg_sleep(3600)", &url])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut said = [0; 2];
    std::io::Read::read_exact(inside.stdout.as_mut().unwrap(), &mut said).unwrap();

    let isolate = ["--vpc-security-group-ids", "sg-isolated", "--apply-immediately"];
    let told = rds(&cloud, PRIMARY_REGION, "modify-db-instance", PRIMARY, &isolate).unwrap();
    let groups = &told["DBInstance"]["VpcSecurityGroups"];
    assert_eq!(groups[0], json!({"VpcSecurityGroupId": "sg-app", "Status": "removing"}));
    assert_eq!(groups[1], json!({"VpcSecurityGroupId": "sg-isolated", "Status": "adding"}));
    let now = json!([{"VpcSecurityGroupId": "sg-isolated", "Status": "active"}]);
    until("the group is in force", || !cloud.world().effects_of("SecurityGroupsActive").is_empty());
    assert_eq!(described(&cloud, PRIMARY_REGION, PRIMARY)["VpcSecurityGroups"], now);
    let refused = sql(&cloud, PRIMARY_REGION, PRIMARY, "select 1").unwrap_err();
    assert!(refused.contains("Connection refused"), "{refused}");
    assert!(inside.try_wait().unwrap().is_none());

    rds(&cloud, PRIMARY_REGION, "reboot-db-instance", PRIMARY, &[]).unwrap();
    assert!(!inside.wait().unwrap().success());
    available(&cloud, PRIMARY_REGION, PRIMARY);
    assert!(sql(&cloud, PRIMARY_REGION, PRIMARY, "select 1").is_err());
    let back = ["--vpc-security-group-ids", "sg-app", "--apply-immediately"];
    rds(&cloud, PRIMARY_REGION, "modify-db-instance", PRIMARY, &back).unwrap();
    until("it lets in", || sql(&cloud, PRIMARY_REGION, PRIMARY, "select 1").is_ok());
    let unknown = ["--vpc-security-group-ids", "sg-none", "--apply-immediately"];
    let unknown = rds(&cloud, PRIMARY_REGION, "modify-db-instance", PRIMARY, &unknown);
    assert!(unknown.unwrap_err().contains("(InvalidParameterValue)"));
}

#[test]
fn what_replicates_is_not_stopped_and_what_is_protected_is_not_deleted() {
    let cloud = cloud();
    for (region, id) in [(PRIMARY_REGION, PRIMARY), (REPLICA_REGION, REPLICA)] {
        let refused = rds(&cloud, region, "stop-db-instance", id, &[]).unwrap_err();
        assert!(refused.contains("(InvalidDBInstanceState)"), "{refused}");
    }
    let skip = ["--skip-final-snapshot"];
    let kept = rds(&cloud, PRIMARY_REGION, "delete-db-instance", PRIMARY, &skip).unwrap_err();
    assert!(kept.contains("Cannot delete protected DB Instance"), "{kept}");
    let unsaid = rds(&cloud, REPLICA_REGION, "delete-db-instance", REPLICA, &[]).unwrap_err();
    assert!(unsaid.contains("(InvalidParameterCombination)"), "{unsaid}");
    rds(&cloud, REPLICA_REGION, "delete-db-instance", REPLICA, &skip).unwrap();
    until("it is gone", || {
        let told = rds(&cloud, REPLICA_REGION, "describe-db-instances", REPLICA, &[]);
        told.is_err_and(|said| said.contains("(DBInstanceNotFound)"))
    });
    // Without a replica it can be stopped, and started again.
    rds(&cloud, PRIMARY_REGION, "stop-db-instance", PRIMARY, &[]).unwrap();
    until("it is stopped", || status(&cloud, PRIMARY_REGION, PRIMARY) == "stopped");
    assert!(sql(&cloud, PRIMARY_REGION, PRIMARY, "select 1").is_err());
    rds(&cloud, PRIMARY_REGION, "start-db-instance", PRIMARY, &[]).unwrap();
    available(&cloud, PRIMARY_REGION, PRIMARY);
    assert_eq!(sql(&cloud, PRIMARY_REGION, PRIMARY, "select 1").as_deref(), Ok("1"));
}

#[test]
fn a_replica_is_made_across_regions_tagged_and_real() {
    let fill = |cluster: &lab::cluster::Cluster| {
        cluster.create_database("lms").map_err(std::io::Error::other)?;
        cluster.execute("lms", &sample::application(100)).map_err(std::io::Error::other)
    };
    let cloud = CloudOptions::new().prepare(fill).aurora("app-aurora").start().unwrap();
    let arn = described(&cloud, PRIMARY_REGION, PRIMARY)["DBInstanceArn"].clone();
    let source = ["--source-db-instance-identifier", arn.as_str().unwrap()];
    let more = [&source[..], &["--tags", "Key=runbook:run,Value=01X"]].concat();
    let create = "create-db-instance-read-replica";
    rds(&cloud, REPLICA_REGION, create, "second", &more).unwrap();
    let twice = rds(&cloud, REPLICA_REGION, create, "second", &source).unwrap_err();
    assert!(twice.contains("(DBInstanceAlreadyExists)"), "{twice}");
    available(&cloud, REPLICA_REGION, "second");
    let made = described(&cloud, REPLICA_REGION, "second");
    assert_eq!(made["ReadReplicaSourceDBInstanceIdentifier"], arn);
    let recovers = sql(&cloud, REPLICA_REGION, "second", "select pg_is_in_recovery()");
    assert_eq!(recovers.as_deref(), Ok("t"));
    let second = made["DBInstanceArn"].as_str().unwrap();
    let list = ["rds", "list-tags-for-resource", "--resource-name", second];
    let tags = aws(&cloud, REPLICA_REGION, &list).unwrap();
    assert_eq!(tags["TagList"], json!([{"Key": "runbook:run", "Value": "01X"}]));
    let add = ["rds", "add-tags-to-resource", "--resource-name", second, "--tags", "Key=a,Value=b"];
    aws(&cloud, REPLICA_REGION, &add).unwrap();
    let tags = aws(&cloud, REPLICA_REGION, &list).unwrap();
    assert_eq!(tags["TagList"].as_array().unwrap().len(), 2);

    let third = ["--source-db-instance-identifier", "second"];
    let refused = rds(&cloud, REPLICA_REGION, create, "third", &third).unwrap_err();
    assert!(refused.contains("Automated backups are not enabled"), "{refused}");
    let aurora = described(&cloud, PRIMARY_REGION, "app-aurora");
    assert_eq!(aurora["Engine"], "aurora-postgresql");
    assert_eq!(aurora["DBClusterIdentifier"], "app-aurora-cluster");
}

#[test]
fn backups_are_kept_for_the_days_that_are_asked_for() {
    let cloud = cloud();
    let days = |days: &str| {
        let more = ["--backup-retention-period", days, "--apply-immediately"];
        rds(&cloud, PRIMARY_REGION, "modify-db-instance", PRIMARY, &more)
    };
    assert!(days("36").unwrap_err().contains("(InvalidParameterValue)"));
    days("0").unwrap();
    until("it has no backups", || {
        let now = described(&cloud, PRIMARY_REGION, PRIMARY);
        now["DBInstanceStatus"] == "available" && now["LatestRestorableTime"].is_null()
    });
    days("3").unwrap();
    until("it has backups", || {
        let now = described(&cloud, PRIMARY_REGION, PRIMARY);
        now["DBInstanceStatus"] == "available" && now["LatestRestorableTime"].is_string()
    });
    assert_eq!(described(&cloud, PRIMARY_REGION, PRIMARY)["BackupRetentionPeriod"], 3);
}
