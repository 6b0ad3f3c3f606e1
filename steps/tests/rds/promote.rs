//! `rds.promote_replica` when all goes well, and when it is refused.

use engine::step::Observation;
use lab::cloud::{PRIMARY, PRIMARY_REGION, REPLICA};
use model::step_error::ErrorClass;
use serde_json::{Value, json};
use shown::case;

use crate::alone::alone;
use crate::bed::{Bed, observe, run, step};

const KIND: &str = "rds.promote_replica";

#[test]
fn a_replica_becomes_a_primary_and_is_proved_to_write() {
    alone("promote::a_replica_becomes_a_primary_and_is_proved_to_write", async {
        let bed = Bed::new();
        bed.write();
        bed.replica().caught_up_with(&bed.primary()).unwrap();
        let identity = "SELECT system_identifier FROM pg_control_system()";
        let identity = bed.replica().query_one("postgres", identity).unwrap();
        let keys = json!({"system_identifier": identity, "backup_retention": 7});
        let with = bed.promotion(&keys);
        let output = run(KIND, &with, &bed.ctx(1)).await.unwrap();
        assert_eq!((&output["instance"], &output["timeline"]), (&json!(REPLICA), &json!(2)));
        assert_eq!(output["system_identifier"], json!(identity));
        assert_eq!(output["backup_retention"], 7);
        assert!(output["former_source"].as_str().unwrap().ends_with(":db:app-primary"));
        assert!(output["recovery_point"].is_string(), "{output}");
        assert_eq!(output["covered_by"], "fence confirmed: the old primary is shut in");
        assert!(!bed.is_standby());
        let rows = "SELECT count(*) FROM ledger";
        assert_eq!(bed.replica().query_one("postgres", rows).unwrap(), "100");
        bed.replica().execute("postgres", "INSERT INTO ledger (n) VALUES (0)").unwrap();
        assert_eq!((bed.effects("PromoteReadReplica"), bed.effects("Promoted")), (1, 1));
        let left = "SELECT count(*) FROM pg_largeobject_metadata";
        assert_eq!(bed.replica().query_one("postgres", left).unwrap(), "0");
        // The mark of completion is there: an observation adopts it, and so does another attempt.
        let seen = observe(KIND, &with, &bed.ctx(1)).await.unwrap();
        assert_eq!(seen, Observation::Done(output.clone()));
        let again = run(KIND, &with, &bed.ctx(2)).await.unwrap();
        assert_eq!(again["timeline"], output["timeline"]);
        assert_eq!((bed.effects("PromoteReadReplica"), bed.effects("Promoted")), (1, 1));
    });
}

#[test]
fn a_second_promotion_of_somebody_else_is_refused() {
    alone("promote::a_second_promotion_of_somebody_else_is_refused", async {
        let bed = Bed::new();
        run(KIND, &bed.promotion(&json!({})), &bed.ctx(1)).await.unwrap();
        let (with, ctx) = (bed.promotion(&json!({})), step(&bed.stranger(), "tested"));
        let refused = run(KIND, &with, &ctx).await.unwrap_err();
        assert_eq!(refused.class, ErrorClass::Permanent);
        case("RB0672", refused.told());
        assert_eq!(bed.effects("PromoteReadReplica"), 1);
    });
}

async fn refused(bed: &Bed, keys: &Value) -> String {
    let error = run(KIND, &bed.promotion(keys), &bed.ctx(1)).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Permanent, "{error:?}");
    error.code
}

#[test]
fn nothing_is_asked_for_that_is_not_covered_or_loses_too_much() {
    alone("promote::nothing_is_asked_for_that_is_not_covered_or_loses_too_much", async {
        let bed = Bed::new();
        bed.write();
        bed.replica().caught_up_with(&bed.primary()).unwrap();
        let unreachable = json!({"outcome": "impossible_unreachable", "proof": "no region"});
        assert_eq!(refused(&bed, &json!({"fence": unreachable})).await, "RB0552");
        assert_eq!(refused(&bed, &json!({"source": "other"})).await, "RB0672");
        let far = json!({"expected_lsn": "FFFF/FFFFFFFF"});
        assert_eq!(refused(&bed, &far).await, "RB0554");
        assert_eq!(refused(&bed, &json!({"system_identifier": "1"})).await, "RB0525");
        let mut primary = bed.promotion(&json!({"instance": PRIMARY, "connection": "primary"}));
        primary["region"] = json!(PRIMARY_REGION);
        let error = run(KIND, &primary, &bed.ctx(1)).await.unwrap_err();
        assert_eq!(error.code, "RB0672");
        assert!(bed.is_standby() && bed.ctx(1).fact("promotion").is_none());
        assert_eq!(bed.effects("PromoteReadReplica"), 0);
        let accepted = json!({"fence": unreachable, "accept_unreachable": "us-east-1 burns"});
        let output = run(KIND, &bed.promotion(&accepted), &bed.ctx(1)).await.unwrap();
        let covered = "the old primary is unreachable (no region), accepted: us-east-1 burns";
        assert_eq!(output["covered_by"], covered);
    });
}
