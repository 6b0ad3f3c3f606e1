//! What a step says when it fails: the case that the page of each error code shows.

use std::fs;
use std::path::Path;

use engine::context::StepContext;
use lab::sink::{Fault, Sink};
use serde_json::{Value, json};
use shown::case;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::common::{attempt, host_with_store, run};

/// A folder, and a context whose store is the folder `store` in it.
fn ground() -> (TempDir, StepContext) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("store")).unwrap();
    let ctx = attempt(&host_with_store(&folder.path().join("store")), 1);
    (folder, ctx)
}

/// Asserts what the failure of a step says.
async fn fails(code: &str, kind: &str, with: Value, ctx: &StepContext) {
    case(code, run(kind, with, ctx).await.unwrap_err().told());
}

#[tokio::test]
async fn a_file_or_an_object_that_does_not_do() {
    let (folder, ctx) = ground();
    let path = |name: &str| folder.path().join(name);
    let put = |from: &Path, to: &str| json!({"store": "backups", "from": from, "to": to});
    fs::write(path("uploads.tar"), "uploads").unwrap();
    run("store.put", put(&path("uploads.tar"), "uploads.tar"), &ctx).await.unwrap();
    fs::write(path("uploads.tar"), "other uploads").unwrap();
    fails("RB0603", "store.put", put(&path("uploads.tar"), "uploads.tar"), &ctx).await;
    fails("RB0650", "store.put", put(&path("none.tar"), "none.tar"), &ctx).await;
    let get = |from: &str, to: &Path| json!({"store": "backups", "from": from, "to": to});
    fails("RB0602", "store.get", get("none.tar", &path("a")), &ctx).await;
    fails("RB0651", "store.get", get("uploads.tar", Path::new("/")), &ctx).await;
    let sum = json!({"path": path("uploads.tar"), "sha256": "0".repeat(64)});
    fails("RB0652", "file.checksum", sum, &ctx).await;
    std::os::unix::fs::symlink("/etc", path("store").join("etc")).unwrap();
    fails("RB0601", "store.get", get("etc/passwd", &path("a")), &ctx).await;
}

#[tokio::test]
async fn a_store_that_does_not_do() {
    let ctx = attempt(&host_with_store(Path::new("backups")), 1);
    fails("RB0600", "store.list", json!({"store": "backups"}), &ctx).await;
}

#[tokio::test]
async fn a_server_that_does_not_answer_as_it_should() {
    let (_folder, ctx) = ground();
    let sink = Sink::start().unwrap();
    let check = |path: &str| json!({"url": format!("{}/{path}", sink.url())});
    let slack = |url: String| json!({"webhook": url, "text": "hello"});
    fails("RB0702", "http.check", json!({"url": "hooks/T000"}), &ctx).await;
    let port = crate::http::closed_port();
    let nobody = json!({"url": format!("http://127.0.0.1:{port}/health")});
    fails("RB0701", "http.check", nobody, &ctx).await;
    sink.fail_next(1, Fault::Drop);
    fails("RB0703", "http.check", check("any"), &ctx).await;
    sink.fail_next(1, Fault::Status(404));
    fails("RB0704", "slack.notify", slack(format!("{}/T000/B000", sink.url())), &ctx).await;
    sink.fail_next(1, Fault::RetryAfter(0));
    fails("RB0705", "slack.notify", slack(format!("{}/T000/B000", sink.url())), &ctx).await;
    fails("RB0706", "slack.notify", slack(format!("{}/elsewhere", sink.url())), &ctx).await;
    sink.set_health(503);
    fails("RB0707", "http.check", check("health"), &ctx).await;
}

#[tokio::test]
async fn a_command_that_fails_or_is_killed() {
    let (folder, ctx) = ground();
    let deploy = json!({"argv": ["sh", "-c", "echo deploying; exit 3"]});
    fails("RB0720", "command.run", deploy, &ctx).await;
    let killed = json!({"argv": ["sh", "-c", "kill -9 $$"]});
    fails("RB0721", "command.run", killed, &ctx).await;
    let host = host_with_store(folder.path());
    let cancel = CancellationToken::new();
    let ctx = host.context("tested", 1, cancel.clone());
    let sleep = run("command.run", json!({"argv": ["sleep", "60"]}), &ctx);
    let stop = async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        cancel.cancel();
    };
    let (stopped, ()) = tokio::join!(sleep, stop);
    case("RB0722", stopped.unwrap_err().told());
}

#[tokio::test]
async fn a_policy_that_keeps_nothing() {
    let (_folder, ctx) = ground();
    let with = json!({"store": "backups", "database": "shop", "keep": {}});
    fails("RB0401", "store.prune", with, &ctx).await;
}
