//! `pg.promote`: the gate, the fence, the proof, and a connection that is lost in the middle.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use engine::step::Observation;
use lab::wire::{Cut, Wire};
use model::step_error::{ErrorClass, StepError};
use serde_json::{Value, json};
use shown::case;

use crate::bed::{Pair, observe, promotion, run, wait_until};

const KIND: &str = "pg.promote";

fn once() -> (usize, Vec<String>) {
    (1, vec!["2".to_owned()])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_has_everything_becomes_the_primary_and_is_proved_to_write() {
    let pair = Pair::new();
    pair.write();
    let written = pair.written();
    let committed = "SELECT to_char(max(timestamp) AT TIME ZONE 'UTC', 'YYYY') FROM \
                     (SELECT pg_last_xact_replay_timestamp() AS timestamp) AS it";
    pair.standby.caught_up_with(&pair.primary).unwrap();
    assert!(!pair.standby.query_one("postgres", committed).unwrap().is_empty());
    pair.primary.stop().unwrap();
    let identity = "SELECT system_identifier FROM pg_control_system()";
    let identity = pair.standby.query_one("postgres", identity).unwrap();
    let input = promotion(&json!({"expected_lsn": written, "system_identifier": identity}));
    let output = run(KIND, &input, &pair.ctx(1)).await.unwrap();
    assert_eq!((&output["timeline"], &output["lost_bytes"]), (&json!(2), &json!(0)));
    assert_eq!((&output["lost_seconds"], &output["written_lsn"]), (&json!(0.0), &json!(written)));
    assert_eq!(output["system_identifier"], json!(identity));
    assert!(output["recovery_point"].is_string(), "{output}");
    assert!(pair.bytes(&written, output["promoted_lsn"].as_str().unwrap()) < 1 << 20);
    assert_eq!(pair.promotions(), once());
    assert!(!pair.is_standby());
    pair.standby.execute("postgres", "INSERT INTO ledger VALUES (0)").unwrap();
    let left = "SELECT count(*) FROM pg_largeobject_metadata";
    assert_eq!(pair.standby.query_one("postgres", left).unwrap(), "0");
    let announced = pair.ctx(1).fact("promotion").unwrap();
    assert_eq!((&announced["timeline"], &announced["written"]), (&json!(1), &json!(written)));
    // The mark of completion is there: an observation adopts it.
    let seen = observe(KIND, &input, &pair.ctx(1)).await.unwrap();
    assert_eq!(seen, Observation::Done(output));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_received_is_shown_and_stopped_at_the_gate() {
    let pair = Pair::new();
    pair.write();
    pair.standby.caught_up_with(&pair.primary).unwrap();
    pair.disconnect();
    pair.write();
    let written = pair.written();
    pair.primary.stop().unwrap();
    let refused = run(KIND, &promotion(&json!({"expected_lsn": written})), &pair.ctx(1)).await;
    let refused = refused.unwrap_err();
    assert_eq!((refused.code.as_str(), refused.class), ("RB0554", ErrorClass::Permanent));
    assert!(pair.is_standby() && pair.ctx(1).fact("promotion").is_none());
    let late = promotion(&json!({"expected_lsn": written, "max_lag": "1ms"}));
    assert_eq!(run(KIND, &late, &pair.ctx(1)).await.unwrap_err().code, "RB0554");

    let allowed = promotion(&json!({"expected_lsn": written, "max_bytes": "10MiB"}));
    let output = run(KIND, &allowed, &pair.ctx(2)).await.unwrap();
    let end = output["promoted_lsn"].as_str().unwrap();
    assert_eq!(output["lost_bytes"], json!(pair.bytes(end, &written)));
    assert!(output["lost_seconds"].as_f64().unwrap() > 0.0, "{output}");
    assert_eq!(pair.standby.query_one("postgres", "SELECT count(*) FROM ledger").unwrap(), "1000");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loss_that_nobody_can_tell_needs_a_bound_in_time() {
    let pair = Pair::new();
    pair.write();
    pair.standby.caught_up_with(&pair.primary).unwrap();
    pair.primary.stop().unwrap();
    wait_until(|| {
        let sql = "SELECT count(*) FROM pg_stat_wal_receiver";
        pair.standby.query_one("postgres", sql).unwrap() == "0"
    });
    let refused = run(KIND, &promotion(&json!({})), &pair.ctx(1)).await.unwrap_err();
    case("RB0553", refused.told());
    assert!(pair.is_standby());
    let output = run(KIND, &promotion(&json!({"max_lag": "1h"})), &pair.ctx(1)).await.unwrap();
    assert_eq!((&output["lost_bytes"], &output["written_lsn"]), (&Value::Null, &Value::Null));
    assert!(output["lost_seconds"].as_f64().unwrap() < 600.0, "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_loss_is_told_in_bytes() {
    let pair = Pair::new();
    let far = promotion(&json!({"expected_lsn": "FFFF/FFFFFFFF"}));
    let told = run(KIND, &far, &pair.ctx(1)).await.unwrap_err().told();
    let (before, rest) = told.split_once(" would lose ").unwrap();
    let (bytes, after) = rest.split_once(" bytes").unwrap();
    assert!(bytes.parse::<u64>().unwrap() > 1 << 40, "{bytes}");
    case("RB0554", format!("{before} would lose 281474926379007 bytes{after}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_promoted_that_no_fence_covers() {
    let pair = Pair::new();
    let unreachable = json!({"outcome": "impossible_unreachable", "proof": "no route to db1"});
    let input = json!({"connection": "standby", "fence": unreachable, "max_lag": "1h"});
    let refused = run(KIND, &input, &pair.ctx(1)).await.unwrap_err();
    case("RB0552", refused.told());
    let mut blank = input.clone();
    blank["accept_unreachable"] = json!(" ");
    assert_eq!(run(KIND, &blank, &pair.ctx(1)).await.unwrap_err().code, "RB0552");
    for wrong in [
        json!({"connection": "standby"}),
        json!({"connection": "standby", "fence": {"outcome": "failed", "proof": "x"}}),
    ] {
        assert!(run(KIND, &wrong, &pair.ctx(1)).await.is_err());
    }
    assert!(pair.is_standby());
    let mut accepted = input;
    accepted["accept_unreachable"] = json!("the building burns");
    let output = run(KIND, &accepted, &pair.ctx(1)).await.unwrap();
    let covered = "the old primary is unreachable (no route to db1), accepted: the building burns";
    assert_eq!(output["covered_by"], json!(covered));
}

/// Promotes beside somebody who writes to the old primary as long as `goes_on` holds.
async fn beside_a_writer(
    pair: &Arc<Pair>,
    goes_on: impl Fn(&Pair) -> bool + Send + 'static,
) -> Result<Value, StepError> {
    let ended = Arc::new(AtomicBool::new(false));
    let writer = {
        let (pair, ended) = (Arc::clone(pair), Arc::clone(&ended));
        std::thread::spawn(move || {
            while !ended.load(Ordering::SeqCst) && goes_on(&pair) {
                pair.write();
            }
        })
    };
    let promoted = run(KIND, &promotion(&json!({"max_bytes": "1GiB"})), &pair.ctx(1)).await;
    ended.store(true, Ordering::SeqCst);
    writer.join().unwrap();
    promoted
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_goes_on_committing_is_not_fenced_whatever_is_said() {
    let pair = Arc::new(Pair::new());
    let refused = beside_a_writer(&pair, |_| true).await.unwrap_err();
    assert_eq!((refused.code.as_str(), refused.class), ("RB0552", ErrorClass::Permanent));
    assert!(refused.message.ends_with("still commits, and the standby streams it"), "{refused}");
    assert!(pair.is_standby());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_stays_the_only_one_is_waited_for() {
    let pair = Arc::new(Pair::new());
    let heard = |pair: &Pair| pair.host.logged().contains("a commit of the old primary arrived");
    let output = beside_a_writer(&pair, move |pair| !heard(pair)).await.unwrap();
    assert!(heard(&pair), "{}", pair.host.logged());
    assert_eq!((&output["timeline"], pair.promotions()), (&json!(2), once()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_standby_of_the_cluster_is_refused() {
    let pair = Pair::new();
    let other = promotion(&json!({"system_identifier": "1"}));
    let refused = run(KIND, &other, &pair.ctx(1)).await.unwrap_err();
    assert_eq!((refused.code.as_str(), refused.class), ("RB0525", ErrorClass::Permanent));
    assert!(refused.message.ends_with(", not to 1"), "{refused}");
    let mut primary = promotion(&json!({}));
    primary["connection"] = json!("prod");
    let refused = run(KIND, &primary, &pair.ctx(1)).await.unwrap_err();
    assert_eq!(refused.code, "RB0525");
    assert!(refused.message.ends_with("but a primary on timeline 1"), "{refused}");
}

/// Changes a setting of the standby, for every session to come.
fn set(pair: &Pair, name: &str, value: &str) {
    let sql = format!("ALTER SYSTEM SET {name} = '{value}'");
    pair.standby.execute("postgres", &sql).unwrap();
    pair.standby.execute("postgres", "SELECT pg_reload_conf()").unwrap();
    let show = format!("SHOW {name}");
    wait_until(|| pair.standby.query_one("postgres", &show).unwrap() == value);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_primary_that_takes_no_writes_is_for_a_person_and_is_proved_again() {
    let pair = Pair::new();
    // Long before it counts: a process of the server's own has to take it up.
    set(&pair, "synchronous_standby_names", "missing");
    set(&pair, "synchronous_commit", "on");
    set(&pair, "default_transaction_read_only", "on");
    let input = promotion(&json!({}));
    let refused = run(KIND, &input, &pair.ctx(1)).await.unwrap_err();
    case("RB0558", refused.told());
    assert_eq!(refused.class, ErrorClass::NeedsOperator);
    assert_eq!(observe(KIND, &input, &pair.ctx(1)).await.unwrap(), Observation::NotDone);
    set(&pair, "default_transaction_read_only", "off");
    let refused = run(KIND, &input, &pair.ctx(2)).await.unwrap_err();
    assert!(refused.message.contains("`synchronous_standby_names`"), "{refused}");
    set(&pair, "synchronous_standby_names", "");
    let output = run(KIND, &input, &pair.ctx(3)).await.unwrap();
    assert_eq!((&output["timeline"], pair.promotions()), (&json!(2), once()));
    let left = "SELECT count(*) FROM pg_largeobject_metadata";
    assert_eq!(pair.standby.query_one("postgres", left).unwrap(), "0", "nothing is left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_is_looked_for_and_the_server_promoted_once() {
    let mut pair = Pair::new();
    let wire = Wire::to(pair.standby.port()).unwrap();
    pair.through(wire.port());
    wire.cut_at("pg_promote", Cut::After);
    let output = run(KIND, &promotion(&json!({})), &pair.ctx(1)).await.unwrap();
    assert!(pair.host.logged().contains("the connection was lost: what became of the promotion"));
    assert_eq!((&output["timeline"], pair.promotions()), (&json!(2), once()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_never_arrived_leaves_a_standby() {
    let mut pair = Pair::new();
    let wire = Wire::to(pair.standby.port()).unwrap();
    pair.through(wire.port());
    wire.cut_at("pg_promote", Cut::Before);
    let input = promotion(&json!({}));
    let lost = run(KIND, &input, &pair.ctx(1)).await.unwrap_err();
    assert_eq!((lost.code.as_str(), lost.class), ("RB0505", ErrorClass::Ambiguous));
    assert!(pair.is_standby());
    assert_eq!(observe(KIND, &input, &pair.ctx(1)).await.unwrap(), Observation::NotDone);
    wire.mend();
    let output = run(KIND, &input, &pair.ctx(2)).await.unwrap();
    assert_eq!((&output["timeline"], pair.promotions()), (&json!(2), once()));
}

/// The process that replays, by its id.
fn signal(pair: &Pair, pid: &str, signal: &str) {
    let status = std::process::Command::new("kill").args([signal, pid]).status().unwrap();
    assert!(status.success(), "{}", pair.standby.port());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_that_takes_long_is_in_progress_and_never_asked_for_again() {
    let pair = Pair::new();
    let pid = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'startup'";
    let pid = pair.standby.query_one("postgres", pid).unwrap();
    signal(&pair, &pid, "-STOP");
    let input = promotion(&json!({"timeout": "1s"}));
    let late = run(KIND, &input, &pair.ctx(1)).await.unwrap_err();
    case("RB0556", late.told());
    assert_eq!(late.class, ErrorClass::Ambiguous);
    assert_eq!(observe(KIND, &input, &pair.ctx(1)).await.unwrap(), Observation::InProgress);
    signal(&pair, &pid, "-CONT");
    wait_until(|| !pair.is_standby());
    assert_eq!(observe(KIND, &input, &pair.ctx(1)).await.unwrap(), Observation::NotDone);
    let output = run(KIND, &input, &pair.ctx(2)).await.unwrap();
    assert_eq!((&output["timeline"], pair.promotions()), (&json!(2), once()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_became_something_else_is_not_adopted() {
    let pair = Pair::new();
    let announced = json!({
        "system_identifier": "1", "timeline": 1, "received": null, "replayed_until": null,
        "written": null, "ended": "2026-11-20T03:00:00Z",
    });
    let ctx = pair.ctx(1);
    ctx.record("promotion", announced).await.unwrap();
    let input = promotion(&json!({}));
    assert_eq!(observe(KIND, &input, &ctx).await.unwrap(), Observation::Unknown);
    let refused = run(KIND, &input, &ctx).await.unwrap_err();
    let identity = "SELECT system_identifier FROM pg_control_system()";
    let identity = pair.standby.query_one("postgres", identity).unwrap();
    case("RB0557", refused.told().replace(&identity, "7571234567890123456"));
    assert!(pair.is_standby());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_is_killed_in_the_middle_does_not_stop_the_promotion() {
    let pair = Pair::new();
    let pid = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'startup'";
    let pid = pair.standby.query_one("postgres", pid).unwrap();
    signal(&pair, &pid, "-STOP");
    let pair = std::sync::Arc::new(pair);
    let killer = {
        let pair = std::sync::Arc::clone(&pair);
        std::thread::spawn(move || {
            let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                        WHERE query LIKE 'SELECT pg_promote%'";
            wait_until(|| pair.standby.query("postgres", kill).unwrap() == ["t"]);
            signal(&pair, &pid, "-CONT");
        })
    };
    let output = run(KIND, &promotion(&json!({})), &pair.ctx(1)).await.unwrap();
    killer.join().unwrap();
    assert!(pair.host.logged().contains("what became of the promotion is looked at"));
    assert_eq!((&output["timeline"], pair.promotions()), (&json!(2), once()));
}
