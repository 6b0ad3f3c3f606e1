//! `rds.lift_fence`: a failover that is called off, and one that is not.

use engine::step::Observation;
use lab::cloud::{FaultKind, PRIMARY, PRIMARY_REGION, REPLICA, REPLICA_REGION};
use serde_json::{Value, json};
use shown::case;

use crate::alone::alone;
use crate::bed::{Bed, Client, observe, run, step};

const KIND: &str = "rds.lift_fence";

fn lift(bed: &Bed, keys: &Value) -> Value {
    let mut with = json!({
        "connection": "primary", "instance": PRIMARY, "security_groups": ["sg-app"],
        "replica": REPLICA, "replica_region": REPLICA_REGION, "standby": "standby",
        "interval": "100ms", "timeout": "20s",
    });
    with.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    bed.at(PRIMARY_REGION, &with)
}

async fn fenced() -> Bed {
    let bed = Bed::new();
    run("fence", &bed.fence(&json!({})), &step(&bed.host, "fence")).await.unwrap();
    assert!(Client::connect(&bed.primary_url()).await.is_err());
    bed
}

#[test]
fn a_fence_is_lifted_while_the_replica_is_one() {
    alone("lift::a_fence_is_lifted_while_the_replica_is_one", async {
        let bed = fenced().await;
        let with = lift(&bed, &json!({}));
        assert_eq!(observe(KIND, &with, &bed.ctx(1)).await.unwrap(), Observation::NotDone);
        let output = run(KIND, &with, &bed.ctx(1)).await.unwrap();
        assert_eq!(output, json!({"instance": PRIMARY, "security_groups": ["sg-app"]}));
        let app = Client::connect(&bed.primary_url()).await.unwrap();
        assert!(app.writes().await && bed.is_standby());
        assert_eq!(observe(KIND, &with, &bed.ctx(1)).await.unwrap(), Observation::Done(output));
        // A second time nothing is asked for.
        let before = bed.effects("ModifyDBInstance");
        run(KIND, &with, &bed.ctx(2)).await.unwrap();
        assert_eq!(bed.effects("ModifyDBInstance"), before);
    });
}

#[test]
fn a_fence_beside_a_new_primary_stays() {
    alone("lift::a_fence_beside_a_new_primary_stays", async {
        let bed = fenced().await;
        let promoting = step(&bed.host, "promote");
        run("rds.promote_replica", &bed.promotion(&json!({})), &promoting).await.unwrap();
        let before = bed.effects("ModifyDBInstance");
        let refused = run(KIND, &lift(&bed, &json!({})), &bed.ctx(1)).await.unwrap_err();
        case("RB0687", refused.told());
        assert_eq!(bed.effects("ModifyDBInstance"), before);
        assert!(Client::connect(&bed.primary_url()).await.is_err());
    });
}

#[test]
fn a_server_that_was_promoted_past_rds_counts_as_a_primary() {
    alone("lift::a_server_that_was_promoted_past_rds_counts_as_a_primary", async {
        let bed = fenced().await;
        bed.replica().execute("postgres", "SELECT pg_promote()").unwrap();
        let refused = run(KIND, &lift(&bed, &json!({})), &bed.ctx(1)).await.unwrap_err();
        assert_eq!(refused.code, "RB0687");
        assert!(refused.message.ends_with("the server of `standby` takes writes"), "{refused}");
        assert!(Client::connect(&bed.primary_url()).await.is_err());
    });
}

#[test]
fn groups_that_let_nobody_in_give_nothing_back() {
    alone("lift::groups_that_let_nobody_in_give_nothing_back", async {
        let bed = fenced().await;
        let with = lift(&bed, &json!({"security_groups": ["sg-isolated"], "timeout": "2s"}));
        let error = run(KIND, &with, &bed.ctx(1)).await.unwrap_err();
        let told = error.told();
        let (before, rest) = told.split_once(" (127.").unwrap();
        case("RB0688", format!("{before}{}", rest.split_once(')').unwrap().1));
        assert_eq!(observe(KIND, &with, &bed.ctx(1)).await.unwrap(), Observation::NotDone);
    });
}

#[test]
fn where_the_fence_reached_nothing_there_is_nothing_to_lift() {
    alone("lift::where_the_fence_reached_nothing_there_is_nothing_to_lift", async {
        let bed = Bed::new();
        let with = lift(&bed, &json!({"security_groups": []}));
        run(KIND, &with, &bed.ctx(1)).await.unwrap();
        assert_eq!(bed.effects("ModifyDBInstance"), 0);
    });
}

#[test]
fn an_answer_that_is_lost_is_looked_for() {
    alone("lift::an_answer_that_is_lost_is_looked_for", async {
        for kind in [FaultKind::ApplyThenDrop, FaultKind::ErrorAfterApply, FaultKind::Throttle] {
            let bed = fenced().await;
            let before = bed.effects("ModifyDBInstance");
            let fault = kind.fault().service("rds").action("ModifyDBInstance").times(1);
            bed.world().begin(fault).unwrap();
            run(KIND, &lift(&bed, &json!({})), &bed.ctx(1)).await.unwrap();
            assert_eq!(bed.effects("ModifyDBInstance"), before + 1, "{kind:?}");
            assert!(Client::connect(&bed.primary_url()).await.is_ok(), "{kind:?}");
        }
    });
}
