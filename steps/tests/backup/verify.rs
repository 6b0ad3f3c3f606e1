//! `pg.verify_backup`: good sets pass, damaged ones are refused by name.

use std::fs;
use std::path::Path;

use model::step_error::{ErrorClass, StepError};
use serde_json::{Value, json};

use crate::bench::{Bench, run};

const LEVELS: [&str; 6] = ["stored", "readable", "restorable", "complete", "identical", "usable"];

#[tokio::test(flavor = "multi_thread")]
async fn good_sets_are_accepted_at_every_level() {
    for (sql, tables) in [(lab::sample::application(3_000), 13), (lab::sample::awkward(), 34)] {
        let bench = Bench::with(&sql);
        let set = bench.dump("dump").await;
        for level in LEVELS {
            let output = bench.verify(&set, level).await.unwrap();
            assert_eq!(output["level"], level);
            assert_eq!(output["passed"], true);
            let looked_at_rows = ["complete", "identical", "usable"].contains(&level);
            assert_eq!(output["tables"], if looked_at_rows { tables } else { 0 }, "{level}");
            let proof = bench.proof(&set);
            assert_eq!((&proof["reached"], &proof["passed"]), (&json!(level), &json!(true)));
            assert_eq!(proof["differences"], json!([]));
            assert_eq!(bench.other_databases(), Vec::<String>::new());
        }
    }
}

/// What a refusal says, and that the proof says it too.
fn refused(bench: &Bench, set: &str, result: Result<Value, StepError>, about: &str) {
    let error = result.unwrap_err();
    assert_eq!((error.code.as_str(), error.class), ("RB0522", ErrorClass::Permanent), "{error:?}");
    let named = error.causes.iter().any(|cause| cause.contains(about));
    assert!(named, "`{about}` is not named in {:#?}", error.causes);
    let proof = bench.proof(set);
    assert_eq!(proof["passed"], false);
    let differences = proof["differences"].as_array().unwrap();
    assert!(differences.iter().any(|it| it["message"].as_str().unwrap().contains(about)));
    assert_eq!(bench.other_databases(), Vec::<String>::new());
}

fn flip(path: &Path, offset: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[offset] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

/// The store does not give what is no plain file; then the set fails, and its proof says so:
/// an error without a proof would leave the older proof standing.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_the_store_refuses_to_read_fails_the_set() {
    let bench = Bench::with("CREATE TABLE a AS SELECT 1 AS n");
    let set = bench.dump("dump").await;
    bench.verify(&set, "identical").await.unwrap();
    let path = bench.set(&set).join("schema.dump");
    let aside = bench.folder.path().join("aside");
    fs::rename(&path, &aside).unwrap();
    std::os::unix::fs::symlink(&aside, &path).unwrap();
    let link = "file `schema.dump` cannot be read: ";
    refused(&bench, &set, bench.verify(&set, "stored").await, link);
    refused(&bench, &set, bench.verify(&set, "identical").await, "symbolic link");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    refused(&bench, &set, bench.verify(&set, "stored").await, "it is a folder");
    fs::remove_dir(&path).unwrap();
    fs::rename(&aside, &path).unwrap();
    bench.verify(&set, "identical").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_damaged_object_is_named() {
    let bench = Bench::with(&lab::sample::application(1_000));
    let set = bench.dump("dump").await;
    for object in bench.objects(&set) {
        let path = bench.set(&set).join(&object);
        let whole = fs::read(&path).unwrap();
        let damages: [&dyn Fn(); 4] = [
            &|| fs::write(&path, &whole[..whole.len() - 1]).unwrap(),
            &|| flip(&path, whole.len() / 2),
            &|| fs::write(&path, "").unwrap(),
            &|| fs::remove_file(&path).unwrap(),
        ];
        for damage in damages {
            damage();
            let refusal = bench.verify(&set, "stored").await;
            refused(&bench, &set, refusal, &format!("`{object}`"));
            let restored = restore(&bench, &set).await.unwrap_err();
            assert!(
                ["RB0613", "RB0614"].contains(&restored.code.as_str())
                    || object.ends_with("sql")
                    || object.ends_with("txt"),
                "{object}: {restored:?}"
            );
            fs::write(&path, &whole).unwrap();
        }
    }
    assert_eq!(bench.verify(&set, "identical").await.unwrap()["passed"], true);
}

async fn restore(bench: &Bench, set: &str) -> Result<Value, StepError> {
    let with = json!({"connection": "scratch", "store": "backups", "source": "shop",
        "backup": set, "database": "copy"});
    let restored = run("pg.restore", &with, &bench.context("restore")).await;
    if restored.is_ok() {
        bench.cluster.drop_database("copy").unwrap();
        return Err(StepError::permanent("none", "it was restored"));
    }
    assert_eq!(bench.other_databases(), Vec::<String>::new());
    restored
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_changed_places_are_named() {
    let bench = Bench::with("CREATE TABLE a AS SELECT 1 AS n; CREATE TABLE b AS SELECT 2 AS n");
    let old = bench.dump("first").await;
    bench.cluster.execute("shop", "UPDATE a SET n = 3").unwrap();
    let new = bench.dump("second").await;
    let object = "data/public.a.0001.copy.zst";
    let other = "data/public.b.0001.copy.zst";

    let whole = fs::read(bench.set(&new).join(object)).unwrap();
    fs::copy(bench.set(&old).join(object), bench.set(&new).join(object)).unwrap();
    refused(&bench, &new, bench.verify(&new, "identical").await, object);
    fs::copy(bench.set(&new).join(other), bench.set(&new).join(object)).unwrap();
    refused(&bench, &new, bench.verify(&new, "identical").await, object);
    fs::write(bench.set(&new).join(object), whole).unwrap();

    fs::write(bench.set(&new).join("data/public.c.0001.copy.zst"), "x").unwrap();
    refused(&bench, &new, bench.verify(&new, "stored").await, "public.c");
    fs::remove_file(bench.set(&new).join("data/public.c.0001.copy.zst")).unwrap();
    bench.verify(&new, "identical").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_set_under_a_newer_name_is_refused() {
    let bench = Bench::with("CREATE TABLE a AS SELECT 1 AS n");
    let old = bench.dump("first").await;
    let new = bench.dump("second").await;
    fs::remove_dir_all(bench.set(&new)).unwrap();
    fs::rename(bench.set(&old), bench.set(&new)).unwrap();
    let error = bench.verify(&new, "stored").await.unwrap_err();
    assert_eq!(error.code, "RB0612");
    assert!(error.message.contains(&format!("the manifest of set `{old}`")), "{error:?}");

    let elsewhere = bench.store().join("sets/other");
    fs::create_dir(&elsewhere).unwrap();
    fs::rename(bench.set(&new), elsewhere.join(&old)).unwrap();
    let with = json!({"store": "backups", "database": "other", "backup": old, "level": "stored"});
    let error = run("pg.verify_backup", &with, &bench.context("verify")).await.unwrap_err();
    assert_eq!(error.code, "RB0612");
    assert!(error.message.contains("the manifest of database `shop`"), "{error:?}");
}

/// A change of a manifest.
type Edit<'a> = &'a dyn Fn(&mut Value);

/// Changes the manifest's text; the files stay.
fn edit(bench: &Bench, set: &str, change: impl FnOnce(&mut Value)) {
    let path = bench.set(set).join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut manifest);
    fs::write(path, serde_json::to_vec(&manifest).unwrap()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_manifest_is_refused() {
    let bench =
        Bench::with("CREATE TABLE a AS SELECT generate_series(1, 9) AS n; CREATE TABLE b ()");
    let set = bench.dump("dump").await;
    let path = bench.set(&set).join("manifest.json");
    let whole = fs::read(&path).unwrap();
    let table = |manifest: &mut Value| manifest["contents"]["tables"][0].clone();
    let cases: [(Edit<'_>, &str); 6] = [
        (&|m| m["contents"]["tables"][0]["rows"] = json!(10), "`public.a` 10 rows"),
        (&|m| m["contents"]["tables"][0]["hash"] = json!("0".repeat(64)), "public.a"),
        (&|m| m["contents"]["tables"] = json!([table(m)]), "public.b"),
        (&|m| m["contents"]["tables"][0]["parts"] = json!([]), "public.a"),
        (&|m| m["files"][0]["sha256"] = json!("0".repeat(64)), "SHA-256"),
        (&|m| m["contents"]["objects"] = json!([]), "public.a"),
    ];
    for (change, about) in cases {
        edit(&bench, &set, change);
        refused(&bench, &set, bench.verify(&set, "identical").await, about);
        fs::write(&path, &whole).unwrap();
    }
    edit(&bench, &set, |m| m["version"] = json!(2));
    let error = bench.verify(&set, "stored").await.unwrap_err();
    assert_eq!(error.code, "RB0612");
    fs::write(&path, "{").unwrap();
    assert_eq!(bench.verify(&set, "stored").await.unwrap_err().code, "RB0612");
    fs::remove_file(&path).unwrap();
    assert_eq!(bench.verify(&set, "stored").await.unwrap_err().code, "RB0610");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protected_scratch_is_refused() {
    let bench = Bench::with("CREATE TABLE a ()");
    let set = bench.dump("dump").await;
    let with = json!({"store": "backups", "database": "shop", "scratch": "prod", "backup": set});
    let error = run("pg.verify_backup", &with, &bench.context("verify")).await.unwrap_err();
    assert_eq!((error.code.as_str(), error.class), ("RB0524", ErrorClass::Permanent));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_run_left_is_dropped_when_its_lease_has_ended() {
    let bench = Bench::with("CREATE TABLE a ()");
    let set = bench.dump("dump").await;
    let leave = |name: &str, expires: &str| {
        bench.cluster.create_database(name).unwrap();
        let lease = json!({"runbook": "01JD2Q0M3K5V7X9ZB1D3F5H7J9", "step": "verify",
            "set": set, "expires": expires});
        let sql = format!("COMMENT ON DATABASE \"{name}\" IS '{lease}'");
        bench.cluster.execute("postgres", &sql).unwrap();
    };
    leave("rb_verify_dead", "2026-11-20T01:59:59Z");
    leave("rb_verify_living", "2026-11-20T02:00:01Z");
    bench.cluster.create_database("rb_verify_of_a_person").unwrap();
    bench.verify(&set, "restorable").await.unwrap();
    assert_eq!(bench.other_databases(), ["rb_verify_living", "rb_verify_of_a_person"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_is_usable_when_its_assertions_hold() {
    let bench = Bench::with("CREATE TABLE a AS SELECT generate_series(1, 9) AS n");
    let set = bench.dump("dump").await;
    let with = |min: u32| {
        json!({"store": "backups", "database": "shop", "scratch": "scratch", "backup": set,
            "level": "usable", "assertions": [
                {"query": "SELECT count(*) FROM a", "expect": {"min": min}, "message": "rows"},
                {"query": "SELECT n FROM a WHERE n = $1", "params": [7], "expect": {"rows": 1}}]})
    };
    let refusal = run("pg.verify_backup", &with(10), &bench.context("verify")).await;
    refused(&bench, &set, refusal, "assertion `rows`: expected at least 10, found `9`");
    assert_eq!(bench.proof(&set)["reached"], "identical");
    std::fs::remove_dir_all(bench.set(&set).join("proofs")).unwrap();
    let output = run("pg.verify_backup", &with(9), &bench.context("verify")).await.unwrap();
    assert_eq!(output["level"], "usable");
    std::fs::remove_dir_all(bench.set(&set).join("proofs")).unwrap();
    let mut broken = with(9);
    broken["assertions"][0]["query"] = json!("SELECT count(*) FROM missing");
    let refusal = run("pg.verify_backup", &broken, &bench.context("verify")).await;
    refused(&bench, &set, refusal, "\"missing\" does not exist");
}
