//! `rds.describe`, `rds.wait`, and what none of the steps takes.

use lab::cloud::{
    CloudOptions, Fault, FaultKind, PRIMARY, PRIMARY_REGION, REPLICA, REPLICA_REGION,
};
use model::step_error::ErrorClass;
use serde_json::json;
use shown::case;

use crate::alone::alone;
use crate::bed::{Bed, run, step};

const KIND: &str = "rds.describe";

#[test]
fn an_instance_is_described_as_the_cloud_has_it() {
    alone("describe::an_instance_is_described_as_the_cloud_has_it", async {
        let bed = Bed::new();
        let with = bed.at(REPLICA_REGION, &json!({"instance": REPLICA}));
        let output = run(KIND, &with, &bed.ctx(1)).await.unwrap();
        let seen = bed.world().instances().into_iter().find(|one| one.id == REPLICA).unwrap();
        assert_eq!(output["status"], "available");
        let name = "app-replica.us-west-2.rds.lab.internal";
        assert_eq!(output["endpoint"]["address"], name);
        assert_eq!(output["endpoint"]["port"], json!(seen.port));
        assert_eq!(output["source"], json!(seen.source));
        assert_eq!(output["region"], REPLICA_REGION);
        assert_eq!(output["security_groups"], json!([{"id": "sg-app", "status": "active"}]));

        let expect = json!({"status": "available", "replica": true, "source": PRIMARY});
        let with = bed.at(REPLICA_REGION, &json!({"instance": REPLICA, "expect": expect}));
        run(KIND, &with, &bed.ctx(1)).await.unwrap();
        let expect = json!({
            "replica": true, "min_backup_retention": 30, "deletion_protection": false,
        });
        let with = bed.at(PRIMARY_REGION, &json!({"instance": PRIMARY, "expect": expect}));
        let refused = run(KIND, &with, &bed.ctx(1)).await.unwrap_err();
        assert_eq!((refused.class, refused.causes.len()), (ErrorClass::Permanent, 3));
        case("RB0676", refused.told());
    });
}

#[test]
fn the_health_of_backups_can_be_asserted() {
    alone("describe::the_health_of_backups_can_be_asserted", async {
        let bed = Bed::new();
        let expect = json!({"min_backup_retention": 7, "max_restorable_age": "10m"});
        let with = bed.at(PRIMARY_REGION, &json!({"instance": PRIMARY, "expect": expect}));
        // The laboratory's first backup is taken while the test begins.
        let mut output = run(KIND, &with, &bed.ctx(1)).await;
        for _ in 0..300 {
            if output.is_ok() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            output = run(KIND, &with, &bed.ctx(1)).await;
        }
        assert!(output.unwrap()["latest_restorable_time"].is_string());
        let with = bed.at(REPLICA_REGION, &json!({"instance": REPLICA, "expect": expect}));
        let refused = run(KIND, &with, &bed.ctx(1)).await.unwrap_err();
        assert!(refused.causes.iter().any(|why| why.ends_with("it has no backups")), "{refused:?}");
    });
}

#[test]
fn what_is_not_there_and_what_is_a_cluster_is_refused() {
    alone("describe::what_is_not_there_and_what_is_a_cluster_is_refused", async {
        let bed = Bed::with(CloudOptions::new().aurora("app-aurora"));
        let with = bed.at(PRIMARY_REGION, &json!({"instance": REPLICA}));
        let refused = run(KIND, &with, &bed.ctx(1)).await.unwrap_err();
        assert_eq!(refused.class, ErrorClass::Permanent);
        case("RB0671", refused.told());
        let with = bed.at(PRIMARY_REGION, &json!({"instance": "app-aurora"}));
        let refused = run(KIND, &with, &bed.ctx(1)).await.unwrap_err();
        assert_eq!(refused.class, ErrorClass::Permanent);
        case("RB0670", refused.told());
        let mut aurora = bed.promotion(&json!({"instance": "app-aurora"}));
        aurora["region"] = json!(PRIMARY_REGION);
        let refused = run("rds.promote_replica", &aurora, &bed.ctx(1)).await.unwrap_err();
        assert_eq!(refused.code, "RB0670");
        let aurora = bed.fence(&json!({"instance": "app-aurora"}));
        assert_eq!(run("fence", &aurora, &bed.ctx(1)).await.unwrap_err().code, "RB0670");
    });
}

#[test]
fn a_look_is_tried_again_and_tells_why_it_failed() {
    alone("describe::a_look_is_tried_again_and_tells_why_it_failed", async {
        let bed = Bed::new();
        let with = bed.at(REPLICA_REGION, &json!({"instance": REPLICA}));
        bed.world().begin(FaultKind::Throttle.fault().times(2)).unwrap();
        run(KIND, &with, &bed.ctx(1)).await.unwrap();
        let fault = |kind: FaultKind| -> Fault { kind.fault() };
        for (kind, code, class) in [
            (FaultKind::Throttle, "RB0667", ErrorClass::Transient),
            (FaultKind::ErrorBeforeApply, "RB0667", ErrorClass::Transient),
            (FaultKind::CredentialsExpired, "RB0690", ErrorClass::NeedsOperator),
        ] {
            bed.world().begin(fault(kind)).unwrap();
            let refused = run(KIND, &with, &bed.ctx(1)).await.unwrap_err();
            assert_eq!((refused.code.as_str(), refused.class), (code, class), "{kind:?}");
            bed.world().end(kind).unwrap();
        }
        bed.world().begin(FaultKind::Region.fault().region(REPLICA_REGION)).unwrap();
        let gone = run(KIND, &with, &bed.ctx(1)).await.unwrap_err();
        assert_eq!((gone.code.as_str(), gone.class), ("RB0667", ErrorClass::Transient));
    });
}

#[test]
fn a_status_is_waited_for_and_shown() {
    alone("describe::a_status_is_waited_for_and_shown", async {
        let bed = Bed::new();
        let keys = json!({"instance": REPLICA, "status": "rebooting", "interval": "50ms"});
        let with = bed.at(REPLICA_REGION, &keys);
        let (ctx, promotion) = (bed.ctx(1), bed.promotion(&json!({})));
        let other = step(&bed.host, "other");
        let waiting = run("rds.wait", &with, &ctx);
        let (waited, promoted) =
            tokio::join!(waiting, run("rds.promote_replica", &promotion, &other));
        assert_eq!(waited.unwrap(), json!({"name": REPLICA, "status": "rebooting"}));
        promoted.unwrap();
        assert!(bed.host.logged().contains("wait for `rebooting`"));

        let keys = json!({"instance": REPLICA, "status": "stopped", "timeout": "300ms"});
        let late = run("rds.wait", &bed.at(REPLICA_REGION, &keys), &bed.ctx(1)).await.unwrap_err();
        assert_eq!(late.class, ErrorClass::Permanent);
        case("RB0684", late.told());
        let keys = json!({"snapshot": "none", "status": "absent"});
        run("rds.wait", &bed.at(REPLICA_REGION, &keys), &bed.ctx(1)).await.unwrap();
    });
}
