//! `pg.rewind_rejoin`: an old primary that wrote on after the fork, one that crashed, one that had
//! nothing of its own, and those that cannot be rewound.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use engine::step::Observation;
use lab::cluster::ClusterOptions;
use model::step_error::ErrorClass;
use serde_json::{Value, json};
use shown::case;

use crate::bed::{Pair, observe, run, wait_until};
use crate::local::{Place, crash};

const KIND: &str = "pg.rewind_rejoin";

/// An old primary with two commits that the new one does not have.
fn parted(options: &ClusterOptions) -> Pair {
    let pair = Pair::with(options);
    pair.write();
    pair.standby.caught_up_with(&pair.primary).unwrap();
    pair.disconnect();
    pair.write();
    pair.primary.execute("postgres", "INSERT INTO ledger VALUES (-1)").unwrap();
    pair
}

fn promote(pair: &Pair) {
    pair.standby.execute("postgres", "SELECT pg_promote()").unwrap();
    pair.standby.execute("postgres", "INSERT INTO ledger VALUES (7)").unwrap();
}

/// What `pg_rewind` needs.
fn hints() -> ClusterOptions {
    // With `synchronous_commit` a commit is in the WAL that a crash leaves.
    let settings = [
        ("wal_log_hints", "on"),
        ("full_page_writes", "on"),
        ("wal_keep_size", "256MB"),
        ("synchronous_commit", "on"),
    ];
    let options = ClusterOptions::new();
    settings.iter().fold(options, |options, (name, value)| options.setting(name, value))
}

fn input(pair: &Pair) -> Value {
    json!({
        "primary": "standby", "name": "east", "save": pair.scratch.path().join("kept"),
        "server": {"data_directory": pair.primary.data_dir(), "log": pair.primary.log()},
    })
}

fn files(folder: &PathBuf) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The old primary follows the new one and has what that has.
fn follows(pair: &Pair) {
    pair.primary.caught_up_with(&pair.standby).unwrap();
    let all = "SELECT count(*), min(n) FROM ledger";
    let (old, new) = (&pair.primary, &pair.standby);
    assert_eq!(old.query_one("postgres", all).unwrap(), new.query_one("postgres", all).unwrap());
    assert_eq!(old.query_one("postgres", "SELECT pg_is_in_recovery()").unwrap(), "t");
}

/// How often the old primary's own log says that it takes writes.
fn was_primary(pair: &Pair) -> usize {
    let log = std::fs::read_to_string(pair.primary.log()).unwrap();
    log.matches("database system is ready to accept connections").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_old_primary_has_is_kept_before_it_is_rewound() {
    let pair = parted(&hints());
    pair.primary.stop().unwrap();
    promote(&pair);
    let begun = was_primary(&pair);
    let output = run(KIND, &input(&pair), &pair.ctx(1)).await.unwrap();
    assert_eq!((&output["rewound"], &output["timeline"]), (&json!(true), &json!(2)));
    assert_eq!(output["lost_transactions"], json!(2));
    follows(&pair);
    assert_eq!(was_primary(&pair), begun, "it never started as a primary");
    let kept = PathBuf::from(output["kept_in"].as_str().unwrap());
    let records = std::fs::read_to_string(kept.join("records.txt")).unwrap();
    assert_eq!(records.matches("desc: COMMIT").count(), 2);
    assert!(!files(&kept.join("wal")).is_empty());
    assert!(files(&kept.join("conf")).contains(&"postgresql.conf".to_owned()));
    let told = format!("{:?}{}", pair.ctx(1).facts(), pair.host.logged());
    assert!(!told.contains(pair.primary.password()));
    let seen = observe(KIND, &input(&pair), &pair.ctx(1)).await.unwrap();
    assert!(matches!(seen, Observation::Done(_)), "{seen:?}");
    // Run again, it is what it is to be.
    run(KIND, &input(&pair), &pair.ctx(2)).await.unwrap();
    assert_eq!(pair.host.logged().matches("rewind `").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_crashed_is_rewound_as_well() {
    let pair = parted(&hints());
    let facts = std::fs::metadata(pair.primary.data_dir()).unwrap();
    let account = (facts.uid(), facts.gid());
    crash(&pair.primary.program("pg_ctl"), &pair.primary.data_dir(), account);
    promote(&pair);
    let begun = was_primary(&pair);
    let output = run(KIND, &input(&pair), &pair.ctx(1)).await.unwrap();
    assert_eq!((&output["rewound"], &output["lost_transactions"]), (&json!(true), &json!(2)));
    follows(&pair);
    assert_eq!(was_primary(&pair), begun);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_nothing_of_its_own_just_follows() {
    let pair = Pair::new();
    pair.write();
    pair.primary.stop().unwrap();
    promote(&pair);
    let output = run(KIND, &input(&pair), &pair.ctx(1)).await.unwrap();
    assert_eq!((&output["rewound"], &output["lost_bytes"]), (&json!(false), &json!(0)));
    follows(&pair);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_rewound_is_left_as_it_is() {
    let pair = parted(&ClusterOptions::new());
    let data = pair.primary.data_dir().display().to_string();
    let shown = |told: String| told.replace(&data, "/var/lib/postgresql/15/main");
    pair.standby.execute("postgres", "SELECT pg_promote()").unwrap();
    let running = run(KIND, &input(&pair), &pair.ctx(1)).await.unwrap_err();
    case("RB0567", shown(running.told()));
    assert_eq!(running.class, ErrorClass::NeedsOperator);
    pair.primary.stop().unwrap();
    let refused = run(KIND, &input(&pair), &pair.ctx(2)).await.unwrap_err();
    case("RB0568", shown(refused.told()));
    assert!(pair.ctx(2).fact("rewind").is_none());
    assert!(!pair.primary.data_dir().join("standby.signal").exists());
    pair.primary.start_again().unwrap();
    let all = "SELECT count(*) FROM ledger";
    assert_eq!(pair.primary.query_one("postgres", all).unwrap(), "2001");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_the_rewind_could_not_replace_is_told_before() {
    let pair = parted(&hints());
    pair.primary.stop().unwrap();
    promote(&pair);
    std::fs::write(pair.primary.data_dir().join("left_by_root"), "").unwrap();
    let refused = run(KIND, &input(&pair), &pair.ctx(1)).await;
    if rustix::process::geteuid().is_root() {
        assert_eq!(refused.unwrap_err().code, "RB0559");
        assert!(pair.ctx(1).fact("rewind").is_none());
    } else {
        // Without root, every file is the server's.
        refused.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewind_that_breaks_off_starts_nothing() {
    let pair = parted(&hints());
    pair.primary.stop().unwrap();
    promote(&pair);
    let place = Place::beside(&pair.primary);
    let mut broken = input(&pair);
    broken["server"]["bin"] = json!(place.programs("pg_rewind"));
    let failed = run(KIND, &broken, &pair.ctx(1)).await.unwrap_err();
    let data = pair.primary.data_dir().display().to_string();
    case("RB0569", failed.told().replace(&data, "/var/lib/postgresql/15/main"));
    assert!(!pair.primary.data_dir().join("postmaster.pid").exists());
    assert_eq!(observe(KIND, &broken, &pair.ctx(1)).await.unwrap(), Observation::NotDone);
    // What is kept is kept once: the next attempt rewinds, with the real program.
    let output = run(KIND, &input(&pair), &pair.ctx(2)).await.unwrap();
    assert_eq!(output["lost_transactions"], json!(2));
    wait_until(|| pair.primary.caught_up_with(&pair.standby).is_ok());
}
