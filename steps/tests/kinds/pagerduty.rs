//! `pagerduty.event` against a receiver on loopback that answers as PagerDuty does, with faults.

use engine::step::Observation;
use lab::sink::{Fault, Sink};
use model::node::Node;
use model::step_error::{ErrorClass, StepError};
use serde_json::{Value, json};

use crate::common::{attempt, host_with_store, run};

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn with(sink: &Sink, keys: &Value) -> Value {
    let mut with = json!({"routing_key": KEY, "endpoint": sink.pagerduty_url()});
    with.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    with
}

async fn send(sink: &Sink, keys: Value) -> Result<Value, StepError> {
    let ctx = attempt(&host_with_store(&std::env::temp_dir()), 1);
    run("pagerduty.event", with(sink, &keys), &ctx).await
}

fn said(error: &StepError) -> (&str, ErrorClass) {
    (&error.code, error.class)
}

#[tokio::test]
async fn an_alert_is_triggered_and_resolved_by_its_key() {
    let sink = Sink::start().unwrap();
    let output = send(&sink, json!({"summary": "down"})).await.unwrap();
    let key = format!("{}/tested", "0".repeat(26));
    assert_eq!(output, json!({"delivered": "confirmed", "dedup_key": key}));
    send(&sink, json!({"action": "resolve", "dedup_key": key})).await.unwrap();
    let messages = sink.messages();
    assert_eq!(messages[0].body["payload"]["summary"], json!("down"));
    assert_eq!(messages[0].body["payload"]["severity"], json!("critical"));
    assert_eq!(messages[1].body["event_action"], json!("resolve"));
    assert_eq!(messages[0].body["dedup_key"], messages[1].body["dedup_key"]);
}

#[tokio::test]
async fn a_long_summary_is_taken() {
    let sink = Sink::start().unwrap();
    send(&sink, json!({"summary": "x".repeat(5000)})).await.unwrap();
}

#[tokio::test]
async fn a_refusal_is_an_error_with_what_pagerduty_said_and_without_the_key() {
    let sink = Sink::start().unwrap();
    let keys = json!({"summary": "down", "routing_key": "hunter2"});
    let error = send(&sink, keys).await.unwrap_err();
    assert_eq!(said(&error), ("RB0704", ErrorClass::Permanent));
    assert!(error.causes[0].contains("'routing_key' is invalid"), "{error:?}");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    sink.fail_next(1, Fault::Status(200));
    let error = send(&sink, json!({"summary": "down"})).await.unwrap_err();
    assert_eq!(said(&error), ("RB0706", ErrorClass::Permanent));
}

#[tokio::test]
async fn a_receiver_that_asks_to_slow_down_may_be_asked_again() {
    let sink = Sink::start().unwrap();
    sink.fail_next(1, Fault::RetryAfter(0));
    let error = send(&sink, json!({"summary": "down"})).await.unwrap_err();
    assert_eq!(said(&error), ("RB0705", ErrorClass::Transient));
}

/// The event may be there: it is sent again with the same key, and is never in doubt.
#[tokio::test]
async fn a_lost_answer_is_sent_again_as_the_same_alert() {
    let sink = Sink::start().unwrap();
    let host = host_with_store(&std::env::temp_dir());
    let step = steps::REGISTRY.step("pagerduty.event").unwrap();
    for fault in [Fault::Drop, Fault::Status(500), Fault::Status(503)] {
        let before = sink.messages().len();
        sink.fail_next(1, fault);
        let event = with(&sink, &json!({"summary": "down"}));
        let error = run("pagerduty.event", event.clone(), &attempt(&host, 1)).await.unwrap_err();
        assert_eq!(said(&error), ("RB0703", ErrorClass::Ambiguous), "{fault:?}");
        let seen = step.observe(&Node::from_json(&event), &attempt(&host, 1)).await;
        assert_eq!(seen, Ok(Observation::NotDone));
        run("pagerduty.event", event, &attempt(&host, 2)).await.unwrap();
        let messages = sink.messages();
        assert_eq!(messages.len(), before + 2);
        assert_eq!(messages[before].body, messages[before + 1].body);
    }
}
