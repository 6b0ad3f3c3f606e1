//! `dr-failover` and `failback` in the laboratory, judged by the application's own account of its
//! writes, by a probe of both servers, and by the laboratory's log of effects.

mod faults;
mod scene;

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use self::scene::{EAST, Scene, WEST};
use crate::watch::{Acknowledged, Writer};

/// The difference that is allowed between what the report and what the outside measured, for both
/// look at intervals.
const TOLERANCE_MS: i64 = 1_000;

fn moment(value: &Value) -> Timestamp {
    value.as_str().unwrap_or_else(|| panic!("no time: {value}")).parse().unwrap()
}

fn ms(from: Timestamp, to: Timestamp) -> i64 {
    i64::try_from(to.duration_since(from).as_millis()).unwrap()
}

fn number(report: &Value, pointer: &str) -> i64 {
    report.pointer(pointer).and_then(Value::as_i64).unwrap_or_else(|| panic!("{pointer}: {report}"))
}

/// Writes to both servers all the time, whatever the name says.
struct Probes(Writer, Writer);

impl Probes {
    fn start(scene: &Scene) -> Self {
        let probe = |url| Writer::start(&scene.value(url), "probe");
        Self(probe("PRIMARY_DATABASE_URL"), probe("STANDBY_DATABASE_URL"))
    }

    /// Nobody saw the old server take a write once the new one had taken its first.
    #[track_caller]
    fn saw_one_primary(self) {
        let (old, new): (Vec<Acknowledged>, Vec<Acknowledged>) = (self.0.stop(), self.1.stop());
        if let (Some(last), Some(first)) = (old.last(), new.first()) {
            assert!(last.ended < first.begun, "two primaries: {last:?} and {first:?}");
        }
    }
}

/// At most one promotion of the replica, and no name moved before it.
#[track_caller]
fn in_order(scene: &Scene) {
    assert!(scene.effects_of("PromoteReadReplica").len() <= 1);
    let promoted = scene.effects_of("Promoted");
    for moved in ["ChangeResourceRecordSets", "PutParameter"] {
        for moved in scene.effects_of(moved) {
            assert!(promoted.first().is_some_and(|promoted| *promoted < moved), "{promoted:?}");
        }
    }
}

/// The report's RTO is what the application says of its gap.
#[track_caller]
fn the_gap_is_the_rto(scene: &Scene, incident: Timestamp) {
    let gap = scene.account()["longest_gap"].clone();
    let seen = ms(incident, moment(&gap["until"]));
    let rto = number(&scene.report(), "/rto/from_incident_ms");
    assert!((rto - seen).abs() <= TOLERANCE_MS, "RTO {rto} ms, the application saw {seen} ms");
}

/// The official command line sees what the run did.
#[track_caller]
fn what_aws_says_of_it(scene: &Scene) {
    let host = "app-replica.us-west-2.rds.lab.internal";
    let query = "DBInstances[0].[DBInstanceStatus,ReadReplicaSourceDBInstanceIdentifier]";
    let rds = ["rds", "describe-db-instances", "--output", "text", "--query", query];
    assert_eq!(scene.aws(WEST, &rds).split_whitespace().collect::<Vec<_>>(), ["available", "None"]);
    let zone = scene.value("LAB_ZONE_ID");
    let records = ["route53", "list-resource-record-sets", "--hosted-zone-id", &zone];
    assert!(scene.aws(EAST, &records).contains(host));
    let parameter = ["ssm", "get-parameter", "--name", lab::site::HOST_PARAMETER];
    assert!(scene.aws(WEST, &parameter).contains(host));
}

#[test]
fn a_set_lies_on_this_site_and_in_two_regions() {
    let scene = Scene::new();
    let params = [
        format!("store=file://{}", scene.folder("store").display()),
        "near=s3://lab-backups/prod".to_owned(),
        format!("near_region={EAST}"),
        "far=s3://lab-backups-west/prod".to_owned(),
        format!("far_region={WEST}"),
    ];
    scene.run(&["run", "runbooks/multi-region-backup.yaml"], &params).expect(0);
    let manifests = |region, bucket| {
        let listed = scene.aws(region, &["s3", "ls", "--recursive", bucket]);
        listed.lines().filter(|line| line.ends_with("/manifest.json")).count()
    };
    assert_eq!(manifests(EAST, "s3://lab-backups/"), 1);
    assert_eq!(manifests(WEST, "s3://lab-backups-west/"), 1);
    let class = ["s3api", "list-objects-v2", "--bucket", "lab-backups-west", "--query"];
    let query = "Contents[?ends_with(Key, 'manifest.json')].StorageClass";
    let class = scene.aws(WEST, &[&class[..], &[query, "--output", "text"]].concat());
    assert_eq!(class.trim(), "STANDARD_IA");
    // With a bucket out of reach there are no three copies, and nothing is pruned.
    scene.disaster("region", WEST);
    let ended = scene.run(&["run", "runbooks/multi-region-backup.yaml"], &params);
    assert!(matches!(ended.status, Some(1 | 3)), "{ended:?}");
}

#[test]
fn a_planned_failover_loses_no_acknowledged_write() {
    let scene = Scene::new();
    let probes = Probes::start(&scene);
    std::thread::sleep(Duration::from_secs(1));
    let incident = Timestamp::now();
    scene.fail_over(incident, &[], &[]).expect(0);
    std::thread::sleep(Duration::from_millis(500));
    probes.saw_one_primary();
    in_order(&scene);
    assert_eq!(scene.account()["lost"], 0, "{}", scene.account());
    the_gap_is_the_rto(&scene, incident);
    assert_eq!(number(&scene.report(), "/rpo/loss_ms"), 0, "nothing was lost");
    assert_eq!(scene.sql("STANDBY_DATABASE_URL", "SELECT pg_is_in_recovery()"), "f");
    assert_eq!(scene.effects_of("CreateDBSnapshot").len(), 1);
    what_aws_says_of_it(&scene);
    let told = format!("{:?}", scene.site.sink().messages());
    assert!(told.contains("is the primary, timeline 2"), "{told}");
}

#[test]
fn a_lost_region_is_left_and_gone_back_to() {
    let scene = Scene::new();
    std::thread::sleep(Duration::from_secs(1));
    scene.disaster("region", EAST);
    let incident = Timestamp::now();
    let lost_at = format!("lost_at={incident}");
    let why = "accept_unreachable=the region is gone, says the provider";
    // Nobody accepted yet that the old primary cannot be asked.
    let refused = scene.fail_over(incident, &["--ungraceful"], &[&lost_at]).expect(1);
    assert!(refused.stderr.contains("RB0581"), "{}", refused.stderr);
    assert_eq!(scene.effects_of("PromoteReadReplica"), Vec::<usize>::new());

    scene.fail_over(incident, &["--ungraceful"], &[&lost_at, why]).expect(0);
    in_order(&scene);
    the_gap_is_the_rto(&scene, incident);
    let newest = "SELECT to_json(max(written_at) AT TIME ZONE 'UTC') #>> '{}' || 'Z' FROM ledger \
                  WHERE written_at <= ";
    let newest = scene.sql("STANDBY_DATABASE_URL", &format!("{newest}'{incident}'"));
    let seen = ms(newest.parse().unwrap(), incident);
    let rpo = number(&scene.report(), "/rpo/loss_ms");
    assert!((rpo - seen).abs() <= TOLERANCE_MS, "RPO {rpo} ms, the ledger ends {seen} ms before");
    let lost = scene.account()["lost"].clone();

    // The region comes back, and the old primary with it, as a primary.
    scene.site.end("region").unwrap();
    assert_eq!(scene.sql("PRIMARY_DATABASE_URL", "SELECT pg_is_in_recovery()"), "f");
    scene.fail_back().expect(0);
    assert_eq!(scene.account()["lost"], lost, "going home loses nothing");
    assert_eq!(scene.effects_of("Promoted").len(), 2);
    let address = scene.site.dns().address().to_string();
    assert!(scene.account()["database"].as_str().unwrap().contains("127.0.1.2"), "{address}");
}

#[test]
fn a_monthly_drill_recovers_goes_there_and_back_and_loses_nothing() {
    let scene = Scene::new();
    scene.run(&["run", "runbooks/daily-backup.yaml"], &[]).expect(0);
    let probes = Probes::start(&scene);
    let suite = scene.folder("suite").join("ran");
    let ran = format!("sh,-c,echo ran >> {}", suite.display());
    let source = format!("source={}", scene.value("PGDATABASE"));
    scene.drill("runbooks/monthly-drill.yaml", &ran, &["regional=true", &source]).expect(0);
    probes.saw_one_primary();
    assert_eq!(std::fs::read_to_string(suite).unwrap(), "ran\nran\n", "away and at home");
    assert_eq!(scene.effects_of("Promoted").len(), 2);
    assert_eq!(scene.account()["lost"], 0, "{}", scene.account());
    assert!(scene.account()["database"].as_str().unwrap().contains("127.0.1.2"));
    let report = scene.report();
    assert_eq!(number(&report, "/rpo/loss_ms"), 0);
    assert_eq!(report["rto"]["ended_by"], "region.return.served", "{}", report["rto"]);
    let told = format!("{:?}", scene.site.sink().messages());
    assert!(told.contains("app-home is the primary, timeline 3"), "{told}");
    assert!(told.contains("what was lost of"), "{told}");
}

#[test]
fn a_drill_whose_suite_fails_stays_where_it_is() {
    let scene = Scene::new();
    scene.drill("runbooks/regional-drill.yaml", "false", &[]).expect(1);
    assert_eq!(scene.effects_of("Promoted").len(), 1);
    let told = format!("{:?}", scene.site.sink().messages());
    assert!(told.contains("FAILED at suite_away"), "{told}");
}

#[test]
fn a_plan_tells_what_needs_the_region_that_is_lost() {
    let scene = Scene::new();
    let shown = scene.planned(&["--without-region", EAST]);
    let ended = shown.expect(8);
    assert!(ended.stdout.contains("fence"), "{}", ended.stdout);
    assert!(ended.stdout.contains("route53"), "the control plane: {}", ended.stdout);
    let shown = scene.planned(&["--without-region", WEST]).expect(8);
    assert!(shown.stdout.contains("promote"), "{}", shown.stdout);
}
