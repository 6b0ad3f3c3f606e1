//! `file.encrypt` and `file.decrypt`, crossed with the programs `age` and `gpg`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use engine::context::StepContext;
use engine::step::Observation;
use model::node::Node;
use model::step_error::{ErrorClass, StepError};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{attempt, host_with_store, run};

/// Runs a program that the tests need; what it prints.
fn tool(program: &str, args: &[&str], env: &[(&str, &Path)]) -> Vec<u8> {
    let mut command = Command::new(program);
    command.args(args).envs(env.iter().copied()).stdin(Stdio::null());
    let output = command.output().unwrap_or_else(|error| {
        panic!("`{program}` is needed and cannot be started ({error}): run `scripts/install test`")
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {said}");
    output.stdout
}

struct Bench {
    folder: TempDir,
    ctx: StepContext,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ctx = attempt(&host_with_store(&folder.path().join("store")), 1);
        fs::write(folder.path().join("plain"), text()).unwrap();
        Self { folder, ctx }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A step from one file of the folder to another.
    async fn run(&self, kind: &str, files: [&str; 2], more: Value) -> Result<Value, StepError> {
        let mut with = json!({"from": self.path(files[0]), "to": self.path(files[1])});
        with.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        run(kind, with, &self.ctx).await
    }

    fn identity(&self) -> (String, String) {
        let path = self.path("identity");
        let text = String::from_utf8(tool("age-keygen", &[], &[])).unwrap();
        fs::write(&path, &text).unwrap();
        let recipient = tool("age-keygen", &["-y", path.to_str().unwrap()], &[]);
        (text, String::from_utf8(recipient).unwrap().trim().to_owned())
    }
}

/// More than one chunk of anything.
fn text() -> Vec<u8> {
    (0..900_000u32).flat_map(u32::to_le_bytes).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_for_age_are_those_of_age() {
    let bench = Bench::new();
    let (identity, recipient) = bench.identity();
    let with = json!({"age": [recipient]});
    let sealed = bench.run("file.encrypt", ["plain", "sealed"], with.clone()).await.unwrap();
    let stored = fs::read(bench.path("sealed")).unwrap();
    assert_eq!(sealed["bytes"], json!(stored.len()));
    assert_eq!(sealed["plain_bytes"], json!(text().len()));
    assert_eq!(fs::metadata(bench.path("sealed")).unwrap().permissions().mode() & 0o777, 0o600);
    let (key, file) = (bench.path("identity"), bench.path("sealed"));
    let opened = tool("age", &["-d", "-i", key.to_str().unwrap(), file.to_str().unwrap()], &[]);
    assert!(opened == text());

    let node = Node::from_json(
        &json!({"from": bench.path("plain"), "to": bench.path("sealed"), "age": [recipient]}),
    );
    let seen = steps::REGISTRY.step("file.encrypt").unwrap().observe(&node, &bench.ctx).await;
    assert_eq!(seen, Ok(Observation::Done(sealed.clone())));
    let error = bench.run("file.encrypt", ["plain", "sealed"], with).await.unwrap_err();
    assert_eq!(error.code, "RB0603");
    assert!(fs::read(bench.path("sealed")).unwrap() == stored, "it is never overwritten");

    let (from, to) = (bench.path("plain"), bench.path("by-age"));
    let args = ["-r", &recipient, "-o", to.to_str().unwrap(), from.to_str().unwrap()];
    tool("age", &args, &[]);
    let with = json!({"identity": identity, "sha256": sealed["plain_sha256"]});
    bench.run("file.decrypt", ["by-age", "opened"], with).await.unwrap();
    assert!(fs::read(bench.path("opened")).unwrap() == text());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_of_what_cannot_be_opened() {
    let bench = Bench::new();
    let (identity, recipient) = bench.identity();
    let with = json!({"age": [recipient]});
    bench.run("file.encrypt", ["plain", "sealed"], with).await.unwrap();
    let none = json!({"age": ["age1none"]});
    let error = bench.run("file.encrypt", ["plain", "other"], none).await.unwrap_err();
    assert_eq!(error.code, "RB0401");
    let (stranger, _) = bench.identity();
    let wrong = json!({"identity": stranger});
    let error = bench.run("file.decrypt", ["sealed", "opened"], wrong).await.unwrap_err();
    assert_eq!((error.code.as_str(), error.class), ("RB0642", ErrorClass::NeedsOperator));
    let no_key = json!({"identity": "hunter2-canary"});
    let error = bench.run("file.decrypt", ["sealed", "opened"], no_key).await.unwrap_err();
    assert_eq!(error.code, "RB0641");
    assert!(!format!("{error:?}").contains("canary"));
    let with = json!({"identity": identity, "sha256": "0".repeat(64)});
    let error = bench.run("file.decrypt", ["sealed", "opened"], with).await.unwrap_err();
    assert_eq!(error.code, "RB0652");

    let whole = fs::read(bench.path("sealed")).unwrap();
    let with = json!({"identity": identity});
    for place in [0, whole.len() / 2, whole.len() - 1] {
        let mut flipped = whole.clone();
        flipped[place] ^= 1;
        for damaged in [&flipped[..], &whole[..place]] {
            fs::write(bench.path("sealed"), damaged).unwrap();
            let opened = bench.run("file.decrypt", ["sealed", "opened"], with.clone()).await;
            let said = opened.unwrap_err().told();
            shown::case("RB0645", said.lines().next().unwrap());
        }
    }
    assert!(!bench.path("opened").exists());
    let left = fs::read_dir(bench.folder.path()).unwrap();
    let names: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.to_str().unwrap().starts_with('.')), "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passphrase_opens_what_it_closed() {
    let bench = Bench::new();
    let with = |text: &str| json!({"passphrase": text});
    bench.run("file.encrypt", ["plain", "sealed"], with("correct horse")).await.unwrap();
    let wrong = bench.run("file.decrypt", ["sealed", "opened"], with("wrong horse")).await;
    assert_eq!(wrong.unwrap_err().code, "RB0642");
    bench.run("file.decrypt", ["sealed", "opened"], with("correct horse")).await.unwrap();
    assert!(fs::read(bench.path("opened")).unwrap() == text());
}

#[tokio::test(flavor = "multi_thread")]
async fn files_for_gpg_are_those_of_gpg() {
    let bench = Bench::new();
    // The socket of the agent needs a short path.
    let home = tempfile::Builder::new()
        .prefix("gpg")
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir_in("/tmp")
        .unwrap();
    let env = [("GNUPGHOME", home.path())];
    let gpg = |args: &[&str]| tool("gpg", &[&["--batch", "--quiet"], args].concat(), &env);
    gpg(&[
        "--pinentry-mode",
        "loopback",
        "--passphrase",
        "secret words",
        "--quick-generate-key",
        "ann@example.org",
        "future-default",
        "default",
        "never",
    ]);
    let with = json!({"gpg": ["ann@example.org"], "gpg_home": home.path()});
    bench.run("file.encrypt", ["plain", "sealed"], with).await.unwrap();
    let open =
        |passphrase: &str| json!({"gpg": true, "gpg_home": home.path(), "passphrase": passphrase});
    // The agent remembers the passphrase of the key it made.
    tool("gpgconf", &["--kill", "all"], &env);
    let wrong = bench.run("file.decrypt", ["sealed", "opened"], open("other words")).await;
    assert_eq!(wrong.unwrap_err().code, "RB0642");
    bench.run("file.decrypt", ["sealed", "opened"], open("secret words")).await.unwrap();
    assert!(fs::read(bench.path("opened")).unwrap() == text());
    let sealed = bench.path("sealed");
    let by_gpg = gpg(&[
        "--pinentry-mode",
        "loopback",
        "--passphrase",
        "secret words",
        "-d",
        sealed.to_str().unwrap(),
    ]);
    assert!(by_gpg == text());
    let mut flipped = fs::read(&sealed).unwrap();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    fs::write(&sealed, flipped).unwrap();
    let damaged = bench.run("file.decrypt", ["sealed", "again"], open("secret words")).await;
    assert_eq!(damaged.unwrap_err().code, "RB0645");
    assert!(!bench.path("again").exists());
    tool("gpgconf", &["--kill", "all"], &env);
}
