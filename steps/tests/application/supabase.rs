//! `supabase.list_backups` and `supabase.restore_pitr` against a server that answers as the
//! Management API is documented to, whose restores really take a database back.

use std::process::Command;
use std::sync::Arc;

use engine::memory_host::MemoryHost;
use engine::settings::ConnectionSettings;
use engine::step::Observation;
use lab::supabase::{Fate, PROJECT, Supabase};
use model::node::Node;
use model::step_error::{ErrorClass, StepError};
use serde_json::{Value, json};
use shown::case;

use crate::common::{Lab, attempt, observe, refusal, run};

const TOKEN: &str = "sbp_canary_5512";

/// 2026-11-19T00:00:00Z and 2026-11-20T02:50:00Z.
const WINDOW: (i64, i64) = (1_795_046_400, 1_795_143_000);

const TARGET: &str = "2026-11-20T01:59:00Z";

/// A project whose database lost its orders after the moment to which it can go back.
fn project() -> (Lab, Supabase) {
    let lab = Lab::with("create table orders as select generate_series(1, 7) as id", true);
    let sql = "create database lms_then template lms";
    lab.cluster.execute("postgres", sql).unwrap();
    lab.cluster.execute("lms", "delete from orders").unwrap();
    let (psql, url) = (lab.cluster.program("psql"), lab.cluster.url("postgres"));
    let restore = move |_moment| {
        for sql in ["drop database lms with (force)", "create database lms template lms_then"] {
            assert!(Command::new(&psql).args([&url, "-qc", sql]).status().unwrap().success());
        }
    };
    let supabase = Supabase::start(TOKEN, WINDOW, restore).unwrap();
    (lab, supabase)
}

fn with(supabase: &Supabase) -> Value {
    json!({"project": PROJECT, "token": TOKEN, "api": supabase.url(), "connection": "lms",
           "target": TARGET, "interval": "5ms", "settle": "40ms"})
}

fn list(supabase: &Supabase, covers: &str) -> Value {
    json!({"project": PROJECT, "token": TOKEN, "api": supabase.url(), "covers": covers})
}

fn marks(lab: &Lab) -> String {
    lab.one("select count(*) from pg_namespace where nspname like 'runbook%'")
}

#[tokio::test]
async fn the_backups_and_the_reach_of_recovery_are_listed() {
    let (lab, supabase) = project();
    let output = run("supabase.list_backups", &list(&supabase, TARGET), &lab.attempt(1)).await;
    let output = output.unwrap();
    let expected = json!({"status": "ACTIVE_HEALTHY", "region": "eu-central-1", "pitr": true,
        "walg": true, "earliest": "2026-11-19T00:00:00Z", "latest": "2026-11-20T02:50:00Z",
        "backups": [
            {"id": 1, "status": "COMPLETED", "made": "2026-11-18T01:02:03.456Z", "physical": true},
            {"id": 2, "status": "COMPLETED", "made": "2026-11-19T01:02:03.456Z", "physical": true}],
        "newest": "2026-11-19T01:02:03.456Z"});
    assert_eq!(output, expected);
}

#[tokio::test]
async fn what_cannot_be_restored_is_refused_before_anything_is_asked_for() {
    let (lab, supabase) = project();
    let ctx = lab.attempt(1);
    let late = list(&supabase, "2026-11-20T02:55:00Z");
    let error = run("supabase.list_backups", &late, &ctx).await.unwrap_err();
    case("RB0768", error.told());
    let fails = async |key: &str, value: &str| -> StepError {
        let mut with = with(&supabase);
        with[key] = json!(value);
        run("supabase.restore_pitr", &with, &ctx).await.unwrap_err()
    };
    for (key, value, code) in [
        ("target", "2026-11-18T23:59:59Z", "RB0768"),
        ("token", "sbp_other", "RB0704"),
        ("project", "zzzzzzzzzzzzzzzzzzzz", "RB0704"),
        ("api", "http://127.0.0.1:1", "RB0701"),
    ] {
        let error = fails(key, value).await;
        assert_eq!(error.code, code, "{error:?}");
        assert!(!format!("{error:?}").contains("sbp_"), "{error:?}");
    }
    supabase.set_status("INACTIVE");
    assert!(fails("interval", "5ms").await.message.ends_with("its status is INACTIVE"));
    supabase.set_status("ACTIVE_HEALTHY");
    supabase.without_pitr();
    assert!(fails("interval", "5ms").await.message.ends_with("no point-in-time recovery"));
    assert_eq!(supabase.requests(), Vec::<Value>::new());
    assert_eq!((marks(&lab).as_str(), ctx.facts().len()), ("0", 0));
    let mut half = with(&supabase);
    half["target"] = json!("2026-11-20T01:59:00.5Z");
    assert!(refusal("supabase.restore_pitr", &half).contains("whole seconds"));
    half["target"] = json!("2026-11-20T01:59:00");
    assert!(refusal("supabase.restore_pitr", &half).contains("Shape"), "a time without a zone");
    half["project"] = json!("../v1/projects");
    half["target"] = json!(TARGET);
    assert!(refusal("supabase.restore_pitr", &half).contains("not the reference of a project"));
}

#[tokio::test]
async fn the_project_goes_back_and_its_mark_is_gone() {
    let (lab, supabase) = project();
    let ctx = lab.attempt(1);
    let with = with(&supabase);
    assert_eq!(observe("supabase.restore_pitr", &with, &ctx).await, Observation::NotDone);
    let output = run("supabase.restore_pitr", &with, &ctx).await.unwrap();
    let expected = json!({"project": PROJECT, "recovery_point": TARGET,
                          "requested": "2026-11-20T03:00:00Z"});
    assert_eq!(output, expected);
    let asked = json!({"recovery_time_target_unix": 1_795_139_940});
    assert_eq!(supabase.requests(), [asked]);
    assert_eq!((lab.one("select count(*) from orders").as_str(), marks(&lab).as_str()), ("7", "0"));
    assert_eq!(observe("supabase.restore_pitr", &with, &ctx).await, Observation::Done(output));
    assert_eq!(supabase.requests().len(), 1, "a look asks for nothing");
}

/// The answer is lost or unclear, with the restore done and without: the error is in doubt each
/// time, the look tells, and the request is never sent again.
#[tokio::test]
async fn after_an_unclear_answer_the_project_tells_and_nothing_is_asked_twice() {
    for (fate, restored) in [
        (Fate::RestoredUnanswered, true),
        (Fate::RestoredWith(502), true),
        (Fate::LostUnanswered, false),
        (Fate::Refused(500), false),
    ] {
        let (lab, supabase) = project();
        supabase.next(&[fate]);
        let (ctx, with) = (lab.attempt(1), with(&supabase));
        let error = run("supabase.restore_pitr", &with, &ctx).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.class), ("RB0769", ErrorClass::Ambiguous));
        if fate == Fate::Refused(500) {
            case("RB0769", error.told());
        }
        let seen = if restored {
            observe("supabase.restore_pitr", &with, &ctx).await
        } else {
            looked(&lab, &with, &ctx.facts()).await
        };
        match seen {
            Observation::Done(_) => assert!(restored, "{fate:?}"),
            Observation::Unknown => assert!(!restored, "{fate:?}"),
            other => panic!("{fate:?}: {other:?}"),
        }
        assert_eq!(lab.one("select count(*) from orders"), if restored { "7" } else { "0" });
        assert_eq!(supabase.requests().len(), 1, "{fate:?}");
    }
}

/// A look at once, while the restore may still begin, and one after it should have.
async fn looked(lab: &Lab, with: &Value, facts: &[engine::context::Fact]) -> Observation<Value> {
    let mut seen = Vec::new();
    for now in ["2026-11-20T03:00:00.02Z", "2026-11-20T03:00:01Z"] {
        let connection = ConnectionSettings {
            name: "lms".to_owned(),
            url: Some(lab.cluster.url("lms").into()),
            ..ConnectionSettings::default()
        };
        let host = MemoryHost::new(now.parse().unwrap(), std::env::temp_dir());
        let ctx = attempt(&Arc::new(host.with_connection(connection)), 1);
        for fact in facts {
            ctx.record(&fact.name, fact.data.clone()).await.unwrap();
        }
        let step = steps::REGISTRY.step("supabase.restore_pitr").unwrap();
        seen.push(step.observe(&Node::from_json(with), &ctx).await.unwrap());
    }
    assert_eq!(seen[0], Observation::InProgress);
    seen.remove(1)
}

#[tokio::test]
async fn a_refusal_changes_nothing_and_takes_its_mark_away() {
    for (status, code, class) in
        [(403, "RB0704", ErrorClass::Permanent), (429, "RB0705", ErrorClass::Transient)]
    {
        let (lab, supabase) = project();
        supabase.next(&[Fate::Refused(status)]);
        let error = run("supabase.restore_pitr", &with(&supabase), &lab.attempt(1)).await;
        let error = error.unwrap_err();
        assert_eq!((error.code.as_str(), error.class), (code, class));
        assert_eq!(marks(&lab), "0");
        assert_eq!(lab.one("select count(*) from orders"), "0");
    }
}

#[tokio::test]
async fn a_restore_that_fails_or_never_begins_is_said() {
    let (lab, supabase) = project();
    supabase.next(&[Fate::Fails]);
    let (ctx, with) = (lab.attempt(1), with(&supabase));
    let error = run("supabase.restore_pitr", &with, &ctx).await.unwrap_err();
    assert_eq!((error.code.as_str(), error.class), ("RB0770", ErrorClass::NeedsOperator));
    case("RB0770", error.told());
    let step = steps::REGISTRY.step("supabase.restore_pitr").unwrap();
    let seen = step.observe(&Node::from_json(&with), &ctx).await.unwrap_err();
    assert_eq!(seen.code, "RB0770");

    let (lab, supabase) = project();
    supabase.next(&[Fate::Forgotten]);
    let error = run("supabase.restore_pitr", &self::with(&supabase), &lab.attempt(1)).await;
    let error = error.unwrap_err();
    assert_eq!((error.code.as_str(), error.class), ("RB0769", ErrorClass::Ambiguous));
    assert!(error.message.ends_with("the project stays as it was"), "{}", error.message);
}
