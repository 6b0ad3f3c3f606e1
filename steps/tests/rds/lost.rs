//! Answers that are lost, and requests that are not served: nothing is asked for twice blindly.

use engine::step::Observation;
use lab::cloud::{FaultKind, PRIMARY_REGION, REPLICA_REGION};
use model::step_error::ErrorClass;
use serde_json::json;

use crate::alone::alone;
use crate::bed::{Bed, observe, run};

const KIND: &str = "rds.promote_replica";

/// How a promotion ends when this fault meets its request.
async fn met(kind: FaultKind) -> (Bed, Result<serde_json::Value, model::step_error::StepError>) {
    let bed = Bed::new();
    let fault = kind.fault().service("rds").action("PromoteReadReplica").times(1);
    bed.world().begin(fault).unwrap();
    let ended = run(KIND, &bed.promotion(&json!({})), &bed.ctx(1)).await;
    (bed, ended)
}

#[test]
fn a_promotion_whose_answer_is_lost_is_found_and_not_repeated() {
    alone("lost::a_promotion_whose_answer_is_lost_is_found_and_not_repeated", async {
        for kind in [FaultKind::ApplyThenDrop, FaultKind::ErrorAfterApply] {
            let (bed, ended) = met(kind).await;
            assert_eq!(ended.unwrap()["timeline"], 2, "{kind:?}");
            assert!(bed.host.logged().contains("what became of the promotion is looked at"));
            let effects = (bed.effects("PromoteReadReplica"), bed.effects("Promoted"));
            assert_eq!(effects, (1, 1), "{kind:?}");
        }
    });
}

#[test]
fn a_promotion_that_was_not_begun_is_left_to_another_attempt() {
    alone("lost::a_promotion_that_was_not_begun_is_left_to_another_attempt", async {
        let (bed, ended) = met(FaultKind::ErrorBeforeApply).await;
        let lost = ended.unwrap_err();
        assert_eq!((lost.code.as_str(), lost.class), ("RB0668", ErrorClass::Ambiguous));
        assert!(bed.is_standby());
        assert_eq!(bed.effects("PromoteReadReplica"), 0);
        // Until `settle` is over it might still come.
        let patient = bed.promotion(&json!({"settle": "1h"}));
        assert_eq!(observe(KIND, &patient, &bed.ctx(1)).await.unwrap(), Observation::InProgress);
        let with = bed.promotion(&json!({"settle": "0s"}));
        assert_eq!(observe(KIND, &with, &bed.ctx(1)).await.unwrap(), Observation::NotDone);
        run(KIND, &with, &bed.ctx(2)).await.unwrap();
        assert_eq!((bed.effects("PromoteReadReplica"), bed.effects("Promoted")), (1, 1));
    });
}

#[test]
fn a_throttled_promotion_was_certainly_not_begun() {
    alone("lost::a_throttled_promotion_was_certainly_not_begun", async {
        let (bed, ended) = met(FaultKind::Throttle).await;
        let busy = ended.unwrap_err();
        assert_eq!((busy.code.as_str(), busy.class), ("RB0667", ErrorClass::Transient));
        assert_eq!(bed.effects("PromoteReadReplica"), 0);
        let with = bed.promotion(&json!({}));
        assert_eq!(observe(KIND, &with, &bed.ctx(1)).await.unwrap(), Observation::NotDone);
        run(KIND, &with, &bed.ctx(2)).await.unwrap();
        assert_eq!((bed.effects("PromoteReadReplica"), bed.effects("Promoted")), (1, 1));
    });
}

#[test]
fn a_replica_is_promoted_while_the_region_of_its_primary_is_gone() {
    alone("lost::a_replica_is_promoted_while_the_region_of_its_primary_is_gone", async {
        let bed = Bed::new();
        bed.write();
        bed.replica().caught_up_with(&bed.primary()).unwrap();
        bed.world().begin(FaultKind::Region.fault().region(PRIMARY_REGION)).unwrap();
        let outcome = json!({"outcome": "impossible_unreachable", "proof": "us-east-1 is gone"});
        let mut with = bed.promotion(&json!({
            "fence": outcome, "accept_unreachable": "the region is gone", "max_lag": "1h",
        }));
        with.as_object_mut().unwrap().remove("max_bytes");
        let output = run(KIND, &with, &bed.ctx(1)).await.unwrap();
        assert!(output["lost_bytes"].is_null() && output["lost_seconds"].is_number(), "{output}");
        let rows = "SELECT count(*) FROM ledger";
        assert_eq!(bed.replica().query_one("postgres", rows).unwrap(), "100");
        assert_eq!(bed.effects("Promoted"), 1);
    });
}

#[test]
fn a_region_that_is_gone_in_the_middle_leaves_it_open() {
    alone("lost::a_region_that_is_gone_in_the_middle_leaves_it_open", async {
        let bed = Bed::new();
        let (with, ctx) = (bed.promotion(&json!({"timeout": "3s"})), bed.ctx(1));
        let (ended, ()) = tokio::join!(run(KIND, &with, &ctx), async {
            crate::bed::until(|| ctx.fact("promotion_answer").is_some()).await;
            let world = bed.world().clone();
            let gone = FaultKind::Region.fault().region(REPLICA_REGION);
            tokio::task::spawn_blocking(move || world.begin(gone)).await.unwrap().unwrap();
        });
        let lost = ended.unwrap_err();
        assert_eq!(lost.class, ErrorClass::Ambiguous, "{lost:?}");
        let looked = observe(KIND, &with, &bed.ctx(1)).await.unwrap_err();
        assert_eq!(looked.class, ErrorClass::Transient, "it is looked at again, later");
        assert_eq!(bed.effects("PromoteReadReplica"), 1);
    });
}
