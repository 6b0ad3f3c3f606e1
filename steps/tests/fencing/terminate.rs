//! `pg.terminate_connections`.

use engine::step::Observation;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use shown::case;

use crate::common::{Open, attempt, host, observe, primary, run};

#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_the_application_end_and_others_stay() {
    let primary = primary();
    let _standby = primary.standby("west").unwrap();
    let host = host(&primary, &[]);
    let shop = Open::with(&primary, "BEGIN; INSERT INTO ledger (note) VALUES ('open')").await;
    let kept = Open::with(&primary, "SET application_name = 'monitoring'").await;
    let with = json!({"connection": "primary", "database": "lms", "roles": ["app"],
                      "keep": ["monitoring"]});
    let ctx = attempt(&host, 1);
    let output = run("pg.terminate_connections", with.clone(), &ctx).await.unwrap();
    assert_eq!(output, json!({"ended_alone": 0, "terminated": 1, "came_back": []}));
    assert!(!shop.lives().await && kept.lives().await);
    let streams = "SELECT count(*) FROM pg_stat_replication";
    assert_eq!(primary.query_one("postgres", streams).unwrap(), "1");
    assert_eq!(primary.query_one("lms", "SELECT count(*) FROM ledger").unwrap(), "0");

    // It is no fence: whoever comes back is told.
    let back = Open::with(&primary, "SELECT 1").await;
    let seen = observe("pg.terminate_connections", with, &ctx).await;
    let Observation::Done(seen) = seen else { panic!("{seen:?}") };
    let who = seen["came_back"][0].as_str().unwrap();
    assert!(who.contains("role app, database lms, application 'shop', idle"), "{who}");
    assert!(back.lives().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_ends_within_the_grace_is_left_alone() {
    let primary = primary();
    let host = host(&primary, &[]);
    let shop = Open::with(&primary, "BEGIN; INSERT INTO ledger (note) VALUES ('kept')").await;
    let with = json!({"connection": "primary", "roles": ["app"], "grace": "1m"});
    let ctx = attempt(&host, 1);
    let finishing = async {
        while host.last_progress().is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        shop.client.batch_execute("COMMIT").await.unwrap();
        drop(shop);
    };
    let (output, ()) = tokio::join!(run("pg.terminate_connections", with, &ctx), finishing);
    assert_eq!(output.unwrap()["ended_alone"], 1);
    assert_eq!(primary.query_one("lms", "SELECT count(*) FROM ledger").unwrap(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_does_not_end_is_named() {
    let primary = primary();
    let host = host(&primary, &[]);
    let shop = Open::with(&primary, "SELECT 1").await;
    let pid = "SELECT pid FROM pg_stat_activity WHERE application_name = 'shop'";
    let pid = primary.query_one("lms", pid).unwrap().parse().unwrap();
    let pid = Pid::from_raw(pid).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    let with = json!({"connection": "primary", "roles": ["app"], "timeout": "1s"});
    let ctx = attempt(&host, 1);
    let error = run("pg.terminate_connections", with.clone(), &ctx).await.unwrap_err();
    let observed = observe("pg.terminate_connections", with.clone(), &ctx).await;
    kill_process(pid, Signal::CONT).unwrap();
    case("RB0579", error.told());
    assert_eq!(observed, Observation::NotDone);
    assert!(!shop.lives().await);
    let again = run("pg.terminate_connections", with, &attempt(&host, 2)).await.unwrap();
    assert_eq!(again["came_back"], json!([]));
}
