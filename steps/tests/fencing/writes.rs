//! `pg.block_writes` and `pg.unblock_writes` on a primary whose application writes all the time.

use engine::step::Observation;
use lab::cluster::Cluster;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::common::{Open, Writer, as_app, attempt, host, observe, primary, run};

fn block(method: &str) -> Value {
    json!({"connection": "primary", "method": method, "grace": "1s", "probe": "application"})
}

fn rows(cluster: &Cluster) -> u64 {
    cluster.query_one("lms", "SELECT count(*) FROM ledger").unwrap().parse().unwrap()
}

fn auto_conf(cluster: &Cluster) -> String {
    std::fs::read_to_string(cluster.data_dir().join("postgresql.auto.conf")).unwrap()
}

fn hba(cluster: &Cluster) -> String {
    std::fs::read_to_string(cluster.data_dir().join("pg_hba.conf")).unwrap()
}

/// Everything acknowledged is at or before `lsn`, so a standby that has replayed it has all.
async fn blocked_and_promoted(method: &str) {
    let primary = primary();
    let standby = primary.standby("west").unwrap();
    let host = host(&primary, &[]);
    let writer = Writer::start(&primary);
    writer.wait();
    let open = Open::with(&primary, "BEGIN; INSERT INTO ledger (note) VALUES ('open')").await;
    let ctx = attempt(&host, 1);
    let output = run("pg.block_writes", block(method), &ctx).await.unwrap();
    let acknowledged = writer.written();
    assert!(output["terminated"].as_u64().unwrap() >= 1, "{output}");
    assert!(!open.lives().await, "what stays open is ended");
    let seen = observe("pg.block_writes", block(method), &ctx).await;
    assert_eq!(seen, Observation::Done(output.clone()));

    let caught_up =
        format!("SELECT pg_last_wal_replay_lsn() >= '{}'::pg_lsn", output["lsn"].as_str().unwrap());
    while standby.query_one("postgres", &caught_up).unwrap() != "t" {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(writer.stop(), acknowledged, "nothing was written after the block");
    assert_eq!(rows(&standby), rows(&primary));
    assert!(rows(&standby) >= acknowledged);
    standby.execute("postgres", "SELECT pg_promote()").unwrap();
    as_app(&standby, "INSERT INTO ledger (note) VALUES ('on the new primary')").await.unwrap();
    let refused = as_app(&primary, "INSERT INTO ledger (note) VALUES ('no')").await.unwrap_err();
    let why = if method == "pg_hba" { "pg_hba.conf rejects" } else { "read-only transaction" };
    assert!(refused.contains(why), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_primary_leaves_its_standby_writable() {
    blocked_and_promoted("read_only").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_roles_are_welcome_on_the_standby() {
    blocked_and_promoted("pg_hba").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_blocked_is_put_back_to_the_byte() {
    let primary = primary();
    let host = host(&primary, &[]);
    let sql = "ALTER SYSTEM SET default_transaction_read_only = 'off'";
    primary.execute("postgres", sql).unwrap();
    let hba_file = primary.data_dir().join("pg_hba.conf");
    let text = hba(&primary) + "\n# it's a \\ path, \"quoted\"\t, and Größe\n\n";
    std::fs::write(&hba_file, text).unwrap();
    let (conf, text) = (auto_conf(&primary), hba(&primary));
    let unblock = json!({"connection": "primary"});
    for method in ["read_only", "pg_hba"] {
        let ctx = attempt(&host, 1);
        run("pg.block_writes", block(method), &ctx).await.unwrap();
        assert_ne!((auto_conf(&primary), hba(&primary)), (conf.clone(), text.clone()));
        let lifted = run("pg.unblock_writes", unblock.clone(), &ctx).await.unwrap();
        assert_eq!((&lifted["unblocked"], &lifted["read_only"]), (&json!(true), &json!(false)));
        assert_eq!((auto_conf(&primary), hba(&primary)), (conf.clone(), text.clone()), "{method}");
        as_app(&primary, "INSERT INTO ledger (note) VALUES ('again')").await.unwrap();
        let again = run("pg.unblock_writes", unblock.clone(), &ctx).await.unwrap();
        assert_eq!((&again["unblocked"], &again["removed"]), (&json!(false), &json!([])));
        assert!(matches!(
            observe("pg.unblock_writes", unblock.clone(), &ctx).await,
            Observation::Done(_)
        ));
        assert_eq!(observe("pg.block_writes", block(method), &ctx).await, Observation::NotDone);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_over_with_a_copy_is_removed_from_the_new_primary() {
    let primary = primary();
    let ctx = attempt(&host(&primary, &[]), 1);
    for method in ["read_only", "pg_hba"] {
        run("pg.block_writes", block(method), &ctx).await.unwrap();
        let copy = primary.standby(&format!("copy_{method}")).unwrap();
        copy.execute("postgres", "SELECT pg_promote()").unwrap();
        as_app(&copy, "INSERT INTO ledger (note) VALUES ('no')").await.unwrap_err();
        let there = attempt(&host(&copy, &[]), 1);
        let lifted = run("pg.unblock_writes", json!({"connection": "primary"}), &there).await;
        assert_eq!(lifted.unwrap()["unblocked"], json!(true));
        as_app(&copy, "INSERT INTO ledger (note) VALUES ('yes')").await.unwrap();
        run("pg.unblock_writes", json!({"connection": "primary"}), &ctx).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_was_cut_off_is_taken_up_with_what_was_before() {
    let primary = primary();
    let host = host(&primary, &[]);
    let conf = auto_conf(&primary);
    let open = Open::with(&primary, "BEGIN; INSERT INTO ledger (note) VALUES ('open')").await;
    let mut with = block("read_only");
    with["grace"] = json!("10m");
    {
        let ctx = attempt(&host, 1);
        let blocking = run("pg.block_writes", with.clone(), &ctx);
        let progressed = async {
            while host.last_progress().is_none() {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        // As a kill: the future goes away in the middle.
        tokio::select! {
            ended = blocking => panic!("{ended:?}"),
            () = progressed => {}
        }
    }
    assert!(auto_conf(&primary).contains("runbook.writes_blocked"));
    assert_eq!(
        observe("pg.block_writes", with.clone(), &attempt(&host, 1)).await,
        Observation::NotDone
    );
    open.client.batch_execute("COMMIT").await.unwrap();
    let ctx = attempt(&host, 2);
    run("pg.block_writes", with, &ctx).await.unwrap();
    run("pg.unblock_writes", json!({"connection": "primary"}), &ctx).await.unwrap();
    assert_eq!(auto_conf(&primary), conf);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_block_is_lifted_again() {
    let primary = primary();
    let host = host(&primary, &[]);
    let conf = auto_conf(&primary);
    let open = Open::with(&primary, "BEGIN; INSERT INTO ledger (note) VALUES ('open')").await;
    let cancel = CancellationToken::new();
    let ctx = host.context("tested", 1, cancel.clone());
    let mut with = block("read_only");
    with["grace"] = json!("10m");
    let cancelled = async {
        while host.last_progress().is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        cancel.cancel();
    };
    let (ended, ()) = tokio::join!(run("pg.block_writes", with, &ctx), cancelled);
    assert_eq!(ended.unwrap_err().code, "RB0400");
    assert_eq!(auto_conf(&primary), conf);
    assert!(open.lives().await);
    as_app(&primary, "INSERT INTO ledger (note) VALUES ('yes')").await.unwrap();
}
