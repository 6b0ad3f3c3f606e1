//! Replicas, snapshots and restores: what is made is there once, whole, and can be taken back.

use engine::step::Observation;
use lab::cloud::{FaultKind, PRIMARY, PRIMARY_REGION, REPLICA, REPLICA_REGION};
use lab::cluster::Cluster;
use model::step_error::ErrorClass;
use serde_json::{Value, json};
use shown::case;

use crate::alone::alone;
use crate::bed::{Bed, observe, run, step, until};

fn with(bed: &Bed, region: &str, keys: &Value) -> Value {
    let settings = json!({
        "subnet_group": "app", "security_groups": ["sg-app"], "parameter_group": "app-postgres15",
    });
    let mut with = json!({"settings": settings, "interval": "100ms", "settle": "2s"});
    with.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    bed.at(region, &with)
}

fn snapshot(bed: &Bed, keys: &Value) -> Value {
    let mut with = json!({"instance": PRIMARY, "interval": "100ms", "settle": "2s"});
    with.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    bed.at(PRIMARY_REGION, &with)
}

fn delete(bed: &Bed, region: &str, instance: &str) -> Value {
    bed.at(region, &json!({"instance": instance, "interval": "100ms", "settle": "2s"}))
}

fn rows(bed: &Bed, region: &str, id: &str) -> String {
    let cluster = bed.world().cluster(region, id).unwrap();
    cluster.query_one("postgres", "SELECT count(*) FROM ledger").unwrap()
}

fn takes_writes(cluster: &Cluster) -> bool {
    cluster.execute("postgres", "INSERT INTO ledger (note) VALUES ('new')").is_ok()
}

#[test]
fn a_replica_of_another_region_follows_and_is_taken_back() {
    alone("made::a_replica_of_another_region_follows_and_is_taken_back", async {
        let bed = Bed::new();
        bed.write();
        let arn = format!("arn:aws:rds:{PRIMARY_REGION}:{}:db:{PRIMARY}", lab::cloud::ACCOUNT);
        let keys = json!({"instance": "app-second", "source": arn});
        let input = with(&bed, REPLICA_REGION, &keys);
        let ctx = bed.ctx(1);
        let output = run("rds.create_replica", &input, &ctx).await.unwrap();
        assert_eq!((&output["source"], &output["region"]), (&json!(arn), &json!(REPLICA_REGION)));
        let second = bed.world().cluster(REPLICA_REGION, "app-second").unwrap();
        assert!(!takes_writes(&second));
        bed.write();
        until(|| rows(&bed, REPLICA_REGION, "app-second") == "200").await;
        let seen = observe("rds.create_replica", &input, &ctx).await.unwrap();
        assert_eq!(seen, Observation::Done(output.clone()));
        assert_eq!(run("rds.create_replica", &input, &bed.ctx(2)).await.unwrap(), output);
        assert_eq!(bed.effects("CreateDBInstanceReadReplica"), 1);

        let removal = delete(&bed, REPLICA_REGION, "app-second");
        let removed = run("rds.delete_instance", &removal, &ctx).await.unwrap();
        assert_eq!(removed, json!({"instance": "app-second", "snapshot": null}));
        assert!(bed.world().cluster(REPLICA_REGION, "app-second").is_none());
        let seen = observe("rds.delete_instance", &removal, &ctx).await.unwrap();
        assert_eq!(seen, Observation::Done(removed));
    });
}

#[test]
fn a_snapshot_is_whole_and_restored_beside() {
    alone("made::a_snapshot_is_whole_and_restored_beside", async {
        let bed = Bed::new();
        bed.write();
        let taking = snapshot(&bed, &json!({"snapshot": "before"}));
        let ctx = step(&bed.host, "before");
        let taken = run("rds.snapshot", &taking, &ctx).await.unwrap();
        assert_eq!((&taken["status"], &taken["instance"]), (&json!("available"), &json!(PRIMARY)));
        assert_eq!(taken["tags"]["runbook:step"], "before");
        let seen = observe("rds.snapshot", &taking, &ctx).await.unwrap();
        assert_eq!(seen, Observation::Done(taken.clone()));
        bed.write();

        let keys = json!({"instance": "app-restored", "snapshot": "before"});
        let input = with(&bed, PRIMARY_REGION, &keys);
        let ctx = step(&bed.host, "restore");
        let output = run("rds.restore_snapshot", &input, &ctx).await.unwrap();
        assert_eq!(output["recovery_point"], taken["taken_at"]);
        assert_eq!(rows(&bed, PRIMARY_REGION, "app-restored"), "100");
        assert!(takes_writes(&bed.world().cluster(PRIMARY_REGION, "app-restored").unwrap()));
        let seen = observe("rds.restore_snapshot", &input, &ctx).await.unwrap();
        assert_eq!(seen, Observation::Done(output));

        let removal = delete(&bed, PRIMARY_REGION, "app-restored");
        let removed = run("rds.delete_instance", &removal, &ctx).await.unwrap();
        let last = removed["snapshot"].as_str().unwrap();
        let keys = json!({"snapshot": last, "interval": "100ms"});
        run("rds.wait", &bed.at(PRIMARY_REGION, &keys), &ctx).await.unwrap();
    });
}

#[test]
fn a_moment_is_brought_back_and_one_out_of_reach_refused() {
    alone("made::a_moment_is_brought_back_and_one_out_of_reach_refused", async {
        let bed = Bed::new();
        let describe = bed.at(PRIMARY_REGION, &json!({"instance": PRIMARY}));
        loop {
            let found = run("rds.describe", &describe, &bed.ctx(1)).await.unwrap();
            if found["latest_restorable_time"].is_string() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        bed.write();
        tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
        let now = "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')";
        let moment = bed.primary().query_one("postgres", now).unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
        bed.write();
        let keys = |time: &str| json!({"instance": "app-before", "source": PRIMARY, "time": time, "wait": "0s"});
        let input = with(&bed, PRIMARY_REGION, &keys("2099-01-01T00:00:00Z"));
        let refused = run("rds.restore_to_time", &input, &bed.ctx(1)).await.unwrap_err();
        assert_eq!(refused.class, ErrorClass::Permanent);
        case("RB0679", refused.told());
        assert_eq!(bed.effects("RestoreDBInstanceToPointInTime"), 0);

        let mut input = with(&bed, PRIMARY_REGION, &keys(&moment));
        input["wait"] = json!("20s");
        let output = run("rds.restore_to_time", &input, &bed.ctx(1)).await.unwrap();
        assert_eq!(output["recovery_point"], json!(moment));
        assert_eq!(rows(&bed, PRIMARY_REGION, "app-before"), "100");
        let seen = observe("rds.restore_to_time", &input, &bed.ctx(1)).await.unwrap();
        assert_eq!(seen, Observation::Done(output));
    });
}

#[test]
fn what_is_there_already_is_left_alone() {
    alone("made::what_is_there_already_is_left_alone", async {
        let bed = Bed::new();
        let keys = json!({"instance": REPLICA, "source": PRIMARY});
        let input = with(&bed, REPLICA_REGION, &keys);
        let refused = run("rds.create_replica", &input, &bed.ctx(1)).await.unwrap_err();
        assert_eq!(refused.class, ErrorClass::Permanent);
        case("RB0677", refused.told());
        let removal = delete(&bed, PRIMARY_REGION, PRIMARY);
        let refused = run("rds.delete_instance", &removal, &bed.ctx(1)).await.unwrap_err();
        assert_eq!(refused.class, ErrorClass::Permanent);
        case("RB0686", refused.told());
        assert!(takes_writes(&bed.primary()));
    });
}

#[test]
fn an_answer_that_is_lost_makes_one_instance() {
    alone("made::an_answer_that_is_lost_makes_one_instance", async {
        let bed = Bed::new();
        let action = "CreateDBSnapshot";
        for (number, kind) in
            [FaultKind::ApplyThenDrop, FaultKind::ErrorAfterApply].into_iter().enumerate()
        {
            bed.world().begin(kind.fault().action(action).times(1)).unwrap();
            let taking = snapshot(&bed, &json!({"snapshot": format!("lost-{number}")}));
            let ctx = step(&bed.host, &format!("take{number}"));
            run("rds.snapshot", &taking, &ctx).await.unwrap();
            assert_eq!(bed.effects(action), number + 1, "{kind:?}");
        }
        let action = "RestoreDBInstanceFromDBSnapshot";
        bed.world().begin(FaultKind::ApplyThenDrop.fault().action(action).times(1)).unwrap();
        let keys = json!({"instance": "app-restored", "snapshot": "lost-0"});
        let input = with(&bed, PRIMARY_REGION, &keys);
        run("rds.restore_snapshot", &input, &bed.ctx(1)).await.unwrap();
        assert_eq!(bed.effects(action), 1);

        let fault = FaultKind::ErrorBeforeApply.fault().action("CreateDBInstanceReadReplica");
        bed.world().begin(fault.times(1)).unwrap();
        let keys = json!({"instance": "app-lost", "source": PRIMARY, "settle": "300ms"});
        let input = with(&bed, PRIMARY_REGION, &keys);
        let ctx = step(&bed.host, "lost");
        let lost = run("rds.create_replica", &input, &ctx).await.unwrap_err();
        assert_eq!((lost.code.as_str(), lost.class), ("RB0668", ErrorClass::Ambiguous));
        let seen = observe("rds.create_replica", &input, &ctx).await.unwrap();
        assert_eq!(seen, Observation::InProgress, "the clock of the host stands still");
        let mut settled = input.clone();
        settled["settle"] = json!("0s");
        let seen = observe("rds.create_replica", &settled, &ctx).await.unwrap();
        assert_eq!(seen, Observation::NotDone);
        run("rds.create_replica", &input, &ctx).await.unwrap();
        assert_eq!(bed.effects("CreateDBInstanceReadReplica"), 1);
    });
}

#[test]
fn a_snapshot_that_is_not_whole_is_not_restored_and_slow_ones_are_told() {
    alone("made::a_snapshot_that_is_not_whole_is_not_restored_and_slow_ones_are_told", async {
        let pace = lab::cloud::Pace {
            backing_up: std::time::Duration::from_secs(3),
            ..lab::cloud::Pace::QUICK
        };
        let bed = Bed::at_pace(pace);
        let taking = snapshot(&bed, &json!({"snapshot": "slow", "timeout": "200ms"}));
        let late = run("rds.snapshot", &taking, &bed.ctx(1)).await.unwrap_err();
        assert_eq!(late.class, ErrorClass::Ambiguous);
        let told = late.told().replace("at 100 %", "at 0 %");
        case("RB0678", told);
        let seen = observe("rds.snapshot", &taking, &bed.ctx(1)).await.unwrap();
        assert_eq!(seen, Observation::InProgress);
        let keys = json!({"instance": "app-restored", "snapshot": "slow"});
        let input = with(&bed, PRIMARY_REGION, &keys);
        let ctx = step(&bed.host, "restore");
        let refused = run("rds.restore_snapshot", &input, &ctx).await.unwrap_err();
        assert_eq!(refused.class, ErrorClass::Permanent);
        case("RB0685", refused.told());
        let patient = snapshot(&bed, &json!({"snapshot": "slow"}));
        run("rds.snapshot", &patient, &bed.ctx(2)).await.unwrap();
        assert_eq!(bed.effects("CreateDBSnapshot"), 1);
    });
}
