//! `store.put`, `store.get` and `file.checksum` on real folders.

use std::fs;

use engine::step::Observation;
use model::node::Node;
use model::step_error::ErrorClass;
use serde_json::{Value, json};

use crate::common::{attempt, host_with_store, run};

const SHA256_OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

#[tokio::test]
async fn a_file_travels_into_the_store_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let ctx = attempt(&host_with_store(&store), 1);
    let (from, to) = (folder.path().join("a.txt"), folder.path().join("b.txt"));
    fs::write(&from, "abc").unwrap();
    let put = json!({"store": "backups", "from": from, "to": "x/a.txt"});
    let get = json!({"store": "backups", "from": "x/a.txt", "to": to, "sha256": SHA256_OF_ABC});
    for (kind, with) in [("store.put", &put), ("store.get", &get)] {
        let step = steps::REGISTRY.step(kind).unwrap();
        let node = Node::from_json(with);
        assert_eq!(step.observe(&node, &ctx).await, Ok(Observation::NotDone), "{kind}");
        let output = run(kind, with.clone(), &ctx).await.unwrap();
        assert_eq!((&output["bytes"], &output["sha256"]), (&json!(3), &json!(SHA256_OF_ABC)));
        assert_eq!(output["existed"], json!(false));
        assert_eq!(step.observe(&node, &ctx).await, Ok(Observation::Done(output)), "{kind}");
        let again = run(kind, with.clone(), &ctx).await.unwrap();
        assert_eq!(again["existed"], json!(true));
    }
    assert_eq!(fs::read(&to).unwrap(), b"abc");
}

#[tokio::test]
async fn nothing_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let ctx = attempt(&host_with_store(&folder.path().join("store")), 1);
    let file = folder.path().join("a.txt");
    fs::write(&file, "abc").unwrap();
    let put = json!({"store": "backups", "from": file, "to": "a.txt"});
    run("store.put", put.clone(), &ctx).await.unwrap();
    fs::write(&file, "abd").unwrap();
    let step = steps::REGISTRY.step("store.put").unwrap();
    let seen = step.observe(&Node::from_json(&put), &ctx).await;
    assert_eq!(seen, Ok(Observation::NotDone));
    let error = run("store.put", put, &ctx).await.unwrap_err();
    assert_eq!((error.code.as_str(), error.class), ("RB0603", ErrorClass::Permanent));
    let get = json!({"store": "backups", "from": "a.txt", "to": file});
    assert_eq!(run("store.get", get, &ctx).await.unwrap_err().code, "RB0603");
    assert_eq!(fs::read(&file).unwrap(), b"abd");
}

#[tokio::test]
async fn an_object_that_is_not_the_expected_one_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let ctx = attempt(&host_with_store(&store), 1);
    fs::create_dir_all(&store).unwrap();
    fs::write(store.join("a.txt"), "damaged").unwrap();
    let to = folder.path().join("out.txt");
    let get = json!({"store": "backups", "from": "a.txt", "to": to, "sha256": SHA256_OF_ABC});
    let error = run("store.get", get, &ctx).await.unwrap_err();
    assert_eq!((error.code.as_str(), error.class), ("RB0652", ErrorClass::Permanent));
    assert!(!to.exists());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let get = json!({"store": "backups", "from": "missing", "to": to});
    assert_eq!(run("store.get", get, &ctx).await.unwrap_err().code, "RB0602");
}

#[tokio::test]
async fn a_checksum_is_computed_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    let ctx = attempt(&host_with_store(folder.path()), 1);
    let path = folder.path().join("a.txt");
    fs::write(&path, "abc").unwrap();
    let output = run("file.checksum", json!({"path": path}), &ctx).await.unwrap();
    assert_eq!(output, json!({"bytes": 3, "sha256": SHA256_OF_ABC}));
    let with = json!({"path": path, "sha256": SHA256_OF_ABC.to_uppercase()});
    run("file.checksum", with, &ctx).await.unwrap();
    let with = json!({"path": path, "sha256": "0".repeat(64)});
    let error = run("file.checksum", with, &ctx).await.unwrap_err();
    assert_eq!(error.code, "RB0652");
    assert!(error.message.ends_with(&format!("found `{SHA256_OF_ABC}`")), "{}", error.message);
    for missing in [json!({"path": "/nonexistent/a"}), json!({"path": folder.path()})] {
        assert_eq!(run("file.checksum", missing, &ctx).await.unwrap_err().code, "RB0650");
    }
}

#[test]
fn paths_that_mean_something_else_elsewhere_are_refused() {
    let refused = |kind: &str, with: Value| {
        let step = steps::REGISTRY.step(kind).unwrap();
        step.check(&Node::from_json(&with)).unwrap_err()
    };
    let model::catalog::InputRefusal::Rules(problems) =
        refused("store.put", json!({"store": "s", "from": "a", "to": "sets/x"}))
    else {
        panic!("the shape is right")
    };
    assert_eq!(problems[0].path, ["from"]);
    assert_eq!(problems[1].path, ["to"]);
}
