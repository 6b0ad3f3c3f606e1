//! `git.commit` in private repositories, with a bare one as remote.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use engine::memory_host::MemoryHost;
use engine::step::Observation;
use model::node::Node;
use model::step_error::{ErrorClass, StepError};
use serde_json::{Value, json};

use crate::common::{attempt, host_with_store, run};

struct Lab {
    folder: tempfile::TempDir,
    host: Arc<MemoryHost>,
}

/// A work tree on the branch `snapshots` with one commit, and a bare remote that has it.
fn lab() -> Lab {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    fs::create_dir(&store).unwrap();
    let lab = Lab { host: host_with_store(&store), folder };
    lab.git_in(".", &["init", "--quiet", "--bare", "remote.git"]);
    lab.clone_to("tree");
    lab.git(&["switch", "--quiet", "--create", "snapshots"]);
    fs::write(lab.tree().join("README"), "schema\n").unwrap();
    lab.git(&["add", "README"]);
    lab.git(&["commit", "--quiet", "--message=first"]);
    lab.git(&["push", "--quiet", "origin", "snapshots"]);
    lab
}

impl Lab {
    fn tree(&self) -> PathBuf {
        self.folder.path().join("tree")
    }

    fn git_in(&self, folder: &str, args: &[&str]) -> String {
        let who = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com"];
        let mut command = Command::new("git");
        command.args(who).args(args).current_dir(self.folder.path().join(folder));
        let output = command.env("HOME", self.folder.path()).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {args:?}: {errors}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn git(&self, args: &[&str]) -> String {
        self.git_in("tree", args)
    }

    fn clone_to(&self, folder: &str) {
        self.git_in(".", &["clone", "--quiet", "remote.git", folder]);
    }

    fn with(&self, keys: &Value) -> Value {
        let mut with =
            json!({"repository": self.tree(), "path": "schema.sql", "message": "Schema"});
        with.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        with
    }

    async fn commit(&self, number: u32, keys: Value) -> Result<Value, StepError> {
        run("git.commit", self.with(&keys), &attempt(&self.host, number)).await
    }

    async fn look(&self, keys: Value) -> Observation<Value> {
        let step = steps::REGISTRY.step("git.commit").unwrap();
        let with = Node::from_json(&self.with(&keys));
        step.observe(&with, &attempt(&self.host, 1)).await.unwrap()
    }

    fn commits(&self, repository: &str) -> usize {
        let count = self.git_in(repository, &["rev-list", "--count", "snapshots"]);
        count.parse().unwrap()
    }
}

fn pushed() -> Value {
    json!({"push": {"remote": "origin", "branch": "snapshots"}})
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}

#[tokio::test]
async fn only_the_path_is_committed_and_the_commit_is_found_again() {
    let lab = lab();
    write(&lab.tree().join("schema.sql"), "create table a ();\n");
    write(&lab.tree().join("other"), "mine");
    lab.git(&["add", "other"]);
    assert_eq!(lab.look(json!({})).await, Observation::NotDone);
    let output = lab.commit(1, json!({"author_name": "Backup"})).await.unwrap();
    let head = lab.git(&["rev-parse", "HEAD"]);
    let expected =
        json!({"committed": true, "commit": head, "branch": "snapshots", "pushed": false});
    assert_eq!(output, expected);
    assert_eq!(lab.git(&["status", "--short"]), "A  other");
    let said = lab.git(&["log", "-1", "--format=%an <%ae>%n%B"]);
    let run = "0".repeat(26);
    let message = format!("Schema\n\nRunbook-Run: {run}\nRunbook-Step: tested");
    assert_eq!(said, format!("Backup <runbook@localhost>\n{message}"));
    assert_eq!(lab.look(json!({})).await, Observation::Done(expected.clone()));
    // A second attempt takes the commit of the first, also when there is something new.
    write(&lab.tree().join("schema.sql"), "create table b ();\n");
    assert_eq!(lab.commit(2, json!({})).await.unwrap(), expected);
    assert_eq!(lab.commits("tree"), 2);
}

#[tokio::test]
async fn nothing_new_is_no_commit() {
    let lab = lab();
    let output = lab.commit(1, json!({"path": "README"})).await.unwrap();
    assert_eq!(output["committed"], json!(false));
    assert_eq!(output["commit"], json!(lab.git(&["rev-parse", "HEAD"])));
    assert_eq!(lab.commits("tree"), 1);
}

#[tokio::test]
async fn a_push_reaches_the_remote_and_is_made_up_for() {
    let lab = lab();
    write(&lab.tree().join("schema.sql"), "one");
    lab.commit(1, json!({})).await.unwrap();
    assert_eq!(lab.commits("remote.git"), 1);
    assert_eq!(lab.look(pushed()).await, Observation::NotDone);
    // The attempt that was cut off before its push is finished by the next.
    let output = lab.commit(2, pushed()).await.unwrap();
    assert_eq!((&output["committed"], &output["pushed"]), (&json!(true), &json!(true)));
    assert_eq!((lab.commits("tree"), lab.commits("remote.git")), (2, 2));
    assert_eq!(lab.look(pushed()).await, Observation::Done(output));
}

#[tokio::test]
async fn commits_of_others_are_never_lost() {
    let lab = lab();
    lab.clone_to("other");
    lab.git_in("other", &["switch", "--quiet", "snapshots"]);
    lab.git_in("other", &["commit", "--quiet", "--allow-empty", "--message=theirs"]);
    lab.git_in("other", &["push", "--quiet", "origin", "snapshots"]);
    write(&lab.tree().join("schema.sql"), "one");
    let error = lab.commit(1, pushed()).await.unwrap_err();
    assert_eq!((error.code.as_str(), error.class), ("RB0753", ErrorClass::NeedsOperator));
    assert!(error.causes[0].contains("[rejected] (fetch first)"), "{error:?}");
    assert_eq!(lab.git_in("remote.git", &["log", "-1", "--format=%s", "snapshots"]), "theirs");
    let keys = json!({"push": {"remote": "nowhere", "branch": "snapshots"}});
    let error = lab.commit(2, keys).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Permanent);
    shown::case("RB0753", error.told());
}

#[tokio::test]
async fn hooks_are_not_run() {
    let lab = lab();
    let hook = lab.tree().join(".git/hooks/pre-commit");
    write(&hook, "#!/bin/sh\nexit 1\n");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(hook, mode).unwrap();
    write(&lab.tree().join("schema.sql"), "one");
    assert_eq!(lab.commit(1, json!({})).await.unwrap()["committed"], json!(true));
}

#[tokio::test]
async fn a_wrong_place_is_refused_before_anything_is_changed() {
    let lab = lab();
    let place = json!({"repository": lab.folder.path().join("store")});
    let error = lab.commit(1, place).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Permanent);
    shown::case("RB0750", error.told());
    let error = lab.commit(1, json!({"branch": "main"})).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::NeedsOperator);
    shown::case("RB0752", error.told());
    lab.git(&["switch", "--quiet", "--detach"]);
    assert_eq!(lab.commit(1, json!({})).await.unwrap_err().code, "RB0752");
    lab.git(&["switch", "--quiet", "snapshots"]);
    let error = lab.commit(1, json!({"path": "no-such-file"})).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Permanent);
    shown::case("RB0751", error.told());
    assert_eq!(lab.commits("tree"), 1);
}

#[tokio::test]
async fn the_first_commit_of_a_repository_is_made() {
    let lab = lab();
    lab.git_in(".", &["init", "--quiet", "--initial-branch=snapshots", "empty"]);
    write(&lab.folder.path().join("empty/schema.sql"), "one");
    let keys = json!({"repository": lab.folder.path().join("empty")});
    assert_eq!(lab.commit(1, keys).await.unwrap()["committed"], json!(true));
    assert_eq!(lab.commits("empty"), 1);
}
