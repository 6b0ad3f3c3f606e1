//! The archive as `pg.archive_check` sees it.

use serde_json::{Value, json};
use shown::case;

use crate::ground::Ground;

fn input(keys: &Value) -> Value {
    let mut with = json!({"connection": "prod", "store": "backups"});
    with.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    with
}

fn write(ground: &Ground) {
    ground.cluster.execute("postgres", "INSERT INTO t SELECT generate_series(1, 1000)").unwrap();
}

fn with_table() -> Ground {
    let ground = Ground::new();
    ground.cluster.execute("postgres", "CREATE TABLE t (n int)").unwrap();
    ground
}

/// When the newest transaction was committed, as the server knows it.
fn committed(ground: &Ground) -> jiff::Timestamp {
    let sql =
        "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
    ground.cluster.query_one("postgres", sql).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_archive_tells_what_would_be_lost() {
    let ground = with_table();
    let before = committed(&ground);
    write(&ground);
    let after = committed(&ground);
    let segment = ground.cluster.archive_now().unwrap();
    ground.push_all().await;
    let seen = ground.run("pg.archive_check", input(&json!({"max_age": "10m"}))).await.unwrap();
    assert_eq!((&seen["last"], &seen["gaps"]), (&json!(segment), &json!([])));
    assert_eq!((&seen["failing"], &seen["timelines"]), (&json!(false), &json!([1])));
    let last: jiff::Timestamp = seen["last_commit"].as_str().unwrap().parse().unwrap();
    assert!(before <= last && last <= after, "{before} {last} {after}");

    // A commit that is not archived is what would be lost.
    write(&ground);
    let exposed = ground.run("pg.archive_check", input(&json!({}))).await.unwrap();
    assert_eq!(exposed["last_commit"], seen["last_commit"]);
    assert!(exposed["rpo_seconds"].as_f64().unwrap() > 0.0);
    assert!(exposed["unarchived_bytes"].as_u64().unwrap() > 1000);
    let late = input(&json!({"max_age": "0s"}));
    let late = ground.run("pg.archive_check", late).await.unwrap_err();
    assert_eq!(late.code, "RB0599");

    // The archive alone says the same, for the day when the server is gone.
    let alone = json!({"store": "backups"});
    let alone = ground.run("pg.archive_check", alone).await.unwrap();
    assert_eq!((&alone["last"], &alone["failing"]), (&json!(segment), &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_nothing_was_written_since() {
    let ground = with_table();
    write(&ground);
    // A checkpoint notes that no transaction is under way.
    ground.cluster.execute("postgres", "CHECKPOINT").unwrap();
    ground.cluster.archive_now().unwrap();
    ground.push_all().await;
    let seen = ground.run("pg.archive_check", input(&json!({"max_age": "0s"}))).await.unwrap();
    assert_eq!(seen["rpo_seconds"], json!(0.0));
    write(&ground);
    let seen = ground.run("pg.archive_check", input(&json!({}))).await.unwrap();
    assert!(seen["rpo_seconds"].as_f64().unwrap() > 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_named_and_a_base_backup_after_it_heals_it() {
    let ground = with_table();
    let mut names = Vec::new();
    for _ in 0..4 {
        write(&ground);
        names.push(ground.cluster.archive_now().unwrap());
    }
    ground.push_all().await;
    std::fs::remove_file(ground.object(&names[1])).unwrap();
    let refused = ground.run("pg.archive_check", input(&json!({}))).await.unwrap_err();
    case("RB0598", refused.told().replace(&names[1], "000000010000000000000003"));
    let seen = ground.run("pg.archive_check", input(&json!({"no_gaps": false}))).await.unwrap();
    assert_eq!(seen["gaps"], json!([{"from": names[1], "to": names[1]}]));
    assert_eq!(seen["last"], json!(names[0]));
    ground.run("pg.base_backup", input(&json!({}))).await.unwrap();
    ground.cluster.archive_now().unwrap();
    ground.push_all().await;
    let healed = ground.run("pg.archive_check", input(&json!({}))).await.unwrap();
    assert_eq!((&healed["gaps"], &healed["bases"]), (&json!([]), &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archiver_that_fails_is_an_alarm() {
    let ground = with_table();
    write(&ground);
    ground.cluster.archive_now().unwrap();
    ground.push_all().await;
    ground.cluster.archive_with("false").unwrap();
    write(&ground);
    let failing = ground.cluster.switch_wal().unwrap();
    let sql = "SELECT count(*) FROM pg_stat_archiver WHERE failed_count > 0";
    while ground.cluster.query_one("postgres", sql).unwrap() != "1" {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let refused = ground.run("pg.archive_check", input(&json!({}))).await.unwrap_err();
    case("RB0599", refused.told().replace(&failing, "000000010000000000000004"));
    let seen = ground.run("pg.archive_check", input(&json!({"archiving": false}))).await.unwrap();
    assert_eq!((&seen["failing"], &seen["last_failed"]), (&json!(true), &json!(failing)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_is_not_archived_yet_is_waited_for() {
    let ground = with_table();
    write(&ground);
    let position =
        ground.cluster.query_one("postgres", "SELECT pg_current_wal_insert_lsn()").unwrap();
    let wanted = input(&json!({"includes": position, "wait": "2s"}));
    let late = ground.run("pg.archive_check", wanted.clone()).await.unwrap_err();
    assert_eq!(late.code, "RB0598", "there is nothing at all");
    let archive = async {
        ground.cluster.archive_now().unwrap();
        ground.push_all().await
    };
    let long = input(&json!({"includes": position, "wait": "1m"}));
    let (seen, _) = tokio::join!(ground.run("pg.archive_check", long), archive);
    assert_eq!(seen.unwrap()["gaps"], json!([]));
    let far = input(&json!({"includes": "FF/0"}));
    let far = ground.run("pg.archive_check", far).await.unwrap_err();
    assert_eq!(far.code, "RB0599");
    assert!(far.message.ends_with("not to FF/0"), "{far}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_archive_at_all_is_said() {
    let ground = with_table();
    let refused = ground.run("pg.archive_check", input(&json!({}))).await.unwrap_err();
    assert_eq!(refused.code, "RB0598");
    assert!(refused.message.contains("holds no WAL of cluster"), "{refused}");
}
