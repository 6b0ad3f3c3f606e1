//! Base backups of a real server: whole, checked, written once, and apart from logical sets.

use std::process::Command;

use engine::step::Observation;
use model::node::Node;
use model::step_error::ErrorClass;
use serde_json::{Value, json};
use shown::case;

use crate::ground::{Ground, attempt, files, run};

fn input() -> Value {
    json!({"connection": "prod", "store": "backups", "label": "nightly"})
}

fn with(keys: &Value) -> Value {
    let mut with = input();
    with.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    with
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_backup_is_whole_and_is_no_set() {
    let ground = Ground::new();
    ground
        .cluster
        .execute("postgres", "CREATE TABLE t AS SELECT generate_series(1, 1000)")
        .unwrap();
    let host = ground.host();
    let ctx = attempt(&host, 1);
    let step = steps::REGISTRY.step("pg.base_backup").unwrap();
    assert_eq!(step.observe(&Node::from_json(&input()), &ctx).await, Ok(Observation::NotDone));
    let made = run("pg.base_backup", input(), &ctx).await.unwrap();
    assert_eq!(made["system_identifier"], json!(ground.identifier().to_string()));
    assert_eq!((&made["kind"], &made["timeline"]), (&json!("full"), &json!(1)));

    let folder = ground.folder.path().join("store").join(made["folder"].as_str().unwrap());
    assert_eq!(
        files(&folder),
        ["RESTORE.txt", "backup_manifest.zst", "base.tar.zst", "manifest.json"]
    );
    let text = std::fs::read_to_string(folder.join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&text).unwrap();
    for file in manifest["files"].as_array().unwrap() {
        let path = folder.join(file["path"].as_str().unwrap());
        let sum = Command::new("sha256sum").arg(&path).output().unwrap();
        let sum = String::from_utf8(sum.stdout).unwrap();
        assert_eq!(sum.split(' ').next().unwrap(), file["sha256"], "{}", path.display());
    }
    assert_eq!(manifest["label"], "nightly");
    assert_eq!(files(&ground.folder.path().join("scratch")), Vec::<String>::new());

    // Stock programs read it, and PostgreSQL's own says that it is whole.
    let data = ground.folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let unpack = "zstd -dcq \"$1\" | tar -x -C \"$2\"";
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", unpack, "unpack"]);
    assert!(bash.arg(folder.join("base.tar.zst")).arg(&data).status().unwrap().success());
    let checked = ground.cluster.command("pg_verifybackup").arg(&data).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));

    let Ok(Observation::Done(seen)) = step.observe(&Node::from_json(&input()), &ctx).await else {
        panic!("a backup that was made is seen")
    };
    assert_eq!(
        (&seen["base"], &seen["manifest_sha256"]),
        (&made["base"], &made["manifest_sha256"])
    );
    let listed = run("store.list", json!({"store": "backups"}), &ctx).await.unwrap();
    assert_eq!((&listed["count"], &listed["broken"]), (&json!(0), &json!([])));
    let prune = json!({"store": "backups", "database": "postgres", "keep": {"last": 1}});
    run("store.prune", prune, &ctx).await.ok();
    assert!(folder.join("manifest.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_cut_off_is_removed_and_made_anew() {
    let ground = Ground::new();
    let host = ground.host();
    let first = run("pg.base_backup", input(), &attempt(&host, 1)).await.unwrap();
    let folder = ground.folder.path().join("store").join(first["folder"].as_str().unwrap());
    std::fs::remove_file(folder.join("manifest.json")).unwrap();
    let step = steps::REGISTRY.step("pg.base_backup").unwrap();
    let ctx = attempt(&host, 2);
    assert_eq!(step.observe(&Node::from_json(&input()), &ctx).await, Ok(Observation::NotDone));
    let second = run("pg.base_backup", input(), &ctx).await.unwrap();
    assert_ne!(first["base"], second["base"]);
    assert!(!folder.exists(), "the unfinished one is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_copied_is_refused_before_anything_is_written() {
    let ground = Ground::new();
    let fails = async |keys: Value| ground.run("pg.base_backup", with(&keys)).await.unwrap_err();
    case(
        "RB0625",
        fails(json!({"parent": "latest"})).await.told().replace(&version(&ground), "15.14"),
    );
    case("RB0620", fails(json!({"bin": "/nonexistent"})).await.told());
    let small = ground.folder.path().join("small");
    std::fs::create_dir(&small).unwrap();
    let disk = SmallDisk::at(&small, "4m");
    let full = fails(json!({"staging": small})).await;
    assert_eq!(full.class, ErrorClass::NeedsOperator);
    case("RB0628", numbers_settled(&full.told()));
    drop(disk);
    let outside = ground.cluster.host_dir().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let mut chown = Command::new("chown");
    chown.arg("--reference").arg(ground.cluster.data_dir()).arg(&outside);
    assert!(chown.status().unwrap().success());
    let sql = format!("CREATE TABLESPACE fast LOCATION '{}'", outside.display());
    ground.cluster.execute("postgres", &sql).unwrap();
    case("RB0621", fails(json!({})).await.told());
    assert_eq!(files(&ground.folder.path().join("store")), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_does_not_verify_is_not_stored() {
    let ground = Ground::new();
    let bin = ground.folder.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let real = |name: &str| ground.cluster.program(name);
    std::os::unix::fs::symlink(real("pg_basebackup"), bin.join("pg_basebackup")).unwrap();
    // A byte is lost between the copy and the check.
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *--version*) exec {0} --version;; esac\n\
         for last; do :; done\nprintf x >> \"$last/global/pg_filenode.map\"\nexec {0} --no-parse-wal \"$@\"\n",
        real("pg_verifybackup").display()
    );
    let program = bin.join("pg_verifybackup");
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    let refused = ground.run("pg.base_backup", with(&json!({"bin": bin}))).await.unwrap_err();
    case("RB0623", refused.told());
    assert_eq!(files(&ground.folder.path().join("store")), Vec::<String>::new());
    assert_eq!(files(&ground.folder.path().join("scratch")), Vec::<String>::new());
}

fn version(ground: &Ground) -> String {
    ground.cluster.query_one("postgres", "SELECT current_setting('server_version')").unwrap()
}

/// Sizes differ from machine to machine.
fn numbers_settled(text: &str) -> String {
    let (has, rest) = text.split_once(" has ").unwrap();
    let (_, rest) = rest.split_once(' ').unwrap();
    let (room, rest) = rest.split_once("room for ").unwrap();
    let (_, rest) = rest.split_once('\n').unwrap();
    format!("{has} has 23093248 {room}room for 4194304\n{rest}")
}

/// A file system of `size`, mounted while the value lives. Needs root, as CI has.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn at(path: &std::path::Path, size: &str) -> Self {
        let args = ["-t", "tmpfs", "-o", &format!("size={size},mode=0700"), "tmpfs"];
        let status = Command::new("mount").args(args).arg(path).status().unwrap();
        assert!(
            status.success(),
            "mounting a small tmpfs needs root: run the tests as root, as CI does"
        );
        Self(path.to_owned())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().unwrap();
    }
}
