//! `pg.query`, `pg.assert`, `pg.create_database` and `pg.drop_database` on a real server.

use std::sync::Arc;

use engine::context::StepContext;
use engine::memory_host::MemoryHost;
use engine::settings::ConnectionSettings;
use engine::step::Observation;
use lab::cluster::{Cluster, ClusterOptions};
use lab::wire::{Cut, Wire};
use model::node::Node;
use model::step_error::{ErrorClass, StepError};
use serde_json::{Value, json};

use crate::common::{NOW, attempt, run};

struct Lab {
    cluster: Cluster,
    host: Arc<MemoryHost>,
}

fn connection(name: &str, url: &str, protected: bool) -> ConnectionSettings {
    ConnectionSettings {
        name: name.to_owned(),
        url: Some(url.into()),
        protected,
        ..ConnectionSettings::default()
    }
}

fn host(connections: Vec<ConnectionSettings>) -> Arc<MemoryHost> {
    let host = MemoryHost::new(NOW.parse().unwrap(), std::env::temp_dir());
    Arc::new(connections.into_iter().fold(host, MemoryHost::with_connection))
}

/// A server with the database `lms`; `prod` is protected, `scratch` is not.
fn lab() -> Lab {
    let cluster = Cluster::start(&ClusterOptions::new()).unwrap();
    cluster.create_database("lms").unwrap();
    cluster
        .execute("lms", "create table users (id int primary key, name text); insert into users values (1, 'Ann'), (2, null)")
        .unwrap();
    let host = host(vec![
        connection("prod", &cluster.url("lms"), true),
        connection("scratch", &cluster.url("postgres"), false),
    ]);
    Lab { cluster, host }
}

impl Lab {
    fn attempt(&self, number: u32) -> StepContext {
        attempt(&self.host, number)
    }

    async fn run(&self, kind: &str, with: Value) -> Result<Value, StepError> {
        run(kind, with, &self.attempt(1)).await
    }

    async fn query(&self, sql: &str, keys: Value) -> Result<Value, StepError> {
        let mut with = json!({"connection": "prod", "sql": sql});
        with.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        self.run("pg.query", with).await
    }

    async fn assert(&self, query: &str, expect: Value) -> Result<Value, StepError> {
        let with = json!({"connection": "prod", "query": query, "expect": expect,
                          "message": "the users are there"});
        self.run("pg.assert", with).await
    }

    fn users(&self) -> String {
        self.cluster.query_one("lms", "select count(*) from users").unwrap()
    }
}

async fn observe(kind: &str, with: &Value, ctx: &StepContext) -> Observation<Value> {
    let step = steps::REGISTRY.step(kind).unwrap();
    step.observe(&Node::from_json(with), ctx).await.unwrap()
}

#[tokio::test]
async fn rows_come_as_json() {
    let lab = lab();
    let sql = "select id, name, 1.10::numeric as price, '{\"a\":1}'::jsonb as doc, id = 1 as one \
               from users where id = any($1) and (name = $2 or name is null) order by id;";
    let output = lab.query(sql, json!({"params": [[1, 2, 3], "Ann"]})).await.unwrap();
    assert_eq!(
        output,
        json!({
            "rows": [
                {"id": 1, "name": "Ann", "price": "1.10", "doc": {"a": 1}, "one": true},
                {"id": 2, "name": null, "price": "1.10", "doc": {"a": 1}, "one": false},
            ],
            "row_count": 2,
            "value": 1,
            "truncated": false,
            "file_sha256": null,
        })
    );
}

#[tokio::test]
async fn more_rows_are_counted_and_not_kept() {
    let output = lab().query("select generate_series(1, 250) as n", json!({})).await.unwrap();
    assert_eq!(output["rows"].as_array().unwrap().len(), 100);
    assert_eq!((&output["row_count"], &output["truncated"]), (&json!(250), &json!(true)));
    let output = lab().query("show server_encoding", json!({})).await.unwrap();
    assert_eq!(output["value"], json!("UTF8"));
}

#[tokio::test]
async fn a_query_that_reads_cannot_write() {
    let lab = lab();
    for sql in [
        "delete from users",
        "with gone as (delete from users returning id) select count(*) from gone",
        "create table t (a int)",
        "select 1; delete from users",
        "commit; delete from users",
    ] {
        let error = lab.query(sql, json!({})).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.class), ("RB0510", ErrorClass::Permanent), "{sql}");
    }
    assert_eq!(lab.users(), "2");
}

#[tokio::test]
async fn a_parameter_is_a_value_and_nothing_else() {
    let lab = lab();
    let hostile = "x'); delete from users; --\\";
    let output = lab.query("select $1::text as said", json!({"params": [hostile]})).await.unwrap();
    assert_eq!(output["value"], json!(hostile));
    let error = lab.query("select $1::int", json!({"params": [1, 2]})).await.unwrap_err();
    assert_eq!(error.message, "the query has 1 parameters, 2 are given");
    let error = lab.query("select 1 as a, 2 as a", json!({})).await.unwrap_err();
    assert_eq!(error.message, "the query has two columns named `a`");
}

#[tokio::test]
async fn a_write_is_committed_and_its_mark_says_so() {
    let lab = lab();
    let ctx = lab.attempt(1);
    let with = json!({"connection": "prod", "read_only": false,
                      "sql": "insert into users values (3, 'Cy') returning id"});
    assert_eq!(observe("pg.query", &with, &ctx).await, Observation::NotDone);
    let output = run("pg.query", with.clone(), &ctx).await.unwrap();
    assert_eq!(output["value"], json!(3));
    assert_eq!(lab.users(), "3");
    assert_eq!(observe("pg.query", &with, &ctx).await, Observation::Done(output));
}

#[tokio::test]
async fn a_write_that_fails_changes_nothing() {
    let lab = lab();
    let keys = json!({"read_only": false});
    let sql = "insert into users select n, 'x' from generate_series(10, 0, -1) n";
    let error = lab.query(sql, keys.clone()).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Permanent);
    assert_eq!(lab.users(), "2");
    let error = lab.query("vacuum users", keys.clone()).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Permanent);
    let count = lab.query("update users set name = 'y'", keys).await.unwrap();
    assert_eq!((&count["row_count"], &count["rows"]), (&json!(2), &json!([])));
}

/// The answer to a COMMIT is lost, once with the commit done and once not: the error is in doubt
/// both times, and the server itself tells what happened.
#[tokio::test]
async fn after_a_lost_answer_to_commit_the_server_tells_what_happened() {
    for (cut, users) in [(Cut::After, "3"), (Cut::Before, "2")] {
        let lab = lab();
        let wire = Wire::to(lab.cluster.port()).unwrap();
        wire.cut_at("COMMIT", cut);
        let (port, server) = (wire.port().to_string(), lab.cluster.port().to_string());
        let url = lab.cluster.url("lms").replace(&server, &port);
        let host = host(vec![connection("prod", &url, true)]);
        let ctx = attempt(&host, 1);
        let with = json!({"connection": "prod", "read_only": false,
                          "sql": "insert into users values (3, 'Cy') returning id"});
        let error = run("pg.query", with.clone(), &ctx).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.class), ("RB0505", ErrorClass::Ambiguous));
        wire.mend();
        let mut seen = observe("pg.query", &with, &ctx).await;
        while seen == Observation::InProgress {
            seen = observe("pg.query", &with, &ctx).await;
        }
        if cut == Cut::After {
            let Observation::Done(output) = seen else { panic!("{seen:?}") };
            assert_eq!(output["rows"], json!([{"id": 3}]));
        } else {
            assert_eq!(seen, Observation::NotDone);
        }
        assert_eq!(lab.users(), users);
    }
}

#[tokio::test]
async fn on_another_server_the_mark_means_nothing() {
    let lab = lab();
    let ctx = lab.attempt(1);
    let with = json!({"connection": "prod", "read_only": false, "sql": "delete from users"});
    run("pg.query", with.clone(), &ctx).await.unwrap();
    let other = Cluster::start(&ClusterOptions::new().own_identity()).unwrap();
    let elsewhere = attempt(&host(vec![connection("prod", &other.url("postgres"), true)]), 1);
    for fact in ctx.facts() {
        elsewhere.record(&fact.name, fact.data).await.unwrap();
    }
    assert_eq!(observe("pg.query", &with, &elsewhere).await, Observation::Unknown);
}

#[tokio::test]
async fn a_long_query_is_cancelled_on_the_server() {
    let lab = lab();
    let ctx = lab.attempt(1);
    let with = json!({"connection": "prod", "sql": "select pg_sleep(600)"});
    let sleeping = "select count(*) from pg_stat_activity where query = 'select pg_sleep(600)' \
                    and state = 'active'";
    let until = async |count: &str| {
        while lab.cluster.query_one("postgres", sleeping).unwrap() != count {
            tokio::task::yield_now().await;
        }
    };
    let cut = async {
        until("1").await;
        ctx.cancel().cancel();
    };
    let (result, ()) = tokio::join!(run("pg.query", with, &ctx), cut);
    assert_eq!(result, Err(StepError::cancelled()));
    until("0").await;
}

#[tokio::test]
async fn an_assertion_names_what_was_expected_and_found() {
    let lab = lab();
    let found = lab.assert("select count(*) from users", json!({"min": 1, "max": 2})).await;
    assert_eq!(found.unwrap(), json!({"value": 2, "rows": 1}));
    let error = lab.assert("select count(*) from users", json!({"min": 3})).await.unwrap_err();
    assert_eq!((error.code.as_str(), error.class), ("RB0555", ErrorClass::Permanent));
    assert_eq!(error.message, "the users are there: expected at least 3, found `2`");
    let error =
        lab.assert("select * from users order by id", json!({"rows": 0})).await.unwrap_err();
    assert_eq!(error.message, "the users are there: expected 0 rows, found 2");
    assert_eq!(error.causes, [r#"{"id":1,"name":"Ann"}"#, r#"{"id":2,"name":null}"#]);
    let error = lab.assert("delete from users", json!({"rows": 0})).await.unwrap_err();
    assert_eq!(error.code, "RB0510");
    assert_eq!(lab.users(), "2");
}

#[tokio::test]
async fn a_database_is_made_once_and_marked() {
    let lab = lab();
    let ctx = lab.attempt(1);
    let name = "Größe \"x\"";
    let with = json!({"connection": "prod", "database": name, "encoding": "UTF8", "locale": "C"});
    assert_eq!(observe("pg.create_database", &with, &ctx).await, Observation::NotDone);
    let output = run("pg.create_database", with.clone(), &ctx).await.unwrap();
    assert_eq!(output["database"], json!(name));
    let seen = observe("pg.create_database", &with, &ctx).await;
    assert_eq!(seen, Observation::Done(output.clone()));
    assert_eq!(run("pg.create_database", with, &lab.attempt(2)).await, Ok(output));
    let left = "select count(*) from pg_database where datname like 'runbook%'";
    assert_eq!(lab.cluster.query_one("postgres", left).unwrap(), "0");
}

#[tokio::test]
async fn a_database_of_somebody_else_is_neither_taken_nor_observed() {
    let lab = lab();
    let with = json!({"connection": "scratch", "database": "lms"});
    let seen = observe("pg.create_database", &with, &lab.attempt(1)).await;
    assert_eq!(seen, Observation::NotDone);
    let error = lab.run("pg.create_database", with).await.unwrap_err();
    assert_eq!((error.code.as_str(), error.class), ("RB0560", ErrorClass::Permanent));
    let bad = json!({"connection": "scratch", "database": "new", "owner": "nobody_known"});
    let error = lab.run("pg.create_database", bad).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Permanent);
    let names =
        lab.cluster.query("postgres", "select datname from pg_database order by 1").unwrap();
    assert_eq!(names, ["lms", "postgres", "template0", "template1"]);
}

/// A run that was cut off between the making and the naming of its database.
#[tokio::test]
async fn a_half_made_database_is_taken_up_by_the_next_attempt() {
    let lab = lab();
    let with = json!({"connection": "scratch", "database": "new"});
    lab.run("pg.create_database", with.clone()).await.unwrap();
    let comment =
        "select shobj_description(oid, 'pg_database') from pg_database where datname = 'new'";
    let mark = lab.cluster.query_one("postgres", comment).unwrap();
    let unfinished = format!("runbook_unfinished_{}", &steps::store::hex(sha256(&mark))[..16]);
    let back =
        format!("comment on database new is null; alter database new rename to {unfinished}");
    lab.cluster.execute("postgres", &back).unwrap();
    let ctx = lab.attempt(2);
    assert_eq!(observe("pg.create_database", &with, &ctx).await, Observation::NotDone);
    run("pg.create_database", with, &ctx).await.unwrap();
    assert_eq!(lab.cluster.query_one("postgres", comment).unwrap(), mark);
}

fn sha256(text: &str) -> impl AsRef<[u8]> {
    use sha2::Digest;
    sha2::Sha256::digest(text)
}

#[tokio::test]
async fn a_database_is_dropped_and_a_later_one_of_that_name_is_not() {
    let lab = lab();
    let ctx = lab.attempt(1);
    let with = json!({"connection": "scratch", "database": "lms"});
    assert_eq!(observe("pg.drop_database", &with, &ctx).await, Observation::NotDone);
    let output = run("pg.drop_database", with.clone(), &ctx).await.unwrap();
    assert_eq!(output, json!({"database": "lms", "dropped": true}));
    lab.cluster.create_database("lms").unwrap();
    let seen = observe("pg.drop_database", &with, &ctx).await;
    assert_eq!(seen, Observation::Done(output.clone()));
    assert_eq!(run("pg.drop_database", with, &lab.attempt(2)).await, Ok(output));
    assert_eq!(lab.cluster.query_one("lms", "select 1").unwrap(), "1");
}

#[tokio::test]
async fn what_may_not_be_dropped_stays() {
    let lab = lab();
    let protected = json!({"connection": "prod", "database": "other"});
    assert_eq!(lab.run("pg.drop_database", protected).await.unwrap_err().code, "RB0563");
    let missing = json!({"connection": "scratch", "database": "missing"});
    assert_eq!(lab.run("pg.drop_database", missing).await.unwrap_err().code, "RB0562");
    let missing = json!({"connection": "scratch", "database": "missing", "if_exists": true});
    let output = lab.run("pg.drop_database", missing).await.unwrap();
    assert_eq!(output["dropped"], json!(false));
}

#[tokio::test]
async fn sessions_keep_a_database_unless_forced() {
    let lab = lab();
    let ctx = lab.attempt(1);
    let sleeper =
        run("pg.query", json!({"connection": "prod", "sql": "select pg_sleep(600)"}), &ctx);
    let drop = async {
        let there = "select count(*) from pg_stat_activity where query = 'select pg_sleep(600)'";
        while lab.cluster.query_one("postgres", there).unwrap() != "1" {
            tokio::task::yield_now().await;
        }
        let with = json!({"connection": "scratch", "database": "lms"});
        let error = lab.run("pg.drop_database", with).await.unwrap_err();
        assert!(error.message.contains("is being accessed by other users"), "{}", error.message);
        let with = json!({"connection": "scratch", "database": "lms", "force": true});
        lab.run("pg.drop_database", with).await.unwrap()
    };
    let (cut, dropped) = tokio::join!(sleeper, drop);
    assert_eq!(dropped["dropped"], json!(true));
    // Reading was cut off: certainly nothing was applied.
    assert_eq!(cut.unwrap_err().class, ErrorClass::Transient);
}
