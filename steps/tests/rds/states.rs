//! What a promotion passes through, seen by the step and by the cloud.

use std::time::Duration;

use engine::step::Observation;
use lab::cloud::{FaultKind, Pace, REPLICA, REPLICA_REGION};
use model::step_error::ErrorClass;
use serde_json::json;
use shown::case;

use crate::alone::alone;
use crate::bed::{Bed, observe, run, step, until};

const KIND: &str = "rds.promote_replica";

fn status(bed: &Bed) -> (String, bool) {
    let all = bed.world().instances();
    let one = all.into_iter().find(|one| one.id == REPLICA).unwrap();
    (one.status, one.source.is_some())
}

#[test]
fn every_state_on_the_way_is_in_progress() {
    alone("states::every_state_on_the_way_is_in_progress", async {
        let bed = Bed::new();
        let (with, ctx) = (bed.promotion(&json!({"settle": "1h"})), bed.ctx(1));
        let mut seen = Vec::new();
        let looking = async {
            loop {
                let before = status(&bed);
                if ctx.fact("promotion").is_some() && seen.last() != Some(&before) {
                    let state = observe(KIND, &with, &bed.ctx(1)).await.unwrap();
                    // Only of a state that stood still while it was looked at.
                    if status(&bed) == before {
                        let done = before == ("available".to_owned(), false);
                        let expected =
                            if done { Observation::NotDone } else { Observation::InProgress };
                        if !done {
                            assert_eq!(state, expected, "{before:?}");
                        }
                        seen.push(before);
                    }
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let promoted = tokio::select! {
            promoted = run(KIND, &with, &ctx) => promoted,
            () = looking => unreachable!(),
        };
        promoted.unwrap();
        let on_the_way: Vec<_> = seen.iter().map(|(status, _)| status.as_str()).collect();
        for status in ["available", "modifying", "rebooting", "backing-up"] {
            assert!(on_the_way.contains(&status), "{status} is not in {seen:?}");
        }
        assert_eq!(seen[0], ("available".to_owned(), true), "at first nothing shows");
        let logged = bed.host.logged();
        for told in ["has not begun yet", "the replica is modifying", "the replica is rebooting"] {
            assert!(logged.contains(told), "{told} is not in {logged}");
        }
    });
}

/// The laboratory's primary writes no full pages, without which a standby cannot be copied.
fn may_be_copied(bed: &Bed) {
    let primary = bed.primary();
    for sql in ["ALTER SYSTEM SET full_page_writes = on", "SELECT pg_reload_conf()", "CHECKPOINT"] {
        primary.execute("postgres", sql).unwrap();
    }
    bed.replica().caught_up_with(&primary).unwrap();
    bed.replica().execute("postgres", "CHECKPOINT").unwrap();
}

#[test]
fn a_backup_is_waited_for_and_then_it_is_asked_once() {
    alone("states::a_backup_is_waited_for_and_then_it_is_asked_once", async {
        let pace = Pace { backing_up: Duration::from_secs(4), ..Pace::QUICK };
        let bed = Bed::at_pace(pace);
        may_be_copied(&bed);
        let keys = json!({"instance": REPLICA, "snapshot": "before", "interval": "100ms"});
        let snapshot = bed.at(REPLICA_REGION, &keys);
        let other = step(&bed.host, "snapshot");
        let (with, ctx) = (bed.promotion(&json!({})), bed.ctx(1));
        let promoting = async {
            until(|| status(&bed).0 == "backing-up").await;
            let early = bed.promotion(&json!({"wait": "0s"}));
            let refused = run(KIND, &early, &ctx).await.unwrap_err();
            assert_eq!(refused.class, ErrorClass::Permanent);
            case("RB0673", refused.told());
            assert_eq!(bed.effects("PromoteReadReplica"), 0);
            run(KIND, &with, &ctx).await
        };
        let (taken, promoted) = tokio::join!(run("rds.snapshot", &snapshot, &other), promoting);
        taken.unwrap();
        promoted.unwrap();
        assert_eq!((bed.effects("PromoteReadReplica"), bed.effects("Promoted")), (1, 1));
        assert!(bed.host.logged().contains("is backing-up: wait until it is available"));
    });
}

#[test]
fn a_slow_promotion_is_waited_for_and_never_asked_for_again() {
    alone("states::a_slow_promotion_is_waited_for_and_never_asked_for_again", async {
        let bed = Bed::new();
        bed.world().begin(FaultKind::SlowPromote.fault()).unwrap();
        let with = bed.promotion(&json!({"timeout": "2s"}));
        let late = run(KIND, &with, &bed.ctx(1)).await.unwrap_err();
        assert_eq!(late.class, ErrorClass::Ambiguous);
        case("RB0674", late.told());
        assert_eq!(observe(KIND, &with, &bed.ctx(1)).await.unwrap(), Observation::InProgress);
        let (again, ctx) = (bed.promotion(&json!({})), bed.ctx(2));
        let (output, ()) = tokio::join!(run(KIND, &again, &ctx), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            bed.world().end(FaultKind::SlowPromote).unwrap();
        });
        assert_eq!(output.unwrap()["timeline"], 2);
        assert_eq!((bed.effects("PromoteReadReplica"), bed.effects("Promoted")), (1, 1));
    });
}

#[test]
fn a_kill_anywhere_on_the_way_leaves_one_promotion() {
    alone("states::a_kill_anywhere_on_the_way_leaves_one_promotion", async {
        for after in [0, 300, 800, 1_600, 2_500] {
            let bed = Bed::new();
            let (with, ctx) = (bed.promotion(&json!({})), bed.ctx(1));
            let killed = async {
                until(|| ctx.fact("promotion_answer").is_some()).await;
                tokio::time::sleep(Duration::from_millis(after)).await;
            };
            tokio::select! {
                ended = run(KIND, &with, &ctx) => { ended.unwrap(); }
                () = killed => {}
            }
            let mut looks = 0;
            loop {
                match observe(KIND, &with, &bed.ctx(1)).await.unwrap() {
                    Observation::InProgress => looks += 1,
                    Observation::NotDone => {
                        run(KIND, &with, &bed.ctx(2)).await.unwrap();
                    }
                    Observation::Done(output) => {
                        assert_eq!(output["timeline"], 2);
                        break;
                    }
                    Observation::Unknown => panic!("after {after} ms nothing can tell"),
                }
                assert!(looks < 200);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            assert_eq!((bed.effects("PromoteReadReplica"), bed.effects("Promoted")), (1, 1));
        }
    });
}
