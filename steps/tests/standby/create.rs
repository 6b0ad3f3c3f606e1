//! `pg.create_standby`: a real base backup that streams, and what is left of one that failed.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use engine::step::Observation;
use model::step_error::ErrorClass;
use serde_json::{Value, json};
use shown::case;

use crate::bed::{Pair, observe, run, with};
use crate::local::Place;

const KIND: &str = "pg.create_standby";

fn input(place: &Place, keys: &Value) -> Value {
    let input = json!({"primary": "prod", "name": "north", "server": place.server()});
    with(input, keys)
}

fn slots(pair: &Pair) -> Vec<String> {
    let sql = "SELECT slot_name FROM pg_replication_slots ORDER BY 1";
    pair.primary.query("postgres", sql).unwrap()
}

/// Runs SQL on the server of a place.
fn ask(pair: &Pair, place: &Place, sql: &str) -> String {
    let mut command = pair.primary.command("psql");
    command.env("PGPORT", place.port.to_string()).args(["-XAtc", sql]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_starts_as_a_standby_and_streams() {
    let pair = Pair::new();
    let place = Place::beside(&pair.primary);
    pair.write();
    let input = input(&place, &json!({"slot": "north"}));
    assert_eq!(observe(KIND, &input, &pair.ctx(1)).await.unwrap(), Observation::NotDone);
    let output = run(KIND, &input, &pair.ctx(1)).await.unwrap();
    assert_eq!((&output["name"], &output["slot"]), (&json!("north"), &json!("north")));
    assert_eq!(slots(&pair), ["north"]);
    pair.write();
    crate::bed::wait_until(|| ask(&pair, &place, "SELECT count(*) FROM ledger") == "2000");
    assert_eq!(ask(&pair, &place, "SELECT pg_is_in_recovery()"), "t");
    assert_eq!(place.names(), ["main", "main.log", "main.pgpass"]);

    // The password is in one private file of the server's account, and nowhere else.
    let passfile = std::fs::metadata(place.path().join("main.pgpass")).unwrap();
    let owner = std::fs::metadata(pair.primary.data_dir()).unwrap().uid();
    assert_eq!((passfile.permissions().mode() & 0o777, passfile.uid()), (0o600, owner));
    let told = format!("{:?}{}", pair.ctx(1).facts(), pair.host.logged());
    let settings = std::fs::read_to_string(place.data().join("postgresql.auto.conf")).unwrap();
    assert!(!told.contains(pair.primary.password()) && !settings.contains(pair.primary.password()));

    // Looked at, or run again, it is there: nothing is copied twice.
    let seen = observe(KIND, &input, &pair.ctx(1)).await.unwrap();
    assert!(matches!(seen, Observation::Done(_)), "{seen:?}");
    run(KIND, &input, &pair.ctx(2)).await.unwrap();
    assert_eq!(pair.host.logged().matches("copy 127.0.0.1").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_copy_takes_back_what_it_made_and_can_be_repeated() {
    let pair = Pair::new();
    let place = Place::beside(&pair.primary);
    let bin = place.programs("pg_basebackup");
    let mut broken = input(&place, &json!({"slot": "north"}));
    broken["server"]["bin"] = json!(bin);
    let failed = run(KIND, &broken, &pair.ctx(1)).await.unwrap_err();
    assert_eq!((failed.code.as_str(), failed.class), ("RB0517", ErrorClass::Permanent));
    assert_eq!(place.names(), ["bin", "main.pgpass"]);
    assert_eq!(slots(&pair), Vec::<String>::new());
    assert_eq!(observe(KIND, &broken, &pair.ctx(1)).await.unwrap(), Observation::NotDone);
    run(KIND, &input(&place, &json!({"slot": "north"})), &pair.ctx(2)).await.unwrap();
    assert_eq!(ask(&pair, &place, "SELECT pg_is_in_recovery()"), "t");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_cut_off_is_taken_up_where_it_was() {
    let pair = Pair::new();
    let place = Place::beside(&pair.primary);
    let mut stuck = input(&place, &json!({}));
    stuck["server"]["start"] = json!(["false"]);
    let failed = run(KIND, &stuck, &pair.ctx(1)).await.unwrap_err();
    let folder = place.path().display().to_string();
    case("RB0566", failed.told().replace(&folder, "/var/lib/postgresql/15"));
    assert!(place.data().join("standby.signal").exists());
    assert_eq!(observe(KIND, &stuck, &pair.ctx(1)).await.unwrap(), Observation::NotDone);
    run(KIND, &input(&place, &json!({})), &pair.ctx(2)).await.unwrap();
    assert_eq!(ask(&pair, &place, "SELECT pg_is_in_recovery()"), "t");
    assert_eq!(pair.host.logged().matches("copy 127.0.0.1").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_holds_something_is_left_alone() {
    let pair = Pair::new();
    let place = Place::beside(&pair.primary);
    place.make_data();
    std::fs::write(place.data().join("PG_VERSION"), "15\n").unwrap();
    let refused = run(KIND, &input(&place, &json!({})), &pair.ctx(1)).await.unwrap_err();
    let folder = place.path().display().to_string();
    case("RB0564", refused.told().replace(&folder, "/var/lib/postgresql/15"));
    assert_eq!(std::fs::read_dir(place.data()).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_cannot_serve_another_standby_is_told_first() {
    let pair = Pair::new();
    let place = Place::beside(&pair.primary);
    let taken = input(&place, &json!({"name": "west"}));
    let refused = run(KIND, &taken, &pair.ctx(1)).await.unwrap_err();
    case("RB0565", refused.told());
    let mut standby = input(&place, &json!({}));
    standby["primary"] = json!("standby");
    let refused = run(KIND, &standby, &pair.ctx(1)).await.unwrap_err();
    assert!(refused.message.ends_with("it is in recovery: it is no primary"), "{refused}");
    let mut root = input(&place, &json!({}));
    root["server"]["run_as"] = json!("root");
    let refused = run(KIND, &root, &pair.ctx(1)).await.unwrap_err();
    case("RB0559", refused.told());
    let sql = "CREATE ROLE plain LOGIN PASSWORD 'plain'";
    pair.primary.execute("postgres", sql).unwrap();
    assert_eq!(place.names(), Vec::<String>::new());
}
