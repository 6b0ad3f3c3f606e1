//! `pg.amcheck` on a sound server, and on one whose files were damaged while it was stopped.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use engine::memory_host::MemoryHost;
use engine::settings::ConnectionSettings;
use lab::cluster::{Cluster, ClusterOptions};
use model::step_error::{ErrorClass, StepError};
use serde_json::{Value, json};

use crate::common::{NOW, attempt, run};

/// Bytes in front of the pointers to a page's items.
/// <https://www.postgresql.org/docs/current/storage-page-layout.html>
const HEADER: u64 = 24;
const PAGE: u64 = 8192;

const SAMPLE: &str = "\
    create table users (id int primary key, name text); \
    insert into users select g, 'user ' || g from generate_series(1, 100) g; \
    create table events (id int, at date) partition by range (at); \
    create table events_2026 partition of events for values from ('2026-01-01') to ('2027-01-01'); \
    create index on events (id); \
    insert into events select g, '2026-05-01' from generate_series(1, 100) g; \
    create view names as select name from users; \
    checkpoint";

struct Lab {
    cluster: Cluster,
    host: Arc<MemoryHost>,
}

fn lab(extension: bool) -> Lab {
    let options = ClusterOptions::new().setting("autovacuum", "off");
    let cluster = Cluster::start(&options).unwrap();
    cluster.create_database("lms").unwrap();
    if extension {
        cluster.execute("lms", "create extension amcheck").unwrap();
    }
    for statement in SAMPLE.split(';') {
        cluster.execute("lms", statement).unwrap();
    }
    let host = MemoryHost::new(NOW.parse().unwrap(), std::env::temp_dir());
    let settings = ConnectionSettings {
        name: "prod".to_owned(),
        url: Some(cluster.url("lms").as_str().into()),
        ..ConnectionSettings::default()
    };
    Lab { cluster, host: Arc::new(host.with_connection(settings)) }
}

impl Lab {
    async fn check(&self, keys: Value) -> Result<Value, StepError> {
        let mut with = json!({"connection": "prod"});
        with.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        run("pg.amcheck", with, &attempt(&self.host, 1)).await
    }

    fn file(&self, relation: &str) -> PathBuf {
        let path = format!("select pg_relation_filepath('{relation}')");
        self.cluster.data_dir().join(self.cluster.query_one("lms", &path).unwrap())
    }

    /// Changes a file of the stopped server.
    fn damage(&self, relation: &str, change: impl FnOnce(&File)) {
        let path = self.file(relation);
        self.cluster.stop().unwrap();
        change(&File::options().read(true).write(true).open(path).unwrap());
        self.cluster.start_again().unwrap();
    }
}

fn four(file: &File, at: u64) -> [u8; 4] {
    let mut bytes = [0; 4];
    file.read_exact_at(&mut bytes, at).unwrap();
    bytes
}

/// Swaps the first two items of the only leaf page.
fn swap_items(file: &File) {
    let (first, second) = (PAGE + HEADER, PAGE + HEADER + 4);
    let (one, two) = (four(file, first), four(file, second));
    file.write_all_at(&two, first).unwrap();
    file.write_all_at(&one, second).unwrap();
}

/// Lets the first row come from a transaction that never was.
fn row_of_no_transaction(file: &File) {
    let item = u32::from_le_bytes(four(file, HEADER)) & 0x7fff;
    file.write_all_at(&4_000_000_000_u32.to_le_bytes(), u64::from(item)).unwrap();
}

#[tokio::test]
async fn a_sound_database_passes_at_every_depth() {
    let lab = lab(true);
    let deep = json!({"heapallindexed": true, "parent_check": true, "toast": true});
    let output = lab.check(deep).await.unwrap();
    assert_eq!((&output["passed"], &output["finding_count"]), (&json!(true), &json!(0)));
    assert!(output["tables"].as_u64().unwrap() > 50, "the catalogue is checked as well");
    let some = lab.check(json!({"tables": ["public.users", "events"]})).await.unwrap();
    assert_eq!((&some["tables"], &some["indexes"]), (&json!(2), &json!(2)));
}

#[tokio::test]
async fn a_damaged_index_is_found_by_name() {
    let lab = lab(true);
    lab.damage("users_pkey", swap_items);
    let error = lab.check(json!({})).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Permanent);
    shown::case("RB0572", error.told());
    let output = lab.check(json!({"report_only": true})).await.unwrap();
    assert_eq!((&output["passed"], &output["finding_count"]), (&json!(false), &json!(1)));
    assert_eq!(output["findings"][0]["relation"], json!("public.users_pkey"));
    lab.check(json!({"tables": ["events"]})).await.unwrap();
    lab.cluster.execute("lms", "reindex table users").unwrap();
    lab.check(json!({})).await.unwrap();
}

#[tokio::test]
async fn a_damaged_row_is_found_by_block_and_item() {
    let lab = lab(true);
    lab.damage("users", row_of_no_transaction);
    let with = json!({"tables": ["users"], "report_only": true});
    let output = lab.check(with).await.unwrap();
    let finding = &output["findings"][0];
    assert_eq!(finding["relation"], json!("public.users"));
    assert_eq!((&finding["block"], &finding["offset"]), (&json!(0), &json!(1)));
    let message = finding["message"].as_str().unwrap();
    assert!(message.starts_with("xmin 4000000000 "), "{message}");
}

/// An index that lacks a row is in order, and only a look from the table finds it.
#[tokio::test]
async fn a_row_that_an_index_lacks_is_found_when_asked() {
    let lab = lab(true);
    let forget = "update pg_index set indisready = false where indexrelid = 'users_pkey'::regclass";
    lab.cluster.execute("lms", forget).unwrap();
    lab.cluster.execute("lms", "insert into users values (1000, 'nobody')").unwrap();
    lab.cluster.execute("lms", &forget.replace("false", "true")).unwrap();
    lab.check(json!({"tables": ["users"]})).await.unwrap();
    let with = json!({"tables": ["users"], "heapallindexed": true, "report_only": true});
    let output = lab.check(with).await.unwrap();
    let message = output["findings"][0]["message"].as_str().unwrap();
    assert!(message.contains("lacks matching index tuple"), "{message}");
}

#[tokio::test]
async fn what_cannot_be_checked_is_said_to_be_so() {
    let lab = lab(false);
    let error = lab.check(json!({})).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Permanent);
    shown::case("RB0571", error.told());
    lab.cluster
        .execute("lms", "create schema tools; create extension amcheck schema tools")
        .unwrap();
    lab.check(json!({"tables": ["users"]})).await.unwrap();
    let error = lab.check(json!({"tables": ["public.no_such_table"]})).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Permanent);
    shown::case("RB0573", error.told());
    let error = lab.check(json!({"tables": ["names"]})).await.unwrap_err();
    assert_eq!(error.message, "there is nothing in `names` that amcheck can look at");
}
