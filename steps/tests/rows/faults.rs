//! Locks, lost connections and cancellations.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use engine::step::Observation;
use model::step_error::{ErrorClass, StepError};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::common::{Ground, connection, context, host, observe, run};

async fn ground() -> Ground {
    let ground = Ground::after_the_accident();
    let keys = json!({"table": "customers", "keys": [1], "exclude": ["customers"]});
    ground.extract(keys).await.unwrap();
    ground
}

/// A session that holds a lock until it is dropped.
struct Holding(std::process::Child);

impl Holding {
    fn lock(ground: &Ground, table: &str) -> Self {
        use std::io::Write;
        let mut psql = ground.cluster.command("psql");
        psql.args(["--quiet", "--no-psqlrc", "shop"]);
        psql.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
        let mut child = psql.spawn().unwrap();
        let sql = format!("begin; lock table {table} in row exclusive mode;\n");
        child.stdin.as_mut().unwrap().write_all(sql.as_bytes()).unwrap();
        let held = format!(
            "select count(*) from pg_locks where relation = '{table}'::regclass and mode = 'RowExclusiveLock'"
        );
        while ground.one(&held) == "0" {
            std::thread::sleep(Duration::from_millis(10));
        }
        Self(child)
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_not_granted_ends_the_attempt_and_nothing_is_done() {
    let ground = ground().await;
    let before = ground.rows("shop");
    let holding = Holding::lock(&ground, "orders");
    let error = ground.restore(json!({"lock_timeout": "100ms"})).await.unwrap_err();
    assert_eq!((error.code.as_str(), error.class), ("RB0508", ErrorClass::Transient));
    assert_eq!(ground.rows("shop"), before);
    drop(holding);
    ground.restore(json!({})).await.unwrap();
}

/// The step, up to the moment when it waits for the lock; then `interrupt`.
async fn interrupted(
    ground: &Ground,
    cancel: CancellationToken,
    interrupt: impl FnOnce(),
) -> Result<Value, StepError> {
    let ctx = ground.host.context("tested", 1, cancel);
    let asked = ground.restoring(json!({"lock_timeout": "1m"}));
    let step = tokio::spawn(async move { run("pg.restore_rows", asked, &ctx).await });
    let waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'
                   and application_name like 'runbook/%'";
    while ground.one(waiting) == "0" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    interrupt();
    step.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_terminated_leaves_nothing_and_may_be_tried_again() {
    let ground = ground().await;
    let before = ground.rows("shop");
    let holding = Holding::lock(&ground, "items");
    let ended = interrupted(&ground, CancellationToken::new(), || {
        ground.sql(
            "select pg_terminate_backend(pid) from pg_stat_activity
                    where application_name like 'runbook/%'",
        );
    });
    let error = ended.await.unwrap_err();
    assert_eq!((error.code.as_str(), error.class), ("RB0505", ErrorClass::Transient));
    drop(holding);
    assert_eq!(ground.rows("shop"), before);
    let seen =
        observe("pg.restore_rows", &ground.restoring(json!({})), &context(&ground.host)).await;
    assert_eq!(seen, Observation::NotDone);
    ground.restore(json!({})).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_restore_leaves_nothing() {
    let ground = ground().await;
    let before = ground.rows("shop");
    let holding = Holding::lock(&ground, "items");
    let cancel = CancellationToken::new();
    let stop = cancel.clone();
    let ended = interrupted(&ground, cancel, move || stop.cancel()).await;
    assert_eq!(ended, Err(StepError::cancelled()));
    drop(holding);
    assert_eq!(ground.rows("shop"), before);
}

/// Passes bytes between a client and the server; cuts the connection as soon as the client says
/// COMMIT, before or after the server has heard it.
async fn proxy(server: u16, after: bool, armed: Arc<AtomicBool>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
            tokio::spawn(pass(client, server, Arc::clone(&armed), after));
        }
    });
    port
}

async fn pass(mut client: TcpStream, mut server: TcpStream, armed: Arc<AtomicBool>, after: bool) {
    let (mut up, mut down) = (vec![0; 65536], vec![0; 65536]);
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(read @ 1..) = read else { return };
                let is_commit = up[..read].windows(7).any(|bytes| bytes == b"COMMIT\0");
                let cut = is_commit && armed.load(Ordering::SeqCst);
                if cut && !after {
                    return;
                }
                server.write_all(&up[..read]).await.unwrap();
                if cut {
                    // The server's answer arrives here and goes no further.
                    assert!(server.read(&mut down).await.unwrap() > 0);
                    return;
                }
            }
            read = server.read(&mut down) => {
                let Ok(read @ 1..) = read else { return };
                client.write_all(&down[..read]).await.unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_lost_answer_to_the_commit_the_server_tells_what_happened() {
    for after in [true, false] {
        let ground = ground().await;
        let (before, armed) = (ground.rows("shop"), Arc::new(AtomicBool::new(true)));
        let port = proxy(ground.cluster.port(), after, Arc::clone(&armed)).await;
        let (own, url) = (ground.cluster.port().to_string(), ground.cluster.url("shop"));
        let host = host(vec![connection("prod", &url.replace(&own, &port.to_string()), true)]);
        let (asked, ctx) = (ground.restoring(json!({})), context(&host));
        let error = run("pg.restore_rows", asked.clone(), &ctx).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.class), ("RB0505", ErrorClass::Ambiguous));
        armed.store(false, Ordering::SeqCst);
        let mut seen = observe("pg.restore_rows", &asked, &ctx).await;
        while seen == Observation::InProgress {
            seen = observe("pg.restore_rows", &asked, &ctx).await;
        }
        if after {
            let Observation::Done(output) = seen else { panic!("{seen:?}") };
            assert_eq!((&output["applied"], &output["all"]["insert"]), (&json!(true), &json!(9)));
            assert_ne!(ground.rows("shop"), before);
        } else {
            assert_eq!(seen, Observation::NotDone);
            assert_eq!(ground.rows("shop"), before);
            run("pg.restore_rows", asked, &ctx).await.unwrap();
        }
        ground.undo(json!({})).await.unwrap();
        assert_eq!(ground.rows("shop"), before, "the undo of what was committed is there");
    }
}
