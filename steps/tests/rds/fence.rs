//! `fence` with `method: rds`: new connections, established ones, and a region that is gone.

use std::sync::Arc;
use std::time::Duration;

use engine::memory_host::MemoryHost;
use engine::step::Observation;
use lab::cloud::{FaultKind, PRIMARY, PRIMARY_REGION};
use model::step_error::ErrorClass;
use serde_json::json;

use crate::alone::alone;
use crate::bed::{Bed, Client, connection, observe, run, step, until};

const KIND: &str = "fence";

/// The security groups of the primary, as the cloud has them.
fn groups(bed: &Bed) -> Vec<String> {
    let all = bed.world().instances();
    all.into_iter().find(|one| one.id == PRIMARY).unwrap().groups
}

#[test]
fn a_fence_holds_for_new_and_for_established_connections() {
    alone("fence::a_fence_holds_for_new_and_for_established_connections", async {
        let bed = Bed::new();
        let app = Client::connect(&bed.primary_url()).await.unwrap();
        assert!(app.writes().await);
        let ctx = bed.ctx(1);
        let output = run(KIND, &bed.fence(&json!({})), &ctx).await.unwrap();
        assert_eq!((&output["outcome"], &output["method"]), (&json!("confirmed"), &json!("rds")));
        assert_eq!(output["former_security_groups"], json!(["sg-app"]));
        let proof = output["proof"].as_str().unwrap();
        assert!(proof.starts_with("`app-primary` in `sg-isolated` alone since, and no client"));
        assert_eq!(groups(&bed), ["sg-isolated"]);
        assert!(!app.writes().await, "established connections are gone");
        assert!(Client::connect(&bed.primary_url()).await.is_err(), "new ones are refused");
        assert_eq!(bed.effects("RebootDBInstance"), 0);
        // The server runs, and its replica has all that it wrote.
        let last = output["last_lsn"].as_str().unwrap();
        let has_all = format!("SELECT pg_last_wal_receive_lsn() >= '{last}'::pg_lsn");
        until(|| bed.replica().query_one("postgres", &has_all).unwrap() == "t").await;
        let Observation::Done(seen) = observe(KIND, &bed.fence(&json!({})), &ctx).await.unwrap()
        else {
            panic!("a fenced server is fenced")
        };
        assert_eq!(seen["last_lsn"], output["last_lsn"]);

        let keys = json!({
            "fence": {"outcome": output["outcome"], "proof": output["proof"],
                      "fenced_at": output["fenced_at"]},
            "expected_lsn": output["last_lsn"], "max_bytes": "0B",
            "system_identifier": output["system_identifier"],
        });
        let promoting = step(&bed.host, "promote");
        let promoted = run("rds.promote_replica", &bed.promotion(&keys), &promoting).await;
        assert_eq!(promoted.unwrap()["lost_bytes"], 0);
        let rows = "SELECT count(*) FROM ledger WHERE note = 'app'";
        assert_eq!(bed.replica().query_one("postgres", rows).unwrap(), "1");
    });
}

#[test]
fn a_fence_that_cannot_log_in_reboots() {
    alone("fence::a_fence_that_cannot_log_in_reboots", async {
        let bed = Bed::new();
        let app = Client::connect(&bed.primary_url()).await.unwrap();
        let nobody = "CREATE ROLE nobody LOGIN PASSWORD 'x'";
        bed.primary().execute("postgres", nobody).unwrap();
        let url = bed.primary_url();
        let (_, rest) = url.split_once('@').unwrap();
        let url = format!("postgresql://nobody:wrong@{rest}");
        let host = MemoryHost::new(jiff::Timestamp::now(), std::env::temp_dir());
        let ctx = step(&Arc::new(host.with_connection(connection("primary", &url))), "tested");
        let mut with = bed.fence(&json!({}));
        with.as_object_mut().unwrap().remove("standby");
        let output = run(KIND, &with, &ctx).await.unwrap();
        assert_eq!(output["outcome"], "confirmed");
        let proof = output["proof"].as_str().unwrap();
        assert!(proof.contains("it was rebooted since"), "{proof}");
        assert_eq!(bed.effects("RebootDBInstance"), 1);
        assert!(!app.writes().await);
        assert!(Client::connect(&bed.primary_url()).await.is_err());
    });
}

#[test]
fn answers_that_are_lost_leave_one_fence() {
    alone("fence::answers_that_are_lost_leave_one_fence", async {
        for kind in [FaultKind::ApplyThenDrop, FaultKind::ErrorAfterApply, FaultKind::Throttle] {
            let bed = Bed::new();
            let fault = kind.fault().service("rds").action("ModifyDBInstance").times(1);
            bed.world().begin(fault).unwrap();
            let output = run(KIND, &bed.fence(&json!({})), &bed.ctx(1)).await.unwrap();
            assert_eq!(output["outcome"], "confirmed", "{kind:?}");
            assert_eq!(bed.effects("ModifyDBInstance"), 1, "{kind:?}");
            assert!(Client::connect(&bed.primary_url()).await.is_err());
        }
    });
}

#[test]
fn a_fence_that_was_cut_off_is_taken_up() {
    alone("fence::a_fence_that_was_cut_off_is_taken_up", async {
        let bed = Bed::new();
        let app = Client::connect(&bed.primary_url()).await.unwrap();
        let (with, ctx) = (bed.fence(&json!({})), bed.ctx(1));
        tokio::select! {
            ended = run(KIND, &with, &ctx) => panic!("{ended:?}"),
            () = until(|| bed.effects("SecurityGroupsActive") == 1) => {}
        }
        // Whoever was there before may be there still: that is no fence.
        assert_eq!(observe(KIND, &with, &bed.ctx(1)).await.unwrap(), Observation::NotDone);
        let output = run(KIND, &with, &bed.ctx(2)).await.unwrap();
        assert_eq!(output["former_security_groups"], json!(["sg-app"]));
        assert_eq!(bed.effects("ModifyDBInstance"), 1);
        assert!(output["proof"].as_str().unwrap().contains("rebooted since"), "{output}");
        assert!(output["system_identifier"].is_string(), "what was read before is kept");
        assert!(!app.writes().await);
    });
}

#[test]
fn groups_that_let_somebody_in_are_no_fence() {
    alone("fence::groups_that_let_somebody_in_are_no_fence", async {
        let bed = Bed::new();
        let with = bed.fence(&json!({"security_groups": ["sg-app"], "wait": "1s"}));
        let error = run(KIND, &with, &bed.ctx(1)).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.class), ("RB0580", ErrorClass::Permanent));
        let app = Client::connect(&bed.primary_url()).await.unwrap();
        assert!(app.writes().await);
    });
}

#[test]
fn the_replica_is_not_shut_in() {
    alone("fence::the_replica_is_not_shut_in", async {
        let bed = Bed::new();
        let mut with = bed.fence(&json!({"instance": "app-replica"}));
        with["region"] = json!("us-west-2");
        let error = run(KIND, &with, &bed.ctx(1)).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.class), ("RB0582", ErrorClass::Permanent));
        let missing = bed.fence(&json!({"instance": "app-replica"}));
        assert_eq!(run(KIND, &missing, &bed.ctx(1)).await.unwrap_err().code, "RB0671");
        assert_eq!(bed.effects("ModifyDBInstance"), 0);
    });
}

#[test]
fn a_region_that_is_gone_needs_somebody_who_accepts_it() {
    alone("fence::a_region_that_is_gone_needs_somebody_who_accepts_it", async {
        let bed = Bed::new();
        bed.world().begin(FaultKind::Region.fault().region(PRIMARY_REGION)).unwrap();
        let error = run(KIND, &bed.fence(&json!({})), &bed.ctx(1)).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.class), ("RB0581", ErrorClass::NeedsOperator));
        assert!(error.message.contains("RDS in us-east-1 does not answer"), "{error}");
        let accepted = bed.fence(&json!({"accept_unreachable": "AWS says that us-east-1 is down"}));
        let output = run(KIND, &accepted, &bed.ctx(2)).await.unwrap();
        assert_eq!(output["outcome"], "impossible_unreachable");
        let proof = output["proof"].as_str().unwrap();
        assert!(proof.ends_with("accepted: AWS says that us-east-1 is down"), "{proof}");
        assert_eq!(bed.effects("ModifyDBInstance"), 0);
        // It comes back, as a primary: now the fence can be had, and is.
        let world = bed.world().clone();
        tokio::task::spawn_blocking(move || world.end(FaultKind::Region)).await.unwrap().unwrap();
        let app = Client::connect(&bed.primary_url()).await.unwrap();
        assert!(app.writes().await);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let output = run(KIND, &bed.fence(&json!({})), &bed.ctx(3)).await.unwrap();
        assert_eq!(output["outcome"], "confirmed");
        assert!(!app.writes().await);
    });
}
